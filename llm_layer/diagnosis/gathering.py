"""Asking for what a diagnosis is made from: at most two dozen questions, each of them anybody's to ask again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final, TypeVar

import msgspec

from controllers.scaling.queries import ControllerPage
from llm_layer.desk import DeskRefused
from llm_layer.diagnosis.figures import figures_of
from llm_layer.diagnosis.on_nodes import one_node_findings
from llm_layer.diagnosis.seen import Line, Seen, Span
from llm_layer.diagnosis.symptoms import sources_of_trouble
from llm_layer.evidence import EvidenceBook
from runtime.operations.queries.alerts import AlertPage
from runtime.operations.queries.cluster import ClusterStatus, Topology
from runtime.operations.queries.slices import InstancePage, InstanceRow, MetricShown, SliceExplained
from runtime.operations.queries.telemetry import LogLines, TraceLines

SLICES_MAX: Final = 12  # whose figures are looked at, the nearest first
CLOSELY_MAX: Final = 3  # of those that are unwell by themselves
LINES: Final = 200
SPANS: Final = 300
LATELY_MS: Final = 60_000
OWN: Final = "aether-"  # slices of the cluster itself, which have no figures worth a look
_SAYS: Final = ("event", "error", "reason", "text", "message")
_T = TypeVar("_T")


class Gathering:
    """What cannot be had is a gap; only a slice that was asked about must be there."""

    def __init__(self, book: EvidenceBook) -> None:
        self._book = book
        self._evidence: dict[str, str] = {}
        self._gaps: list[str] = []
        self._silent: Counter[str] = Counter()
        self._answers = 0  # of those that name who is silent

    async def gather(self, name: str, now_unix_ms: int) -> Seen:
        """name: empty for the whole cluster. Raises DeskRefused where there is no such slice."""
        explained = {name: await self._explained(name)} if name else {}
        seen = Seen(
            slice=name,
            now_unix_ms=now_unix_ms,
            explained=explained,
            status=await self._ask("status", "cluster.status", {}, ClusterStatus),
            topology=await self._ask("topology", "topology.show", {}, Topology),
        )
        alerts = await self._ask("alerts", "alert.list", {}, AlertPage)
        shown = await self._shown([each for each in seen.candidates() if not each.startswith(OWN)][:SLICES_MAX])
        seen = replace(
            seen,
            figures={name: figures_of(each) for name, each in shown.items()},
            by_node={name: each.nodes for name, each in shown.items()},
            alerts=alerts.items if alerts is not None else (),
        )
        seen = await self._closely(seen)
        silent = tuple(sorted(node for node, times in self._silent.items() if times == self._answers > 1))
        return replace(seen, silent=silent, evidence=dict(self._evidence), gaps=tuple(self._gaps))

    async def _closely(self, seen: Seen) -> Seen:
        """What was changed about those that are unwell by themselves, what they wrote, and where their calls went."""
        since = seen.now_unix_ms - LATELY_MS
        failed = await self._spans("failed", since, '"failed":true')
        seen = replace(seen, failed=failed)
        suspected = dict.fromkeys((*sources_of_trouble(seen), *one_node_findings(seen)))
        sources = list(suspected)[:CLOSELY_MAX]
        if not sources and not seen.failed:
            return seen
        explained = dict(seen.explained)
        for each in sources:
            if each not in explained:
                explained[each] = await self._explained(each)
        lines = await self._ask("logs", "log.list", {"level": "error", "limit": LINES, "since_ms": since}, LogLines)
        page = await self._ask("scaling", "controller.status", {}, ControllerPage)
        return replace(
            seen,
            explained=explained,
            hops={each: await self._spans(f"spans:{each}", since, f'"name":"{each}/') for each in sources},
            instances={each: await self._instances(each) for each in sources},
            lines=tuple(_lines(lines.logs)) if lines is not None else (),
            pins={each.slice: each.pin.instances for each in page.items if each.pin is not None} if page else {},
        )

    async def _instances(self, name: str) -> tuple[InstanceRow, ...]:
        found = await self._ask(f"instances:{name}", "instance.list", {"slice": name}, InstancePage)
        return found.items if found is not None else ()

    async def _explained(self, name: str) -> SliceExplained:
        evidence, answer = await self._book.ask("slice.explain", {"slice": name})
        self._evidence[f"explain:{name}"] = evidence.id
        return msgspec.convert(answer, SliceExplained)

    async def _shown(self, names: Iterable[str]) -> dict[str, MetricShown]:
        asked = {each: await self._ask(f"metric:{each}", "metric.show", {"slice": each}, MetricShown) for each in names}
        return {name: shown for name, shown in asked.items() if shown is not None}

    async def _spans(self, source: str, since_ms: int, text: str) -> tuple[Span, ...]:
        asked: dict[str, object] = {"limit": SPANS, "since_ms": since_ms, "text": text}
        found = await self._ask(source, "trace.list", asked, TraceLines)
        return msgspec.convert(found.traces, tuple[Span, ...]) if found is not None else ()

    async def _ask(self, source: str, operation: str, request: dict[str, object], kind: type[_T]) -> _T | None:
        try:
            evidence, answer = await self._book.ask(operation, request)
        except DeskRefused as refused:
            self._gaps.append(f"{operation} was not answered: {refused}")
            return None
        self._evidence[source] = evidence.id
        if kind in (MetricShown, LogLines, TraceLines):
            self._answers += 1
            self._silent.update(msgspec.convert(answer.get("silent", ()), list[str]))
        return msgspec.convert(answer, kind)


def _lines(logs: Iterable[Mapping[str, object]]) -> Iterable[Line]:
    """Their words, without tracebacks, which quote code."""
    for each in logs:
        text = " ".join(str(each[name]) for name in _SAYS if name in each)
        at_ms = each.get("at_ms")
        yield Line(text=text, instance=str(each.get("instance", "")), at_ms=at_ms if isinstance(at_ms, int) else 0)
