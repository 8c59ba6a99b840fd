"""What is wrong with a submission, before and after it was planned; None or empty if nothing is."""

from __future__ import annotations

from typing import Final

from controllers.gate.desk import Judged
from controllers.gate.errors import PolicyInvalid
from controllers.gate.guarding import guard_problem
from controllers.gate.policy import parse_policy
from runtime.operations import subjects
from runtime.operations.catalogue import Catalogue
from runtime.operations.dispatch import Submission
from runtime.operations.plan import Refusal
from runtime.operations.state import PlanState
from runtime.spelling import nearest
from runtime.state import keys

REASON_CHARS_MAX: Final = 1_000
EVIDENCE_MAX: Final = 20
EVIDENCE_CHARS_MAX: Final = 200  # 20 of them stand in a proposal and in the audit


def malformed(submission: Submission) -> Refusal | None:
    """Of the submission alone."""
    if len(submission.reason) > REASON_CHARS_MAX:
        return Refusal(code="request_invalid", detail=f"a reason has at most {REASON_CHARS_MAX} characters")
    if len(submission.evidence) > EVIDENCE_MAX or any(len(each) > EVIDENCE_CHARS_MAX for each in submission.evidence):
        words = (
            f"at most {EVIDENCE_MAX} pieces of evidence, each a reference of at most {EVIDENCE_CHARS_MAX} characters"
        )
        return Refusal(code="request_invalid", detail=words)
    if problem := guard_problem(submission.guard):
        return Refusal(code="request_invalid", detail=problem)
    if submission.break_glass and not submission.reason.strip():
        return Refusal(
            code="reason_missing", detail="breaking the glass needs a reason", remedy="Say why: it will be reviewed."
        )
    return None


def unfit(submission: Submission, judged: Judged, state: PlanState, catalogue: Catalogue) -> Refusal | None:
    """Of what it would do now."""
    return (
        _changed_since(submission, judged)
        or _unguardable(submission, judged, state)
        or _of_nothing(submission, judged, catalogue)
    )


def _of_nothing(submission: Submission, judged: Judged, catalogue: Catalogue) -> Refusal | None:
    """A policy for an operation that there is not would look like one that holds it back."""
    if judged.operation.name != "policy.set":
        return None
    known = {each.name for each in catalogue.changes()}
    named = parse_policy(str(submission.request["source"])).operations
    unknown = next((name for name in named if name not in known), None)
    if unknown is None:
        return None
    detail = f"operations: no change is called {unknown[:80]!r}{nearest(unknown, known)}"
    return Refusal(code=PolicyInvalid.code, detail=detail, remedy=PolicyInvalid.remedy)


def _changed_since(submission: Submission, judged: Judged) -> Refusal | None:
    if not submission.if_match:
        return None
    written = [each.key for each in judged.plan.changes]
    newest = max((judged.plan.reads.get(key, 0) for key in written), default=0)
    if newest <= submission.if_match:
        return None
    return Refusal(
        code="precondition_failed",
        detail=f"{judged.plan.subject} changed at revision {newest}, after {submission.if_match}",
        remedy="Read it again, then decide again.",
    )


def _unguardable(submission: Submission, judged: Judged, state: PlanState) -> Refusal | None:
    """A guard that could never undo anything must not look like one that does."""
    guard, plan = submission.guard, judged.plan
    if guard is None:
        return None
    if plan.inverse is None:
        return Refusal(
            code="guard_impossible",
            detail=f"{plan.operation} has no inverse that a guard could run",
            remedy="Leave the guard out.",
        )
    added = any(each.key.startswith(f"{keys.TARGETS}{guard.slice}/") for each in plan.changes)
    if not added and not any(target.settings.slice == guard.slice for target in state.all_records.targets()):
        return Refusal(
            code="guard_impossible",
            detail=f"the guard watches {subjects.of_slice(guard.slice)}, which is not deployed",
            remedy="List the slices: aether slice list.",
        )
    return None
