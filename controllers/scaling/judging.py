"""From what is known of a slice to what is decided about it: gathers the pure function's inputs, and calls it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import msgspec

from controllers.context.snapshot import SliceContext
from controllers.scaling.boosted import Boosted
from controllers.scaling.config import Reads
from controllers.scaling.decide import decide
from controllers.scaling.model import (
    Because,
    Decision,
    Forecast,
    Opinion,
    OwnRules,
    SliceSeen,
    Surroundings,
    at_quantile,
)
from controllers.scaling.needs import Needs
from controllers.scaling.outlook import Outlook
from controllers.scaling.room import room_on
from controllers.scaling.rule_watch import RuleWatch
from controllers.scaling.standing import Standing, surroundings
from controllers.scaling.starts import StartDelay
from controllers.scaling.tree import RuleTree

NOT_HERE: Final = "this node keeps no figures of it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """One slice as of one second, and the decision about it."""

    at: Standing
    seen: SliceSeen
    around: Surroundings
    trouble: str
    opinion: Opinion | None
    decision: Decision

    @property
    def is_change(self) -> bool:
        return self.decision.wanted != self.at.wanted

    @property
    def is_near_miss(self) -> bool:
        """A guard rail kept a layer from more or fewer. That nobody goes below the bounds is none."""
        held_back = max(self.decision.asked, self.at.least) != self.at.wanted
        return not self.is_change and (held_back or bool(self.trouble))


class Now(NamedTuple):
    """The moment that is judged: on the clock of the cluster, and on one that only goes forward."""

    unix_ms: int
    monotonic_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Advisers:
    """What judging asks beside the load itself."""

    tree: RuleTree
    outlook: Outlook
    boosted: Boosted | None = None


@dataclass(slots=True)
class SliceMemory:
    """Of one slice, what judging it each second remembers: what it needed, how long its starts take, and for how long
    operators' rules have held."""

    needs: Needs = field(default_factory=Needs)
    starts: StartDelay = field(default_factory=StartDelay)
    watch: RuleWatch = field(default_factory=RuleWatch)
    own_rules: OwnRules | None = None

    def second(
        self,
        state: Reads,
        at: Standing,
        load: SliceContext | None,
        *,
        asked: Advisers,
        now: Now,
        opinion: Opinion | None = None,
    ) -> Judgement:
        """One more second has passed: judged and noted. In a cluster as in the simulator, this is all of the path."""
        self.starts.take(now.monotonic_s, serving=at.serves, starting=at.wanted - at.serves)
        self.own_rules = self.watch.take(at.own_rules, load, at.serves)
        judged = self.look(state, at, load, asked=asked, now=now, opinion=opinion)
        self.needs.note(judged.decision.need, at.config.hold_s)
        return judged

    def look(
        self,
        state: Reads,
        at: Standing,
        load: SliceContext | None,
        *,
        asked: Advisers,
        now: Now,
        opinion: Opinion | None = None,
        explain: bool = False,
    ) -> Judgement:
        """What would be decided now; nothing is noted."""
        seen = seen_of(at, load, asked, self)
        around = surroundings(state, at, now.unix_ms)
        if load is not None and load.nodes:
            room = room_on(at.config, load.nodes, load.instance_bytes)
            around = msgspec.structs.replace(around, room=room)
        return Judgement(
            at=at,
            seen=seen,
            around=around,
            trouble=load.missing if load is not None else NOT_HERE,
            opinion=opinion,
            decision=decide(at.config, asked.tree, seen, around, opinion=opinion, explain=explain),
        )


def seen_of(at: Standing, load: SliceContext | None, asked: Advisers, memory: SliceMemory) -> SliceSeen:
    """The load of a slice. Without usable figures its rate is None."""
    found = SliceSeen(
        rate=None,
        serving=at.serves,
        starting=at.wanted - at.serves,
        least=at.least,
        most=at.most,
        rate_per_instance=carried_by_one(at, load),
        start_delay_s=memory.starts.mean_s,
        held=memory.needs.held(at.config.hold_s, at.wanted),
        held_lately=memory.needs.lately(at.config.release_s, at.config.hold_s),
        own_rules=memory.own_rules,
    )
    if load is None or load.rate is None:
        return found
    forecast = asked.outlook.forecast(at.slice)
    features = _features(load, forecast)
    return msgspec.structs.replace(
        found,
        rate=load.rate,
        features=features,
        boosted=asked.boosted.multiple(features) if asked.boosted is not None and features else None,
        latency_p95_ms=load.latency_p95_ms,
        waiting=load.waiting,
        idle_s=load.idle_s,
        forecast=forecast,
    )


def _features(load: SliceContext, forecast: Forecast | None) -> tuple[float, ...]:
    if not load.signals.is_warm:
        return ()
    return load.signals.features(day_ago_ratio=load.day_ago_ratio, forecast=quantiles_of(forecast))


def quantiles_of(forecast: Forecast | None) -> tuple[float, float, float] | None:
    """Those that signals ask about."""
    if forecast is None:
        return None
    return at_quantile(forecast.soon, 0.5), at_quantile(forecast.soon, 0.95), at_quantile(forecast.soon, 0.99)


def carried_by_one(at: Standing, load: SliceContext | None) -> float:
    """Calls a second of an instance that is always busy; less where the latency was seen to break its bound below the
    utilisation that is planned. 0 while nothing has been learnt: a guess would move instances for nothing. Where there
    are none, or where nobody has called for so long that none need be, a guess has to do: without a first instance
    nothing is ever learnt, and a last one that was called twice would stay for ever."""
    if at.config.rate_per_instance is not None:
        return at.config.rate_per_instance
    if load is None or (load.capacity.samples <= 0 and at.wanted > 0 and not _may_rest(at, load)):
        return 0.0
    capacity = load.capacity
    busy_max = capacity.busy_max if capacity.busy_max is not None else 1.0
    return capacity.rate_per_instance * min(1.0, busy_max / at.config.utilisation)


def _may_rest(at: Standing, load: SliceContext) -> bool:
    return at.least == 0 and load.rate is not None and load.idle_s >= at.config.idle_s


def explained(judged: Judgement, tree: RuleTree) -> Decision:
    """The same decision with the rules' questions and answers."""
    return decide(judged.at.config, tree, judged.seen, judged.around, opinion=judged.opinion, explain=True)


def without_room(found: Iterable[Judgement]) -> int:
    """Instances that would be started, were there room on the nodes."""
    return sum(
        max(0, min(each.decision.asked, each.at.most) - each.decision.wanted)
        for each in found
        if Because.NODES_FULL in each.decision.because
    )
