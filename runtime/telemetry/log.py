"""Structured logs: one JSON line per event, in segments on disk that the cluster can query.

msgspec and the standard library only, for workers and the store log through it too.
"""

from __future__ import annotations

import atexit
import os
import sys
import time
from pathlib import Path
from typing import Final

import msgspec

from runtime.clock import Clock, SystemClock
from runtime.invocation.context import current
from runtime.telemetry.segments import SegmentWriter

LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}
FLUSH_S: Final = 0.2  # a line is on disk within this much, if more lines come; else with the next tick or at the end
_encode: Final = msgspec.json.Encoder(enc_hook=repr, order=None).encode


class Secret:
    """A string that shows itself to nobody by accident; `reveal()` is easy to find in a review."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__


class Log:
    """`log.info("plan_accepted", plan_id=…)`: a past-tense event and its data; the call's ids are added."""

    def __init__(self, writer: SegmentWriter, *, node: str, process: str, level: str, clock: Clock) -> None:
        self._writer = writer
        self._node = node
        self._process = process
        self._clock = clock
        self._level = LEVELS[level]
        self._echo = os.environ.get("AETHER_LOG_ECHO") == "1"
        self._flushed_s = time.monotonic()

    def set_level(self, level: str) -> None:
        """Takes effect with the next line; a change is always told. Raises KeyError for a name that is no level."""
        number = LEVELS[level]
        if number != self._level:
            self._level = number
            self._write("info", "log_level_changed", {"to": level})

    def debug(self, event: str, **fields: object) -> None:
        if self._level <= LEVELS["debug"]:
            self._write("debug", event, fields)

    def info(self, event: str, **fields: object) -> None:
        if self._level <= LEVELS["info"]:
            self._write("info", event, fields)

    def warning(self, event: str, **fields: object) -> None:
        if self._level <= LEVELS["warning"]:
            self._write("warning", event, fields)

    def error(self, event: str, **fields: object) -> None:
        self._write("error", event, fields)
        self.flush()

    def flush(self) -> None:
        self._flushed_s = time.monotonic()
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()

    def _write(self, level: str, event: str, fields: dict[str, object]) -> None:
        record: dict[str, object] = {"at_ms": self._clock.unix_ms(), "level": level, "event": event}
        if self._node:
            record["node"] = self._node
        record["process"] = self._process
        call = current.get()
        if call is not None:
            record["request_id"] = call.request_id
            record["trace_id"] = call.trace_id.hex()
        record.update(fields)
        line = _encode(record) + b"\n"
        self._writer.write(line)
        if self._echo:
            sys.__stderr__.write(line.decode()) if sys.__stderr__ else None
        if time.monotonic() - self._flushed_s > FLUSH_S:
            self.flush()


def take_level(log: Log, raw: bytes) -> None:
    """As control tells it with each question for figures. What is no level, as from another version, is not heeded."""
    level = raw.decode("utf-8", "replace")
    if level in LEVELS:
        log.set_level(level)


def open_log(directory: Path, process: str, *, node: str = "", level: str = "info", clock: Clock | None = None) -> Log:
    """The log of one process, written below `directory`; flushed at exit. `AETHER_LOG_ECHO=1` copies it to stderr."""
    log = Log(SegmentWriter(directory, process), node=node, process=process, level=level, clock=clock or SystemClock())
    atexit.register(log.close)
    return log
