"""Conversations over the API: kept with who said what, shown to their owners and admins, and to nobody else."""

from __future__ import annotations

from typing import Any

import httpx
import msgspec
import pytest

from controllers.conversations.limits import IN_STORE_BYTES_MAX, TURNS_MAX
from controllers.conversations.records import ConversationRecord
from runtime.consensus.store import Put
from runtime.state import keys
from runtime.state.values import encode
from tests.unit.api_parts import ApiOnHand, api_on_hand

pytestmark = pytest.mark.anyio


async def say(hand: ApiOnHand, who: str, text: str, conversation: str = "") -> list[dict[str, Any]]:
    members = {"text": text} | ({"conversation": conversation} if conversation else {})
    answer = await hand.ask(who, "POST", "/v1/chat", json=members)
    assert answer.status_code == 200, answer.text
    events: list[dict[str, Any]] = answer.json()["events"]
    return events


async def begun(hand: ApiOnHand, who: str, text: str) -> str:
    return str((await say(hand, who, text))[0]["conversation"])


async def shown(hand: ApiOnHand, who: str, conversation: str, **words: int) -> dict[str, Any]:
    answer = await hand.ask(who, "GET", f"/v1/conversations/{conversation}", params=words)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def tell(*events: dict[str, object]) -> str:
    return f"tell {msgspec.json.encode([*events, {'type': 'done', 'answered_by': 'rules', 'kind': 'answer'}]).decode()}"


async def test_what_was_said_and_answered_is_shown_again_and_gone_on_with() -> None:
    async with api_on_hand() as hand:
        conversation = await begun(hand, "anna", "why are orders slow?")
        again = await say(hand, "anna", "and now?", conversation)
        assert [(each["conversation"], each["number"]) for each in (again[0], again[-1])] == [(conversation, 2)] * 2
        found = await shown(hand, "anna", conversation)
        assert (found["title"], found["owner"], found["more"]) == ("why are orders slow?", "anna", 0)
        assert [(each["number"], each["by"], each["text"], each["state"]) for each in found["turns"]] == [
            (1, "anna", "why are orders slow?", "ended"),
            (2, "anna", "and now?", "ended"),
        ]
        assert found["turns"][1]["events"] == [{"type": "text", "told": "and now?"}, {"type": "done"}]


async def test_turns_are_told_page_by_page() -> None:
    async with api_on_hand() as hand:
        conversation = await begun(hand, "anna", "one")
        for text in ("two", "three"):
            await say(hand, "anna", text, conversation)
        first = await shown(hand, "anna", conversation, limit=2)
        assert ([each["text"] for each in first["turns"]], first["more"]) == (["one", "two"], 1)
        rest = await shown(hand, "anna", conversation, after=2)
        assert ([each["text"] for each in rest["turns"]], rest["more"]) == (["three"], 0)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/conversations/{}"),
        ("GET", "/v1/conversations/{}/note"),
        ("DELETE", "/v1/conversations/{}"),
        ("POST", "/v1/chat"),
    ],
)
async def test_somebody_else_s_conversation_is_none(method: str, path: str) -> None:
    """The answer is the same as for an id that there is not, word for word but for the id."""
    async with api_on_hand() as hand:
        conversation = await begun(hand, "anna", "the secret plan")
        answers = []
        for identity in (conversation, "nosuch"):
            body = {"json": {"text": "x", "conversation": identity}} if method == "POST" else {}
            answer = await hand.ask("ben", method, path.format(identity), **body)
            problem = answer.json()
            answers.append((answer.status_code, problem["code"], problem["detail"].replace(identity, "ID")))
        assert answers[0] == answers[1]
        assert answers[0][:2] == (404, "conversation_not_found")
        assert len((await shown(hand, "anna", conversation))["turns"]) == 1


async def test_lists_hold_one_s_own_and_for_admins_who_ask_all() -> None:
    async with api_on_hand() as hand:
        await begun(hand, "anna", "of anna")
        hand.hand.clock.now_ms += 1_000
        await begun(hand, "vic", "of vic")

        async def titles(who: str, **words: str) -> list[str]:
            answer = await hand.ask(who, "GET", "/v1/conversations", params=words)
            return [each["title"] for each in answer.json()["items"]]

        assert await titles("vic") == ["of vic"]
        assert await titles("cleo") == []
        assert await titles("cleo", all="true") == ["of vic", "of anna"]
        refused = await hand.ask("anna", "GET", "/v1/conversations", params={"all": "true"})
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")


async def test_an_admin_sees_and_deletes_anybody_s() -> None:
    async with api_on_hand() as hand:
        conversation = await begun(hand, "anna", "hello")
        assert (await shown(hand, "cleo", conversation))["owner"] == "anna"
        gone = await hand.ask("cleo", "DELETE", f"/v1/conversations/{conversation}")
        assert gone.json()["deleted"] is True
        assert (await hand.ask("anna", "GET", f"/v1/conversations/{conversation}")).status_code == 404


async def test_an_answer_that_breaks_off_is_kept_as_far_as_it_came() -> None:
    async with api_on_hand() as hand:
        events = await hand.ask(
            "anna", "POST", "/v1/chat", json={"text": "break"}, headers={"accept": "text/event-stream"}
        )
        assert "event: failed" in events.text
        listed = (await hand.ask("anna", "GET", "/v1/conversations")).json()["items"]
        turn = (await shown(hand, "anna", listed[0]["id"]))["turns"][0]
        assert (turn["state"], [each["type"] for each in turn["events"]]) == ("broken", ["text"])
        assert (listed[0]["answering"], (await say(hand, "anna", "x", listed[0]["id"]))[0]["number"]) == (False, 2)


async def test_what_is_said_to_an_absent_reasoner_is_kept_too() -> None:
    async with api_on_hand() as hand:
        await hand.ask("anna", "POST", "/v1/chat", json={"text": "absent"})
        listed = (await hand.ask("anna", "GET", "/v1/conversations")).json()["items"]
        assert [each["title"] for each in listed] == ["absent"]


async def test_secrets_are_in_no_record_of_what_was_said_or_answered() -> None:
    """Neither in the text, nor the title, nor in a card that takes them."""
    card = {
        "type": "card",
        "id": "c1",
        "operation": "blueprint.apply",
        "request": {"source": "config = 'hunter2hunter2'"},
        "command": "/blueprint apply source=\"config = 'hunter2hunter2'\"",
        "submit": {"body": {"source": "hunter2hunter2"}},
    }
    for text in (
        "set the password=hunter2hunter2",
        "/blueprint apply source=hunter2hunter2",
        " /blueprint  apply\tsource=hunter2hunter2",
        "\n/'blueprint' \"apply\" hunter2hunter2",
        '/blue"print" ap\\ply hunter2hunter2',
        '/"blueprint apply" hunter2hunter2',
        "/blueprint.apply hunter2hunter2",
        "/blueprint aply source=hunter2hunter2",
        "/bluprint apply hunter2hunter2",
        "/apply {hunter2hunter2}",
        "/blueprint2 hunter2hunter2",
        "/'blueprint aply' hunter2hunter2",
        "/aply\thunter2hunter2",
        "/aply\nsource='''\nhunter2hunter2'''",
        "/token hunter-hunter",
        "/token hunter-hunter now",
        "/token:hunter2hunter2",
        "/blueprint.aply.hunter2hunter2 now",
        "/config set oidc_autority hunter2hunter2",
    ):
        async with api_on_hand() as hand:
            hand.reasoner.told = [card, {"type": "text", "text": "token: hunter2hunter2"}, {"type": "done"}]
            conversation = await begun(hand, "anna", text)
            for path in (
                "/v1/conversations",
                f"/v1/conversations/{conversation}",
                f"/v1/conversations/{conversation}/note",
            ):
                told = await hand.ask("anna", "GET", path)
                assert told.status_code == 200
                assert "hunter" not in told.text
            heads_and_turns = hand.hand.state.items("conversation")
            assert len(heads_and_turns) == 2
            assert b"hunter" not in b"".join(item.value for item in heads_and_turns)


async def test_a_card_that_takes_no_secret_is_kept_as_it_is() -> None:
    async with api_on_hand() as hand:
        card = {"type": "card", "id": "c1", "operation": "slice.scale", "request": {"slice": "orders", "instances": 5}}
        conversation = await begun(hand, "anna", tell(card))
        assert (await shown(hand, "anna", conversation))["turns"][0]["events"][0] == card


async def test_other_commands_are_kept_as_they_were_said_and_paths_in_answers_are_none() -> None:
    async with api_on_hand() as hand:
        hand.reasoner.told = [{"type": "text", "text": "/var/log is full"}, {"type": "done"}]
        for said in ("/slice scale orders 5", "/slice list", "/help", "/config set log_level debug"):
            conversation = await begun(hand, "anna", said)
            turn = (await shown(hand, "anna", conversation))["turns"][0]
            assert (turn["text"], turn["events"][0]["text"]) == (said, "/var/log is full")


async def test_a_long_answer_is_content_and_one_without_end_is_cut() -> None:
    async with api_on_hand() as hand:
        numbers = [str(at * 7919 % 100_003) for at in range(12_000)]
        text = tell(*({"type": "text", "text": " ".join(numbers[at : at + 100])} for at in range(0, 12_000, 100)))
        hand.reasoner.told = msgspec.json.decode(text.removeprefix("tell "))
        conversation = await begun(hand, "anna", "long")
        assert [len(each) > IN_STORE_BYTES_MAX for each in hand.reasoner.contents.kept.values()] == [True]
        turn = (await shown(hand, "anna", conversation))["turns"][0]
        assert (len(turn["events"]), turn["left_out"], turn["lost"]) == (121, 0, False)
        hand.reasoner.contents.kept.clear()
        assert (await shown(hand, "anna", conversation))["turns"][0]["lost"] is True
        hand.reasoner.told = [{"type": "text", "text": "x" * 1_000}] * 2_000 + [{"type": "done"}]
        cut = (await shown(hand, "anna", await begun(hand, "anna", "endless")))["turns"][0]
        assert 0 < len(cut["events"]) < 300
        assert cut["left_out"] == 2_001 - len(cut["events"])


async def test_a_conversation_ends_at_so_many_turns() -> None:
    async with api_on_hand() as hand:
        full = ConversationRecord(owner="anna", title="t", created_unix_ms=1, last_unix_ms=1, turns=TURNS_MAX)
        await hand.hand.store.txn([], [Put(key=keys.conversation("full"), value=encode(full))])
        answer = await hand.ask("anna", "POST", "/v1/chat", json={"text": "x", "conversation": "full"})
        assert (answer.status_code, answer.json()["code"]) == (409, "conversation_full")


async def test_taint_stays_with_a_conversation_and_is_handed_in_with_the_next_turn() -> None:
    async with api_on_hand() as hand:
        conversation = await begun(hand, "anna", tell({"type": "diagnosed", "diagnosis": {"tainted": True}}))
        events = await say(hand, "anna", "scale orders to 5", conversation)
        assert [each.tainted for each in hand.reasoner.begun] == [False, True]
        assert events[-1]["tainted"] is True
        assert (await shown(hand, "anna", conversation))["tainted"] is True


@pytest.mark.parametrize("identity", ["../x", "a/b", "A", "", "x" * 41])
async def test_what_is_no_id_is_refused(identity: str) -> None:
    async with api_on_hand() as hand:
        answer = await hand.ask("anna", "POST", "/v1/chat", json={"text": "x", "conversation": identity})
        assert (answer.status_code, answer.json()["code"]) == (422, "request_invalid")


SCALE = "/v1/slices/orders/scale"
CARD = {"type": "card", "id": "c1", "operation": "slice.scale", "request": {"slice": "orders", "instances": 5}}


async def make(hand: ApiOnHand, who: str, conversation: str, **words: str) -> httpx.Response:
    params = {"conversation": conversation, "card": "c1", **words}
    return await hand.ask(who, "PUT", SCALE, json={"instances": 5}, params=params)


async def test_what_is_made_of_a_card_is_told_in_its_conversation() -> None:
    async with api_on_hand() as hand:
        conversation = await begun(hand, "anna", tell(CARD))
        made = (await make(hand, "anna", conversation)).json()
        found = (await shown(hand, "anna", conversation))["cards"]
        assert [(each["id"], each["state"], each["by"], each["audit"]) for each in found] == [
            ("c1", "applied", "anna", made["audit"])
        ]


async def test_the_proposal_of_a_card_is_told_with_its_state() -> None:
    """And stays told when it is decided, whoever leads then: it lies in the state."""
    async with api_on_hand() as hand:
        conversation = await begun(hand, "anna", tell(CARD))
        proposal = (await make(hand, "anna", conversation, propose="true")).json()["proposal"]

        async def card() -> dict[str, Any]:
            await hand.seen()
            found: dict[str, Any] = (await shown(hand, "anna", conversation))["cards"][0]
            return found

        assert (await card())["proposal"] == proposal
        assert (await card())["state"] == "pending"
        await hand.ask("ben", "POST", f"/v1/proposals/{proposal}/reject", json={"reason": "no"})
        assert (await card())["state"] == "rejected"


async def test_a_card_of_a_tainted_conversation_needs_more_people() -> None:
    """Whatever the client says of it: the cluster itself knows what was read there."""
    async with api_on_hand() as hand:
        clean = await begun(hand, "anna", tell(CARD))
        assert (await make(hand, "anna", clean, dry_run="true")).json()["decision"] == "act"
        tainted = await begun(hand, "anna", tell({"type": "diagnosed", "diagnosis": {"tainted": True}}, CARD))
        planned = (await make(hand, "anna", tainted, dry_run="true")).json()
        assert (planned["decision"], planned["gate_class"]) == ("propose", "G2")
        assert "text from outside" in planned["rule"]
        waits = (await make(hand, "anna", tainted)).json()
        assert waits["outcome"] == "proposed"
        assert hand.hand.proposal(waits["proposal"]).tainted is True


@pytest.mark.parametrize("whose", ["nosuch", "of anna"])
async def test_no_change_comes_from_somebody_else_s_conversation(whose: str) -> None:
    async with api_on_hand() as hand:
        conversation = await begun(hand, "anna", tell(CARD)) if whose == "of anna" else whose
        before = hand.hand.wanted()
        answer = await make(hand, "ben", conversation)
        assert (answer.status_code, answer.json()["code"]) == (404, "conversation_not_found")
        assert hand.hand.wanted() == before


async def test_the_note_tells_timeline_evidence_plan_and_outcome_without_markup_of_others() -> None:
    async with api_on_hand() as hand:
        looked = {"id": "E1", "operation": "log.list", "request": {"slice": "orders"}, "revision": 7}
        plan = {
            "gate_class": "G0",
            "rule": "low risk",
            "diff": [{"key": "k", "path": "wanted", "before": 4, "after": 5}],
        }
        hand.reasoner.told = [
            {"type": "looked", "evidence": looked},
            {"type": "text", "text": "# Cause\n![x](http://evil)", "evidence": ["E1"]},
            CARD | {"summary": "orders: 4 -> 5", "command": "/slice scale orders 5", "plan": plan},
            {"type": "done", "answered_by": "rules"},
        ]
        conversation = await begun(hand, "anna", "why are orders slow?")
        await make(hand, "anna", conversation)
        note = (await hand.ask("anna", "GET", f"/v1/conversations/{conversation}/note")).json()["markdown"]
        sections = [line for line in note.splitlines() if line.startswith("#")]
        assert sections == ["# why are orders slow?", "## Timeline", "## Evidence", "## Plan", "## Outcome"]
        assert "**anna**: why are orders slow?" in note
        assert "\\# Cause \\!\\[x\\](http://evil) [1.E1]" in note
        assert "- 1.E1: log.list slice=orders, at revision 7" in note
        assert "k wanted: 4 → 5" in note
        assert "made by anna" in note.split("## Outcome")[1]


async def test_the_note_tells_what_a_model_concluded_and_proposed() -> None:
    """What it proposes is no card, and no less a plan."""
    async with api_on_hand() as hand:
        concluded = {"roots": ["slice:ledger"], "mechanism": "dependency_slow", "by": "model", "gaps": ["no *traces*"]}
        proposed = {
            "id": "p7",
            "operation": "slice.restart",
            "request": {"slice": "ledger"},
            "summary": "ledger: 2 instances restart",
            "gate_class": "G1",
            "rule": "a model acts for a person",
            "approvers": "1 operator",
            "rollback": "there is no way back by itself",
        }
        hand.reasoner.told = [
            {"type": "concluded", "confidence": 0.8, **concluded},
            {"type": "checked", "by": "x cheap-1", "claims": 1, "doubts": [{"claim": "*a*", "why": "y", "says": "no"}]},
            {"type": "proposal", **proposed},
            {"type": "done", "answered_by": "model"},
        ]
        conversation = await begun(hand, "anna", "make orders quick again")
        note = (await hand.ask("anna", "GET", f"/v1/conversations/{conversation}/note")).json()["markdown"]
        timeline, plan = note.split("## Evidence")[0], note.split("## Plan")[1].split("## Outcome")[0]
        assert "cause slice:ledger: dependency\\_slow, by model; not known: no \\*traces\\*" in timeline
        assert "- 1: ledger: 2 instances restart (proposal `p7`: slice.restart" in plan
        assert '*x cheap-1*: doubts "\\*a\\*": no' in timeline
        assert "gate: G1, a model acts for a person; needs 1 operator" in plan
        assert "undone by: there is no way back by itself" in plan
