"""Decision records: what was decided, from what, and what came of it. One JSON line each, enough to decide it again."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, Protocol

import msgspec

from controllers.scaling.config import ScalingConfig
from controllers.scaling.model import Decision, Opinion, SliceSeen, Surroundings, at_quantile
from runtime.operations.dispatch import Applied, Outcome, Proposed, Refused
from runtime.operations.plan import Json
from runtime.state.values import Value

SCHEMA_VERSION: Final = 1
OUTCOME_MINUTES: Final = (5, 15, 60)
SCORE_QUANTILES: Final = (0.1, 0.25, 0.5, 0.75, 0.9, 0.99)  # of the forecast, each with equal weight


class Option(msgspec.Struct, frozen=True, kw_only=True):
    """One that there was. `score` is what it is expected to cost in idle instances, a missing one counting
    `shortage_cost` of them: the lowest is the best."""

    name: str
    instances: int
    score: float


class GateAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """`none`: nothing was asked, since a guard rail held it back. `failed`: no answer came."""

    outcome: Literal["none", "applied", "proposed", "refused", "failed"] = "none"
    gate_class: str = ""
    rule: str = ""
    audit: str = ""
    """The id of the audit record of the change."""
    proposal: str = ""


def gate_answer(outcome: Outcome) -> GateAnswer:
    """Of what was no dry run."""
    match outcome:
        case Applied():
            return GateAnswer(outcome="applied", gate_class=outcome.gate_class, rule=outcome.rule, audit=outcome.audit)
        case Proposed():
            return GateAnswer(
                outcome="proposed", gate_class=outcome.gate_class, rule=outcome.rule, proposal=outcome.proposal
            )
        case Refused():
            return GateAnswer(outcome="refused", rule=f"{outcome.code}: {outcome.detail}")
    raise AssertionError("nothing else answers what is no dry run")


class Trouble(Value, frozen=True, kw_only=True):
    """Why a slice's figures cannot be used."""

    why: str


FIGURES: Final = "figures"
CLOCK: Final = "clock"


class Oddity(Value, frozen=True, kw_only=True):
    """Of one second, too short to hold anything: what was passed over, and why."""

    kind: Literal["figures", "clock"]
    slice: str = ""
    """Of figures."""
    why: str
    at_unix_ms: int


class DecisionOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What there was so long after the decision. None is not known."""

    after_min: int
    rate: float | None = None
    serving: int = 0
    wanted: int = 0
    latency_p95_ms: float | None = None
    errors_share: float | None = None
    violated_share: float | None = None
    """Of the seconds with calls since the decision: those with a 95th percentile above the SLO."""


class Due(NamedTuple):
    """An outcome that is to be looked for."""

    at_unix_ms: int
    key: str
    slice: str
    after_min: int


class DecisionRecord(Value, frozen=True, kw_only=True):
    """`decide(config, tree, seen, around, opinion=opinion)` with the tree of that name gives `decision` again."""

    schema_version: int = SCHEMA_VERSION
    id: str
    at_unix_ms: int
    kind: Literal["change", "near_miss"]
    """near_miss: a layer wanted more or fewer, and a guard rail kept it from that."""
    slice: str
    version: str
    config: ScalingConfig
    tree: str
    seen: SliceSeen
    trouble: str = ""
    """Why the metrics could not be used."""
    around: Surroundings
    opinion: Opinion | None = None
    decision: Decision
    options: tuple[Option, ...] = ()
    gate: GateAnswer = GateAnswer()
    outcomes: tuple[DecisionOutcome, ...] = ()

    @property
    def summary(self) -> str:
        why = ", ".join(self.decision.because)
        if self.kind == "change":
            return f"{self.slice}: {self.seen.current} -> {self.decision.wanted} instances ({why})"
        return f"{self.slice}: {self.seen.current} instances stay, {self.decision.asked} were asked for ({why})"


def options_of(config: ScalingConfig, seen: SliceSeen, decision: Decision) -> tuple[Option, ...]:
    """Staying as it is, each layer's answer, and what was decided; none before it is known what one carries."""
    found = {"hold": seen.current}
    found |= {str(each.layer): each.wanted for each in decision.layers}
    found["decided"] = decision.wanted
    rates = _rates(seen, decision)
    if not rates or seen.rate_per_instance <= 0:
        return ()
    carried = seen.rate_per_instance * config.plan_utilisation
    return tuple(
        Option(
            name=name, instances=instances, score=_expected_cost(config, instances, [each / carried for each in rates])
        )
        for name, instances in found.items()
    )


def _rates(seen: SliceSeen, decision: Decision) -> list[float]:
    """That may come, requests a second: the forecast's, or the one that the rules want to be ready for."""
    if not decision.layers:
        return []
    if seen.forecast is None:
        return [decision.layers[0].rate]
    return [at_quantile(seen.forecast.soon, quantile) for quantile in SCORE_QUANTILES]


def _expected_cost(config: ScalingConfig, instances: int, needs: list[float]) -> float:
    costs = [(need - instances) * config.shortage_cost if need > instances else instances - need for need in needs]
    return round(sum(costs) / len(costs), 3)


def plain(record: DecisionRecord) -> dict[str, Json]:
    found: dict[str, Json] = msgspec.to_builtins(record)
    return found


class Journal(Protocol):
    """Where records go. Every write holds only while the leadership of that fence does; all raise RuntimeFault."""

    async def open(self) -> None:
        """Reads what earlier leaders wrote."""
        ...

    async def write(self, record: DecisionRecord, fence: int) -> None: ...

    def due(self, now_unix_ms: int) -> list[Due]:
        """Outcomes whose time has come; each is told once."""
        ...

    async def add_outcome(self, due: Due, outcome: DecisionOutcome, fence: int) -> None: ...

    async def hold(self, slice_name: str, why: str, fence: int) -> None:
        """Tells that a slice's figures cannot be used."""
        ...

    async def resume(self, slice_name: str, fence: int) -> None: ...

    async def note(self, odd: Oddity, fence: int) -> None:
        """Tells what was passed over."""
        ...
