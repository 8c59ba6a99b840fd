"""The cluster's state as scaling sees it, read from the records once for each revision."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from controllers.context.snapshot import NodeContext, VersionContext
from runtime.deployment.placement import Placed
from runtime.deployment.records import Records
from runtime.state.values import NodeRecord, SliceTarget
from runtime.telemetry.figures import NodeFigures


class Topology:
    """Of one revision. `hosting` are the nodes that serve each slice."""

    def __init__(self, records: Records) -> None:
        self._live = {record.node: record for record in records.live_nodes()}
        self._machines = records.machines()
        placed: dict[tuple[str, str], list[Placed]] = {}
        self._instances: Counter[str] = Counter()
        self.hosting: dict[str, set[str]] = {}
        for each in records.placed():
            placed.setdefault((each.assignment.slice, each.assignment.version), []).append(each)
            self._instances[each.node] += 1
            if each.serving:
                self.hosting.setdefault(each.assignment.slice, set()).add(each.node)
        self.versions: dict[str, tuple[VersionContext, ...]] = {}
        for target in records.targets():
            settings = target.settings
            found = _version(target, placed.get((settings.slice, settings.version), []))
            self.versions[settings.slice] = (*self.versions.get(settings.slice, ()), found)

    @property
    def live(self) -> frozenset[str]:
        return frozenset(self._live)

    def nodes(self, figures: Sequence[NodeFigures], cores: Mapping[str, float]) -> tuple[NodeContext, ...]:
        """cores: of CPU that nodes use, smoothed."""
        heard = {each.node: each for each in figures}
        return tuple(self._node(record, heard.get(name), cores) for name, record in sorted(self._live.items()))

    def _node(self, record: NodeRecord, figures: NodeFigures | None, cores: Mapping[str, float]) -> NodeContext:
        machine = self._machines.get(record.node)
        cpu_count = machine.cpu_count if machine is not None else 1
        return NodeContext(
            node=record.node,
            role=record.role,
            zone=record.zone,
            takes_instances=not (record.cordoned or record.leaving or record.shutdown),
            cpu_count=cpu_count,
            memory_bytes=machine.memory_bytes if machine is not None else 0,
            cpu_cores=figures.cpu_share if figures is not None else None,
            rss_bytes=figures.rss_bytes if figures is not None else None,
            loop_lag_ms=figures.loop_lag_ms if figures is not None else None,
            memory_share=figures.machine.memory_share if figures is not None else None,
            busy_share=cores[record.node] / max(1, cpu_count) if record.node in cores and figures is not None else None,
            instances=self._instances[record.node],
        )


def _version(target: SliceTarget, placed: Sequence[Placed]) -> VersionContext:
    settings = target.settings
    active = [each for each in placed if each.assignment.wanted == "active"]
    return VersionContext(
        version=settings.version,
        blueprint=target.blueprint,
        wanted=target.wanted,
        least=settings.min,
        most=settings.max,
        min_available=settings.min_available,
        serving=sum(each.serving for each in placed),
        starting=sum(not each.serving for each in active),
        is_settled=len(active) == target.wanted and all(each.settled for each in active),
    )
