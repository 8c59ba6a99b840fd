"""Where each slice stands: read from the replicated state, once for each change of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal, Protocol

import msgspec

from controllers.gate.circumstances import RecentChange, RecentChanges
from controllers.scaling.config import Reads, ScalingConfig, config_of, pin_of
from controllers.scaling.model import Surroundings
from controllers.scaling.own_rules import RuleSet, rules_of
from runtime.deployment.placement import Placed
from runtime.deployment.records import Records, Snapshot
from runtime.names import NodeId
from runtime.operations.actor import Actor, ActorKind, Role
from runtime.state import keys
from runtime.state.values import NodeRecord, SliceTarget

CONTROLLER: Final = "scaling"
ACTOR: Final = Actor(kind=ActorKind.CONTROLLER, id=CONTROLLER, role=Role.OPERATOR)
TURNS_MS: Final = 5 * 60_000
MINE: Final = frozenset({"slice.scale"})
OF_PEOPLE: Final = frozenset({"slice.scale", "slice.set-bounds"})


class State(Snapshot, Protocol):
    """A StoreCache, or what a test holds in memory."""

    @property
    def changed_at(self) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One slice as the state has it. `version` is the one that is scaled: that with the largest share of the calls.
    `wanted` and `serving` are of all versions together, and so are the bounds: the others' wanted numbers count."""

    slice: str
    version: str
    others: int
    wanted: int
    serving: int
    least: int
    most: int
    deploying: bool
    budget: int
    room: int | None
    nodes: frozenset[str]
    """Those that host it."""
    frozen: str
    incident: str
    config: ScalingConfig
    recent: tuple[RecentChange, ...]
    own_rules: RuleSet | None = None

    @property
    def serves(self) -> int:
        """Of those that are wanted: who goes may serve for a little longer."""
        return min(self.serving, self.wanted)

    @property
    def paused(self) -> str:
        if not self.config.enabled:
            return "its scaling is switched off"
        return "its bounds leave no choice" if self.least >= self.most else ""


def standings(state: State, records: Records) -> dict[str, Standing]:
    """Of every slice that a blueprint deploys."""
    targets: dict[str, list[SliceTarget]] = {}
    for target in records.targets():
        targets.setdefault(target.settings.slice, []).append(target)
    placed: dict[str, list[Placed]] = {}
    load: Counter[NodeId] = Counter()
    for each in records.placed():
        placed.setdefault(each.assignment.slice, []).append(each)
        load[each.node] += 1
    nodes = [node for node in records.live_nodes() if not (node.cordoned or node.leaving or node.shutdown)]
    return {name: _standing(state, found, placed.get(name, ()), load, nodes) for name, found in sorted(targets.items())}


def _standing(
    state: State,
    targets: Sequence[SliceTarget],
    placed: Sequence[Placed],
    load: Counter[NodeId],
    nodes: Iterable[NodeRecord],
) -> Standing:
    main = max(targets, key=lambda each: (each.settings.weight, each.wanted, each.settings.version))
    name, settings = main.settings.slice, main.settings
    config = config_of(state, name)
    others = sum(each.wanted for each in targets) - main.wanted
    serving = sum(each.serving for each in placed)
    of_main = sum(each.serving and each.assignment.version == settings.version for each in placed)
    return Standing(
        slice=name,
        version=settings.version,
        others=others,
        wanted=main.wanted + others,
        serving=serving,
        least=settings.min + others,
        most=settings.max + others,
        deploying=len(targets) > 1 or any(_is_outdated(each, targets) for each in placed),
        budget=of_main - settings.min_available,
        room=_room(config, load, nodes),
        nodes=frozenset(str(each.node) for each in placed if each.serving),
        frozen=_words(state, keys.FREEZES, ("cluster", f"slice:{name}", f"blueprint:{main.blueprint}")),
        incident=_words(state, keys.INCIDENTS, ("cluster", f"slice:{name}", f"blueprint:{main.blueprint}")),
        config=config,
        recent=_recent(state, name),
        own_rules=rules_of(state, name),
    )


def _is_outdated(each: Placed, targets: Sequence[SliceTarget]) -> bool:
    """It runs what no target wants any more, or has yet to start anew."""
    for target in targets:
        if target.settings.version == each.assignment.version:
            same = each.assignment.artifact_sha256 == target.artifact_sha256
            return not same or each.assignment.restarts != target.restarts
    return True


def _room(config: ScalingConfig, load: Mapping[NodeId, int], nodes: Iterable[NodeRecord]) -> int | None:
    if config.node_instances_max is None:
        return None
    return sum(max(0, config.node_instances_max - load.get(node.node, 0)) for node in nodes)


def _words(state: State, prefix: str, subjects: Iterable[str]) -> str:
    for subject in subjects:
        item = state.get(f"{prefix}{subject}")
        if item is not None:
            return item.value.decode("utf-8", "replace")[:200] or subject
    return ""


def _recent(state: State, name: str) -> tuple[RecentChange, ...]:
    item = state.get(keys.recent(f"slice:{name}"))
    if item is None:
        return ()
    try:
        return msgspec.json.decode(item.value, type=RecentChanges).changes
    except msgspec.DecodeError:
        return ()


def surroundings(state: Reads, at: Standing, now_unix_ms: int) -> Surroundings:
    """As of now. Of ages only the size counts: a clock that was set back must not make them last."""
    mine = [each for each in at.recent if each.actor == CONTROLLER and each.operation in MINE]
    pin = pin_of(state, at.slice, now_unix_ms)
    return Surroundings(
        paused=at.paused,
        pin=msgspec.structs.replace(pin, instances=pin.instances + at.others) if pin is not None else None,
        frozen=at.frozen,
        incident=at.incident,
        deploying=at.deploying,
        overridden=_overridden(at, now_unix_ms),
        turns=turns_of(mine, now_unix_ms),
        since_change_s=since_change_s(mine, now_unix_ms),
        budget=at.budget,
        room=at.room,
    )


def _overridden(at: Standing, now_unix_ms: int) -> Literal["", "out", "in"]:
    """By the newest change that was not the controller's own."""
    for each in reversed(at.recent):
        if each.operation not in OF_PEOPLE or each.direction == "none":
            continue
        if each.actor == CONTROLLER or abs(now_unix_ms - each.at_unix_ms) > at.config.override_s * 1_000:
            return ""
        return each.direction
    return ""


def since_change_s(mine: Iterable[RecentChange], now_unix_ms: int) -> float | None:
    """Since the newest of them; None where there is none."""
    last = max((each.at_unix_ms for each in mine), default=None)
    return abs(now_unix_ms - last) / 1_000 if last is not None else None


def turns_of(mine: Iterable[RecentChange], now_unix_ms: int) -> int:
    """How often they changed direction in the last five minutes. Starts that were taken back are no turns: nothing that
    served has stopped for them."""
    lately = (each for each in mine if abs(now_unix_ms - each.at_unix_ms) <= TURNS_MS)
    ways = [each.direction for each in lately if not each.took_back]
    return sum(one != other for one, other in pairwise(ways))
