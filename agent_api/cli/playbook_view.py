"""Playbooks for people: which there are, one whole, and what one would do."""

from __future__ import annotations

from typing import Final, cast

from agent_api.cli.paint import one_line, painted, plain
from agent_api.cli.plan_view import show_diff
from agent_api.cli.table import Row, cell, show_members, show_rows

COLORS: Final = {"predicted": "green", "opaque": "yellow", "refused": "red", "reads": "dim", "skipped": "dim"}
STEP_COLUMNS: Final = ("step", "uses", "effect", "verify", "undo", "on_failure")


def show_playbook(answer: Row) -> None:
    """Its source last, as it was written."""
    apart = ("source", "steps", "params", "revision", "stale")
    show_members({name: value for name, value in answer.items() if name not in apart})
    params = cast(dict[str, Row], answer["params"])
    if params:
        print(f"\n{painted('parameters', 'bold')}")
        show_rows([{"name": name, **each} for name, each in params.items()])
    print(f"\n{painted('steps', 'bold')}")
    show_rows(cast(list[Row], answer["steps"]), STEP_COLUMNS)
    print(f"\n{plain(str(answer['source']))}", end="")


def show_planned(answer: Row) -> None:
    given = ", ".join(f"{name} = {cell(value)}" for name, value in cast(Row, answer["params"]).items())
    title = f"{answer['playbook']} {answer['version']}{f' with {given}' if given else ''}"
    print(painted(one_line(title), "bold"))
    for each in cast(list[Row], answer["pre"]):
        _expression("condition", each)
    for step in cast(list[Row], answer["steps"]):
        _step(step)
    if answer.get("verify"):
        _expression("verification, as things are now", cast(Row, answer["verify"]))
    approvals = cast(int, answer["approvals"])
    waits = f", {approvals} would wait for people" if approvals else ""
    print(f"{answer['predicted']} steps with an effect are predicted{waits}")
    if answer.get("beyond_role"):
        print(painted(f"an admin must start it, for {', '.join(cast(list[str], answer['beyond_role']))}", "yellow"))
    startable = bool(answer["startable"])
    print(painted("it can be started", "green") if startable else painted("it would not get through", "red"))


def _expression(what: str, found: Row) -> None:
    holds = found.get("value") is True
    why = f": {found['error']}" if found.get("error") else "" if holds else f" ({cell(found.get('value'))})"
    verdict = painted("holds", "green") if holds else painted("does not hold", "red")
    print(f"  {what} {verdict}  {one_line(str(found['cel']) + why)}")


def _step(step: Row) -> None:
    state = str(step["state"])
    told = step.get("why") or step.get("summary", "")
    gate = f"  [{step['gate_class']}, {step['decision']}]" if step.get("gate_class") else ""
    shown = painted(state.ljust(9), COLORS.get(state, "dim"))
    words = f"{step['uses']}: {told}" if told else str(step["uses"])
    print(f"  {one_line(str(step['step'])):<20} {shown} {one_line(words)}{gate}")
    if step.get("diff"):
        show_diff(cast(list[Row], step["diff"]))
