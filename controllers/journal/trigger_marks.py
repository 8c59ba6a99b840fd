"""How far triggers of playbooks have come, kept in the state: what happened while nobody led starts what it should,
once."""

from __future__ import annotations

import msgspec

from runtime.consensus.store import Put, Revision, Store, led_by
from runtime.state import keys
from runtime.state.values import Value, encode


class TriggerMarks(Value, frozen=True, kw_only=True):
    """`event`: the id of the last event that was heeded; empty before the first. `ticks`: of each schedule, by playbook
    and time, the number of its last time."""

    event: str = ""
    ticks: dict[str, int] = msgspec.field(default_factory=dict)


class StoreMarks:
    """Raises StoreFault."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def read(self) -> TriggerMarks:
        """What cannot be read, of a newer version, counts as nothing known: its events are heeded from now on."""
        item = (await self._store.get(keys.TRIGGER_MARKS)).item
        try:
            return msgspec.json.decode(item.value, type=TriggerMarks) if item is not None else TriggerMarks()
        except msgspec.DecodeError:
            return TriggerMarks()

    async def write(self, marks: TriggerMarks, fence: int) -> None:
        """Only while that leadership stands: the next leader goes on from its own."""
        await self._store.txn([led_by(Revision(fence))], [Put(key=keys.TRIGGER_MARKS, value=encode(marks))])
