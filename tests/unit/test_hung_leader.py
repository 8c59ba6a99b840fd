"""A leader whose control hangs: its store leads on, and nobody would look at alerts, placement and runs."""

from __future__ import annotations

import pytest

from runtime.cluster.hung_leader import HUNG_S, HungLeader
from runtime.consensus.errors import InvalidRequest, NotOnThisEngine
from runtime.names import NodeId
from runtime.sdk.testing import CollectedLog
from tests.unit.gate_parts import HandClock

pytestmark = pytest.mark.anyio


class Hand:
    def __init__(self, node: str = "n1") -> None:
        self.clock, self.log = HandClock(), CollectedLog()
        self.leader = "n3"
        self.live = ["n1", "n2"]
        self.asked: list[str] = []
        self.fault: Exception | None = None
        self.hung = HungLeader(
            node=NodeId(node),
            leader=lambda: self.leader,
            live_cores=lambda: [NodeId(each) for each in self.live],
            transfer=self._transfer,
            clock=self.clock,
            log=self.log,
        )

    async def _transfer(self, to: str) -> str:
        self.asked.append(to)
        if self.fault is not None and to:
            raise self.fault
        return to or "n2"

    async def passes(self, seconds: float) -> None:
        await self.hung.look()
        self.clock.now_ms += int(seconds * 1_000)
        await self.hung.look()


async def test_a_leader_whose_lease_has_ended_for_long_loses_the_lead_to_the_first_that_lives() -> None:
    hand, other = Hand(), Hand("n2")
    await hand.passes(HUNG_S - 1)
    assert hand.asked == [], "a control that is started anew is back by then"
    await hand.passes(1)
    assert hand.asked == ["n1"]
    await other.passes(HUNG_S)
    assert other.asked == [], "one of them asks"


async def test_it_is_asked_again_until_another_leads() -> None:
    hand = Hand()
    await hand.passes(HUNG_S)
    await hand.passes(HUNG_S)
    assert hand.asked == ["n1", "n1"]
    hand.leader = "n1"
    await hand.passes(2 * HUNG_S)
    assert hand.asked == ["n1", "n1"]


@pytest.mark.parametrize(("leader", "live"), [("", ["n1"]), ("n3", ["n1", "n3"]), ("n3", [])])
async def test_nothing_is_done_where_nobody_leads_or_the_leader_lives_or_nothing_is_known(
    leader: str, live: list[str]
) -> None:
    hand = Hand()
    hand.leader, hand.live = leader, live
    await hand.passes(2 * HUNG_S)
    assert hand.asked == []


async def test_a_short_absence_is_forgotten() -> None:
    hand = Hand()
    await hand.passes(HUNG_S - 1)
    hand.live.append("n3")
    await hand.passes(1)
    hand.live.remove("n3")
    await hand.passes(HUNG_S - 1)
    assert hand.asked == []


async def test_a_node_without_a_vote_has_another_one_lead() -> None:
    hand = Hand()
    hand.fault = InvalidRequest("n1 has no vote")
    await hand.passes(HUNG_S)
    assert hand.asked == ["n1", ""]


async def test_what_cannot_be_handed_over_is_told() -> None:
    hand = Hand()
    hand.fault = NotOnThisEngine("etcd's own members choose")
    await hand.passes(HUNG_S)
    assert [line.event for line in hand.log.lines] == ["lead_not_taken"]
