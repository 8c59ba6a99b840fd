"""What runs may take, with the arithmetic behind it. docs/decisions/0019-workflow-kernel.md tells these."""

from __future__ import annotations

from typing import Final

KIB: Final = 1024
OPEN_RUNS_MAX: Final = 512  # a task and some 4 KiB each in the leader; more are refused, retryable
EFFECTS_MAX: Final = 64  # actions of all runs that are under way at a time
DEPTH_MAX: Final = 3  # a run that starts one that starts one; the first has depth 0
LOCKS_MAX: Final = 64  # of one run: two comparisons and writes each in one transaction of 512
NAME_CHARS_MAX: Final = 64  # of a step or an action
LOCK_CHARS_MAX: Final = 128
SIGNAL_CHARS_MAX: Final = 128
INPUT_BYTES_MAX: Final = 8 * KIB  # of a run and of a step
STEPS_MAX: Final = 200  # digests of 200 bytes make 40 KiB; with input and result a run still fits 64 KiB
STEPS_KEPT: Final = 64  # whole; older ones become digests
STEPS_KEPT_AFTER: Final = 48  # compaction goes down to it, so that not every step compacts
RESULT_BYTES_MAX: Final = 16 * KIB  # in the store; longer ones are content
RESULT_CONTENT_BYTES_MAX: Final = 1024 * KIB
RUN_RESULT_BYTES_MAX: Final = 8 * KIB
DETAIL_CHARS_MAX: Final = 1_000
TAKEOVERS_MAX: Final = 5  # of one attempt: what has seen as many leaders end may be what ends them
UNDO_ATTEMPTS: Final = 5  # 1, 2, 4 and 8 s apart
REST_MS_MIN: Final = 50  # a flow that asks for what is over already must not keep the leader busy
ENDED_MAX: Final = 500  # ended runs that are kept; the audit has them all
ENDED_BYTES_MAX: Final = 16 * KIB * KIB
