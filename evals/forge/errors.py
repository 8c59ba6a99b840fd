"""What Forge cannot do, and what to do about it."""

from __future__ import annotations

import json
from collections.abc import Sequence

from runtime.errors import RuntimeFault


class ForgeFault(RuntimeFault):
    """Base of Forge's errors."""

    code = "forge_fault"


class ApiUnreachable(ForgeFault):
    code, retryable = "api_unreachable", True
    remedy = "See the logs below the node's data directory."

    def __init__(self, address: str, cause: str, *, sent: bool) -> None:
        super().__init__(f"{address}: {cause}")
        self.cause = cause
        self.sent = sent


class ApiRefused(ForgeFault):
    """An answer of 400 and above, with the problem's own words."""

    code = "api_refused"

    def __init__(self, method: str, path: str, status: int, body: bytes) -> None:
        self.status = status
        self.problem_body = problem_of(body)
        detail = self.problem_body.get("detail") or self.problem_body.get("title") or "no reason given"
        super().__init__(f"{method} {path} was answered {status}: {detail}")

    def problem(self) -> dict[str, object]:
        return {**super().problem(), "remedy": str(self.problem_body.get("remedy", ""))}


class NoSigner(ForgeFault):
    """A node can only be made through one that signs its certificate."""

    code = "no_signer"
    retryable = True
    remedy = "Let that node go on, or copy its tls/ca.key (mode 0600) to another core node, which may sign then too."

    def __init__(self, holders: Sequence[str]) -> None:
        super().__init__(
            f"no node that runs may sign certificates: {', '.join(holders)} holds ca.key, and does not answer"
        )


class ChangeWaits(ForgeFault):
    """The gate wants people to approve the change first; it has not been made."""

    code = "change_waits"
    remedy = "Approve the proposal: aether proposals."

    def __init__(self, method: str, path: str, body: bytes) -> None:
        found = problem_of(body)
        self.proposal = str(found.get("proposal", ""))
        super().__init__(f"{method} {path} waits as proposal {self.proposal}: {found.get('rule')}")


class CommandFailed(ForgeFault):
    """An `aether` command that Forge ran ended badly; it says why in its own words."""

    code = "command_failed"

    def __init__(self, words: str, said: str) -> None:
        lines = [line.strip() for line in said.strip().splitlines() if line.strip()]
        super().__init__(f"`aether {words}` failed: {lines[0] if lines else 'it said nothing'}")
        self._remedy = " ".join(lines[1:3])

    def problem(self) -> dict[str, object]:
        return {**super().problem(), "remedy": self._remedy}


class StateUnusable(ForgeFault):
    """The state directory cannot be used as it is."""

    code = "state_unusable"

    def __init__(self, cause: str, remedy: str) -> None:
        super().__init__(cause)
        self._remedy = remedy

    def problem(self) -> dict[str, object]:
        return {**super().problem(), "remedy": self._remedy}


class NotReached(ForgeFault):
    """A condition was not met in time; the sentence says what was seen last."""

    code, retryable = "not_reached", True
    remedy = "See the nodes' logs in the state directory; --keep keeps it after the end."


class NodeEnded(ForgeFault):
    code = "node_ended"
    remedy = "See supervisor.out and the logs below the node's data directory."


class ChaosRefused(ForgeFault):
    code = "chaos_refused"
    remedy = "Type `help` for what can be broken."


def problem_of(body: bytes) -> dict[str, object]:
    """The members of an RFC 9457 body; empty for any other."""
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
