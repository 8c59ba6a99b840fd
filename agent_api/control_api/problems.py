"""Errors as RFC 9457 problems: one table from code to HTTP status."""

from __future__ import annotations

import math
from typing import Final

import msgspec
from fastapi import Request, Response

from runtime.errors import RuntimeFault
from runtime.invocation.context import current
from runtime.operations.dispatch import Refused

STATUS: Final = {
    "blueprint_invalid": 422,
    "blueprint_not_found": 404,
    "blueprint_required": 409,
    "operation_unknown": 404,
    "setting_unknown": 404,
    "setting_invalid": 422,
    "policy_invalid": 422,
    "scaling_policy_invalid": 422,
    "scaling_rules_invalid": 422,
    "node_policy_invalid": 422,
    "threshold_not_found": 404,
    "metric_unknown": 422,
    "rule_invalid": 422,
    "rule_not_found": 404,
    "alert_not_found": 404,
    "matcher_invalid": 422,
    "too_many_silences": 409,
    "silence_not_found": 404,
    "receiver_invalid": 422,
    "receiver_not_found": 404,
    "route_not_set": 404,
    "too_many_alerts": 429,
    "freeze_not_found": 404,
    "incident_not_found": 404,
    "phrase_not_found": 404,
    "too_many_phrases": 409,
    "conversation_not_found": 404,
    "conversation_busy": 409,
    "conversation_full": 409,
    "principal_not_found": 404,
    "key_not_found": 404,
    "pin_not_found": 404,
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
    "record_not_found": 404,
    "nothing_to_undo": 409,
    "review_not_found": 404,
    "too_many_proposals": 503,
    "guard_impossible": 422,
    "precondition_failed": 412,
    "idempotency_key_reused": 422,
    "version_ambiguous": 409,
    "nowhere_to_go": 409,
    "quorum_lost": 409,
    "store_members_unknown": 503,
    "store_member_not_found": 404,
    "not_a_core_node": 409,
    "too_many_members": 409,
    "snapshot_in_progress": 409,
    "ttm_model_not_found": 404,
    "ttm_model_unreadable": 422,
    "ttm_model_schema_wrong": 422,
    "ttm_model_refused": 422,
    "ttm_forecaster_failed": 503,
    "ttm_nothing_before": 409,
    "node_up": 409,
    "instance_not_found": 404,
    "slice_not_found": 404,
    "node_not_found": 404,
    "artifact_not_found": 404,
    "content_not_found": 404,
    "history_away": 503,
    "not_found": 404,
    "method_not_allowed": 405,
    "out_of_bounds": 409,
    "no_node_provider": 409,
    "too_many_nodes": 409,
    "node_not_provided": 409,
    "run_not_found": 404,
    "run_unreadable": 409,
    "run_state_unfit": 409,
    "run_step_unfit": 409,
    "signal_reserved": 422,
    "run_invalid": 422,
    "run_ended": 409,
    "run_too_deep": 422,
    "too_many_runs": 503,
    "lock_conflict": 409,
    "changed_meanwhile": 409,
    "artifact_exists": 409,
    "playbook_not_found": 404,
    "playbook_invalid": 422,
    "parameters_invalid": 422,
    "playbook_exists": 409,
    "playbook_offline": 409,
    "playbook_in_use": 409,
    "playbook_busy": 409,
    "playbook_cooling_down": 409,
    "playbook_too_often": 409,
    "playbook_breaker_open": 409,
    "playbook_not_rehearsed": 409,
    "playbook_not_for_agents": 403,
    "playbook_needs_role": 403,
    "artifact_in_use": 409,
    "content_too_large": 413,
    "too_large": 413,
    "body_too_large": 413,
    "media_type_unsupported": 415,
    "unauthorized": 401,
    "key_expired": 401,
    "forbidden": 403,
    "csrf_missing": 403,
    "identity_provider_not_set": 409,
    "identity_provider_unreachable": 503,
    "identity_provider_unfit": 502,
    "oidc_client_refused": 502,
    "sign_in_code_refused": 403,
    "sign_in_denied": 403,
    "sign_in_expired": 403,
    "sign_in_subject_unknown": 403,
    "sign_in_unknown": 403,
    "id_token_audience_unknown": 403,
    "id_token_expired": 403,
    "id_token_invalid": 403,
    "too_many_sign_ins": 429,
    "locked_out": 429,
    "too_many_requests": 429,
    "too_many_streams": 503,
    "reasoner_absent": 503,
    "forge_absent": 409,
    "chaos_refused": 409,
    "audit_broken": 409,
    "content_mismatch": 422,
    "wheel_invalid": 422,
    "internal": 500,
    "join_refused": 403,
    "no_authority": 409,
    "signing_request_invalid": 422,
    "quota_exceeded": 507,
    "session_lost": 504,
    "answer_unreadable": 502,
    "compacted": 410,
    "content_disk_full": 507,
}
RETRYABLE_STATUS: Final = 503
LATER_STATUS: Final = 429
UNAUTHORIZED_STATUS: Final = 401
RETRYABLE_CODES: Final = frozenset(
    {
        "store_unavailable",
        "store_overloaded",
        "no_quorum",
        "not_leader",
        "etcd_unreachable",
        "etcd_untrusted",
        "identity_keys_unavailable",
    }
)
"""Those without a status of their own that any answer may have."""
OTHER_STATUS: Final = 400


class ApiFault(RuntimeFault):
    """A request that the API itself refuses."""

    code = "bad_request"
    remedy = "GET /v1/openapi.json says what each path takes and answers."


class RequestInvalid(ApiFault):
    """A word, header, path or body that is not as declared; the sentence names it."""

    code = "request_invalid"


class Unauthorized(ApiFault):
    code = "unauthorized"
    remedy = "Send a key: Authorization: Bearer KEY. The first is in the first node's admin.key."


class KeyExpired(ApiFault):
    """A key that was right until its time was over: nobody's guess."""

    code = "key_expired"
    remedy = "Ask an admin for a new one: aether key create."


class Forbidden(ApiFault):
    code = "forbidden"
    remedy = "Ask an admin for the role, or for a key that has it."


class CsrfMissing(ApiFault):
    """A change with a session's cookie, but without its token: another site may have sent it."""

    code = "csrf_missing"
    remedy = "Send the session's `csrf` as x-csrf-token; GET /v1/session tells it."


class Later(ApiFault):
    """Refused for now; `wait_s` says for how long."""

    retryable = True

    def __init__(self, sentence: str, *, wait_s: float) -> None:
        super().__init__(sentence)
        self.wait_s = wait_s


class LockedOut(Later):
    """Keys from that address were wrong too often."""

    code = "locked_out"
    remedy = "Wait as long as Retry-After says, then send the right key."


class TooManyRequests(Later):
    code = "too_many_requests"
    remedy = "Wait as long as Retry-After says; api_requests_per_s_max in the node's config.toml raises the rate."


class TooManyStreams(Later):
    code = "too_many_streams"
    remedy = "Follow at another node, or end streams that nobody reads."


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


class MethodNotAllowed(ApiFault):
    code = "method_not_allowed"


class SliceUnknown(ApiFault):
    code = "slice_not_found"
    remedy = "List what is deployed: aether slice list."


class NodeUnknown(ApiFault):
    code = "node_not_found"
    remedy = "List the nodes: aether node list."


class RecordUnknown(ApiFault):
    code = "record_not_found"
    remedy = "List what the store holds: aether audit list. Older records have nothing left that undoes them."


class NothingToUndo(ApiFault):
    code = "nothing_to_undo"
    remedy = "Make the change that you want instead; aether why ID tells what this one was."


class ExplainRefused(ApiFault):
    code = "refused_by_policy"
    remedy = "Leave `as` out, or name a kind of actor."


class MediaUnsupported(ApiFault):
    code = "media_type_unsupported"
    remedy = "Say what the body is: content-type."


class BodyTooLarge(ApiFault):
    code = "body_too_large"


def status_of(fault: RuntimeFault) -> int:
    return status_of_code(fault.code, retryable=fault.retryable)


def status_of_code(code: str, *, retryable: bool) -> int:
    return STATUS.get(code, RETRYABLE_STATUS if retryable else OTHER_STATUS)


def problem(fault: RuntimeFault) -> Response:
    return problem_of(
        fault.problem(), status=status_of(fault), wait_s=fault.wait_s if isinstance(fault, Later) else 1.0
    )


def problem_of(members: dict[str, object], *, status: int, wait_s: float = 1.0) -> Response:
    """The answer, with the request's id as its `instance`."""
    code = str(members["code"])
    document: dict[str, object] = {
        "type": f"urn:aether:problem:{code}",
        "title": code.replace("_", " "),
        "status": status,
        **members,
    }
    call = current.get()
    if call is not None:
        document["instance"] = f"urn:aether:request:{call.request_id}"
    headers = {"retry-after": str(max(1, math.ceil(wait_s)))} if status in (RETRYABLE_STATUS, LATER_STATUS) else {}
    if status == UNAUTHORIZED_STATUS:
        headers["www-authenticate"] = "Bearer"
    return Response(msgspec.json.encode(document), status, headers, "application/problem+json")


async def handle_fault(_request: Request, error: Exception) -> Response:
    """The handler for every RuntimeFault."""
    assert isinstance(error, RuntimeFault)
    return problem(error)
