"""One routed call from its first instance to its end: what may be tried again, and where."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from runtime.invocation.balancer import Backend
from runtime.invocation.context import CallContext
from runtime.invocation.errors import ConnectionLost, MessageTooLarge, NoInstance, NoReply, NotStarted
from runtime.invocation.outcome import Outcome

if TYPE_CHECKING:
    from runtime.invocation.router import Router

ATTEMPTS_MAX: Final = 4
PARK_S_MAX: Final = 1.0  # how long a call waits for an instance that the table lists but nobody can reach yet
PARK_STEP_S_MIN: Final = 0.02
PARK_STEP_S_MAX: Final = 0.2


class Attempt:
    """`done` is called once, unless `cancel` comes first."""

    __slots__ = (
        "_backend",
        "_began_s",
        "_cancel",
        "_context",
        "_done",
        "_ended",
        "_first_s",
        "_http",
        "_node",
        "_park_s",
        "_payload",
        "_router",
        "_target",
        "_tried",
        "_versions",
    )

    def __init__(
        self,
        router: Router,
        target: str,
        payload: bytes,
        context: CallContext,
        done: Callable[[Outcome], None],
        *,
        http: bool,
        versions: frozenset[str] | None,
        node: str,
    ) -> None:
        self._router = router
        self._target = target
        self._payload = payload
        self._context = context
        self._done = done
        self._http = http
        self._versions = versions
        self._node = node
        self._tried: tuple[Backend, ...] = ()
        self._backend: Backend | None = None
        self._cancel: Callable[[], None] | None = None
        self._ended = False
        self._park_s = PARK_STEP_S_MIN
        self._first_s = self._began_s = router.time_s()

    def cancel(self) -> None:
        if self._ended:
            return
        self._ended = True
        if self._backend is not None:
            self._backend.in_flight -= 1
        if self._cancel is not None:
            self._cancel()

    def begin(self) -> None:
        """Sends to the next instance, or ends, or waits a moment."""
        backend = self._router.pick(self._target, self._tried, self._versions, self._node)
        if backend is None:
            self._none_left()
            return
        self._backend = backend
        backend.in_flight += 1
        self._began_s = self._router.time_s()
        self._cancel = None
        cancel = backend.channel.start_call(
            self._target,
            self._payload,
            context=self._context,
            done=self._outcome,
            instance=backend.row.number,
            http=self._http,
        )
        if self._backend is backend:  # not already ended or moved on within start_call
            self._cancel = cancel

    def _outcome(self, outcome: Outcome) -> None:
        if self._ended:
            return
        backend, self._backend = self._backend, None
        assert backend is not None
        backend.in_flight -= 1
        now_s = self._router.time_s()
        error = outcome.error
        if isinstance(error, NotStarted | ConnectionLost):
            if isinstance(error, ConnectionLost):
                self._router.failed(backend)
            if self._may_try_again(backend, error, now_s):
                self._tried = (*self._tried, backend)
                self.begin()
                return
        elif isinstance(error, NoReply):
            self._router.silent(backend, now_s - self._began_s)
            outcome = Outcome(b"", NoReply(f"{error}, on node {backend.row.node}"))  # whose fault it is: not who asked
        else:
            backend.answered(now_s - self._began_s, now_s)
        self._end(outcome)

    def _may_try_again(self, backend: Backend, error: NotStarted | ConnectionLost, now_s: float) -> bool:
        if len(self._tried) + 1 >= ATTEMPTS_MAX or now_s >= self._context.deadline:
            return False
        if isinstance(error, MessageTooLarge):
            return False
        if isinstance(error, NotStarted):
            return True
        return self._router.is_idempotent(self._target, backend.row.version) and self._router.may_retry(self._target)

    def _none_left(self) -> None:
        if not self._node and self._router.is_resting(self._target):
            self._wake()
            return
        waited_s = self._router.time_s() - self._first_s
        if not self._router.is_listed(self._target, self._node):
            self._end(Outcome(b"", NoInstance(f"no instance of {self._target} is active")))
        elif waited_s >= PARK_S_MAX or not self._park():
            self._end(
                Outcome(b"", NoInstance(f"no instance of {self._target} can take the call", retry_after_ms=1_000))
            )

    def _wake(self) -> None:
        """That the call waits is what brings an instance, so it waits as long as it has; where it cannot, its refusal
        brings one for the next. How long it waits for room counts from when there is an instance."""
        self._first_s = self._router.time_s()
        if not self._park():
            self._end(Outcome(b"", NoInstance(f"{self._target} has no instance yet", retry_after_ms=1_000)))

    def _park(self) -> bool:
        """Each time twice as long: many calls that wait must not keep asking the few instances there are."""
        step_s, self._park_s = self._park_s, min(PARK_STEP_S_MAX, self._park_s * 2)
        if self._router.time_s() + step_s >= self._context.deadline:
            return False
        self._tried = ()
        self._cancel = self._router.waiting.enter(self._target.partition("/")[0], step_s, self._unpark)
        return self._cancel is not None

    def _unpark(self) -> None:
        if not self._ended:
            self.begin()

    def _end(self, outcome: Outcome) -> None:
        self._ended = True
        self._done(outcome)
