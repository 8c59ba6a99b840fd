"""What can go wrong between a client and the API, with the API's own code, remedy and whether retrying helps."""

from __future__ import annotations

import json

from runtime.errors import RuntimeFault


class ClientFault(RuntimeFault):
    """Base of the client's errors."""

    code = "client_fault"


class ApiUnreachable(ClientFault):
    """No whole answer came. `sent` says whether the request may have been carried out."""

    code, retryable = "api_unreachable", True
    remedy = "Check the address and that the node runs: aether node status."

    def __init__(self, address: str, cause: str, *, sent: bool = False) -> None:
        super().__init__(f"the API at {address} cannot be reached: {cause}")
        self.sent = sent


class ApiRefused(ClientFault):
    """The API answered with a problem: code, sentence, remedy and whether retrying helps are the problem's own."""

    def __init__(self, status: int, body: bytes, reason: str = "") -> None:
        """body: of the answer, a problem of RFC 9457 or anything else."""
        self.document = _problem_of(body)
        detail = self.document.get("detail") or self.document.get("title") or f"{status} {reason}".strip()
        super().__init__(str(detail))
        self.status = status
        self.body = body
        self.code = str(self.document.get("code") or "api_refused")  # type: ignore[misc]  # each answer has its own
        self.retryable = self.document.get("retryable") is True  # type: ignore[misc]
        self.remedy = str(self.document.get("remedy") or "")  # type: ignore[misc]


class KeyUnusable(ClientFault):
    """What is meant as a key cannot be one; the sentence does not tell it."""

    code = "key_unusable"
    remedy = "Give the key as `aether key create` told it: AETHER_KEY, --data DIR, or a context."


class RequestInvalid(ClientFault):
    """The request's members are not what the operation takes; nothing was sent."""

    code = "request_invalid"


class AnswerUnreadable(ClientFault):
    code = "answer_unreadable"
    remedy = "Check that the address is that of an API, and that client and cluster are of one version."


class WaitedInVain(ClientFault):
    code, retryable = "waited_in_vain", True
    remedy = "Wait longer, or see what is missing: aether status."


def _problem_of(body: bytes) -> dict[str, object]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
