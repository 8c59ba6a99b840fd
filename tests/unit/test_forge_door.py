"""The Forge's door for consoles: through a real socket, by admins alone, and not there where no Forge is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from controllers.gate.audit import AuditRecord
from evals.forge.console_door import serve_console_door
from evals.forge.errors import ChaosRefused
from evals.forge.operations import ForgeDispatcher, sent
from evals.forge.wishes import ChaosWish, ForgeNodeRow, ForgeStatus, LoadRow, LoadWish
from runtime.consensus.errors import NoQuorum
from runtime.operations.actor import Actor, Role
from runtime.operations.dispatch import Outcome, Refused, Submission
from runtime.security.principals import PrincipalRecord
from runtime.state import keys
from tests.unit.api_parts import ApiOnHand, api_on_hand

pytestmark = pytest.mark.anyio


class DeskOnHand:
    """Implements Desk; what is broken is written down."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    async def do(self, command: str) -> str:
        if command.endswith("n9"):
            raise ChaosRefused("there is no node n9")
        self.heard.append(command)
        return f"{command}: done"

    async def status(self) -> ForgeStatus:
        row = ForgeNodeRow(node="n1", state="paused", leads=True, active=2, rps=1.5)
        return ForgeStatus(nodes=(row,), load=LoadRow(shape="ramp", rps_wanted=9.0), partitions=False)

    async def wish(self, wish: LoadWish, actor: Actor) -> Outcome:
        if wish.rps > 100:
            return Refused(code="chaos_refused", detail="that is more than there is to ask for")
        self.heard.append(f"{actor.id}: {wish.shape} {wish.rps:g}")
        return sent(wish)

    async def break_something(self, wish: ChaosWish, actor: Actor) -> Outcome:
        submission = Submission(operation=wish.operation, request=wish.request, actor=actor)
        return await ForgeDispatcher(self).submit(submission)


async def lost(*_given: object) -> None:
    raise NoQuorum("most of the nodes are gone")


async def audited(hand: ApiOnHand) -> list[AuditRecord]:
    """Of the Forge: what the gate notes of its own changes lies elsewhere."""
    page = await hand.hand.store.range(keys.AUDIT_JOINED)
    return [msgspec.json.decode(each.value, type=AuditRecord) for each in page.items]


@asynccontextmanager
async def in_forge(tmp_path: Path) -> AsyncIterator[tuple[ApiOnHand, DeskOnHand]]:
    desk = DeskOnHand()
    door = await serve_console_door(tmp_path / "console.sock", desk)
    try:
        async with api_on_hand() as hand:
            told = {"value": f"unix:{tmp_path}/console.sock"}
            query = "?break_glass=true&reason=a+test"
            answer = await hand.ask("cleo", "PUT", f"/v1/config/forge_door{query}", json=told)
            assert answer.status_code == 200, answer.text
            await hand.seen()
            yield hand, desk
    finally:
        await door.close()


async def test_outside_a_forge_there_is_none_and_nothing_to_break() -> None:
    async with api_on_hand() as hand:
        assert (await hand.ask("vic", "GET", "/v1/forge")).json() == {"present": False, "forge": None}
        answer = await hand.ask("cleo", "POST", "/v1/forge/chaos", json={"operation": "chaos.heal"})
        assert (answer.status_code, answer.json()["code"]) == (409, "forge_absent")


async def test_what_an_admin_wishes_is_carried_out_by_the_forge_and_told_in_its_words(tmp_path: Path) -> None:
    async with in_forge(tmp_path) as (hand, desk):
        shown = (await hand.ask("vic", "GET", "/v1/forge")).json()
        assert (shown["present"], shown["forge"]["nodes"][0]["state"]) == (True, "paused")
        assert shown["forge"]["load"]["shape"] == "ramp"
        killed = {"operation": "chaos.kill", "request": {"node": "n2", "kind": "store"}}
        answer = await hand.ask("cleo", "POST", "/v1/forge/chaos", json=killed)
        assert answer.json()["said"] == "kill store n2: done"
        load = await hand.ask("cleo", "PUT", "/v1/forge/load", json={"shape": "spike", "rps": 20})
        assert load.status_code == 200, load.text
        assert desk.heard == ["kill store n2", "cleo: spike 20"]


async def test_what_is_asked_of_the_forge_is_in_the_audit_and_so_is_what_it_refused(tmp_path: Path) -> None:
    """Who broke a node that others test must be found where all that people did is found."""
    async with in_forge(tmp_path) as (hand, _desk):
        killed = {"operation": "chaos.kill", "request": {"node": "n2", "kind": "store"}}
        told = (await hand.ask("cleo", "POST", "/v1/forge/chaos", json=killed)).json()
        load = (await hand.ask("cleo", "PUT", "/v1/forge/load", json={"shape": "spike", "rps": 20})).json()
        gone = {"operation": "chaos.kill", "request": {"node": "n9"}}
        assert (await hand.ask("cleo", "POST", "/v1/forge/chaos", json=gone)).status_code == 409
        records = {each.id: each for each in await audited(hand)}
        kill, sent_load = records.pop(told["audit"]), records.pop(load["audit"])
        assert (kill.kind, kill.actor.id, kill.operation, kill.subject) == ("forge", "cleo", "chaos.kill", "node:n2")
        assert (kill.request, sent_load.operation) == (killed["request"], "forge.load")
        assert sent_load.request == {"shape": "spike", "rps": 20.0}
        asked, refused = sorted(records.values(), key=lambda each: each.kind)
        assert (asked.kind, refused.kind, refused.rule) == ("forge", "refused", "there is no node n9")
        assert refused.detail == {"code": "chaos_refused", "asked": asked.id}


async def test_no_agent_breaks_anything_or_sends_load_whatever_its_role(tmp_path: Path) -> None:
    """An admin's key in an agent's hands is still no person's."""
    async with in_forge(tmp_path) as (hand, desk):
        agent = PrincipalRecord(id="bot", kind="automation", role=Role.ADMIN, is_agent=True)
        await hand.hand.principal(agent)
        await hand.seen()
        for method, path, body in (
            ("POST", "chaos", {"operation": "chaos.heal"}),
            ("PUT", "load", {"shape": "spike", "rps": 20}),
        ):
            answer = await hand.ask("bot", method, f"/v1/forge/{path}", json=body)
            assert (answer.status_code, answer.json()["code"]) == (403, "refused_by_policy"), answer.text
        assert desk.heard == []
        assert {(each.kind, each.actor.id) for each in await audited(hand)} == {("refused", "bot")}


async def test_without_a_quorum_the_forge_still_obeys_and_the_answer_says_that_no_record_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who mends a cluster that lost its quorum must not need it for that."""
    async with in_forge(tmp_path) as (hand, desk):
        monkeypatch.setattr(hand.hand.store, "txn", lost)
        answer = await hand.ask("cleo", "POST", "/v1/forge/chaos", json={"operation": "chaos.heal"})
        assert answer.json() == {"said": "heal: done", "audit": ""}
        assert desk.heard == ["heal"]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("chaos", {"operation": "chaos.kill", "request": {"node": "n9"}}, 409),
        ("chaos", {"operation": "slice.scale", "request": {}}, 404),
        ("chaos", {"operation": "chaos.kill", "request": {"node": 3}}, 422),
        ("chaos", {"operation": "chaos.heal", "more": 1}, 422),
        ("load", {"shape": "wild", "rps": 1}, 422),
        ("load", {"shape": "ramp", "rps": 1e9}, 422),
        ("load", {"shape": "ramp", "rps": 500}, 409),
    ],
)
async def test_what_makes_no_sense_is_refused_and_nothing_happens(
    tmp_path: Path, path: str, body: dict[str, object], status: int
) -> None:
    async with in_forge(tmp_path) as (hand, desk):
        method = "PUT" if path == "load" else "POST"
        answer = await hand.ask("cleo", method, f"/v1/forge/{path}", json=body)
        assert (answer.status_code, desk.heard) == (status, []), answer.text


async def test_nobody_but_an_admin_breaks_anything_or_sends_load(tmp_path: Path) -> None:
    async with in_forge(tmp_path) as (hand, desk):
        for who in ("vic", "anna"):
            answer = await hand.ask(who, "POST", "/v1/forge/chaos", json={"operation": "chaos.heal"})
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
            answer = await hand.ask(who, "PUT", "/v1/forge/load", json={"shape": "spike", "rps": 20})
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
        assert desk.heard == []


async def test_a_forge_that_has_gone_is_there_no_more(tmp_path: Path) -> None:
    async with in_forge(tmp_path) as (hand, _desk):
        (tmp_path / "console.sock").unlink()
        assert (await hand.ask("vic", "GET", "/v1/forge")).json()["present"] is False
