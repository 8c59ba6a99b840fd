"""Who belongs to the store's group, written down for planners; and what they wish of it, carried out by the leader."""

from __future__ import annotations

from typing import Final, Protocol

import anyio
import msgspec

from runtime.cluster.membership import Lines
from runtime.consensus.errors import InvalidRequest, NotOnThisEngine
from runtime.consensus.store import (
    Compare,
    Delete,
    Operation,
    Put,
    Revision,
    Store,
    StoreStatus,
    absent,
    led_by,
    unchanged,
)
from runtime.deployment.records import Records, Snapshot
from runtime.names import NodeId
from runtime.state import keys
from runtime.state.values import StoreMembers, StoreMemberWish, encode

LOOK_S: Final = 1.0  # a membership is asked of this node's own store: no other node hears of it


class Group(Store, Protocol):
    """A Store that tells who belongs to its group, and changes that."""

    async def status(self) -> StoreStatus: ...

    async def members(self) -> dict[str, str]: ...

    async def add_member(self, node: str, address: str, *, rises: bool = True) -> None: ...

    async def promote_member(self, node: str) -> None: ...

    async def remove_member(self, node: str) -> None: ...


class StoreMembership:
    """`run` is a leader service. The group itself refuses what would lose its majority, and is asked again then: a wish
    stays until it is so. A node's vote goes only once the node is down, as it may be needed until then."""

    def __init__(self, *, store: Group, state: Snapshot, log: Lines) -> None:
        self._store = store
        self._state = state
        self._records = Records(state)
        self._log = log

    async def run(self, fence: Revision) -> None:
        while True:
            await self.look(fence)
            await anyio.sleep(LOOK_S)

    async def look(self, fence: Revision) -> None:
        """Once. Raises StoreFault."""
        members = await self._told()
        for wish in self._records.store_member_wishes():
            trouble = await self._carry_out(wish, members)
            if trouble is None or trouble != wish.trouble:
                await self._note(wish, trouble, fence)
        await self._write(await self._told(), fence)

    async def _told(self) -> StoreMembers:
        status, addresses = await self._store.status(), await self._store.members()
        return StoreMembers(
            voters=tuple(sorted(set(status.members) & addresses.keys())),
            learners=tuple(sorted(addresses.keys() - set(status.members))),
            addresses=dict(sorted(addresses.items())),
        )

    async def _carry_out(self, wish: StoreMemberWish, members: StoreMembers) -> str | None:
        """None once it is so; else why it is not yet. Raises StoreFault."""
        try:
            if wish.want == "none":
                return await self._remove(wish, members)
            return await self._raise(wish, members)
        except (InvalidRequest, NotOnThisEngine) as refusal:
            return str(refusal)

    async def _remove(self, wish: StoreMemberWish, members: StoreMembers) -> str | None:
        if wish.node not in members.addresses:
            return None
        if self._state.get(keys.node_live(NodeId(wish.node))) is not None:
            return "its node has not ended yet"
        await self._store.remove_member(wish.node)
        self._log.info("store_member_removed", member=wish.node)
        return None

    async def _raise(self, wish: StoreMemberWish, members: StoreMembers) -> str | None:
        if wish.node in members.voters:
            return None
        if wish.node not in members.addresses:
            await self._store.add_member(wish.node, wish.address)
            self._log.info("store_member_added", member=wish.node)
            return "it has not caught up with the log"
        await self._store.promote_member(wish.node)
        self._log.info("store_member_promoted", member=wish.node)
        return None

    async def _note(self, wish: StoreMemberWish, trouble: str | None, fence: Revision) -> None:
        """Unless it was wished otherwise meanwhile."""
        key = keys.store_member_wish(wish.node)
        item = self._state.get(key)
        if item is None or self._records.store_member_wish(wish.node) != wish:
            return
        told: Operation = Delete(key=key)
        if trouble is not None:
            told = Put(key=key, value=encode(msgspec.structs.replace(wish, trouble=trouble)))
        await self._store.txn([led_by(fence), unchanged(key, item.mod_revision)], [told])

    async def _write(self, members: StoreMembers, fence: Revision) -> None:
        item = self._state.get(keys.STORE_MEMBERS)
        if item is not None and item.value == encode(members):
            return
        as_read: Compare = absent(keys.STORE_MEMBERS)
        if item is not None:
            as_read = unchanged(keys.STORE_MEMBERS, item.mod_revision)
        await self._store.txn([led_by(fence), as_read], [Put(key=keys.STORE_MEMBERS, value=encode(members))])
