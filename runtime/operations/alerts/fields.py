"""Members that requests about alerts have, and refusals that several planners give."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Final, cast

from msgspec import Meta

from runtime.operations.fields import END
from runtime.operations.plan import Refusal
from runtime.operations.state import PlanState
from runtime.spelling import nearest
from runtime.state import keys
from runtime.telemetry.alerts.labels import MATCHER_CHARS_MAX, MatcherInvalid, matcher_of
from runtime.telemetry.alerts.metrics import METRICS, SubjectKind

FOR_S_MAX: Final = 86_400
MATCHERS_MAX: Final = 10

AlertNameField = Annotated[
    str, Meta(pattern=rf"^[A-Za-z][A-Za-z0-9_-]*{END}", max_length=63, description="Name of a rule.")
]
NamedField = Annotated[str, Meta(pattern=rf"^[a-z0-9]([a-z0-9-]*[a-z0-9])?{END}", max_length=63)]
FingerprintField = Annotated[
    str, Meta(pattern=rf"^[0-9a-f]{{16}}{END}", description="Of an alert, as `alert.list` shows it.")
]
MatcherField = Annotated[str, Meta(max_length=MATCHER_CHARS_MAX)]
MatchersField = Annotated[
    tuple[MatcherField, ...],
    Meta(
        max_length=MATCHERS_MAX,
        description='Conditions on labels that must all hold, as in severity=critical or slice=~"pay.*".',
    ),
]
WhyField = Annotated[str, Meta(max_length=500, description="Why, in words.")]
MadeField = Annotated[int, Meta(description="Filled in by the cluster.")]
SignedField = Annotated[str, Meta(max_length=100, description="Filled in by the cluster: who asked.")]


def metric_unknown(kind: SubjectKind, metric: str) -> Refusal:
    near = nearest(metric, METRICS[kind])
    elsewhere = next((each for each in METRICS if metric in METRICS[each]), "")
    hint = f"; it is one of a {elsewhere}" if elsewhere else near
    return Refusal(
        code="metric_unknown",
        detail=f"a {kind} has no metric {metric[:63]!r}{hint}",
        remedy=f"A {kind} has {', '.join(METRICS[kind])}.",
    )


def matchers_invalid(matchers: Iterable[str]) -> Refusal | None:
    for each in matchers:
        try:
            matcher_of(each)
        except MatcherInvalid as fault:
            return Refusal(code=fault.code, detail=str(fault), remedy=fault.remedy)
    return None


def names_below(state: PlanState, prefix: str) -> list[str]:
    return [keys.parts(item.key)[0] for item in state.all_items(prefix)]


def kind_named(text: str) -> SubjectKind | None:
    return cast(SubjectKind, text) if text in METRICS else None
