"""From what is known of a slice to what is decided about it: gathers the pure function's inputs, and calls it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from controllers.scaling.decide import decide
from controllers.scaling.model import Decision, Opinion, SliceSeen, Surroundings, at_quantile
from controllers.scaling.standing import Standing, State, surroundings
from controllers.scaling.tree import RuleTree
from controllers.scaling.watch import Outlook, SliceWatch

UNKNOWN: Final = SliceWatch()


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


def seen_of(at: Standing, watch: SliceWatch, outlook: Outlook, held: int) -> SliceSeen:
    """The load of a slice. Without usable figures its rate is None."""
    serving = min(at.serving, at.wanted)
    signals = watch.signals
    forecast = outlook.forecast(at.slice)
    ahead = forecast.soon if forecast is not None else None
    quantiles = (at_quantile(ahead, 0.5), at_quantile(ahead, 0.95), at_quantile(ahead, 0.99)) if ahead else None
    return SliceSeen(
        rate=None if watch.trouble else signals.rate,
        features=signals.features(day_ago_ratio=outlook.day_ago_ratio(at.slice), forecast=quantiles)
        if signals.is_warm and not watch.trouble
        else (),
        serving=serving,
        starting=at.wanted - serving,
        least=at.least,
        most=at.most,
        rate_per_instance=at.config.rate_per_instance or watch.capacity.rate_per_instance,
        latency_p95_ms=watch.latency_p95_ms(),
        waiting=watch.waiting,
        idle_s=float(watch.idle_s),
        forecast=forecast,
        held=held,
    )


def judge(
    state: State,
    at: Standing,
    watch: SliceWatch | None,
    *,
    tree: RuleTree,
    outlook: Outlook,
    held: int,
    now_unix_ms: int,
    opinion: Opinion | None = None,
    explain: bool = False,
) -> Judgement:
    watch = watch or UNKNOWN
    seen = seen_of(at, watch, outlook, held)
    around = surroundings(state, at, now_unix_ms)
    return Judgement(
        at=at,
        seen=seen,
        around=around,
        trouble=watch.trouble,
        opinion=opinion,
        decision=decide(at.config, tree, seen, around, opinion=opinion, explain=explain),
    )


def explained(judged: Judgement, tree: RuleTree) -> Decision:
    """The same decision with the rules' questions and answers."""
    return decide(judged.at.config, tree, judged.seen, judged.around, opinion=judged.opinion, explain=True)
