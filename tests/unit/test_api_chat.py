"""POST /v1/chat: passed on to whoever answers, as the person who asks; never more than a dry run."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from runtime.consensus.store import KeyValue
from tests.unit.api_parts import ApiOnHand, api_on_hand

pytestmark = pytest.mark.anyio


def desired(hand: ApiOnHand) -> list[KeyValue]:
    """All of the state but what is kept of conversations."""
    return [item for item in hand.hand.state.items("") if not item.key.startswith("conversation")]


async def test_a_turn_is_answered_whole_or_event_by_event() -> None:
    async with api_on_hand() as hand, hand.client("anna") as client:
        whole = await client.post("/v1/chat", json={"text": "hello"})
        begun, text, done = whole.json()["events"]
        assert (begun["type"], begun["number"], text) == ("begun", 1, {"type": "text", "told": "hello"})
        assert (done["type"], done["conversation"], done["number"]) == ("done", begun["conversation"], 1)
        streamed = await client.post("/v1/chat", json={"text": "hello"}, headers={"accept": "text/event-stream"})
        assert (
            'event: text\ndata: {"type":"text","told":"hello"}\n\nevent: done\ndata: {"type":"done",' in streamed.text
        )


async def test_a_reasoner_that_is_absent_is_a_problem_that_passes() -> None:
    async with api_on_hand() as hand, hand.client("anna") as client:
        answer = await client.post("/v1/chat", json={"text": "absent"})
        assert (answer.status_code, answer.json()["code"], answer.json()["retryable"]) == (503, "reasoner_absent", True)


async def test_one_that_goes_amid_a_turn_ends_the_stream_with_words() -> None:
    async with api_on_hand() as hand, hand.client("anna") as client:
        streamed = await client.post("/v1/chat", json={"text": "break"}, headers={"accept": "text/event-stream"})
        assert "event: failed" in streamed.text
        assert "reasoner_absent" in streamed.text


async def test_what_the_reasoner_plans_changes_nothing() -> None:
    """Whatever it says: its desk knows no other submission than a dry run."""
    async with api_on_hand() as hand, hand.client("anna") as client:
        before = desired(hand)
        answer = await client.post("/v1/chat", json={"text": 'plan slice.scale {"slice":"orders","instances":4}'})
        told = answer.json()["events"][1]["told"]
        assert told["answer"]["summary"].startswith("orders")
        assert desired(hand) == before


async def proposed(hand: ApiOnHand, who: str, **members: object) -> dict[str, Any]:
    """What the reasoner is told of a change that it proposes in that person's turn."""
    usual = {"operation": "slice.scale", "request": {"slice": "orders", "instances": 4}, "reason": "it is slow"}
    wanted = {**usual, "evidence": ("run:c1/1",), "tainted": False, "key": "c1/1/0", **members}
    text = f"propose {msgspec.json.encode(wanted).decode()}"
    async with hand.client(who) as client:
        answer = await client.post("/v1/chat", json={"text": text})
    return msgspec.convert(answer.json()["events"][1]["told"], dict[str, Any])


async def test_what_the_reasoner_proposes_waits_for_somebody_else() -> None:
    """Also where that person might do it at once: a model acts for them, and neither decides about it."""
    async with api_on_hand() as hand:
        told = await proposed(hand, "anna")
        async with hand.client("anna") as client:
            shown = (await client.get(f"/v1/proposals/{told['answer']['proposal']}")).json()["proposal"]
            vote = await client.post(f"/v1/proposals/{shown['id']}/approve", json={"reason": "mine"})
    assert (shown["actor"]["kind"], shown["actor"]["behind"]["id"], shown["state"]) == ("model", "anna", "pending")
    assert (shown["gate_class"], shown["evidence"], shown["reason"]) == (1, ["run:c1/1"], "it is slow")
    assert (vote.status_code, vote.json()["code"]) == (403, "vote_refused")


async def test_one_step_of_a_run_is_proposed_once() -> None:
    async with api_on_hand() as hand:
        first, again = await proposed(hand, "anna"), await proposed(hand, "anna")
        other = await proposed(hand, "anna", request={"slice": "orders", "instances": 5})
    assert (again["answer"]["proposal"], again["answer"]["repeated"]) == (first["answer"]["proposal"], True)
    assert other["code"] == "idempotency_key_reused"


async def test_text_from_outside_asks_for_two() -> None:
    async with api_on_hand() as hand:
        told = await proposed(hand, "anna", tainted=True)
    assert told["answer"]["gate_class"] == "G2"


@pytest.mark.parametrize(
    ("who", "members", "code"),
    [
        ("vic", {}, "refused_by_policy"),
        ("anna", {"operation": "policy.set", "request": {"source": "version = 1"}}, "refused_by_policy"),
        ("anna", {"operation": "slice.list", "request": {}}, "operation_unknown"),
        ("anna", {"request": {"slice": "nothing", "instances": 4}}, "slice_not_found"),
        ("anna", {"request": {"slice": "orders"}}, "request_invalid"),
        ("anna", {"reason": "x" * 1_001}, "request_invalid"),
    ],
)
async def test_what_the_reasoner_may_not_propose_is_refused(who: str, members: dict[str, object], code: str) -> None:
    async with api_on_hand() as hand:
        assert (await proposed(hand, who, **members))["code"] == code


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("plan slice.list {}", "operation_unknown"),
        ('plan slice.scale {"slice":"orders"}', "request_invalid"),
        ('plan slice.scale {"slice":"nothing","instances":4}', "slice_not_found"),
        ('ask slice.scale {"slice":"orders","instances":4}', "operation_unknown"),
        ('ask slice.show {"slice":"nothing"}', "slice_not_found"),
        ("ask no.such {}", "operation_unknown"),
    ],
)
async def test_what_the_reasoner_may_not_is_refused_by_its_code(text: str, code: str) -> None:
    async with api_on_hand() as hand, hand.client("anna") as client:
        answer = await client.post("/v1/chat", json={"text": text})
        assert answer.json()["events"][1]["told"]["code"] == code


async def test_it_knows_no_more_than_who_asks() -> None:
    async with api_on_hand() as hand, hand.client("vic") as client:
        answer = await client.post("/v1/chat", json={"text": "ask principal.list {}"})
        told = msgspec.convert(answer.json()["events"][1]["told"], dict[str, object])
        assert told["code"] == "forbidden"


@pytest.mark.parametrize(
    "body", [{}, {"text": ""}, {"text": " \n\t"}, {"text": "x" * 9_000}, {"text": "x", "more": 1}, {"text": 5.5}]
)
async def test_what_is_no_turn_is_refused(body: dict[str, object]) -> None:
    async with api_on_hand() as hand, hand.client("anna") as client:
        assert (await client.post("/v1/chat", json=body)).status_code == 422
