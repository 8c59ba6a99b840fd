"""Events of a turn, for people at a terminal."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import cast

from agent_api.cli.paint import one_line, painted, plain
from agent_api.cli.plan_view import show_plan
from agent_api.cli.table import Row, cell, show, title_of
from controllers.ttm.trail import bars


class TurnView:
    """What was looked at one after the other is one line, however much it was."""

    def __init__(self, *, live: bool | None = None) -> None:
        """live: an answer is shown while it is written; None where standard output is a terminal."""
        self._looked: list[str] = []
        self._live = sys.stdout.isatty() if live is None else live
        self._shown: list[str] = []
        self._open = ""

    def show(self, event: Row) -> None:
        kind = event.get("type")
        if kind in ("written", "anew"):
            self._write(event)
            return
        if self._open:
            self._break_off()
        if kind == "text" and self._shown and self._shown[0] == str(event["text"]):
            self._shown.pop(0)  # it was shown while it was written
            return
        if event.get("type") == "looked":
            evidence = cast(Row, event["evidence"])
            self._looked.append(f"{evidence['id']} {evidence['operation']}")
            return
        if kind != "begun":
            self._tell_looked()
        show_event(event)

    def _write(self, event: Row) -> None:
        if not self._live:
            return
        if event["type"] == "anew":
            self._break_off()
            self._shown.clear()
            print(painted("taken back, as not all of it holds; it is written again", "dim"))
            return
        self._tell_looked()
        print(plain(str(event["text"])), end="", flush=True)
        self._open += str(event["text"])
        if event.get("ends"):
            print(_cited(event))
            self._shown.append(self._open)
            self._open = ""

    def _break_off(self) -> None:
        if self._open:
            print()
        self._open = ""

    def _tell_looked(self) -> None:
        if self._looked:
            print(painted(one_line(f"looked at {', '.join(self._looked)}"), "dim"))
            self._looked.clear()


def show_event(event: Row) -> None:
    """event: one of llm_layer/chat/events.py as plain data."""
    match event.get("type"):
        case "looked":
            _show_looked(cast(Row, event["evidence"]))
        case "text":
            print(plain(str(event["text"])) + _cited(event))
        case "table":
            _show_table(event)
        case "plot":
            _show_plot(event)
        case "card":
            _show_card(event)
        case "choices":
            _show_choices(event)
        case "checked":
            _show_checked(event)
        case "concluded":
            _show_conclusion(event)
        case "proposal":
            _show_proposal(event)
        case "failed":
            words = " ".join(str(event.get(each, "")) for each in ("detail", "remedy"))
            print(painted(one_line(f"{event['code']}: {words}"), "red"), file=sys.stderr)
        case "done":
            print(painted(_ended(event), "dim"))


def _ended(event: Row) -> str:
    """Who answered, and what it took."""
    by_model = event["answered_by"] == "model"  # else rules answered, and had asked it something
    model = f"{' ' if by_model else ', asked '}{event['model']}" if event.get("model") else ""
    cost = cast("int | None", event.get("cost_micros", 0))
    took = f"answered by {event['answered_by']}{model}, {event['asked']} questions, {event['taken_ms']:.0f} ms"
    if not event.get("tokens"):
        return took
    return f"{took}, {event['tokens']} tokens, {'price not known' if cost is None else f'${cost / 1e6:.4f}'}"


def _show_checked(event: Row) -> None:
    """Where nothing was doubted one line says so, for who wants to know who looked."""
    doubts = cast(Sequence[Row], event.get("doubts", ()))
    if not doubts:
        words = f"{event['by']} compared {event['claims']} of the claims with their evidence: no doubts"
        print(painted(one_line(words), "dim"))
    for each in doubts:
        print(painted("doubted", "yellow") + f"  {one_line(str(each['claim']))}")
        print(painted(one_line(f"{each['says']} (by {event['by']})"), "dim"))


def _show_conclusion(event: Row) -> None:
    roots = ", ".join(cast(Sequence[str], event["roots"])) or "nothing"
    share = f"{cast(float, event['confidence']):.0%} sure, by {event['by']}"
    print(painted("cause", "bold") + f"  {one_line(roots)}: {one_line(str(event['mechanism']))} ({share})")


def _show_proposal(event: Row) -> None:
    print(painted("proposal", "bold") + f"  {one_line(str(event['id']))}  {one_line(str(event['summary']))}")
    if event.get("tainted"):
        print(painted("  made after reading text from logs, which anybody may have written", "yellow"))
    print(f"  gate      {one_line(str(event['gate_class']))}: needs {one_line(str(event['approvers']))}")
    print(f"  way back  {one_line(str(event['rollback']))}")


def _show_looked(evidence: Row) -> None:
    request = " ".join(f"{name}={cell(value)}" for name, value in cast(Row, evidence["request"]).items())
    print(painted(one_line(f"{evidence['id']}  {evidence['operation']} {request}"), "dim"))


def _cited(event: Row) -> str:
    evidence = cast(Sequence[str], event.get("evidence", ()))
    return painted(f" [{', '.join(evidence)}]", "dim") if evidence else ""


def _show_table(event: Row) -> None:
    columns = cast(Sequence[str], event["columns"])
    rows = [dict(zip(columns, row, strict=True)) for row in cast(Sequence[Sequence[object]], event["rows"])]
    show(rows, [(title_of(each.replace(".", " ")), each) for each in columns])
    if event.get("more"):
        print(painted(f"and {event['more']} more", "dim"))


def _show_plot(event: Row) -> None:
    values = [math.nan if each is None else float(each) for each in cast(Sequence[float | None], event["values"])]
    known = [each for each in values if not math.isnan(each)]
    top = f"{min(known):g} to {max(known):g} {event['unit']}" if known else "no values"
    print(f"{event['name']!s:<8} {bars(values, [])}  {painted(top, 'dim')}")


def _show_card(event: Row) -> None:
    print(painted("card", "bold") + f"  {one_line(str(event['command']))}")
    if event.get("near"):
        said, meant = cast(Sequence[str], event["near"])
        print(painted(f"  {meant} is taken for {said!r}", "yellow"))
    if event.get("tainted"):
        print(painted("  made after reading text from logs, which anybody may have written", "yellow"))
    if event.get("refused"):
        print(painted(f"  it would be refused: {one_line(str(event['refused']))}", "red"))
    if event.get("plan"):
        show_plan(cast(Row, event["plan"]))


def _show_choices(event: Row) -> None:
    why = f" ({one_line(str(event['why']))})" if event.get("why") else ""
    print(f"Which of these is meant?{why}")
    for number, each in enumerate(cast(Sequence[Row], event["options"]), 1):
        lacks = f", lacks {', '.join(cast(Sequence[str], each['missing']))}" if each.get("missing") else ""
        mark = painted("changes", "yellow") if each.get("changes") else painted("asks", "dim")
        print(f"  {number}  {one_line(str(each['say']))}  {mark}{lacks}")
