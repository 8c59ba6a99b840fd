"""How each slice is scaled: defaults, what the cluster says, what the slice says; and which of it is refused."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Final, Protocol

import msgspec
from msgspec import Meta

from controllers.scaling.decide import decide
from controllers.scaling.errors import ScalingPolicyInvalid
from controllers.scaling.model import HOLD_S_MAX, Pin, ScalingPolicy, SliceSeen, Surroundings
from controllers.scaling.signals import FEATURES
from controllers.scaling.tree import LEAF, Node, RuleTree
from runtime.operations.plan import Json
from runtime.state import keys
from runtime.state.values import Value

CLUSTER: Final = "cluster"
SLICE_SCOPE: Final = "slice:"
RATE_MAX: Final = 1e9  # calls a second

# The load that no configuration may chase: waves faster than an instance starts.
WAVE_S: Final = 30.0
WAVE_SHARE: Final = 0.1
START_S: Final = 30
TRIAL_S: Final = 600
TRIAL_STEP_S: Final = 5
TRIAL_INSTANCES: Final = tuple(2.5 + each for each in range(8))  # that the load keeps busy
TURNS_MAX: Final = 4  # in ten minutes: the first approach may overshoot
CALM: Final = RuleTree(name="calm", features=FEATURES[:1], quantile=0.5, nodes=(Node(LEAF, 1.0),))


class ScalingConfig(ScalingPolicy, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of one slice, all told: the policy, and what is around it."""

    enabled: bool = True
    """Whether it is scaled at all, where its bounds leave a choice."""
    rate_per_instance: Annotated[float, Meta(gt=0.0, le=RATE_MAX)] | None = None
    """Requests a second that one instance carries when it is always busy; None learns it."""
    override_s: Annotated[int, Meta(ge=0, le=HOLD_S_MAX)] = 600
    """For how long a number that a person set is left alone."""
    slo_availability: Annotated[float, Meta(gt=0.0, lt=1.0)] = 0.999
    """Part of the calls that shall succeed: what burn rates (`slo_burn_5m` …) are measured against."""
    node_instances_max: Annotated[int, Meta(ge=1, le=10_000)] | None = None
    """Instances of all slices that one node takes; None is without limit."""
    node_memory_max: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.9
    """Part of a machine's memory that may be used, by whatever runs there, before its node takes no more instances."""
    node_busy_max: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.95
    """Part of a machine's CPU that the node may use, over half a minute, before it takes no more instances."""


class Item(Protocol):
    @property
    def value(self) -> bytes: ...


class Reads(Protocol):
    """A cache, or the state as a planner reads it."""

    def get(self, key: str) -> Item | None: ...


class ConfigRecord(Value, frozen=True, kw_only=True):
    """What one scope says; members that it does not name are those of the scope above it."""

    members: dict[str, Json] = msgspec.field(default_factory=dict)


def scope_of(slice_name: str) -> str:
    return f"{SLICE_SCOPE}{slice_name}" if slice_name else CLUSTER


def members_of(state: Reads, scope: str) -> dict[str, Json]:
    """What this version cannot read is left out, as if it were not there."""
    item = state.get(keys.scaling_config(scope))
    if item is None:
        return {}
    try:
        found = msgspec.json.decode(item.value, type=ConfigRecord).members
    except msgspec.DecodeError:
        return {}
    return {name: value for name, value in found.items() if name in ScalingConfig.__struct_fields__}


def config_of(state: Reads, slice_name: str) -> ScalingConfig:
    """The one in force. Of several versions' words that do not go together, the slice's own are dropped first."""
    cluster = members_of(state, CLUSTER)
    for members in ({**cluster, **members_of(state, scope_of(slice_name))}, cluster):
        try:
            return made(members)
        except ScalingPolicyInvalid:
            continue
    return ScalingConfig()


def pin_of(state: Reads, slice_name: str, now_unix_ms: int) -> Pin | None:
    """None when there is none, or it has expired."""
    item = state.get(keys.scaling_pin(slice_name))
    if item is None:
        return None
    try:
        pin = msgspec.json.decode(item.value, type=Pin)
    except msgspec.DecodeError:
        return None
    return pin if now_unix_ms < pin.until_unix_ms else None


def made(members: Mapping[str, Json]) -> ScalingConfig:
    """Raises ScalingPolicyInvalid, naming the member and what it may be."""
    try:
        return msgspec.convert(dict(members), ScalingConfig)
    except msgspec.ValidationError as error:
        raise ScalingPolicyInvalid(str(error)) from error


def checked(members: Mapping[str, Json]) -> ScalingConfig:
    """Raises ScalingPolicyInvalid, also for what would oscillate."""
    config = made(members)
    turns = turns_of(config)
    if turns > TURNS_MAX:
        raise ScalingPolicyInvalid(
            f"it would oscillate: under a load that wavers by {WAVE_SHARE:.0%} every {WAVE_S:.0f} s it adds and takes"
            f" away instances by turns, {turns} times in {TRIAL_S // 60} minutes; hold_s ({config.hold_s}) must be"
            f" {WAVE_S:.0f} or more"
        )
    return config


def may_oscillate(policy: ScalingPolicy) -> bool:
    """Whether it is worth a trial: who remembers needs for a whole wave takes nothing away within one."""
    return policy.hold_s < WAVE_S


def turns_of(policy: ScalingPolicy) -> int:
    """Most changes of direction in ten minutes under a load that wavers faster than instances start: some 10 ms."""
    return max(_turns_at(policy, instances) for instances in TRIAL_INSTANCES)


def _turns_at(policy: ScalingPolicy, instances: float) -> int:
    """With instances of 100 requests a second, so many of which the load keeps busy on average."""
    current, moves = math.ceil(instances), [0]
    changed_s = -HOLD_S_MAX
    needs: deque[int] = deque(maxlen=max(1, policy.hold_s // TRIAL_STEP_S))
    for now_s in range(0, TRIAL_S, TRIAL_STEP_S):
        wave = 1.0 + WAVE_SHARE * math.sin(2 * math.pi * (now_s + START_S / 4) / WAVE_S)
        seen = SliceSeen(
            rate=100.0 * instances * wave,
            serving=current,
            rate_per_instance=100.0,
            held=max(needs, default=0),
        )
        found = decide(policy, CALM, seen, Surroundings(since_change_s=now_s - changed_s))
        needs.append(found.need)
        if found.wanted != current:
            moves.append(1 if found.wanted > current else -1)
            current, changed_s = found.wanted, now_s
    return sum(one == -other for one, other in pairwise(moves) if one)
