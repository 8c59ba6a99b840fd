"""How a command says that something failed: one sentence, then the remedy."""

from __future__ import annotations

import sys

from agent_api.cli.paint import painted, plain
from agent_api.client.errors import RequestInvalid
from runtime.errors import RuntimeFault


def report(command: str, fault: RuntimeFault) -> int:
    """Prints to stderr and returns the exit code 1, or 2 where the words themselves were wrong."""
    problem = fault.problem()
    print(f"{painted('aether', 'red', to=sys.stderr)} {command}: {plain(str(problem['detail']))}", file=sys.stderr)
    if problem["remedy"]:
        print(f"  {plain(str(problem['remedy']))}", file=sys.stderr)
    elif problem["retryable"]:
        print("  Try again.", file=sys.stderr)
    return 2 if isinstance(fault, RequestInvalid) else 1
