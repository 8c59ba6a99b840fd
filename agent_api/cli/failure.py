"""How a command says that something failed: one sentence, then the remedy."""

from __future__ import annotations

import sys
from typing import Final

from agent_api.cli.paint import painted, plain
from agent_api.client.errors import ApiRefused, RequestInvalid
from runtime.errors import RuntimeFault

UNAUTHORISED: Final = 401
KEY_REMEDY: Final = (  # the API's own speaks of a header
    "Give a key: AETHER_KEY, --data DIR of the first node, or aether context add NAME --key-file FILE."
)


def report(command: str, fault: RuntimeFault) -> int:
    """Prints to stderr and returns the exit code 1, or 2 where the words themselves were wrong."""
    problem = fault.problem()
    if isinstance(fault, ApiRefused) and fault.status == UNAUTHORISED:
        problem["remedy"] = KEY_REMEDY
    print(f"{painted('aether', 'red', to=sys.stderr)} {command}: {plain(str(problem['detail']))}", file=sys.stderr)
    if problem["remedy"]:
        print(f"  {plain(str(problem['remedy']))}", file=sys.stderr)
    elif problem["retryable"]:
        print("  Try again.", file=sys.stderr)
    return 2 if isinstance(fault, RequestInvalid) else 1
