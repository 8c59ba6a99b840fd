"""The node level on a gate in memory, with a provider that counts what it makes."""

from __future__ import annotations

from itertools import count

import msgspec
import pytest

from controllers.gate.joining import StoreAuditLog
from controllers.nodes.journal import NodeJournal, read_decisions
from controllers.nodes.loop import NodeLoop
from controllers.nodes.making import NodeMaking
from controllers.nodes.port import NodeRole, ProvidedNode, ProviderFault
from controllers.nodes.records import request_of, trouble_of
from runtime.consensus.store import Delete
from runtime.deployment.records import Records
from runtime.names import NodeId, SliceName, Version
from runtime.operations.actor import Role
from runtime.operations.dispatch import Applied, Outcome, Refused, Submission
from runtime.operations.plan import Json
from runtime.state import keys
from runtime.state.values import NodeLive, NodeRecord, Placement
from tests.unit.gate_parts import NOWHERE, GateOnHand, person, target

pytestmark = pytest.mark.anyio
QUICK: dict[str, Json] = {"out_after_s": 0, "in_after_s": 0, "cool_down_out_s": 0, "cool_down_in_s": 0, "headroom": 0}
PROVIDER: dict[str, Json] = {"provider": "unix:/nodes.sock"}


class HandProvider:
    """Makes a node of each name once, whatever it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.made: set[str] = set()
        self.roles: dict[str, NodeRole] = {}
        self.broken = ""

    async def provide(self, node: str, role: NodeRole) -> ProvidedNode:
        self.asked.append(node)
        if self.broken:
            raise ProviderFault(self.broken)
        self.made.add(node)
        self.roles[node] = role
        return ProvidedNode(node=node, state="starting")

    async def release(self, node: str) -> None:
        self.made.discard(node)


class NodesOnHand:
    """Three core nodes that take two instances each; orders wants seven."""

    def __init__(self) -> None:
        self.hand = GateOnHand()
        self.provider = HandProvider()
        self.numbers = count(1)
        self.loop = self.leader()

    def leader(self) -> NodeLoop:
        """A process that knows nothing but the state."""
        hand = self.hand
        return NodeLoop(
            state=hand.state,
            records=Records(hand.state),
            slices=self,
            dispatcher=hand.link,
            journal=NodeJournal(store=hand.store, audit=StoreAuditLog(hand.store), new_id=self.identify, log=hand.log),
            making=NodeMaking(
                store=hand.store,
                state=hand.state,
                provider_at=lambda _address: self.provider,
                clock=hand.clock,
                log=hand.log,
            ),
            clock=hand.clock,
            new_id=self.identify,
            log=hand.log,
        )

    def identify(self) -> str:
        return f"decision{next(self.numbers):04}"

    def standings(self) -> dict[str, object]:
        return {}

    def without_room(self) -> int:
        return 0

    async def begin(self, **members: Json) -> None:
        await self.hand.populate(wanted=7)
        await self.submit("controller.configure", set={"node_instances_max": 2})
        await self.submit("controller.configure-nodes", set={**QUICK, **members})

    async def submit(self, operation: str, **request: Json) -> Outcome:
        return await self.hand.gate.submit(
            Submission(operation=operation, request=dict(request), actor=person("cleo", Role.ADMIN))
        )

    async def seconds(self, number: int) -> None:
        for _ in range(number):
            self.hand.pass_time(1_000)
            fence = self.hand.fence()
            assert fence is not None
            await self.loop.tick(fence)

    async def join(self, name: str) -> None:
        node = NodeId(name)
        await self.hand.put(keys.node(node), NodeRecord(node=node, role="worker", addresses=NOWHERE))
        await self.hand.put(keys.node_live(node), NodeLive(boot="b", started_unix_ms=0))

    def state_of(self, node: str) -> str:
        found = request_of(self.hand.state, node)
        return found.state if found is not None else ""

    def wish(self, node: str) -> str:
        found = Records(self.hand.state).store_member_wish(node)
        return found.want if found is not None else ""

    def proposals(self) -> list[str]:
        return [keys.parts(item.key)[0] for item in self.hand.state.items(keys.PROPOSALS_OPEN)]


async def test_a_node_is_proposed_once_and_made_when_people_agree() -> None:
    """Nodes cost money: nobody but people spends it, unless they said so."""
    at = NodesOnHand()
    await at.begin(**PROVIDER)
    await at.seconds(3)
    (proposal,) = at.proposals()
    assert not at.provider.asked
    (decided,) = [each.id async for each in read_decisions(at.hand.store) if each.gate.proposal == proposal]
    assert at.hand.proposal(proposal).evidence == (f"decision:{decided}",)
    at.loop = at.leader()
    await at.seconds(3)
    assert at.proposals() == [proposal]
    await at.hand.votes.cast(proposal, person("anna"), approve=True, reason="")
    await at.hand.settle(proposal)
    await at.seconds(1)
    assert at.provider.made == {"auto-1"}
    await at.join("auto-1")
    await at.seconds(2)
    assert at.state_of("auto-1") == "joined"


async def test_a_change_of_nodes_is_looked_at_after_five_fifteen_and_sixty_minutes_whoever_leads() -> None:
    """Else nobody could tell whether a node that costs money made room."""
    at = NodesOnHand()
    await at.begin(act=True, **PROVIDER)
    await at.seconds(1)
    await at.join("auto-1")
    for minutes, passed in ((5, 5), (15, 10), (60, 45)):
        at.loop = at.leader()
        await at.loop._journal.open()
        at.hand.pass_time(60_000 * passed - 4_000)
        await at.seconds(1)
        (record,) = [each async for each in read_decisions(at.hand.store) if each.decision.add]
        assert minutes not in {each.after_min for each in record.outcomes}
        at.hand.pass_time(2_000)
        await at.seconds(1)
    (record,) = [each async for each in read_decisions(at.hand.store) if each.decision.add]
    assert [each.after_min for each in record.outcomes] == [5, 15, 60]
    assert {(each.nodes, each.provided, each.missing) for each in record.outcomes} == {(4, 1, 0)}
    await at.hand.chain_all()
    chained = [each.record for each in [link async for link in at.hand.audit.links()]]
    told = [each["detail"]["after_min"] for each in chained if each["kind"] == "decision_outcome"]
    assert told == [5, 15, 60]


async def test_what_people_turned_down_is_not_asked_again_at_once() -> None:
    at = NodesOnHand()
    await at.begin(**PROVIDER)
    await at.seconds(1)
    await at.hand.votes.cast(at.proposals()[0], person("anna"), approve=False, reason="too dear")
    await at.seconds(5)
    assert not at.proposals()
    await at.seconds(1)
    records = [each async for each in read_decisions(at.hand.store)]
    assert [(each.kind, "turned_down" in each.decision.because) for each in records] == [
        ("change", False),
        ("near_miss", True),
    ]


async def test_a_new_leader_asks_for_the_same_node_again_and_for_no_other() -> None:
    """A leader that dies between its question and the node's joining must not cost a second node."""
    at = NodesOnHand()
    await at.begin(act=True, **PROVIDER)
    await at.seconds(1)
    assert at.provider.asked == ["auto-1"]
    at.loop = at.leader()
    await at.seconds(5)
    assert set(at.provider.asked) == {"auto-1"}
    assert len(at.provider.asked) > 1
    assert not at.state_of("auto-2")


async def test_without_a_provider_it_is_said_that_nobody_provides_nodes() -> None:
    at = NodesOnHand()
    await at.begin()
    await at.seconds(3)
    assert trouble_of(at.hand.state) == "there is no room for 1 instances, and nobody provides nodes"
    (record,) = [each async for each in read_decisions(at.hand.store)]
    assert record.kind == "near_miss"
    assert not at.proposals()
    await at.hand.scale(6, person("anna"))
    await at.seconds(1)
    assert not trouble_of(at.hand.state)


async def test_a_provider_that_fails_is_told_and_asked_again() -> None:
    at = NodesOnHand()
    await at.begin(act=True, **PROVIDER)
    at.provider.broken = "no machines left"
    await at.seconds(4)
    assert "no machines left" in trouble_of(at.hand.state)
    at.provider.broken = ""
    await at.seconds(4)
    assert at.provider.made == {"auto-1"}
    assert not trouble_of(at.hand.state)


async def test_a_node_that_is_not_needed_goes_back_once_it_has_ended() -> None:
    at = NodesOnHand()
    await at.begin(act=True, **PROVIDER)
    await at.seconds(1)
    await at.join("auto-1")
    await at.seconds(1)
    await at.hand.scale(6, person("anna"))
    await at.seconds(1)
    assert at.state_of("auto-1") == "retiring"
    record = Records(at.hand.state).node("auto-1")
    assert record is not None
    assert record.leaving
    assert record.shutdown
    await at.seconds(3)
    assert at.provider.made == {"auto-1"}, "it is still draining"
    await at.hand.store.txn((), [Delete(key=keys.node_live(NodeId("auto-1")))])
    await at.seconds(1)
    assert not at.provider.made
    assert not at.state_of("auto-1")
    assert Records(at.hand.state).node("auto-1") is None
    assert all(Records(at.hand.state).node(name) for name in ("n1", "n2", "n3"))


async def test_a_core_node_is_made_as_one_and_its_vote_goes_with_it() -> None:
    """Else the store would count for ever on a machine that was given back."""
    at = NodesOnHand()
    await at.begin(**PROVIDER)
    await at.submit("node.provision", nodes=1, role="core")
    await at.seconds(1)
    assert at.provider.roles == {"auto-1": "core"}
    await at.join("auto-1")
    await at.seconds(1)
    assert (at.state_of("auto-1"), at.wish("auto-1")) == ("joined", "")
    await at.submit("node.retire", node="auto-1")
    assert at.wish("auto-1") == "none"


async def test_names_are_never_used_twice() -> None:
    """A provider that kept an old machine of that name would hand it out as the new one."""
    at = NodesOnHand()
    await at.begin(**PROVIDER)
    for name in ("auto-1", "auto-2"):
        made = await at.submit("node.provision")
        assert isinstance(made, Applied)
        assert made.result == {"nodes": [name]}
        await at.submit("node.retire", node=name)
        await at.seconds(4)
        assert not at.state_of(name)


async def test_nobody_gets_more_nodes_than_there_may_be_or_retires_a_core_node() -> None:
    at = NodesOnHand()
    await at.begin(most=1, **PROVIDER)
    for operation, request, code in (
        ("node.provision", {"nodes": 2}, "too_many_nodes"),
        ("node.retire", {"node": "n1"}, "node_not_provided"),
    ):
        refused = await at.submit(operation, **request)
        assert isinstance(refused, Refused)
        assert refused.code == code


async def test_what_placement_has_no_node_for_asks_for_one_and_keeps_it() -> None:
    """Workers only, and there is none: nothing in the cluster's load would ever tell."""
    at = NodesOnHand()
    await at.begin(act=True, **PROVIDER)
    placement = Placement(roles=("worker",))
    wish = target("orders", 3)
    settings = msgspec.structs.replace(wish.settings, placement=placement)
    await at.hand.put(keys.target(SliceName("orders"), Version("1")), msgspec.structs.replace(wish, settings=settings))
    await at.seconds(1)
    assert at.provider.made == {"auto-1", "auto-2"}, "three instances, of which a node takes two"
    for name in ("auto-1", "auto-2"):
        await at.join(name)
    await at.submit("node.cordon", node="auto-2")
    await at.seconds(3)
    assert at.state_of("auto-1") == "joined", "the only one that is left for them"
