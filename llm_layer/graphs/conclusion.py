"""What an investigation comes to, whoever made it."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from llm_layer.claims.answer import Claim
from llm_layer.diagnosis.decide import Diagnosis

HYPOTHESES_MAX: Final = 4

Mechanism = Literal[
    "bad_change",
    "saturation",
    "slow_itself",
    "fails_itself",
    "dependency_slow",
    "dependency_errors",
    "dependency_down",
    "node_down",
    "node_busy",
    "node_fault",
    "not_starting",
    "not_enough_instances",
    "memory",
    "disk_full",
    "configuration",
    "certificate",
    "connections_exhausted",
    "retry_storm",
    "noisy_neighbour",
    "network",
    "timeout",
    "none",
    "unknown",
]
_Subject = Annotated[
    str, Meta(pattern=r"^(slice|node|blueprint):[a-z0-9-]{1,63}$", description="slice:NAME or node:NAME")
]
GAPS_MAX: Final = 8
GAP_CHARS_MAX: Final = 400
_Words = Annotated[str, Meta(max_length=GAP_CHARS_MAX)]

_OF_RULES: Final[dict[str, Mechanism]] = {
    "recent_change": "bad_change",
    "saturated": "saturation",
    "held_too_few": "saturation",
    "memory_grows": "memory",
    "no_room": "not_enough_instances",
    "node_silent": "node_down",
    "store_silent": "node_fault",
    "nothing_serves": "not_starting",
    "pattern:out_of_memory": "memory",
    "pattern:disk_full": "disk_full",
    "pattern:certificate": "certificate",
    "pattern:pool_exhausted": "connections_exhausted",
    "pattern:missing_setting": "configuration",
    "pattern:import_failed": "bad_change",
    "pattern:permission": "configuration",
    "pattern:connection_refused": "network",
    "pattern:timeout": "timeout",
}
_SAME: Final = frozenset(
    {
        "slow_itself",
        "fails_itself",
        "dependency_slow",
        "dependency_errors",
        "dependency_down",
        "node_down",
        "node_busy",
        "node_fault",
        "not_enough_instances",
    }
)


class Hypothesis(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    root: _Subject
    mechanism: Mechanism
    expects: Annotated[str, Meta(max_length=400, description="What one would see if it were so.")]


class Hypotheses(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    hypotheses: Annotated[tuple[Hypothesis, ...], Meta(max_length=HYPOTHESES_MAX)]


class Probed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What came of looking for one hypothesis."""

    verdict: Literal["supports", "contradicts", "unclear"]
    claims: Annotated[tuple[Claim, ...], Meta(max_length=4)]


class Conclusion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    roots: Annotated[tuple[_Subject, ...], Meta(max_length=4)]
    mechanism: Mechanism
    confidence: Annotated[float, Meta(ge=0.0, le=1.0)]
    claims: Annotated[tuple[Claim, ...], Meta(min_length=1, max_length=8)]
    gaps: Annotated[tuple[_Words, ...], Meta(max_length=GAPS_MAX)]


def of_rules(diagnosis: Diagnosis, *gaps: str) -> Conclusion:
    """What rules found, in the same words: where no model answers, or what it says cannot be verified."""
    first = diagnosis.findings[0] if diagnosis.findings else None
    if first is None:
        says = f"Nothing is out of the ordinary with {diagnosis.slice}." if diagnosis.well else "No rule finds a cause."
        claims: tuple[Claim, ...] = (Claim(text=says, evidence=()),)
    else:
        claims = tuple(Claim(text=f"{each.says}."[:1_200], evidence=each.evidence) for each in diagnosis.findings[:5])
    return Conclusion(
        roots=diagnosis.roots,
        mechanism=mechanism_of(diagnosis),
        confidence=first.weight if first is not None else 0.0,
        claims=claims,
        gaps=tuple(each[:GAP_CHARS_MAX] for each in (*diagnosis.gaps, *gaps))[:GAPS_MAX],
    )


def mechanism_of(diagnosis: Diagnosis) -> Mechanism:
    if not diagnosis.findings:
        return "none" if diagnosis.well else "unknown"
    name = diagnosis.findings[0].mechanism
    if name in _SAME:
        return name  # type: ignore[return-value]  # it is one of both
    return _OF_RULES.get(name, "unknown")
