"""A plan for people: what would change, member by member, what it touches, and what the gate says."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import cast

from agent_api.cli.paint import one_line, painted
from agent_api.cli.table import Row, cell


def show_plan(plan: Row) -> None:
    """plan: a PlanView as plain data."""
    print(painted(one_line(str(plan["summary"])), "bold"))
    show_diff(cast(list[Row], plan["diff"]))
    _show_blast(cast(Row, plan["blast"]))
    _show_verdict(plan)


def show_explained(answer: Row) -> None:
    """answer: of gate.explain."""
    plan = cast(Row, answer["plan"])
    print(f"for {one_line(str(answer['actor']))}:")
    _show_verdict(plan)
    print()
    show_plan({**plan, "decision": ""})


def show_diff(rows: Iterable[Row]) -> None:
    """Old in red with -, new in green with +; a key that comes or goes as a whole in one line."""
    key = ""
    for row in rows:
        if row["key"] != key:
            key = str(row["key"])
            print(f"  {painted(key, 'dim')}")
        _show_field(str(row.get("path", "")), row.get("before"), row.get("after"))
    if not key:
        print("  nothing would change")


def _show_field(path: str, before: object, after: object) -> None:
    """One member in two lines; texts of several lines line by line."""
    if isinstance(before, str) and isinstance(after, str) and "\n" in before + after:
        lines = difflib.unified_diff(before.splitlines(), after.splitlines(), n=1, lineterm="")
        print(f"    {path or 'text'}:")
        for line in list(lines)[2:]:
            colour = {"-": "red", "+": "green"}.get(line[0], "dim")
            print(painted(f"      {line}", colour))
        return
    name = f"{path}: " if path else ""
    if before is not None:
        print(painted(f"    - {name}{cell(before)}", "red"))
    if after is not None:
        print(painted(f"    + {name}{cell(after)}", "green"))


def _show_blast(blast: Row) -> None:
    words = []
    if count := cast(int, blast.get("instances", 0)):
        words.append(f"{count} instance{'s' if count > 1 else ''}")
    if blast.get("nodes"):
        words.append(f"nodes {cell(blast['nodes'])}")
    if share := cast(float, blast.get("capacity_share", 0.0)):
        words.append(f"{share:.0%} of the capacity goes away")
    if blast.get("dependants"):
        words.append(f"required by {cell(blast['dependants'])}")
    if blast.get("budget_left") is not None:
        left = cast(int, blast["budget_left"])
        words.append(f"{left} instance{'' if left == 1 else 's'} above min_available")
    if words:
        print(f"  touches   {', '.join(words)}")


def _show_verdict(plan: Row) -> None:
    match plan["decision"]:
        case "act":
            print(
                painted(f"  gate      {plan['gate_class']}: would act at once", "green")
                + f" ({one_line(str(plan['rule']))})"
            )
        case "propose":
            said = f"  gate      {plan['gate_class']}: would wait for {plan['approvers']}"
            print(painted(said, "yellow") + f" ({one_line(str(plan['rule']))})")
        case "refuse":
            print(
                painted(f"  gate      {plan['gate_class']}: would refuse", "red") + f" ({one_line(str(plan['rule']))})"
            )
