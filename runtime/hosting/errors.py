"""What can go wrong when slices are hosted."""

from __future__ import annotations

from runtime.errors import RuntimeFault


class InstanceFailed(RuntimeFault):
    """An instance could not be loaded, started or stopped. The sentence is its state's reason."""

    code = "instance_failed"
    remedy = "read the slice's logs, mend it, deploy it again"


class UnknownInstance(RuntimeFault):
    code = "unknown_instance"
    remedy = "load the instance first"


class WorkerStartFailed(RuntimeFault):
    """No worker process, and why."""

    code, retryable = "worker_start_failed", True
    remedy = "read the zygote's log on that node"


class ArgumentsInvalid(RuntimeFault):
    """The arguments of a call do not fit the method's types. Names the member."""

    code = "invalid_arguments"
    remedy = "send what the method's contract says"


class BodyMalformed(RuntimeFault):
    """The body is no JSON at all."""

    code = "malformed_body"
    remedy = "send UTF-8 JSON"


class ReplyInvalid(RuntimeFault):
    """A reply does not fit the interface by which the caller knows the method."""

    code = "invalid_reply"
    remedy = "deploy caller and callee with the same interface"


class DependencyUnavailable(RuntimeFault):
    """The method called another slice, which nobody serves, or which is full, or whose node went away."""

    code, retryable = "dependency_unavailable", True
    remedy = "try again after a moment; if it lasts, see which slice is down: aether status"

    def __init__(self, correlation_id: str) -> None:
        super().__init__(f"a slice that this one needs is not available; correlation id {correlation_id}")
        self.correlation_id = correlation_id


class CallFailed(RuntimeFault):
    """The method failed in a way that its contract does not declare; the log has the rest under the correlation id."""

    code = "internal"
    remedy = "search the logs for the correlation id"

    def __init__(self, correlation_id: str) -> None:
        super().__init__(f"internal error; correlation id {correlation_id}")
        self.correlation_id = correlation_id
