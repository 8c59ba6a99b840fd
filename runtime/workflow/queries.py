"""What can be asked about runs and their locks."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from runtime.operations.operation import Request, Result
from runtime.operations.plan import Json
from runtime.operations.queries.page import Page, PageRequest, Row, read
from runtime.operations.queries.slices import UnixMs
from runtime.workflow.flow import StepError
from runtime.workflow.operations import RunField
from runtime.workflow.records import LockMode, RunState

PageLimit = Annotated[int, Meta(ge=1, le=1_000, description="Most items of one page.")]


class RunListRequest(PageRequest, frozen=True, kw_only=True):
    """Newest first: all that have not ended, and the newest 500 that have."""

    limit: PageLimit = 100
    state: Annotated[RunState | None, Meta(description="Only in this state; needs_human is what waits for you.")] = None
    kind: Annotated[str, Meta(max_length=63, description="Only of this kind, such as playbook.")] = ""


class RunRow(Row, frozen=True, kw_only=True):
    id: str
    kind: str
    title: str
    state: RunState
    reason: Annotated[str, Meta(description="Why it is blocked, paused or parked.")]
    actor: str
    parent: str
    steps: Annotated[int, Meta(description="That have begun.")]
    created_unix_ms: UnixMs
    began_unix_ms: UnixMs
    ended_unix_ms: UnixMs
    wake_unix_ms: UnixMs
    waits_for: Annotated[str, Meta(description="The signal.")]
    code: Annotated[str, Meta(description="Of the error that it ended with, or goes back for.")]


class RunPage(Page, frozen=True, kw_only=True):
    items: tuple[RunRow, ...]


class RunShowRequest(Request, frozen=True, kw_only=True):
    run: RunField


class StepRow(Row, frozen=True, kw_only=True):
    number: int
    step: str
    action: str
    effect: Annotated[str, Meta(description="read, idempotent or once; empty of one that was compacted.")]
    state: str
    attempt: int
    began_unix_ms: UnixMs
    ended_unix_ms: UnixMs
    wake_unix_ms: Annotated[UnixMs, Meta(description="When the next attempt begins, or a wait ends.")]
    waits_for: str
    input: dict[str, Json]
    result: dict[str, Json]
    result_sha256: Annotated[str, Meta(description="The content that has the result, where it is long.")]
    error: StepError | None
    unknown: Annotated[bool, Meta(description="Nobody has told yet whether it took effect.")]
    resolved_by: Annotated[str, Meta(description="Who said what came of it, where its leader did not.")]
    undo: Annotated[str, Meta(description="none, owed, begun, done or failed.")]
    undo_error: StepError | None


class SignalRow(Row, frozen=True, kw_only=True):
    name: str
    at_unix_ms: UnixMs
    by: str
    data: dict[str, Json]


class RunShown(Result, frozen=True, kw_only=True):
    run: RunRow
    definition: Annotated[str, Meta(description="The hash that it is pinned to.")]
    input: dict[str, Json]
    trigger: dict[str, Json]
    behind: Annotated[tuple[str, ...], Meta(description="Who it acts for, the nearest first.")]
    epoch: Annotated[int, Meta(description="Grows with each leader that took it over.")]
    locks: Annotated[dict[str, LockMode], Meta(description="That it wants, and has unless it waits for them.")]
    fences: dict[str, int]
    steps: tuple[StepRow, ...]
    signals: tuple[SignalRow, ...]
    order: Annotated[str, Meta(description="What somebody wants done with it and is not done yet.")]
    children: tuple[str, ...]
    result: dict[str, Json]
    error: StepError | None
    effects_left: Annotated[tuple[str, ...], Meta(description="Steps that a person gave up undoing.")]


class LockListRequest(PageRequest, frozen=True, kw_only=True):
    run: Annotated[str, Meta(max_length=40, description="Only that this run has or waits for.")] = ""


class LockOwner(Row, frozen=True, kw_only=True):
    run: str
    mode: LockMode
    since_unix_ms: UnixMs
    number: Annotated[int, Meta(description="Of the grant; only grows. 0 of one that waits.")]


class LockRow(Row, frozen=True, kw_only=True):
    name: str
    holders: tuple[LockOwner, ...]
    waiters: Annotated[tuple[LockOwner, ...], Meta(description="In their order.")]


class LockPage(Page, frozen=True, kw_only=True):
    items: tuple[LockRow, ...]


QUERIES: Final = (
    read("run.list", "Runs, those that go on and those that ended.", RunListRequest, RunPage, "/v1/runs"),
    read(
        "run.show",
        "One run: its steps, what it waits for, what it has and what it did.",
        RunShowRequest,
        RunShown,
        "/v1/runs/{run}",
        errors=("run_not_found",),
    ),
    read("lock.list", "Locks of runs: who has them, who waits.", LockListRequest, LockPage, "/v1/locks"),
)
