"""The budget's one record, and what passes between who spends and who keeps it."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from runtime.state.values import Value

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS
HELD_MS: Final = 120_000  # a question has 100 s at most with all its tries, and 5 to settle: who comes later has died
OPEN_MAX: Final = 64  # reservations at once: two per turn, of 32 turns that a node answers at once
RECENT_MAX: Final = 20  # answers: with 64 reservations 44 KiB at the widest, of the 64 that a value may have
MODELS_MAX: Final = 16  # told apart in a day's sums

Tier = Literal["cheap", "strong"]
Window = Literal["minute", "hour", "day", "open"]
Name = Annotated[str, Meta(min_length=1, max_length=100)]
Count = Annotated[int, Meta(ge=0, le=1_000_000_000_000)]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Money in millionths of a US dollar."""

    minute_tokens: int
    hour_micros: int
    day_micros: int


class Wish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The worst that one try may take, of either model of a provider. `incident`: of the whole budget, see SHARE."""

    provider: Name
    tier: Tier
    tokens: Count
    strong_micros: Count
    cheap_micros: Count
    incident: bool = False


class Granted(msgspec.Struct, frozen=True, kw_only=True, tag="granted"):
    """`tier` is the cheap one where the strong was wished and the budget is nearly spent."""

    id: str
    tier: Tier


class Denied(msgspec.Struct, frozen=True, kw_only=True, tag="denied"):
    """Which window is spent, and when the next begins."""

    window: Window
    resets_in_s: int


Decided = Granted | Denied


class Settlement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the reservation came to. micros: None where the model's price is not known, and what was reserved is spent.

    model: empty where nobody answered.
    """

    id: Name
    tokens: Count
    micros: Count | None = None
    model: Annotated[str, Meta(max_length=100)] = ""
    fresh: Count = 0
    cached: Count = 0
    written: Count = 0
    output: Count = 0


class Reservation(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    at_unix_ms: int
    tokens: int
    micros: int
    provider: str
    principal: str


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """One answer of a model."""

    at_unix_ms: int
    principal: str
    provider: str
    model: str
    fresh: int
    cached: int
    written: int
    output: int
    micros: int | None = None


class ModelSum(msgspec.Struct, frozen=True, kw_only=True):
    """Of one model in one day."""

    model: str
    answers: int = 0
    tokens: int = 0
    micros: int = 0


class ProviderStanding(msgspec.Struct, frozen=True, kw_only=True):
    """How a provider stands with the process that asks it. ready: it is asked. open: it failed again and again, and is
    left alone until then. absent: `why`."""

    name: Name
    state: Literal["ready", "open", "absent"]
    why: Annotated[str, Meta(max_length=300)] = ""
    strong: Annotated[str, Meta(max_length=100)] = ""
    cheap: Annotated[str, Meta(max_length=100)] = ""
    open_until_unix_ms: Count = 0


class ModelStanding(Value, frozen=True, kw_only=True):
    """Of all providers, as the leader's reasoner last told it."""

    node: str
    at_unix_ms: int
    providers: tuple[ProviderStanding, ...]


class Budget(Value, frozen=True, kw_only=True):
    """The record. at_unix_ms: of its last change; it never goes back, whoever leads.

    minute, hour, day: number of the window, counted from 1970, that the sum beside it is of.
    """

    at_unix_ms: int = 0
    minute: int = 0
    minute_tokens: int = 0
    hour: int = 0
    hour_micros: int = 0
    day: int = 0
    day_micros: int = 0
    open: tuple[Reservation, ...] = ()
    lapsed: int = 0
    today: tuple[ModelSum, ...] = ()
    recent: tuple[Answered, ...] = ()
