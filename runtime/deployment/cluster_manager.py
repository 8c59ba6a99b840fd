"""The cluster deployment manager: runs on the leader, keeps assignments in line with targets and nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import anyio

from runtime.clock import Clock
from runtime.cluster.membership import Lines
from runtime.consensus.errors import NotLeader
from runtime.consensus.store import TXN_OPERATIONS_MAX, Compare, Delete, Operation, Put, Revision, Store, led_by
from runtime.deployment.blueprint import requirements
from runtime.deployment.placement import Changes, Placed, place
from runtime.deployment.stop_order import CALLING, held
from runtime.deployment.view import PREFIXES, StateView
from runtime.state import keys
from runtime.state.values import NodeRecord, SliceTarget, encode

DEBOUNCE_S: Final = 0.01  # changes come in bursts: one placement for all of them
GRACE_S: Final = 4.0  # after a takeover: longer than a node's lease, so that nodes can come back before they are missed


class ClusterManager:
    """`run` is a leader service."""

    def __init__(self, *, store: Store, view: StateView, clock: Clock, log: Lines) -> None:
        self._store = store
        self._view = view
        self._clock = clock
        self._log = log
        self._unplaced: dict[str, int] = {}
        self._needs: dict[str, tuple[str, ...]] = {}

    async def run(self, fence: Revision) -> None:
        cache = self._view.cache
        await cache.wait_for(fence)
        forgive_until_s = self._clock.monotonic_s() + GRACE_S
        while True:
            seen = cache.revision
            forgiving = self._clock.monotonic_s() < forgive_until_s
            targets, placed = self._view.targets(), self._view.placed()
            nodes = self._nodes(placed, forgiving=forgiving)
            changes = place(targets, nodes, placed, self._held(targets, placed))
            self._note(changes)
            if changes.write or changes.delete:
                await cache.wait_for(await self._apply(changes, fence))
                continue
            with anyio.move_on_after(1.0 if forgiving else 60.0):
                await cache.changed(seen, among=PREFIXES)
                await anyio.sleep(DEBOUNCE_S)

    def _nodes(self, placed: Sequence[Placed], *, forgiving: bool) -> tuple[NodeRecord, ...]:
        live = self._view.live_nodes()
        if not forgiving:
            return live
        names = {record.node for record in live}
        held = {each.node for each in placed}
        absent = (record for record in self._view.nodes() if record.node not in names and record.node in held)
        return live + tuple(
            NodeRecord(node=record.node, role=record.role, zone=record.zone, addresses=record.addresses, cordoned=True)
            for record in absent
        )

    def _held(self, targets: Sequence[SliceTarget], placed: Sequence[Placed]) -> frozenset[str]:
        """What goes after those that require it. An assignment that is deleted takes along what its slice required, so
        this is remembered; a new leader in between does without the order."""
        contracts = {(each.name, each.version): each for each in self._view.contracts()}
        wanted = [target.settings for target in targets]
        running = [each.assignment.settings for each in placed]
        known = {each.slice: each for each in (*wanted, *running) if (each.slice, each.version) in contracts}
        calling = {state.slice for state in self._view.instance_states() if state.phase in CALLING}
        self._needs = {name: needs for name, needs in self._needs.items() if name in calling}
        self._needs |= {name: requirements(each, contracts[each.slice, each.version]) for name, each in known.items()}
        going = calling.union(each.slice for each in running) - {each.slice for each in wanted}
        return held(going, self._needs, calling)

    async def _apply(self, changes: Changes, fence: Revision) -> Revision:
        operations: list[Operation] = [Delete(key=_key(each)) for each in changes.delete]
        operations += [Put(key=_key(each), value=encode(each.assignment)) for each in changes.write]
        compare: list[Compare] = [led_by(fence)]
        revision = Revision(0)
        for start in range(0, len(operations), TXN_OPERATIONS_MAX):
            result = await self._store.txn(compare, operations[start : start + TXN_OPERATIONS_MAX])
            if not result.succeeded:
                raise NotLeader("")
            revision = result.revision
        return revision

    def _note(self, changes: Changes) -> None:
        if dict(changes.unplaced) != self._unplaced:
            self._unplaced = dict(changes.unplaced)
            for name, count in self._unplaced.items():
                self._log.warning("instances_unplaced", slice=name, count=count)


def _key(each: Placed) -> str:
    return keys.instance(each.node, each.assignment.slice, each.assignment.number)
