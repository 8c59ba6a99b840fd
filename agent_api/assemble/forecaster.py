"""The forecaster process: `python -P -m agent_api.assemble.forecaster`, a job on stdin, what came of it on stdout.

On the leader, for a third of a second each minute in which there is something to forecast. What it loads, onnxruntime
and NumPy, so takes no memory between two minutes.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import Final

import msgspec

from agent_api.assemble.memory_bound import bound_memory
from controllers.ttm.errors import ModelMemoryExceeded
from controllers.ttm.forecast_job import CheckAnswer, CheckJob, ForecastAnswer, ForecastJob
from runtime.cluster.parentage import die_with_parent

CHECK_MIB_MAX: Final = 512  # a batch of a hundred series of the shipped model needs 170
FORECAST_MIB_MAX: Final = 1_024  # 2,000 slices and a new leader's past, the most there is, need 700
FIRST_TO_GO: Final = b"1000"  # where memory is short, the kernel takes this process before the node


def main() -> int:
    """The process's exit status; a job that has no forecast is an answer like any other."""
    die_with_parent(os.getppid(), signal.SIGKILL)
    with contextlib.suppress(OSError):  # no such file where this is no Linux
        Path("/proc/self/oom_score_adj").write_bytes(FIRST_TO_GO)
    try:
        job = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=ForecastJob | CheckJob)
    except msgspec.DecodeError as error:
        print(f"aether-forecaster: no job: {error}", file=sys.stderr)
        return os.EX_DATAERR
    bound_memory(CHECK_MIB_MAX if isinstance(job, CheckJob) else FORECAST_MIB_MAX)
    sys.stdout.buffer.write(msgspec.msgpack.encode(_carried_out(job)))
    return os.EX_OK


def _carried_out(job: ForecastJob | CheckJob) -> ForecastAnswer | CheckAnswer:
    from controllers.ttm.engine import carry_out, check, trouble_of

    try:
        return carry_out(job) if isinstance(job, ForecastJob) else check(job)
    except MemoryError as error:
        trouble = trouble_of(ModelMemoryExceeded(str(error)))
        return ForecastAnswer(trouble=trouble) if isinstance(job, ForecastJob) else CheckAnswer(trouble=trouble)


if __name__ == "__main__":
    sys.exit(main())
