"""What surrounds a host in its process: captured output, limits on time, reasons for ends."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import random
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import cast

import pytest

from runtime.hosting.forking import thread_count
from runtime.hosting.instance import hosted
from runtime.hosting.memory import private_mb
from runtime.hosting.output import LINE_CHARACTERS_MAX, CapturedStream, capture_output
from runtime.hosting.tasks import TaskOwner
from runtime.hosting.worker import seed_random
from runtime.hosting.workers import explain
from runtime.hosting.zygote import OUTPUT_READS_MAX, Forked, Zygote, ZygoteLog
from runtime.sdk.testing import CollectedLog


@pytest.fixture
def log() -> Iterator[CollectedLog]:
    streams, handlers, level = (sys.stdout, sys.stderr), logging.root.handlers[:], logging.root.level
    collected = CollectedLog()
    try:
        yield collected
    finally:
        sys.stdout, sys.stderr = streams
        logging.root.handlers[:] = handlers
        logging.root.setLevel(level)


def test_lines_are_logged_for_the_instance_that_printed_them(log: CollectedLog) -> None:
    stream = CapturedStream(log, "stdout")
    stream.write("whole\nhal")
    token = hosted.set("shop/2")
    stream.write("other\n")
    hosted.reset(token)
    stream.write("f\n\n")
    stream.write("x" * (LINE_CHARACTERS_MAX + 1))
    stream.write("rest")
    stream.finish()
    lines = [(line.fields["instance"], line.fields["line"]) for line in log.lines]
    assert lines[:3] == [("", "whole"), ("shop/2", "other"), ("", "half")]
    assert lines[3][1] == "x" * LINE_CHARACTERS_MAX
    assert lines[4] == ("", "rest")


def test_print_and_the_standard_logging_are_captured(log: CollectedLog) -> None:
    capture_output(log)
    print("to stdout")
    print("to stderr", file=sys.stderr)
    logging.getLogger("library").warning("careful %s", "now")
    found = [(line.level, line.event, line.fields["line"]) for line in log.lines]
    assert found == [
        ("info", "slice_printed", "to stdout"),
        ("info", "slice_printed", "to stderr"),
        ("warning", "slice_logged", "careful now"),
    ]


@pytest.mark.anyio
async def test_a_time_limit_holds_even_for_work_that_refuses_to_be_cancelled() -> None:
    tasks = TaskOwner()
    released = asyncio.Event()

    async def stubborn() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            await released.wait()

    with pytest.raises(TimeoutError):
        await tasks.within(stubborn(), seconds=0.01, name="stubborn")
    assert len(tasks) == 1
    released.set()
    assert await tasks.close(grace_s=1.0) == 0


@pytest.mark.parametrize(
    ("status", "how", "last", "killed", "sentence"),
    [
        (0, "exited with status 0", "bye", "", "exited with status 0"),
        (7, "exited with status 7", "Fatal", "", "exited with status 7: Fatal"),
        (-11, "killed by SIGSEGV", "", "", "killed by SIGSEGV"),
        (-9, "killed by SIGKILL", "", "it used 9 MB", "killed by the node: it used 9 MB"),
        (None, "ended", "", "", "ended"),
    ],
)
def test_a_workers_end_is_told_in_one_sentence(
    status: int | None, how: str, last: str, killed: str, sentence: str
) -> None:
    assert explain(status, how, last, killed, 512) == sentence


def test_a_kill_from_outside_points_to_memory() -> None:
    assert "the worker's own limit is 512 MB" in explain(-9, "killed by SIGKILL", "", "", 512)


def test_a_worker_that_prints_without_end_does_not_hold_its_zygote(
    log: CollectedLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The zygote looks after the memory of all its workers, and starts new ones, in the same loop."""
    reads = itertools.count()

    def endless(_descriptor: int, count: int) -> bytes:
        assert next(reads) < 1_000
        return b"x" * (count - 1) + b"\n"

    zygote = Zygote.__new__(Zygote)
    zygote._log = cast(ZygoteLog, log)
    monkeypatch.setattr("runtime.hosting.zygote.os.read", endless)
    forked = Forked(worker="w", pid=0, ticks=0, artifact="", memory_mb_max=1, pidfd=-1, output=0, ready=-1, waiter=-1)
    zygote._read_output(forked)
    assert 0 < next(reads) <= OUTPUT_READS_MAX
    assert forked.last_line.startswith("xxx")


def test_this_process_has_threads_and_memory() -> None:
    assert thread_count() >= 1
    assert private_mb(os.getpid()) > 1
    assert private_mb(2**22 + 1) == 0.0


def test_a_fork_draws_numbers_of_its_own_from_every_generator(monkeypatch: pytest.MonkeyPatch) -> None:
    """numpy's global generator is one more than Python's, where a dependency set has preloaded numpy."""
    seeded: list[str] = []
    fake = SimpleNamespace(random=SimpleNamespace(seed=lambda: seeded.append("numpy")))
    monkeypatch.setitem(sys.modules, "numpy", fake)
    before = random.getstate()
    seed_random()
    assert random.getstate() != before
    assert seeded == ["numpy"]
