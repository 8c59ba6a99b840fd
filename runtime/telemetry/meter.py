"""From the cumulative reports of a node's processes to its figures of one second."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from runtime.telemetry.figures import NodeFigures, SliceFigures, VersionFigures, sum_of_versions
from runtime.telemetry.histogram import Histogram
from runtime.telemetry.methods import MethodBook
from runtime.telemetry.report import HostedLoad, MethodReport, ProcessReport

FRONT: Final = "gateway"
"""The process whose counts are those of the HTTP front, not of executions."""
ABSENT_S_MAX: Final = 600
"""A process that did not answer for so long has ended: workers' names are not used again."""


class NodeMeter:
    """What a process counted before this meter first saw anything is nobody's second, and a process that missed some
    questions is compared with what it last answered: neither makes a peak that was not there."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._before: dict[str, tuple[int, ProcessReport]] = {}
        self._has_begun = False
        self.reports: tuple[ProcessReport, ...] = ()
        self.methods = MethodBook()

    def take(self, reports: tuple[ProcessReport, ...], instances: Mapping[str, int], at_s: int) -> NodeFigures:
        """instances: serving ones, by slice."""
        gathered: dict[str, _Gathered] = {name: _Gathered() for name in instances}
        cpu_s, requests = 0.0, 0
        self.methods.begin(at_s)
        for report in reports:
            before = self._earlier(report)
            used_s = max(0.0, report.cpu_s - before.cpu_s)
            cpu_s += used_s
            deltas, went_back = _deltas(before, report)
            if report.process == FRONT:
                requests += sum(each.ok + each.errors + each.rejected for each in deltas)
                for name, waiting in report.waiting.items():
                    gathered.setdefault(name, _Gathered()).waiting += waiting
                for each in deltas:
                    if each.rejected or each.lost:
                        of_slice = gathered.setdefault(each.slice, _Gathered())
                        of_slice.refused += each.rejected
                        of_slice.lost += each.lost
                        self.methods.count_refused(each)
            else:
                self.methods.count_executed(deltas)
                _share_out(gathered, report, deltas, used_s)
                for name in went_back:
                    gathered.setdefault(name, _Gathered()).went_back = True
        self._keep(reports, at_s)
        return NodeFigures(
            node=self._node,
            at_s=at_s,
            cpu_share=cpu_s,
            rss_bytes=sum(report.rss_bytes for report in reports),
            loop_lag_ms=max((report.loop_lag_ms for report in reports), default=0.0),
            gc_pause_ms=max((report.gc_pause_ms for report in reports), default=0.0),
            connections=sum(report.connections for report in reports),
            requests=requests,
            slices={name: each.figures(instances.get(name, 0)) for name, each in gathered.items()},
        )

    def _earlier(self, report: ProcessReport) -> ProcessReport:
        """What the process had counted when this meter last heard of it; nothing, if it began since."""
        known = self._before.get(report.process)
        if known is not None and known[1].boot == report.boot:
            return known[1]
        if known is None and not self._has_begun:
            return report
        return ProcessReport(process=report.process, boot=report.boot, pid=report.pid, cpu_s=report.cpu_s)

    def _keep(self, reports: tuple[ProcessReport, ...], at_s: int) -> None:
        self._has_begun = self._has_begun or bool(reports)
        lately = {name: kept for name, kept in self._before.items() if abs(at_s - kept[0]) <= ABSENT_S_MAX}
        self._before = lately | {report.process: (at_s, report) for report in reports}
        self.reports = reports


class _Gathered:
    """One slice's figures, while the node's processes are gone through."""

    __slots__ = (
        "buckets",
        "cpu_s",
        "gc_pause_ms",
        "loop_lag_ms",
        "lost",
        "refused",
        "rejected",
        "rss_bytes",
        "versions",
        "waiting",
        "went_back",
    )

    def __init__(self) -> None:
        self.versions: dict[str, VersionFigures] = {}
        self.buckets = Histogram()
        self.rejected = self.refused = self.lost = self.waiting = self.rss_bytes = 0
        self.cpu_s = self.loop_lag_ms = self.gc_pause_ms = 0.0
        self.went_back = False

    def count(self, version: str, figures: VersionFigures) -> None:
        known = self.versions.get(version)
        self.versions[version] = figures if known is None else sum_of_versions(known, figures)

    def figures(self, instances: int) -> SliceFigures:
        versions = self.versions.values()
        return SliceFigures(
            calls=sum(each.calls for each in versions),
            errors=sum(each.errors for each in versions),
            rejected=self.rejected,
            instances=instances,
            buckets=self.buckets.counts,
            busy_us=sum(each.busy_us for each in versions),
            cpu_s=self.cpu_s,
            rss_bytes=self.rss_bytes,
            loop_lag_ms=self.loop_lag_ms,
            gc_pause_ms=self.gc_pause_ms,
            in_progress=sum(each.in_progress for each in versions),
            waiting=self.waiting,
            refused=self.refused,
            lost=self.lost,
            versions=self.versions,
            went_back=self.went_back,
        )


def _share_out(
    gathered: dict[str, _Gathered], report: ProcessReport, deltas: list[MethodReport], used_s: float
) -> None:
    """Gives each slice that a process hosts its calls, and its part of what the process used."""
    for delta in deltas:
        each = gathered.setdefault(delta.slice, _Gathered())
        each.count(delta.version, VersionFigures(delta.ok + delta.errors, delta.errors, delta.sum_us))
        each.buckets.add(delta.buckets)
        each.rejected += delta.rejected
    for hosted, of_cpu, of_memory in _parts(report.hosted, deltas):
        each = gathered.setdefault(hosted.slice, _Gathered())
        cpu_s = used_s * of_cpu
        each.cpu_s += cpu_s
        each.rss_bytes += int(report.rss_bytes * of_memory)
        each.loop_lag_ms = max(each.loop_lag_ms, report.loop_lag_ms)
        each.gc_pause_ms = max(each.gc_pause_ms, report.gc_pause_ms)
        load = VersionFigures(
            instances=hosted.instances, in_progress=hosted.in_progress, slots=hosted.slots, cpu_s=cpu_s
        )
        each.count(hosted.version, load)


def _parts(hosted: tuple[HostedLoad, ...], deltas: list[MethodReport]) -> Iterator[tuple[HostedLoad, float, float]]:
    """Each hosted slice with its parts of CPU time and memory; both add up to 1."""
    busy: dict[tuple[str, str], int] = {}
    for delta in deltas:
        key = (delta.slice, delta.version)
        busy[key] = busy.get(key, 0) + delta.sum_us
    instances = sum(each.instances for each in hosted)
    total_us = sum(busy.get((each.slice, each.version), 0) for each in hosted)
    for each in hosted:
        of_memory = each.instances / instances if instances else 1 / len(hosted)
        of_cpu = busy.get((each.slice, each.version), 0) / total_us if total_us else of_memory
        yield each, of_cpu, of_memory


def _deltas(before: ProcessReport, after: ProcessReport) -> tuple[list[MethodReport], list[str]]:
    """What was counted since, and the slices of which less is counted than before, as never is within one boot."""
    known = {(each.slice, each.version, each.method): each for each in before.methods}
    found, went_back = [], []
    for each in after.methods:
        old = known.get((each.slice, each.version, each.method))
        if old is None:
            found.append(each)
            continue
        ok, errors, rejected = each.ok - old.ok, each.errors - old.errors, each.rejected - old.rejected
        if min(ok, errors, rejected) < 0:
            went_back.append(each.slice)
            continue
        if ok or errors or rejected:
            buckets = Histogram(each.buckets).since(Histogram(old.buckets)).counts
            sums, lost = each.sum_us - old.sum_us, max(0, each.lost - old.lost)
            found.append(MethodReport(each.slice, each.version, each.method, ok, errors, rejected, sums, buckets, lost))
    return found, went_back
