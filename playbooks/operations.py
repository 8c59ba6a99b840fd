"""Operations on playbooks: keep a version, forget one, start one, note what a rehearsal came to."""

from __future__ import annotations

from collections.abc import Callable

from playbooks.document.checking import Checker
from playbooks.keeping import plan_delete, plan_prove, upload_planner
from playbooks.launching import run_planner
from playbooks.requests import (
    DeleteRequest,
    PlaybookDeleted,
    PlaybookKept,
    PlaybookProven,
    ProveRequest,
    RunRequest,
    RunStarted,
    UploadRequest,
    subject,
    subject_of_upload,
)
from runtime.operations.actor import Role
from runtime.operations.operation import Change, Effect, Request, Result, Risk, Route
from runtime.operations.plan import Plan, Refusal


def operations(checker: Callable[[], Checker]) -> tuple[Change[Request], ...]:
    """checker: knows the whole catalogue, of which these are a part."""
    return (
        _change(
            "playbook.upload",
            "Keep a version of a playbook.",
            UploadRequest,
            PlaybookKept,
            Route(method="POST", path="/v1/playbooks"),
            upload_planner(checker),
            subject_of_upload,
            risk=Risk.MEDIUM,
            errors=("playbook_invalid", "playbook_exists"),
        ),
        _change(
            "playbook.delete",
            "Forget a version of a playbook that was uploaded.",
            DeleteRequest,
            PlaybookDeleted,
            Route(method="DELETE", path="/v1/playbooks/{playbook}/{version}"),
            plan_delete,
            subject,
            risk=Risk.MEDIUM,
            errors=("playbook_not_found", "playbook_in_use"),
        ),
        _change(
            "playbook.run",
            "Start a playbook. Each of its changes passes the gate by itself.",
            RunRequest,
            RunStarted,
            Route(method="POST", path="/v1/playbooks/{playbook}/run"),
            run_planner(checker),
            subject,
            effect=Effect.ONCE,
            errors=(
                "playbook_not_found",
                "parameters_invalid",
                "playbook_offline",
                "playbook_busy",
                "playbook_cooling_down",
                "playbook_too_often",
                "playbook_breaker_open",
                "playbook_not_rehearsed",
                "playbook_not_for_agents",
                "playbook_needs_role",
                "run_invalid",
                "run_ended",
                "run_too_deep",
                "too_many_runs",
                "lock_conflict",
            ),
        ),
        _change(
            "playbook.prove",
            "Note what the rehearsal of a playbook came to: what passed may be started by alerts.",
            ProveRequest,
            PlaybookProven,
            Route(method="POST", path="/v1/playbooks/{playbook}/proofs"),
            plan_prove,
            subject,
            role=Role.ADMIN,
            risk=Risk.MEDIUM,
        ),
    )


def _change(
    name: str,
    summary: str,
    request: type[Request],
    result: type[Result],
    route: Route,
    plan: Callable[..., Plan | Refusal],
    about: Callable[..., str],
    *,
    role: Role = Role.OPERATOR,
    risk: Risk = Risk.LOW,
    effect: Effect = Effect.IDEMPOTENT,
    errors: tuple[str, ...] = (),
) -> Change[Request]:
    return Change(
        name=name,
        summary=summary,
        request=request,
        result=result,
        route=route,
        role=role,
        risk=risk,
        effect=effect,
        subject=about,
        plan=plan,
        errors=errors,
    )
