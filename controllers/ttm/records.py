"""What is kept of forecasting in the store: models with their lineage, which one is in force, and how it stands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, Literal, TypeVar

import msgspec
from msgspec import Meta

from runtime.consensus.store import KeyValue
from runtime.state import keys
from runtime.state.values import Value

SHIPPED: Final = 0
"""The number of the model that comes with the package: always there, and where every way back ends."""
MODELS_MAX: Final = 50
UPLOADED: Final = "uploaded"
"""The ruling on a model that somebody made elsewhere: no contest, so that only a person chooses it."""
OWNER: Final = "forecast-model"
"""Who pins their heads in the ContentStore."""


class ForecastModel(Value, frozen=True, kw_only=True):
    """A challenger that was trained here, whose content is a head for the graph `base`; or one that was uploaded, whose
    content is that graph with its card. Both are SHA-256."""

    number: Annotated[int, Meta(ge=1)]
    sha256: str
    base: str
    parent: int = SHIPPED
    """The model whose head the fit began from, and which it was judged beside."""
    graph: int = SHIPPED
    """The uploaded model whose graph it stands on: an uploaded one's is its own."""
    made_unix_ms: int
    cause: str
    """What let it be trained: "error_changed of orders", "asked for"."""
    first_minute: int
    last_minute: int
    """Of the load that it was fitted to and judged on."""
    slices: int
    samples: int
    ruling: str
    """Of the contest; only "crowned" ones may forecast by themselves."""
    recent: float = 1.0
    longer: float = 1.0
    older: float = 1.0
    """Its loss as a part of the parent's: on the newest held-back data, on all of it, on older data."""


class ForecastActive(Value, frozen=True, kw_only=True):
    """Which model forecasts. One that is on probation stands beside another that is asked too, and that comes back when
    it did better; without one `before` is the model itself."""

    number: int = SHIPPED
    before: int = SHIPPED
    why: str = ""
    """How a probation ended, if that is how it came to this."""

    @property
    def probation(self) -> bool:
        return self.before != self.number


class ForecastState(Value, frozen=True, kw_only=True):
    """How forecasting stands, as its leader says when that changes."""

    state: Literal["working", "degraded"]
    code: str = ""
    reason: str = ""
    """Of degraded: why layer 1 is alone."""
    model: int = SHIPPED
    since_unix_ms: int = 0


class TrainingTrouble(Value, frozen=True, kw_only=True):
    """Why there is no challenger, of the newest attempt; gone once one was trained."""

    state: Literal["refused", "failed"]
    code: str
    reason: str
    cause: str
    """What it was to be trained for."""
    tried_unix_ms: int


class BandFactors(Value, frozen=True, kw_only=True):
    """By slice, the logarithms of the factors that its bands are stretched by, one for each horizon."""

    factors: dict[str, tuple[float, ...]]


FoundT = TypeVar("FoundT", bound=Value)


def read(item: KeyValue | None, kind: type[FoundT]) -> FoundT | None:
    """None also for what this version cannot read."""
    if item is None:
        return None
    try:
        return msgspec.json.decode(item.value, type=kind)
    except msgspec.DecodeError:
        return None


def active_of(item: KeyValue | None) -> ForecastActive:
    """The shipped model where nothing else was chosen."""
    return read(item, ForecastActive) or ForecastActive()


def outdated(models: Sequence[ForecastModel], active: ForecastActive) -> list[ForecastModel]:
    """Those that go when one more comes: the oldest, but for what forecasts and what that stands on."""
    known = {each.number: each for each in models}
    needed = {active.number, active.before}
    needed |= {known[number].graph for number in needed if number in known}
    old = [each for each in models if each.number not in needed]
    return old[: max(len(old) + 1 - MODELS_MAX, 0)]


def pin_owner(number: int) -> str:
    return f"{OWNER} {number}"


def model_key(number: int) -> str:
    return keys.forecast_model(number)
