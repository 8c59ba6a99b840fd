"""What a call's end without a reply means to an HTTP client: one table from the errors of calls to refusals."""

from __future__ import annotations

from typing import Final, NamedTuple

from runtime.gateway.problem import KINDS
from runtime.invocation.errors import CallFault, DeadlineExceeded, NoInstance, RemoteFault

_CODES: Final = {  # the others carry the refusal's own code
    "congested": "overloaded",
    "message_too_large": "body_too_large",
    "cancelled": "connection_lost",
    "call_fault": "internal",
    "peer_refused": "no_instance",
    "address_unusable": "no_instance",
    "frame_invalid": "bad_reply",
}


class Refusal(NamedTuple):
    code: str
    detail: str


def refusal_of(fault: CallFault, target: str) -> Refusal:
    """What a fault becomes. Details of other processes stay in the log; the client gets a sentence and a code."""
    if isinstance(fault, NoInstance):
        return Refusal("no_instance", f"no instance of {target.partition('/')[0]} takes calls just now")
    if isinstance(fault, DeadlineExceeded):
        return Refusal("deadline_exceeded", f"{target} did not answer in time")
    if isinstance(fault, RemoteFault):
        return Refusal("internal", fault.detail if fault.code == "internal" else f"{target} failed: {fault.code}")
    code = _CODES.get(fault.code, fault.code)
    if code not in KINDS:
        code = "internal"
    return Refusal(code, f"{target}: {fault}")
