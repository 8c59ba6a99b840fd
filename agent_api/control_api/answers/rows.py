"""Rows that several answers hold, made from the state's records."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from runtime.deployment.records import Records
from runtime.operations.queries.nodes import NodeRow
from runtime.operations.queries.slices import InstanceRow, SliceRow
from runtime.state.values import InstanceState, NodeRecord, Phase, SliceTarget

NOT_REPORTED = "its node has not reported yet"


def node_rows(records: Records, nodes: tuple[NodeRecord, ...]) -> list[NodeRow]:
    live = {each.node for each in records.live_nodes()}
    return [
        NodeRow(
            node=each.node,
            role=each.role,
            zone=each.zone,
            addresses=each.addresses,
            cordoned=each.cordoned,
            shutdown=each.shutdown,
            leaving=each.leaving,
            state="leaving" if each.leaving else "up" if each.node in live else "down",
            instances=len(records.assignments(each.node)),
        )
        for each in nodes
    ]


def slice_rows(records: Records, targets: tuple[SliceTarget, ...]) -> list[SliceRow]:
    serving: Counter[tuple[str, str]] = Counter((each.slice, each.version) for each in records.endpoints())
    states: dict[tuple[str, str], list[InstanceState]] = defaultdict(list)
    for state in records.instance_states():
        states[state.slice, state.version].append(state)
    return [_slice_row(each, serving, states) for each in targets]


def _slice_row(
    target: SliceTarget, serving: Counter[tuple[str, str]], states: dict[tuple[str, str], list[InstanceState]]
) -> SliceRow:
    settings = target.settings
    key = (settings.slice, settings.version)
    mine = states.get(key, [])
    return SliceRow(
        slice=settings.slice,
        version=settings.version,
        blueprint=target.blueprint,
        wanted=target.wanted,
        min=settings.min,
        max=settings.max,
        serving=serving[key],
        failed=sum(each.phase is Phase.FAILED for each in mine),
        reasons=tuple(sorted({each.reason for each in mine if each.reason})),
        weight=settings.weight,
    )


def instance_rows(records: Records, *, slice_name: str = "", node: str = "") -> Iterator[InstanceRow]:
    """Assigned ones, and those that a node still has although they are not assigned any more."""
    states = {(each.node, each.slice, each.number): each for each in records.instance_states()}
    for placed in records.placed():
        assignment = placed.assignment
        state = states.pop((placed.node, assignment.slice, assignment.number), None)
        if slice_name not in ("", assignment.slice) or node not in ("", placed.node):
            continue
        if state is not None:
            yield _instance_row(state, version=assignment.version, serving=placed.serving)
        else:
            yield InstanceRow(
                slice=assignment.slice,
                node=placed.node,
                number=assignment.number,
                version=assignment.version,
                phase="assigned",
                reason=NOT_REPORTED,
                serving=placed.serving,
                generation=assignment.generation,
            )
    for state in states.values():
        if slice_name in ("", state.slice) and node in ("", state.node):
            yield _instance_row(state, version=state.version, serving=False)


def _instance_row(state: InstanceState, *, version: str, serving: bool) -> InstanceRow:
    return InstanceRow(
        slice=state.slice,
        node=state.node,
        number=state.number,
        version=version,
        phase=state.phase,
        reason=state.reason,
        restarts=state.restarts,
        worker=state.worker,
        last_failure=state.last_failure,
        serving=serving,
        since_unix_ms=state.since_unix_ms,
        generation=state.generation,
    )
