"""How a call can end without a reply, told apart by one question: may the handler have run?"""

from __future__ import annotations

from typing import ClassVar

from runtime.errors import RuntimeFault


class CallFault(RuntimeFault):
    """Base of all that a call can raise."""

    code = "call_fault"
    handler_may_have_run: ClassVar[bool] = True


class NotStarted(CallFault):
    """The handler never started (a NACK, or the frame never left): trying elsewhere is always safe."""

    code, retryable = "not_started", True
    handler_may_have_run = False
    remedy = "Try again after a moment, or at another node."

    def __init__(self, reason: str, *, retry_after_ms: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after_ms = retry_after_ms


class NoInstance(NotStarted):
    """Nobody in the routing table serves the target."""

    code = "no_instance"
    remedy = "Check that the slice is deployed and an instance of it is active."


class Congested(NotStarted):
    """The connection already holds as much unsent data as it may."""

    code = "congested"


class MessageTooLarge(NotStarted):
    """No connection takes a message of that size."""

    code, retryable = "message_too_large", False
    remedy = "Send less at once, or in several calls."


class DeadlineExceeded(CallFault):
    code = "deadline_exceeded"
    remedy = "Allow more time, or find what is slow: aether status."


class NoReply(DeadlineExceeded):
    """Nothing at all came back: so does an instance look that is stuck."""


class ConnectionLost(CallFault):
    """The connection ended after the call was sent; whether it ran is not known."""

    code, retryable = "connection_lost", True
    remedy = "Repeat the call only if it may run twice."


class CallCancelled(CallFault):
    """The caller gave up."""

    code = "cancelled"


class RemoteFault(CallFault):
    """The handler answered with an error. `payload` holds the fields of a domain error, as msgpack."""

    code = "remote_fault"

    def __init__(
        self, *, code: str, detail: str, retryable: bool = False, remedy: str = "", payload: bytes = b""
    ) -> None:
        super().__init__(detail)
        self.code = code  # type: ignore[misc]  # the far side's class attribute is this instance's
        self.retryable = retryable  # type: ignore[misc]
        self.remedy = remedy  # type: ignore[misc]
        self.detail = detail
        self.payload = payload


class StreamItemTooLarge(CallFault):
    code = "stream_item_too_large"


class PeerRefused(CallFault):
    """The other side is not who it should be: wrong user, wrong certificate, not of this cluster."""

    code = "peer_refused"
    handler_may_have_run = False
    remedy = "Check that both nodes belong to the same cluster and that the address is the right node's."


class AddressUnusable(CallFault):
    """A socket path is too long, or an address is taken or malformed."""

    code = "address_unusable"
    handler_may_have_run = False


class FrameInvalid(RuntimeFault):
    """Bytes that are not frames, or break a limit. The connection they came over is closed."""

    code = "frame_invalid"
    remedy = "Both sides must run compatible versions, and nothing else may speak on that port."
