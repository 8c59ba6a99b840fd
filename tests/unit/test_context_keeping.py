"""History beside the loop: it goes on over damage, a full disk and other nodes' absence, and says what it did."""

from __future__ import annotations

import math
import os
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from controllers.context import history
from controllers.context.errors import HistoryAway, HistoryQuestionInvalid
from controllers.context.filling import HOURS, KNOWN, HistoryFiller
from controllers.context.history import MinuteHistory
from controllers.context.history_file import HistoryFile, Span
from controllers.context.minute import SliceMinute
from runtime.invocation.connection import Connection
from runtime.invocation.errors import NotStarted, RemoteFault
from runtime.invocation.incoming import Handlers
from runtime.invocation.listener import connect_unix, serve_unix
from runtime.names import NodeId
from runtime.sdk.testing import CollectedLog

pytestmark = pytest.mark.anyio

HOUR = 480_000
MINUTE = HOUR * 60
MIB = 2**20


def told(minute: int, invocations: float = 1.0, *, name: str = "tea") -> SliceMinute:
    return SliceMinute(slice=name, version="1", minute=minute, invocations=invocations)


class Kept:
    """A history and its log."""

    def __init__(self, directory: Path) -> None:
        self.log = CollectedLog()
        self.path = directory / history.FILE_NAME
        self.history = MinuteHistory(directory, days=14, bytes_max=64 * MIB, log=self.log)

    @property
    def events(self) -> list[str]:
        return [line.event for line in self.log.lines]

    async def put(self, *minutes: SliceMinute) -> None:
        await self.history.ask(lambda file: file.append(minutes))

    async def invocations(self, first: int, count: int, name: str = "tea") -> list[float]:
        return (await self.history.load([Span(name, first, count)]))[0].tolist()


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path / "history")


async def until(condition: Callable[[], bool]) -> None:
    """Waits for what a thread does meanwhile."""
    with anyio.fail_after(5):
        while not condition():  # noqa: ASYNC110  a thread makes it so
            await anyio.sleep(0.005)


async def test_what_is_told_is_written_also_when_the_process_stops_right_after(kept: Kept) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(kept.history.run)
        kept.history.tell(MINUTE, [told(MINUTE, 3.0)])
        await until(lambda: not kept.history._pending)
        kept.history.tell(MINUTE + 1, [told(MINUTE + 1, 4.0)])
        tasks.cancel_scope.cancel()
    file = HistoryFile(kept.path, days=14, bytes_max=64 * MIB)
    assert file.load([Span("tea", MINUTE, 2)])[0].tolist() == [3.0, 4.0]


@pytest.mark.parametrize("damage", ["garbage", "torn", "foreign"])
async def test_a_file_that_cannot_be_used_is_moved_aside_and_history_goes_on(kept: Kept, damage: str) -> None:
    kept.path.parent.mkdir()
    if damage == "garbage":
        kept.path.write_bytes(os.urandom(8_192))
    elif damage == "foreign":
        with sqlite3.connect(kept.path) as database:
            database.execute("PRAGMA user_version = 9")
        database.close()
    else:
        await kept.put(*(told(MINUTE + minute) for minute in range(400)))
        await kept.history._close()
        content = bytearray(kept.path.read_bytes())
        content[100 : len(content) : 7] = bytes(len(content[100 : len(content) : 7]))
        kept.path.write_bytes(content)
    await kept.put(told(MINUTE, 5.0))
    assert await kept.invocations(MINUTE, 1) == [5.0]
    assert kept.events == ["history_moved_aside"]
    assert kept.path.with_suffix(".damaged").exists()


async def test_a_disk_that_refuses_is_told_once_and_nothing_is_lost_for_an_hour(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    async with anyio.create_task_group() as tasks:
        with monkeypatch.context() as broken:
            broken.setattr(HistoryFile, "append", full)
            tasks.start_soon(kept.history.run)
            for minute in range(history.PENDING_MAX + 1):
                kept.history.tell(MINUTE + minute, [told(MINUTE + minute)])
            await until(lambda: "history_failed" in kept.events)
            with pytest.raises(HistoryAway, match="full"):
                await kept.put(told(MINUTE))
        kept.history.tell(MINUTE + 99, [told(MINUTE + 99)])
        await until(lambda: not kept.history._pending)
        assert sum(map(math.isnan, await kept.invocations(MINUTE, history.PENDING_MAX + 1))) == 2
        tasks.cancel_scope.cancel()
    assert kept.events == ["history_minute_lost", "history_failed", "history_minute_lost", "history_recovered"]


async def test_a_damaged_hour_is_asked_for_again(kept: Kept) -> None:
    await kept.put(told(MINUTE))
    await kept.history.ask(lambda file: file.seal(MINUTE + 60))
    await kept.history.ask(lambda file: file._database.execute("UPDATE hours SET packed = x'00'"))
    assert math.isnan((await kept.invocations(MINUTE, 1))[0])
    assert await kept.history.ask(lambda file: file.known(HOUR, 1)) == {}


# -- filling from another node -----------------------------------------------------------------------------------------


class Clock:
    def unix_ms(self) -> int:
        return (MINUTE + 200) * 60_000

    def monotonic_s(self) -> float:
        return 0.0


class Nodes:
    """Two nodes' histories, joined by a real connection."""

    def __init__(self, directory: Path) -> None:
        self.socket = directory / "n2.sock"
        self.own, self.other = Kept(directory / "n1"), Kept(directory / "n2")
        self.handlers = Handlers()
        self.filler(self.other).offer(self.handlers)

    def filler(self, kept: Kept) -> HistoryFiller:
        return HistoryFiller(
            history=kept.history,
            days=14,
            peers=lambda: [NodeId("n2")],
            connect=self.connect,
            clock=Clock(),
            log=kept.log,
        )

    async def connect(self, node: NodeId) -> Connection:
        try:
            return await connect_unix(self.socket)
        except OSError as error:
            raise NotStarted(str(error)) from error

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        listener = await serve_unix(self.socket, self.handlers)
        try:
            yield
        finally:
            await listener.close()


async def test_minutes_that_were_missed_come_from_another_node_and_own_ones_stay(tmp_path: Path) -> None:
    nodes = Nodes(tmp_path)
    week = 7 * 24 * 60
    await nodes.other.put(*(told(MINUTE - week + minute, float(minute)) for minute in range(180)))
    await nodes.other.history.ask(lambda file: file.seal(MINUTE))
    await nodes.other.put(told(MINUTE + 190, 7.0), told(MINUTE + 191, 8.0), told(MINUTE + 191, 9.0, name="milk"))
    await nodes.own.put(told(MINUTE + 191, 1.0))
    async with nodes.listening():
        filled = await nodes.filler(nodes.own).fill_from(NodeId("n2"), days=14)
        assert await nodes.filler(nodes.own).fill_from(NodeId("n2"), days=14) == 0
    assert filled == 180 + 2 + 1
    assert await nodes.own.invocations(MINUTE - week, 180) == [float(minute) for minute in range(180)]
    assert await nodes.own.invocations(MINUTE + 190, 2) == [7.0, 1.0]
    assert await nodes.own.invocations(MINUTE + 191, 1, "milk") == [9.0]


async def test_a_node_that_does_not_answer_is_asked_again_and_one_that_did_is_not(tmp_path: Path) -> None:
    nodes = Nodes(tmp_path)
    await nodes.other.put(told(MINUTE))
    filler = nodes.filler(nodes.own)
    await filler._ask_when_due(NodeId("n2"))
    assert filler._asked_s == {}
    async with nodes.listening():
        await filler._ask_when_due(NodeId("n2"))
        await nodes.other.put(told(MINUTE + 1))
        await filler._ask_when_due(NodeId("n2"))
    assert nodes.own.events == ["history_filled"]
    assert math.isnan((await nodes.own.invocations(MINUTE + 1, 1))[0])


@pytest.mark.parametrize("target", [KNOWN, HOURS])
@pytest.mark.parametrize(
    "payload",
    [b"", b"\xc1", b"\x92\x01\xa1x", b"\x92\x01\xce\xff\xff\xff\xff", b"\x91\x91\x01", b"\x91\x91\x92\xa1\xff\x01"],
    ids=range(6),
)
async def test_a_question_that_is_none_is_refused_and_harms_nothing(
    tmp_path: Path, target: str, payload: bytes
) -> None:
    nodes = Nodes(tmp_path)
    async with nodes.listening():
        connection = await nodes.connect(NodeId("n2"))
        with pytest.raises(RemoteFault) as refused:
            await connection.call(target, payload, deadline_s=5.0)
        assert refused.value.code == HistoryQuestionInvalid.code
        await connection.close()
