"""Recorded turns go through the same graphs again, with what was answered then and nobody else to ask."""

from __future__ import annotations

import stat
from pathlib import Path

import anyio
import msgspec
import pytest
from langgraph.checkpoint.memory import InMemorySaver

from agent_api.catalogue import make_catalogue
from agent_api.cli.main import main
from controllers.conversations.remedies import RunOf
from llm_layer.chat.talk import Talk
from llm_layer.chat.turn import Turns
from llm_layer.desk import Plain
from llm_layer.providers.errors import ProviderFault
from llm_layer.providers.messages import Ask, Reply
from llm_layer.recordings.replaying import TurnReplayed, replay, turns_of
from llm_layer.recordings.rows import Answered, Begun, RecordingUnreadable, Replied, Row, read_rows
from llm_layer.recordings.shelf import RecordingShelf
from llm_layer.router.routing import Routing
from runtime.clock import SystemClock
from tests.unit.scripted_model import UNSURE, HandRouter, Scripted, World, calls, claims, models_of, says
from tests.unit.test_graph_chat import RIGHT, STATUS_CALL, WRONG
from tests.unit.test_graph_chat import world as plain_world
from tests.unit.test_graph_investigate import EXPLAIN, OTHER, SUPPORTS, SUPPOSED, by_question, conclusion, world

SECRET = "sk-abcdefghijklmnop1234"


async def record(shelf: RecordingShelf, turns: list[tuple[str, World, Scripted, Routing]], first: int = 1) -> None:
    saver = InMemorySaver()
    for number, (text, desk, script, routing) in enumerate(turns, first):
        has_cheap = models_of(script).has_cheap
        begun = Begun(conversation="c1", number=number, text=text, tainted=False, has_cheap=has_cheap)
        tape = shelf.begin(begun)
        if tape is None:
            continue
        router = HandRouter(routing)
        answering = Turns(fit=lambda _taught, router=router: router, catalogue=make_catalogue(), clock=SystemClock())  # type: ignore[arg-type, misc, return-value]  # routes alike
        talk = Talk(run=RunOf("c1", number), models=models_of(script), keeper=lambda: saver, tape=tape, slow_s=99.0)
        async for event in answering.answer(text, desk, talk):
            tape.note_event(event)
        shelf.keep(begun, tape)


def again(rows: list[Row], routing: Routing) -> list[TurnReplayed]:
    async def run() -> list[TurnReplayed]:
        router = HandRouter(routing)
        return await replay(rows, fit=lambda _taught: router, catalogue=make_catalogue())  # type: ignore[arg-type, return-value]  # routes alike

    return anyio.run(run)


def recorded(directory: Path, *turns: tuple[str, World, Scripted, Routing], kept: int = 2) -> list[Row]:
    shelf = RecordingShelf(directory, lambda: kept)
    anyio.run(record, shelf, list(turns))
    return read_rows(directory / "c1.jsonl")


def talk_of(directory: Path) -> list[Row]:
    """Three turns: one that is put right, one that no model answers, one that remembers."""
    gone = Scripted([STATUS_CALL, ProviderFault("cut", "the stream ended", amid_call=True)])
    return recorded(
        directory,
        (f"how many are up, my key is {SECRET}", plain_world(), Scripted([STATUS_CALL, WRONG, RIGHT]), UNSURE),
        ("and now", plain_world(), gone, UNSURE),
        ("once more", plain_world(), Scripted([calls(("log_list", {})), claims(("Nothing is known.", []))]), UNSURE),
    )


def test_a_conversation_comes_again_as_it_was(tmp_path: Path) -> None:
    turns = again(talk_of(tmp_path), UNSURE)
    assert [each.differs for each in turns] == [(), (), ()]
    assert [each.models_asked for each in turns] == [3, 2, 2]
    assert all(each.cluster_asked and each.events for each in turns)


def test_probes_that_looked_at_once_come_in_the_order_in_which_they_were_answered(tmp_path: Path) -> None:
    script = by_question(supposed=[SUPPOSED, OTHER], probed=SUPPORTS, concluding=[conclusion()])
    rows = recorded(tmp_path, ("why are orders slow?", world(), script, EXPLAIN))
    for _ in range(3):
        (only,) = again(rows, EXPLAIN)
        assert only.differs == ()
        assert only.models_asked == 6


def test_what_a_cheap_model_was_asked_comes_again_too(tmp_path: Path) -> None:
    def cheap(ask: Ask) -> Reply:
        if "command" in str(ask.answer_schema):
            raise ProviderFault("slow", "wrote nothing")
        return says(doubts=[{"claim": 1, "why": "overstated"}])

    strong = iter([STATUS_CALL, RIGHT])
    script = Scripted([lambda ask: cheap(ask) if ask.tier == "cheap" else next(strong)] * 9, cheap="cheap-1")
    rows = recorded(tmp_path, ("how many are up", plain_world(), script, UNSURE))
    (only,) = again(rows, UNSURE)
    assert (only.differs, only.models_asked) == ((), 4)


def test_no_secret_stands_in_it_and_nobody_else_may_read_it(tmp_path: Path) -> None:
    """Every call of a model is there, with what it was asked."""
    rows = talk_of(tmp_path)
    path = tmp_path / "c1.jsonl"
    raw = path.read_bytes()
    assert SECRET.encode() not in raw
    assert b"hunter2hunter2" not in raw
    assert (stat.S_IMODE(path.stat().st_mode), b"[redacted:key]" in raw) == (0o600, True)
    asked = [each for each in rows if isinstance(each, Replied)]
    assert [bool(each.reply) for each in asked] == [True, True, True, True, False, True, True]
    assert all(each.asked for each in asked)


def test_what_comes_otherwise_is_told(tmp_path: Path) -> None:
    def tampered(row: Row) -> Row:
        if isinstance(row, Answered) and row.operation == "cluster.status":
            changed: Plain = {**row.answer, "leader": "n9"}
            return msgspec.structs.replace(row, answer=changed)
        return row

    rows = talk_of(tmp_path)
    first = turns_of(rows)[0]
    assert "which was not asked then" in str(again([tampered(each) for each in first], UNSURE)[0].differs)
    less = [each for each in first if not (isinstance(each, Replied) and each.reply and each.reply.answer)]
    assert again(less, UNSURE)[0].differs
    more = [*first, Answered(verb="ask", operation="node.list", request={})]
    assert again(more, UNSURE)[0].differs == ("it did not ask again: ask node.list",)


def test_only_whole_conversations_are_recorded_and_the_newest_are_kept(tmp_path: Path) -> None:
    shelf = RecordingShelf(tmp_path / "recordings", lambda: 2)
    begun = Begun(conversation="c1", number=2, text="and now", tainted=False)
    assert shelf.begin(begun) is None  # its first turn was told elsewhere
    assert RecordingShelf(tmp_path, lambda: 0).begin(msgspec.structs.replace(begun, number=1)) is None
    assert shelf.begin(msgspec.structs.replace(begun, number=1, conversation="../c1")) is None
    for name in ("a", "b", "c"):
        first = msgspec.structs.replace(begun, number=1, conversation=name)
        tape = shelf.begin(first)
        assert tape is not None
        shelf.keep(first, tape)
    assert sorted(each.name for each in (tmp_path / "recordings").iterdir()) == ["b.jsonl", "c.jsonl"]


def test_a_file_that_is_none_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "c1.jsonl"
    for raw, told in ((b"", "does not begin"), (b"{}\n", ":1: "), (b'{"type":"time","unix_ms":1}\n', "does not begin")):
        path.write_bytes(raw)
        with pytest.raises(RecordingUnreadable, match=told):
            read_rows(path)
    with pytest.raises(RecordingUnreadable, match="cannot be read"):
        read_rows(tmp_path / "none.jsonl")


def test_the_command_tells_what_differs_by_its_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the shipped router: a sentence that it is not sure of."""
    rows = recorded(tmp_path, ("/node list", plain_world(), Scripted([]), UNSURE))
    assert main(["eval", "session", str(tmp_path / "c1.jsonl")]) == 0
    assert "1  /node list: as then (0 replies of models" in capsys.readouterr().out
    (tmp_path / "c1.jsonl").write_bytes(b"".join(msgspec.json.encode(each) + b"\n" for each in rows[:-1]))
    assert main(["eval", "session", str(tmp_path / "c1.jsonl")]) == 1
    assert "DIFFERS" in capsys.readouterr().out
