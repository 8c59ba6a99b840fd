"""Rules that operators write, as TOML: what a slice's signals must be like, for how long, and what is done then. They
stand beside the distilled tree, or instead of it."""

from __future__ import annotations

import math
import tomllib
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from controllers.scaling.config import ConfigRecord, Reads
from controllers.scaling.errors import OwnRulesInvalid
from controllers.scaling.model import HOLD_S_MAX
from runtime.state import keys

TEXT_BYTES_MAX: Final = 8_192
RULES_MAX: Final = 16
CONDITIONS_MAX: Final = 8
STEP_MAX: Final = 10
FEWER_STABLE_S: Final = 30  # as long as the shortest wave that scaling may be asked to ignore
SCOPE: Final = "rules"
SOURCE: Final = "toml"


class Signal(StrEnum):
    """Of one slice in the last second."""

    RATE = "rate"
    """Calls a second, smoothed."""
    RATE_EACH = "rate_each"
    """The same of one serving instance."""
    CPU = "cpu"
    """Cores that one serving instance uses."""
    MEMORY_MIB = "memory_mib"
    """Of one serving instance."""
    LOOP_LAG_MS = "loop_lag_ms"
    """The worst of any process."""
    GC_PAUSE_MS = "gc_pause_ms"
    """The worst of any process."""
    LATENCY_P95_MS = "latency_p95_ms"
    ERRORS_SHARE = "errors_share"
    """Of the calls, 0 to 1; not known in a second without calls."""
    WAITING = "waiting"
    """Calls that found no instance with room."""
    IDLE_S = "idle_s"
    """Since the last call."""


EACH: Final = frozenset({Signal.RATE_EACH, Signal.CPU})
"""What doubles for those that stay when one of two instances goes."""


class Condition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Holds while all that it names does. A signal that is not known holds nothing."""

    signal: Signal
    above: Annotated[float, Meta(ge=0.0, le=1e12)] | None = None
    below: Annotated[float, Meta(ge=0.0, le=1e12)] | None = None
    trend: Literal["rising", "falling"] | None = None
    """Over the last thirty seconds, by a twentieth or more."""


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`step` instances more, or fewer, once every condition has held for `stable_for_s` without a break."""

    name: Annotated[str, Meta(min_length=1, max_length=60)]
    when: Annotated[tuple[Condition, ...], Meta(min_length=1, max_length=CONDITIONS_MAX)]
    stable_for_s: Annotated[int, Meta(ge=1, le=HOLD_S_MAX)]
    step: Annotated[int, Meta(ge=-STEP_MAX, le=STEP_MAX)]
    cool_down_s: Annotated[int, Meta(ge=0, le=HOLD_S_MAX)] = 60
    """Since scaling last changed the slice."""


class RuleSet(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    tree: bool = True
    """Whether the tree judges too. Then rules only add: what may go the tree says."""
    rules: Annotated[tuple[Rule, ...], Meta(min_length=1, max_length=RULES_MAX)]


def parse_own_rules(text: str) -> RuleSet:
    """Raises OwnRulesInvalid, naming what is wrong and where."""
    if len(text.encode()) > TEXT_BYTES_MAX:
        raise OwnRulesInvalid(f"rules have at most {TEXT_BYTES_MAX} bytes")
    try:
        found = msgspec.convert(tomllib.loads(text), RuleSet)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise OwnRulesInvalid(f"no TOML: {error}") from error
    except (msgspec.ValidationError, ValueError) as error:  # a number of thousands of digits is a ValueError
        raise OwnRulesInvalid(str(error)) from error
    _check(found)
    return found


def _check(found: RuleSet) -> None:
    names = [rule.name for rule in found.rules]
    for rule in found.rules:
        if names.count(rule.name) > 1:
            raise OwnRulesInvalid(f"there are two rules called {rule.name!r}")
        _check_rule(rule, found.tree)
    for more in (rule for rule in found.rules if rule.step > 0):
        for fewer in (rule for rule in found.rules if rule.step < 0):
            _check_pair(more, fewer)


def _check_rule(rule: Rule, has_tree: bool) -> None:
    if rule.step == 0:
        raise OwnRulesInvalid(f"rule {rule.name!r} has a step of 0: more instances are above 0, fewer below")
    if rule.step < 0 and has_tree:
        raise OwnRulesInvalid(
            f"rule {rule.name!r} takes instances away, which beside the tree only the tree does: `tree = false`"
        )
    if rule.step < 0 and rule.stable_for_s < FEWER_STABLE_S:
        raise OwnRulesInvalid(
            f"rule {rule.name!r} would oscillate: before instances go, stable_for_s is {FEWER_STABLE_S} or more"
        )
    for each in rule.when:
        if each.above is None and each.below is None and each.trend is None:
            raise OwnRulesInvalid(f"rule {rule.name!r} asks nothing of {each.signal}: above, below or trend")
        if each.above is not None and each.below is not None and each.above >= each.below:
            raise OwnRulesInvalid(f"rule {rule.name!r} never holds: {each.signal} is not above and below that")


def _check_pair(more: Rule, fewer: Rule) -> None:
    """Both must never hold at once, nor the first hold because of what the second did."""
    for signal in {each.signal for each in (*more.when, *fewer.when)}:
        least, most = _least(more, signal), _most(fewer, signal)
        factor = 2.0 if signal in EACH else 1.0
        if least > 0 and most * factor <= least:
            return
    raise OwnRulesInvalid(
        f"rules {more.name!r} and {fewer.name!r} would oscillate: no signal keeps them apart, by being above a bound"
        " for the first and below that for the second (below half of it where it is one instance's)"
    )


def _least(rule: Rule, signal: Signal) -> float:
    return max((each.above for each in rule.when if each.signal is signal and each.above is not None), default=0.0)


def _most(rule: Rule, signal: Signal) -> float:
    found = [each.below for each in rule.when if each.signal is signal and each.below is not None]
    return min(found, default=math.inf)


def scope_of_rules(slice_name: str) -> str:
    return f"{SCOPE}:{slice_name}" if slice_name else SCOPE


def text_of(state: Reads, slice_name: str) -> str:
    """What that scope itself says; empty where it says nothing."""
    item = state.get(keys.scaling_config(scope_of_rules(slice_name)))
    if item is None:
        return ""
    try:
        return str(msgspec.json.decode(item.value, type=ConfigRecord).members.get(SOURCE, ""))
    except msgspec.DecodeError:
        return ""


def rules_of(state: Reads, slice_name: str) -> RuleSet | None:
    """In force for the slice: its own, or else the cluster's. What this version cannot read is as if it were not."""
    for text in (text_of(state, slice_name), text_of(state, "")):
        if text:
            return _parsed(text)
    return None


@lru_cache(maxsize=256)
def _parsed(text: str) -> RuleSet | None:
    try:
        return parse_own_rules(text)
    except OwnRulesInvalid:
        return None
