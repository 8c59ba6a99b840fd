"""Runs that ended long ago go, with all that is theirs: the audit has what they did."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from runtime.consensus.store import Delete, KeyValue, Operation, Revision, led_by
from runtime.errors import RuntimeFault
from runtime.names import Sha256
from runtime.state import keys
from runtime.state.values import decode
from runtime.workflow.limits import ENDED_BYTES_MAX, ENDED_MAX
from runtime.workflow.ports import WorkflowPorts
from runtime.workflow.reading import everything
from runtime.workflow.records import RunRecord, StepRecord

BATCH: Final = 100  # runs, of four deletions each: a transaction has 512 operations


async def trim(ports: WorkflowPorts, fence: Revision) -> int:
    """How many runs went. Raises StoreFault."""
    runs = await everything(ports.store, keys.RUNS)
    steps = await everything(ports.store, keys.RUN_STEPS, runs.revision)
    of_run: dict[str, list[KeyValue]] = defaultdict(list)
    for item in steps.items:
        of_run[keys.parts(item.key)[0]].append(item)
    old = [*_old(runs.items, of_run)]
    for at in range(0, len(old), BATCH):
        batch = old[at : at + BATCH]
        for identity in batch:
            await _drop_results(ports, identity, of_run[identity])
        await ports.store.txn([led_by(fence)], [each for identity in batch for each in _gone(identity)])
    return len(old)


def _old(runs: Sequence[KeyValue], steps: dict[str, list[KeyValue]]) -> Iterator[str]:
    """Ended runs beyond the newest; their ids tell the order. One that a newer version wrote is left to it."""
    size = number = 0
    for item in reversed(runs):
        identity = item.key.removeprefix(keys.RUNS)
        if not _has_ended(item):
            continue
        number += 1
        size += len(item.value) + sum(len(each.value) for each in steps.get(identity, ()))
        if number > ENDED_MAX or size > ENDED_BYTES_MAX:
            yield identity


def _has_ended(item: KeyValue) -> bool:
    try:
        return decode(item.value, RunRecord).ended
    except msgspec.DecodeError:
        return False


def _gone(identity: str) -> list[Operation]:
    return [
        Delete(key=keys.run(identity)),
        Delete(key=keys.run_order(identity)),
        Delete(key=keys.steps_of(identity), prefix=True),
        Delete(key=keys.signals_of(identity), prefix=True),
    ]


async def _drop_results(ports: WorkflowPorts, identity: str, steps: Sequence[KeyValue]) -> None:
    for item in steps:
        try:
            sha256 = decode(item.value, StepRecord).result_sha256
            if len(sha256) == 64:
                await ports.results.drop(identity, Sha256(sha256))
        except (msgspec.DecodeError, RuntimeFault) as error:  # at worst some bytes stay
            ports.log.warning("result_not_dropped", run=identity, reason=str(error))
