"""Slices that write down every execution, so that a call which ran twice shows. Copied into a project of its own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

import msgspec

from runtime.sdk import post, slice_


class Config(msgspec.Struct, frozen=True, kw_only=True):
    directory: str = ""


class Executed(msgspec.Struct, frozen=True):
    execution: str


class Recording(Protocol):
    async def record(self, execution: str) -> Executed: ...


@slice_(name="recorder", version="1.0.0")
class Recorder:
    """Not idempotent: each call adds a line to this process's file."""

    def __init__(self, config: Config) -> None:
        self._path = Path(config.directory) / f"{os.getpid()}.executions"
        self._file = -1

    async def start(self) -> None:
        self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    async def stop(self) -> None:
        os.close(self._file)

    @post("/executions/{execution}")
    async def record(self, execution: str) -> Executed:
        os.write(self._file, f"{execution}\n".encode())
        return Executed(execution)


@slice_(name="recorder-front", version="1.0.0")
class RecorderFront:
    """Passes each call on to the recorder, wherever that runs."""

    def __init__(self, recorder: Recording) -> None:
        self._recorder = recorder

    @post("/passed/{execution}")
    async def pass_on(self, execution: str) -> Executed:
        return await self._recorder.record(execution)
