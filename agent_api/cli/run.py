"""`aether run follow ID`: a run's steps as they begin and end; the other verbs come from the catalogue."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from typing import Final, cast

from agent_api.cli.connecting import add_api_arguments, client_of
from agent_api.cli.failure import report
from agent_api.cli.main import DONE, FAILED, PROPOSED
from agent_api.cli.paint import one_line, painted
from agent_api.cli.query import answered
from agent_api.cli.table import Row
from agent_api.client.client import Client
from runtime.errors import RuntimeFault
from runtime.workflow.records import ENDED, RunState

OVER: Final = {*(each.value for each in ENDED), RunState.NEEDS_HUMAN.value, RunState.PAUSED.value}
"""States in which it does not go on by itself."""
COLORS: Final = {"done": "green", "failed": "red", "undone": "yellow", "waiting": "yellow"}
SUMMARY_CHARS: Final = 90


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    text = "tell a run's steps as they begin and end, until it does not go on by itself"
    follow = verbs.add_parser("follow", help=text, description=text[:1].upper() + text[1:] + ".")
    follow.add_argument("run", metavar="RUN", help="id of the run")
    follow.add_argument("--json", action="store_true", help="print one JSON object a line: steps, then the run")
    add_api_arguments(follow)


def run(arguments: argparse.Namespace) -> int:
    """Exit codes: 0 it succeeded, 1 it failed or was cancelled, 3 it waits for a person."""
    try:
        with client_of(arguments) as client:
            state = follow(client, arguments.run, as_json=arguments.json)
    except RuntimeFault as fault:
        return report("run follow", fault)
    if state == RunState.SUCCEEDED:
        return DONE
    return PROPOSED if state in (RunState.NEEDS_HUMAN, RunState.PAUSED) else FAILED


def follow(client: Client, identity: str, *, as_json: bool) -> str:
    """The state in which it came to rest. Raises RuntimeFault."""
    timeline = Timeline(as_json=as_json)
    for _ in _moments(client, identity):
        shown = answered(client, client.talks.query("run.show"), {"run": identity})
        state = timeline.take(shown)
        if state in OVER:
            timeline.end(shown)
            return state
    return ""


def _moments(client: Client, identity: str) -> Iterator[None]:
    """Now, and after each event of the run: what happens between the two is not missed."""
    newest = cast(list[Row], answered(client, client.talks.query("event.list"), {"limit": 1})["events"])
    yield None
    for event in client.events(after=str(newest[-1]["id"]) if newest else ""):
        data = event.data.get("data") if isinstance(event.data, dict) else None
        if event.name == "reset" or (isinstance(data, dict) and data.get("run") == identity):
            yield None


class Timeline:
    """Tells each state of each step once."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._told: dict[str, str] = {}

    def take(self, shown: Row) -> str:
        """The run's state."""
        run = cast(Row, shown["run"])
        for step in cast(list[Row], shown["steps"]):
            name, state = str(step["step"]), f"{step['state']} {step['attempt']} {step['undo']}"
            if self._told.get(name) != state:
                self._told[name] = state
                self._step(step, run)
        return str(run["state"])

    def end(self, shown: Row) -> None:
        run = cast(Row, shown["run"])
        if self._as_json:
            print(json.dumps({"run": run, "error": shown["error"], "result": shown["result"]}), flush=True)
            return
        error = cast(Row | None, shown["error"])
        why = f": {error['code']}: {error['detail']}" if error else f": {run['reason']}" if run["reason"] else ""
        took_ms = int(str(run["ended_unix_ms"])) - int(str(run["began_unix_ms"]))
        took = f" after {took_ms / 1_000:.1f} s" if took_ms > 0 else ""
        print(one_line(f"{run['title']} {run['state']}{took}{why}"), flush=True)

    def _step(self, step: Row, run: Row) -> None:
        if self._as_json:
            print(json.dumps({"step": step}), flush=True)
            return
        began, ended = int(str(step["began_unix_ms"])), int(str(step["ended_unix_ms"]))
        at_s = (began - int(str(run["began_unix_ms"]) or 0)) / 1_000
        took = f"{(ended - began) / 1_000:.1f} s" if ended else ""
        state = str(step["state"])
        shown = painted(state.ljust(8), COLORS[state], to=sys.stdout) if state in COLORS else state.ljust(8)
        print(
            f"{at_s:>8.1f} s  {one_line(str(step['step'])):<28} {shown} {took:>8}  {_detail(step)}".rstrip(), flush=True
        )


def _detail(step: Row) -> str:
    error, result = cast(Row | None, step["error"]), cast(Row, step["result"])
    if error:
        told = f"{error['code']}: {error['detail']}"
    elif step["waits_for"]:
        told = f"waits for {step['waits_for']}"
    else:
        told = str(result.get("summary", ""))
    attempt = f"attempt {step['attempt']}: " if int(str(step["attempt"])) > 1 else ""
    undo = f" (undo {step['undo']})" if step["undo"] in ("begun", "done", "failed") else ""
    return one_line(f"{attempt}{told}{undo}")[:SUMMARY_CHARS]
