"""A process for one job: bytes on its stdin, its answer on its stdout, and its memory is free again."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from typing import Final

import anyio
from anyio.abc import ByteReceiveStream

from runtime.errors import RuntimeFault

ERRORS_CHARS_MAX: Final = 500
ERRORS_BYTES_MAX: Final = 64 * 1024  # the last of them are what says why
ONE_THREAD: Final = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


class JobFailed(RuntimeFault):
    """The process could not be started, or ended without an answer."""

    code = "job_failed"
    retryable = True


def command_of(module: str) -> tuple[str, ...]:
    return (sys.executable, "-P", "-m", module)


async def carried_out(command: Sequence[str], job: bytes) -> bytes:
    """The answer. The process ends with this one, and when nobody waits any more. Raises JobFailed."""
    answer, errors = bytearray(), bytearray()
    try:
        async with await anyio.open_process(command, env={**os.environ, **ONE_THREAD}) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stderr is not None
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_drain, process.stdout, answer)
                tasks.start_soon(_drain, process.stderr, errors, ERRORS_BYTES_MAX)
                with contextlib.suppress(anyio.BrokenResourceError):  # its words say why it did not read on
                    await process.stdin.send(job)
                await process.stdin.aclose()
            status = await process.wait()
    except OSError as error:
        raise JobFailed(f"it cannot be started: {error.strerror}") from error
    if status:
        words = errors.decode("utf-8", "replace").strip()[-ERRORS_CHARS_MAX:]
        raise JobFailed(f"it ended with status {status}{f': {words}' if words else ''}")
    return bytes(answer)


async def _drain(stream: ByteReceiveStream, into: bytearray, bytes_max: int | None = None) -> None:
    async for part in stream:
        into += part
        if bytes_max is not None:
            del into[:-bytes_max]
