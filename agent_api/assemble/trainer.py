"""The trainer process: `python -P -m agent_api.assemble.trainer`, a job on stdin, what came of it on stdout.

It runs now and then, beside the leader's control and behind everything else in priority, and ends with control.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Final

import msgspec

from agent_api.assemble.memory_bound import bound_memory
from controllers.ttm.training_job import TrainingJob, TrainingResult, decode_job, encode
from runtime.cluster.parentage import die_with_parent

NICENESS: Final = 15
MIB_MAX: Final = 2_048  # two weeks of 50 slices on the shipped model need 650


def main() -> int:
    """The process's exit status; a job that is refused is an answer like any other."""
    die_with_parent(os.getppid(), signal.SIGKILL)
    os.nice(NICENESS)
    try:
        job = decode_job(sys.stdin.buffer.read())
    except msgspec.DecodeError as error:
        print(f"aether-trainer: no job: {error}", file=sys.stderr)
        return os.EX_DATAERR
    bound_memory(MIB_MAX)
    sys.stdout.buffer.write(encode(carried_out(job)))
    return os.EX_OK


def carried_out(job: TrainingJob) -> TrainingResult:
    from controllers.ttm.card import SHIPPED, read_model
    from controllers.ttm.errors import TtmFault
    from controllers.ttm.forecaster import forecaster_of
    from controllers.ttm.graph_tensors import own_head
    from controllers.ttm.model_file import unpack_model
    from controllers.ttm.retraining import carry_out

    try:
        graph, card = unpack_model(job.file) if job.file else read_model(SHIPPED)
        return carry_out(job, forecaster_of(graph, card), own_head(graph))
    except TtmFault as fault:
        return TrainingResult(refused=fault.code, reason=str(fault))


if __name__ == "__main__":
    sys.exit(main())
