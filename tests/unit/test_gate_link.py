"""The gate of another node: what it answers, and what it means that it does not."""

from __future__ import annotations

import pytest

from controllers.gate.remote import GateLink
from runtime.consensus.errors import NotLeader
from runtime.invocation.errors import CallFault, ConnectionLost, RemoteFault
from runtime.names import NodeId
from runtime.operations.dispatch import Submission
from tests.unit.gate_parts import GateOnHand, person

pytestmark = pytest.mark.anyio

SCALE = Submission(operation="slice.scale", request={"slice": "orders", "instances": 5}, actor=person("anna"))


class Failing:
    """A connection whose every call ends so."""

    def __init__(self, fault: CallFault) -> None:
        self._fault = fault

    async def call(self, *_: object, **__: object) -> bytes:
        raise self._fault


def linked(fault: CallFault) -> GateLink:
    hand = GateOnHand()

    async def connect(_node: NodeId) -> Failing:
        return Failing(fault)

    return GateLink(
        node=NodeId("n2"),
        leader=lambda: "n1",
        gate=hand.gate,
        votes=hand.votes,
        reviews=hand.reviews,
        now=lambda: hand.state.revision,
        connect=connect,  # type: ignore[arg-type]  # all that is asked of a connection here is `call`
        arrived=hand.state.wait_for,
    )


async def test_a_leader_that_cannot_be_reached_is_tried_again() -> None:
    with pytest.raises(NotLeader) as caught:
        await linked(ConnectionLost("gone")).submit(SCALE)
    assert caught.value.retryable


async def test_a_leader_that_fails_is_not_taken_for_one_that_is_away() -> None:
    """Who is told to try again would do so for ever, and never hear where the reason stands."""
    with pytest.raises(RemoteFault) as caught:
        await linked(RemoteFault(code="internal", detail="the handler failed; correlation id 1f")).submit(SCALE)
    assert (caught.value.code, caught.value.retryable) == ("internal", False)
    assert "1f" in str(caught.value)
