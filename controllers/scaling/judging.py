"""From what is known of a slice to what is decided about it: gathers the pure function's inputs, and calls it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import msgspec

from controllers.context.snapshot import SliceContext
from controllers.scaling.decide import decide
from controllers.scaling.model import Because, Decision, Forecast, Opinion, SliceSeen, Surroundings, at_quantile
from controllers.scaling.outlook import Outlook
from controllers.scaling.standing import Standing, State, surroundings
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


class Needs:
    """What a slice needed in the last seconds. A new leader has seen too little to take anything away: until its
    memory is full, as many are held as there are."""

    def __init__(self) -> None:
        self._needs: deque[int] = deque()

    def held(self, hold_s: int, current: int) -> int:
        if len(self._needs) < hold_s:
            return max(current, *self._needs) if self._needs else current
        return max(self._needs, default=0)

    def note(self, need: int, hold_s: int) -> None:
        self._needs.append(need)
        while len(self._needs) > hold_s:
            self._needs.popleft()


def seen_of(
    at: Standing, load: SliceContext | None, outlook: Outlook, held: int, start_delay_s: float | None
) -> SliceSeen:
    """The load of a slice. Without usable figures its rate is None."""
    found = SliceSeen(
        rate=None,
        serving=at.serves,
        starting=at.wanted - at.serves,
        least=at.least,
        most=at.most,
        rate_per_instance=carried_by_one(at, load),
        start_delay_s=start_delay_s,
        held=held,
    )
    if load is None or load.rate is None:
        return found
    forecast = outlook.forecast(at.slice)
    return msgspec.structs.replace(
        found,
        rate=load.rate,
        features=_features(load, forecast),
        latency_p95_ms=load.latency_p95_ms,
        waiting=load.waiting,
        idle_s=load.idle_s,
        forecast=forecast,
    )


def _features(load: SliceContext, forecast: Forecast | None) -> tuple[float, ...]:
    if not load.signals.is_warm:
        return ()
    ahead = forecast.soon if forecast is not None else None
    quantiles = (at_quantile(ahead, 0.5), at_quantile(ahead, 0.95), at_quantile(ahead, 0.99)) if ahead else None
    return load.signals.features(day_ago_ratio=load.day_ago_ratio, forecast=quantiles)


def carried_by_one(at: Standing, load: SliceContext | None) -> float:
    """Calls a second of an instance that is always busy; less where the latency was seen to break its bound below the
    utilisation that is planned. 0 while nothing has been learnt: a guess would move instances for nothing. Where there
    are none, a guess has to do: without a first instance nothing is ever learnt."""
    if at.config.rate_per_instance is not None:
        return at.config.rate_per_instance
    if load is None or (load.capacity.samples <= 0 and at.wanted > 0):
        return 0.0
    capacity = load.capacity
    busy_max = capacity.busy_max if capacity.busy_max is not None else 1.0
    return capacity.rate_per_instance * min(1.0, busy_max / at.config.utilisation)


def judge(
    state: State,
    at: Standing,
    load: SliceContext | None,
    *,
    tree: RuleTree,
    outlook: Outlook,
    held: int,
    start_delay_s: float | None,
    now_unix_ms: int,
    opinion: Opinion | None = None,
    explain: bool = False,
) -> Judgement:
    seen = seen_of(at, load, outlook, held, start_delay_s)
    around = surroundings(state, at, now_unix_ms)
    return Judgement(
        at=at,
        seen=seen,
        around=around,
        trouble=load.missing if load is not None else NOT_HERE,
        opinion=opinion,
        decision=decide(at.config, tree, seen, around, opinion=opinion, explain=explain),
    )


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
