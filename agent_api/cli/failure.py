"""How a command says that something failed: one sentence, then the remedy."""

from __future__ import annotations

import sys

from runtime.errors import RuntimeFault


def report(command: str, fault: RuntimeFault) -> int:
    """Prints to stderr and returns the exit code 1."""
    problem = fault.problem()
    print(f"aether {command}: {problem['detail']}", file=sys.stderr)
    if problem["remedy"]:
        print(f"  {problem['remedy']}", file=sys.stderr)
    return 1
