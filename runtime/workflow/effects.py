"""Carrying out one attempt: whatever an action does or raises becomes an outcome."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeVar, runtime_checkable

import anyio

from runtime.errors import RuntimeFault
from runtime.workflow.errors import StepFailed
from runtime.workflow.flow import Action, Did, Done, NotDone, StepContext, StepError, Unknown, Waits
from runtime.workflow.limits import DETAIL_CHARS_MAX
from runtime.workflow.outcomes import Failure

PROBE_S: Final = 30.0
AnswerT = TypeVar("AnswerT")


@runtime_checkable
class Abandons(Protocol):
    """Of actions that ask for something which must not come true once the run goes backwards: it is called for a step
    under way, whether it waits or was stopped, before anybody asks what it did. It may be called again."""

    async def abandon(self, context: StepContext) -> None: ...


async def attempted(action: Action, context: StepContext, timeout_s: float) -> Did | Waits | Failure:
    return await _outcome(lambda: action.run(context), timeout_s)


async def probed(action: Action, context: StepContext) -> Done | NotDone | Unknown:
    """A probe that fails knows nothing."""
    found = await _outcome(lambda: action.probe(context), PROBE_S)
    return Unknown(found.error.detail) if isinstance(found, Failure) else found


async def undone(action: Action, context: StepContext, result: dict[str, object], timeout_s: float) -> StepError | None:
    """Why it was not undone; None if it was."""
    found = await _outcome(lambda: action.undo(context, result), timeout_s)
    return found.error if isinstance(found, Failure) else None


async def abandoned(action: Action, context: StepContext, timeout_s: float) -> StepError | None:
    if not isinstance(action, Abandons):
        return None
    found = await _outcome(lambda: action.abandon(context), timeout_s)
    return found.error if isinstance(found, Failure) else None


async def _outcome(work: Callable[[], Awaitable[AnswerT]], timeout_s: float) -> AnswerT | Failure:
    """Cancellation from outside passes through: it is no outcome."""
    try:
        with anyio.move_on_after(timeout_s):
            return await work()
    except StepFailed as error:
        return _failure(error.reason, error.detail, retryable=error.again, known=True)
    except RuntimeFault as error:
        return _failure(error.code, str(error), retryable=error.retryable)
    except Exception as error:  # an action may be anybody's code: one that is broken fails its own run alone
        return _failure("action_crashed", f"{type(error).__name__}: {error}", retryable=True)
    return _failure("step_timeout", f"it took more than {timeout_s:g} s", retryable=True)


def _failure(code: str, detail: str, *, retryable: bool, known: bool = False) -> Failure:
    return Failure(error=StepError(code=code, detail=detail[:DETAIL_CHARS_MAX], retryable=retryable), known=known)
