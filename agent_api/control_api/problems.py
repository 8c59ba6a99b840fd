"""Errors as RFC 9457 problems: one table from code to HTTP status."""

from __future__ import annotations

from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from runtime.errors import RuntimeFault
from runtime.operations.dispatch import Refused

STATUS: Final = {
    "blueprint_invalid": 422,
    "blueprint_not_found": 404,
    "blueprint_required": 409,
    "operation_unknown": 404,
    "setting_unknown": 404,
    "setting_invalid": 422,
    "policy_invalid": 422,
    "threshold_not_found": 404,
    "freeze_not_found": 404,
    "incident_not_found": 404,
    "principal_not_found": 404,
    "key_not_found": 404,
    "key_exists": 409,
    "last_admin": 409,
    "oidc_subject_taken": 409,
    "cursor_invalid": 400,
    "request_invalid": 422,
    "request_too_large": 413,
    "reason_missing": 422,
    "refused_by_policy": 403,
    "break_glass_refused": 403,
    "vote_refused": 403,
    "proposal_not_found": 404,
    "proposal_ended": 409,
    "precondition_failed": 412,
    "idempotency_key_reused": 422,
    "version_ambiguous": 409,
    "nowhere_to_go": 409,
    "node_up": 409,
    "instance_not_found": 404,
    "slice_not_found": 404,
    "node_not_found": 404,
    "artifact_not_found": 404,
    "content_not_found": 404,
    "not_found": 404,
    "method_not_allowed": 405,
    "out_of_bounds": 409,
    "changed_meanwhile": 409,
    "artifact_exists": 409,
    "artifact_in_use": 409,
    "content_too_large": 413,
    "too_large": 413,
    "body_too_large": 413,
    "unauthorized": 401,
    "join_refused": 403,
    "quota_exceeded": 507,
    "content_disk_full": 507,
}
RETRYABLE_STATUS: Final = 503
OTHER_STATUS: Final = 400


class ApiFault(RuntimeFault):
    """A request that the API itself refuses."""

    code = "bad_request"
    remedy = "See docs/guides/blueprints.md for the API."


class Unauthorized(ApiFault):
    code = "unauthorized"
    remedy = "Send the key of the first node's admin.key: Authorization: Bearer KEY."


class Declined(ApiFault):
    """What the gate refused, as an error: code, sentence and remedy are the gate's."""

    def __init__(self, outcome: Refused) -> None:
        super().__init__(outcome.detail)
        self.code = outcome.code  # type: ignore[misc]  # each has its own
        self.retryable = outcome.retryable  # type: ignore[misc]
        self._outcome = outcome

    def problem(self) -> dict[str, object]:
        given = self._outcome
        return {**super().problem(), "remedy": given.remedy, "rule": given.rule, **given.where}


class NotFound(ApiFault):
    code = "not_found"


class SliceUnknown(ApiFault):
    code = "slice_not_found"
    remedy = "List what is deployed: aether slice list."


class ProposalUnknown(ApiFault):
    code = "proposal_not_found"
    remedy = "List them: aether proposals."


class ExplainRefused(ApiFault):
    code = "refused_by_policy"
    remedy = "Leave `as` out, or name a kind of actor."


class BodyTooLarge(ApiFault):
    code = "body_too_large"


def status_of(fault: RuntimeFault) -> int:
    return STATUS.get(fault.code, RETRYABLE_STATUS if fault.retryable else OTHER_STATUS)


def problem(fault: RuntimeFault) -> Response:
    document = {"type": f"urn:aether:problem:{fault.code}", "title": fault.code.replace("_", " "), **fault.problem()}
    status = status_of(fault)
    document["status"] = status
    headers = {"retry-after": "1"} if status == RETRYABLE_STATUS else {}
    return Response(msgspec.json.encode(document), status, headers, "application/problem+json")


async def handle_fault(_request: Request, error: Exception) -> Response:
    """Starlette's handler for every RuntimeFault."""
    assert isinstance(error, RuntimeFault)
    return problem(error)
