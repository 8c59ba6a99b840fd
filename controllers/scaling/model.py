"""What scaling decides with, and what it decides: plain values."""

from __future__ import annotations

import bisect
from enum import StrEnum
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

HOLD_S_MAX: Final = 3_600
LATENCY_MS_MAX: Final = 3_600_000.0  # an hour
COST_MAX: Final = 1e12
"""Every bound also keeps out infinity, which JSON has no word for: it would come back as nothing."""
QUANTILES: Final = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
"""Of a forecast, in this order."""


class ScalingPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of one slice. Utilisation is the planned part, 0 to 1, of what an instance carries when it is always busy."""

    utilisation: Annotated[float, Meta(gt=0.0, lt=1.0)] = 0.85
    """That instances may reach at the multiple of the rate that the rules want to be ready for."""
    plan_utilisation: Annotated[float, Meta(gt=0.0, lt=1.0)] = 0.85
    """That they may reach at a forecast rate."""
    shortage_cost: Annotated[float, Meta(ge=1.0, le=1_000.0)] = 1.0
    """What a missing instance costs, in idle ones: it chooses the quantile of the forecast that is planned for."""
    hold_s: Annotated[int, Meta(ge=0, le=HOLD_S_MAX)] = 60
    """For how long a need is remembered before instances go."""
    release_s: Annotated[int, Meta(ge=1, le=HOLD_S_MAX)] = 20
    """For how long at least, where a forecast says that the load will not be back: a need that is older is held only
    as far as the forecast at `release_quantile` may ask for it."""
    release_quantile: Annotated[float, Meta(ge=0.5, le=0.99)] = 0.95
    dead_band: Annotated[float, Meta(ge=0.0, le=0.5)] = 0.05
    """No fewer than this part of the instances goes at once: what is one too many now may be needed in a
    minute, and whoever comes and goes all the time costs more than it saves."""
    boosted: bool = True
    """Whether the boosted model corrects the rules' multiple, within limits."""
    spare_starts: Annotated[float, Meta(ge=0.0, le=10.0)] = 4.0
    """While fewer serve than the load needs at once, so many more are started for each that is
    missing: starts take unlike long, the first to be ready end the shortage, and the others are taken back."""
    spare_start_s: Annotated[float, Meta(ge=0.0, le=HOLD_S_MAX)] = 5.0
    """Only where a start takes so long, on average: what is ready at once needs no spare."""
    cool_down_out_s: Annotated[int, Meta(ge=0, le=HOLD_S_MAX)] = 0
    """Between a change and the next that adds instances."""
    cool_down_in_s: Annotated[int, Meta(ge=0, le=HOLD_S_MAX)] = 0
    """Between a change and the next that takes instances away."""
    idle_s: Annotated[int, Meta(ge=10, le=24 * 3_600)] = 600
    """Without a single call, before the last instance goes; only where the bounds allow none."""
    slo_p95_ms: Annotated[float, Meta(gt=0.0, le=LATENCY_MS_MAX)] = 500.0
    step_share: Annotated[float, Meta(gt=0.0, le=10.0)] = 10.0
    """Most instances that come at once, as a part of those there are; always at least four."""
    shrink_share: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.5
    """Most that go at once, as a part of those there are; always at least one."""
    instance_hour_cost: Annotated[float, Meta(gt=0.0, le=COST_MAX)] = 1.0
    hour_cost_max: Annotated[float, Meta(gt=0.0, le=COST_MAX)] | None = None
    """What all instances of the slice may cost an hour, in the unit of `instance_hour_cost`; None is without limit."""

    @property
    def planned_quantile(self) -> float:
        """Where one more instance costs as much as it saves (the newsvendor's critical ratio, Arrow et al. 1951)."""
        return self.shortage_cost / (self.shortage_cost + 1.0)


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """Rates ahead, requests a second, at each of QUANTILES: `soon` is the highest of the next two minutes, `later` of
    the next five. Neither falls with the quantile."""

    soon: tuple[float, ...]
    later: tuple[float, ...]


def at_quantile(values: tuple[float, ...], quantile: float) -> float:
    """Between the two of QUANTILES that are nearest, in a straight line; beyond the ends, the end's own."""
    at = bisect.bisect_left(QUANTILES, quantile)
    if at == len(QUANTILES):
        return values[-1]
    if at == 0 or QUANTILES[at] == quantile:
        return values[at]
    below, above = QUANTILES[at - 1], QUANTILES[at]
    return values[at - 1] + (values[at] - values[at - 1]) * (quantile - below) / (above - below)


class StableRule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that an operator wrote, whose conditions have held for as long as it asks."""

    name: str
    step: int
    cool_down_s: int


class OwnRules(msgspec.Struct, frozen=True, kw_only=True):
    """Of one slice, where operators wrote rules for it. `tree`: the tree judges too."""

    tree: bool
    stable: tuple[StableRule, ...] = ()


class SliceSeen(msgspec.Struct, frozen=True, kw_only=True):
    """One slice as of one second. None is not known, or too old to be used."""

    rate: float | None
    """Requests a second, smoothed."""
    features: tuple[float, ...] = ()
    serving: int
    starting: int = 0
    least: int = 1
    most: int = 1_000
    rate_per_instance: float
    """What one instance carries when it is always busy, learnt."""
    latency_p95_ms: float | None = None
    waiting: float = 0.0
    """Requests that wait, or were turned away in the last second."""
    idle_s: float = 0.0
    """Since the last call."""
    boosted: float | None = None
    """The multiple of the rate that the boosted model would be ready for; None where there is none, or it failed."""
    forecast: Forecast | None = None
    start_delay_s: float | None = None
    """How long its instances take until they serve, on average, learnt."""
    held: int = 0
    """The highest need of the last `hold_s` seconds."""
    held_lately: int | None = None
    """That of the last `release_s` seconds; None holds all of `held`, whatever a forecast says."""
    own_rules: OwnRules | None = None

    @property
    def current(self) -> int:
        return self.serving + self.starting


class Pin(msgspec.Struct, frozen=True, kw_only=True):
    """A person's word: so many instances until then, whatever the layers say."""

    instances: int
    until_unix_ms: int
    by: str
    why: str = ""


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What bears on a slice beside its load, as of now. The defaults hold nothing back."""

    paused: str = ""
    """Why its scaling is off; empty while it is on."""
    pin: Pin | None = None
    """One that has not expired."""
    frozen: str = ""
    incident: str = ""
    deploying: bool = False
    """Instances of it start anew, or another version of it is on its way."""
    overridden: Literal["", "out", "in"] = ""
    """A person changed the number of instances a moment ago: to more, or to fewer."""
    turns: int = 0
    """How often its scaling changed direction in the last five minutes."""
    since_change_s: float | None = None
    """Since its scaling last changed anything; None is not known, or never."""
    budget: int | None = None
    """Instances that may stop serving before `min_available` is reached."""
    room: int | None = None
    """Instances that its nodes can still take; None is without limit."""


class Layer(StrEnum):
    TREE = "tree"
    FORECAST = "forecast"
    REASONING = "reasoning"
    GUARD = "guard"
    """No layer: a guard rail decided, or a person."""


class Because(StrEnum):
    NO_METRICS = "no_metrics"
    """The figures are missing, too old, or cannot be."""
    NO_TRAFFIC = "no_traffic"
    """Nobody calls it, and nobody has long enough to learn what an instance carries."""
    LEARNING = "learning"
    """It is called, and what an instance carries is not known yet."""
    RULES = "rules"
    OWN_RULE = "own_rule"
    """A rule that an operator wrote; the path names it."""
    LATENCY = "latency"
    SHORT = "short"
    WAITING = "waiting"
    IDLE = "idle"
    FORECAST = "forecast"
    REASONING = "reasoning"
    ENOUGH = "enough"
    HELD = "held"
    DEAD_BAND = "dead_band"
    LATER = "later"
    BOUNDS = "bounds"
    STEP = "step"
    PINNED = "pinned"
    PAUSED = "paused"
    FROZEN = "frozen"
    INCIDENT = "incident"
    DEPLOYING = "deploying"
    OVERRIDDEN = "overridden"
    COOL_DOWN = "cool_down"
    FLAPPING = "flapping"
    BUDGET = "budget"
    NODES_FULL = "nodes_full"
    COST = "cost"


class LayerDecision(msgspec.Struct, frozen=True, kw_only=True):
    """What one layer wants. It agrees to fewer instances down to `keep`, and sees no use in more than `enough`."""

    layer: Layer
    wanted: int
    keep: int = 0
    enough: int | None = None
    """None does not say: whatever was needed lately is held."""
    because: Because
    urgent: int = 0
    """To have on their way while fewer serve than the load needs at once; not a need that is held."""
    multiple: float = 1.0
    path: tuple[str, ...] = ()
    """The rules' questions and answers."""
    rate: float = 0.0
    """That is planned for, requests a second."""
    quantile: float | None = None


class Choice(StrEnum):
    """What the reasoning layer may choose among."""

    TREE = "tree"
    FORECAST = "forecast"
    HOLD = "hold"
    CUSTOM = "custom"


class Opinion(msgspec.Struct, frozen=True, kw_only=True):
    """The reasoning layer's answer. `instances` counts only with `custom`, which needs a reason too."""

    choice: Choice
    reason: str
    instances: int = 0


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """`wanted` instances; `asked` is what the layers wanted before any guard rail, `need` what the moment asks for."""

    wanted: int
    need: int
    asked: int
    layer: Layer
    because: tuple[Because, ...]
    gate_class: int = 0
    """At least this one: 1 where the reasoning layer came up with a number of its own."""
    multiple: float = 1.0
    path: tuple[str, ...] = ()
    layers: tuple[LayerDecision, ...] = ()
