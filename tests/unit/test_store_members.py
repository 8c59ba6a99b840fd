"""Votes in the store's group as operations: planned over what the store said, carried out by the leader."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from runtime.cluster.store_membership import StoreMembership
from runtime.consensus.errors import InvalidRequest
from runtime.consensus.memory import MemoryStore
from runtime.consensus.store import Delete, Revision, StoreStatus
from runtime.deployment.records import Records
from runtime.names import NodeId
from runtime.operations.actor import Role
from runtime.operations.dispatch import Applied, Outcome, Refused, Submission
from runtime.operations.state import PlanState
from runtime.operations.store_members import MemberRequest, removed, voting
from runtime.state import keys
from runtime.state.values import Addresses, NodeLive, NodeRecord, StoreMembers
from tests.unit.gate_parts import GateOnHand, person

pytestmark = pytest.mark.anyio


class Group:
    """The members of a group beside a store in memory, which knows none."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.voters = {"n1": "h:1", "n2": "h:2", "n3": "h:3"}
        self.learners: dict[str, str] = {}
        self.refuses = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def status(self) -> StoreStatus:
        found = await self._store.status()
        return msgspec.structs.replace(found, members=tuple(sorted(self.voters)))

    async def members(self) -> dict[str, str]:
        return {**self.voters, **self.learners}

    async def add_member(self, node: str, address: str, *, rises: bool = True) -> None:
        self.learners[node] = address

    async def promote_member(self, node: str) -> None:
        if self.refuses:
            raise InvalidRequest(self.refuses)
        self.voters[node] = self.learners.pop(node)

    async def remove_member(self, node: str) -> None:
        if self.refuses:
            raise InvalidRequest(self.refuses)
        self.voters.pop(node, None)
        self.learners.pop(node, None)


class Members:
    """Three core nodes that vote, and a leader that has looked once."""

    def __init__(self) -> None:
        self.hand = GateOnHand()
        self.group = Group(self.hand.store)
        self.service = StoreMembership(store=self.group, state=self.hand.state, log=self.hand.log)

    async def look(self) -> StoreMembers:
        await self.service.look(self.hand.fence() or Revision(0))
        found = Records(self.hand.state).store_members()
        assert found is not None
        return found

    async def ask(self, verb: str, node: str) -> Outcome:
        """As an admin who may do it at once: what is tested is not the gate."""
        submission = Submission(
            operation=f"store.member-{verb}",
            request={"node": node},
            actor=person("cleo", Role.ADMIN),
            break_glass=True,
            reason="whatever the gate says",
        )
        return await self.hand.gate.submit(submission)

    async def goes_down(self, *names: str) -> None:
        await self.hand.store.txn((), [Delete(key=keys.node_live(NodeId(name))) for name in names])

    async def leaves(self, name: str) -> None:
        record = Records(self.hand.state).node(name)
        assert record is not None
        await self.hand.put(keys.node(NodeId(name)), msgspec.structs.replace(record, leaving=True))

    async def joins(self, name: str, role: str = "core") -> None:
        node = NodeId(name)
        addresses = Addresses(http="", api="", peer="", control="", store=f"{name}:1")
        await self.hand.put(keys.node(node), NodeRecord(node=node, role=role, addresses=addresses))  # type: ignore[arg-type]
        await self.hand.put(keys.node_live(node), NodeLive(boot="b", started_unix_ms=0))


async def members() -> Members:
    at = Members()
    await at.hand.populate()
    assert (await at.look()).voters == ("n1", "n2", "n3")
    return at


async def test_the_vote_of_a_node_that_is_down_goes() -> None:
    """A node that was replaced would count for quorum for ever."""
    at = await members()
    await at.goes_down("n3")
    assert isinstance(await at.ask("remove", "n3"), Applied)
    request = MemberRequest(node="n3")
    assert removed(PlanState(at.hand.state), request).waits_for == "n3 is a member still"
    assert (await at.look()).voters == ("n1", "n2")
    assert removed(PlanState(at.hand.state), request).done
    assert not at.hand.state.items(keys.STORE_MEMBER_WISHES)


async def test_no_vote_goes_without_which_there_is_no_majority() -> None:
    """Two of three are down: with the vote of either, the one that lives would be alone against the other."""
    at = await members()
    await at.goes_down("n2", "n3")
    refused = await at.ask("remove", "n3")
    assert isinstance(refused, Refused)
    assert (refused.code, "n2 does not answer" in refused.detail) == ("quorum_lost", True)


async def test_wishes_that_are_under_way_count() -> None:
    """Each of two removals may be harmless, and both together not: n3 lives still, and will vote no more."""
    at = await members()
    await at.joins("n4")
    at.group.voters["n4"] = "n4:1"
    await at.look()
    await at.leaves("n3")
    assert isinstance(await at.ask("remove", "n3"), Applied)
    await at.goes_down("n2", "n4")
    refused = await at.ask("remove", "n4")
    assert isinstance(refused, Refused)
    assert refused.code == "quorum_lost"


async def test_a_node_that_is_up_keeps_its_vote() -> None:
    """Its store would stop under a node that works; and one that has been told to go keeps it until it has ended."""
    at = await members()
    refused = await at.ask("remove", "n3")
    assert isinstance(refused, Refused)
    assert refused.code == "node_up"
    await at.leaves("n3")
    assert isinstance(await at.ask("remove", "n3"), Applied)
    assert "n3" in (await at.look()).voters
    assert removed(PlanState(at.hand.state), MemberRequest(node="n3")).waits_for.endswith("has not ended yet")
    await at.goes_down("n3")
    assert "n3" not in (await at.look()).voters


async def test_a_core_node_gets_its_vote_once_the_store_says_so() -> None:
    """Until then it says why not; a wish is not lost with the first refusal."""
    at = await members()
    await at.joins("n4")
    assert isinstance(await at.ask("add", "n4"), Applied)
    assert (await at.look()).learners == ("n4",)
    at.group.refuses = "n4 is 9,000 entries behind"
    await at.look()
    request = MemberRequest(node="n4")
    assert voting(PlanState(at.hand.state), request).waits_for == "n4 has no vote yet: n4 is 9,000 entries behind"
    at.group.refuses = ""
    assert (await at.look()).voters == ("n1", "n2", "n3", "n4")
    assert at.group.voters["n4"] == "n4:1"
    assert voting(PlanState(at.hand.state), request).done


@pytest.mark.parametrize(
    ("verb", "node", "code"),
    [("remove", "n9", "store_member_not_found"), ("add", "n9", "node_not_found"), ("add", "w1", "not_a_core_node")],
)
async def test_what_cannot_be_is_refused(verb: str, node: str, code: str) -> None:
    at = await members()
    await at.joins("w1", role="worker")
    refused = await at.ask(verb, node)
    assert isinstance(refused, Refused)
    assert refused.code == code


async def test_a_leader_that_was_replaced_writes_nothing_down() -> None:
    at = await members()
    at.group.learners["n4"] = "n4:1"
    await at.service.look(Revision(9_999))
    found = Records(at.hand.state).store_members()
    assert found is not None
    assert found.learners == ()
