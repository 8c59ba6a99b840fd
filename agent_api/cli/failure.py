"""How a command says that something failed: one sentence, then the remedy."""

from __future__ import annotations

import json
import sys
from contextvars import ContextVar
from typing import Final

from agent_api.cli.paint import painted, plain
from agent_api.client.errors import ApiRefused, RequestInvalid
from runtime.errors import RuntimeFault

UNAUTHORISED: Final = 401
KEY_REMEDY: Final = (  # the API's own speaks of a header
    "Give a key: AETHER_KEY, --data DIR of the first node, or aether context add NAME --key-file FILE."
)


DOCUMENT: Final = "/v1/openapi.json"
"""What the API's remedies name where a request is not as declared: of no use at the command line."""

FOR_PROGRAMS: Final = ContextVar("for_programs", default=False)
"""Whether the command was given --json: then what fails is told as JSON too."""


def report(command: str, fault: RuntimeFault) -> int:
    """Prints to the standard error, one line of JSON for programs, and returns the exit code 1, or 2 where the words
    themselves were wrong."""
    problem = fault.problem()
    if isinstance(fault, ApiRefused) and fault.status == UNAUTHORISED:
        problem["remedy"] = KEY_REMEDY
    elif isinstance(fault, ApiRefused) and DOCUMENT in fault.remedy:
        problem["remedy"] = f"What it takes: aether {command} --help."
    code = 2 if isinstance(fault, RequestInvalid) else 1
    if FOR_PROGRAMS.get():
        print(json.dumps({"outcome": "failed", "command": command, **problem}), file=sys.stderr)
        return code
    print(f"{painted('aether', 'red', to=sys.stderr)} {command}: {plain(str(problem['detail']))}", file=sys.stderr)
    if problem["remedy"]:
        print(f"  {plain(str(problem['remedy']))}", file=sys.stderr)
    elif problem["retryable"]:
        print("  Try again.", file=sys.stderr)
    return code


def report_words(command: str, detail: str, remedy: str) -> None:
    """The same for words that are no command; the exit code is 2 then."""
    if FOR_PROGRAMS.get():
        problem = {"code": "words_wrong", "detail": detail, "retryable": False, "remedy": remedy}
        print(json.dumps({"outcome": "failed", "command": command, **problem}), file=sys.stderr)
    else:
        print(f"{command}: {plain(detail)}\n  {remedy}", file=sys.stderr)
