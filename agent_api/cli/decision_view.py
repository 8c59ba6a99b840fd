"""Decisions on scaling for people: what was wanted, what held it back, and what came of it."""

from __future__ import annotations

import sys
from typing import cast

from agent_api.cli.paint import one_line, painted, plain
from agent_api.cli.table import Row, cell, moment, show_members, show_rows

FORECAST_COLUMNS = ("slice", "now.rate", "now.p10", "now.p50", "now.p90", "wanted", "serving", "chart")
COLOURS = {"applied": "green", "proposed": "yellow", "none": "dim"}


def show_decision(record: Row) -> None:
    """A DecisionRecord as plain data."""
    decision, gate, seen = (cast(Row, record[name]) for name in ("decision", "gate", "seen"))
    current = cast(int, seen["serving"]) + cast(int, seen.get("starting", 0))
    outcome = str(gate.get("outcome", "none"))
    change = f"{record['slice']}: {current} -> {decision['wanted']} instances"
    print(f"{painted(one_line(str(record['kind'])), COLOURS.get(outcome, 'red'))}  {painted(one_line(change), 'bold')}")
    rows = {
        "decision": record["id"],
        "at": moment(cast(int, record["at_unix_ms"])),
        "layer": f"{decision['layer']}, which asked for {decision['asked']}",
        "because": cell(decision["because"]),
        "rate": f"{_number(seen.get('rate'))} calls/s; one instance carries {_number(seen.get('rate_per_instance'))}",
        "latency": f"p95 {_number(seen.get('latency_p95_ms'))} ms",
        "trouble": record.get("trouble", ""),
        "rules": cell(decision.get("path", [])),
        "multiple": _number(decision.get("multiple", 1.0)),
        "gate": " ".join(str(gate.get(name, "")) for name in ("outcome", "gate_class", "rule")).strip(),
        "change": gate.get("audit", "") or gate.get("proposal", ""),
    }
    for name, value in rows.items():
        if value not in ("", None):
            print(f"  {name + ':':10} {one_line(str(value))}")
    _show_tables(record)


def _show_tables(record: Row) -> None:
    for title, name in (("options, the lowest score is the best", "options"), ("what came of it", "outcomes")):
        rows = cast(list[Row], record.get(name, []))
        if rows:
            print(f"\n{title}")
            show_rows(rows)


def show_all_decisions(answer: Row) -> None:
    """A DecisionPage: those about slices, then those about nodes."""
    show_decisions(cast(list[Row], answer["items"]))
    nodes = cast(list[Row], answer.get("nodes", []))
    if nodes:
        print("\nabout nodes")
        show_rows([_node_row(each) for each in nodes])


def show_node_decision(record: Row) -> None:
    """A NodeDecisionRecord as plain data."""
    decision, gate, seen = (cast(Row, record[name]) for name in ("decision", "gate", "seen"))
    outcome = str(gate.get("outcome", "none"))
    kind, change = one_line(str(record["kind"])), one_line(f"nodes: {_node_change(decision)}")
    print(f"{painted(kind, COLOURS.get(outcome, 'red'))}  {painted(change, 'bold')}")
    rows = {
        "decision": record["id"],
        "at": moment(cast(int, record["at_unix_ms"])),
        "because": cell(decision["because"]),
        "asked": f"{decision.get('asked', 0)} nodes would make room",
        "seen": f"{len(cast(list[Row], seen['nodes']))} nodes, {seen['wanted']} instances wanted,"
        f" {seen.get('missing', 0)} without room",
        "gate": " ".join(str(gate.get(name, "")) for name in ("outcome", "gate_class", "rule")).strip(),
        "change": gate.get("audit", "") or gate.get("proposal", ""),
    }
    for name, value in rows.items():
        if value not in ("", None):
            print(f"  {name + ':':10} {one_line(str(value))}")
    _show_tables(record)


def _node_change(decision: Row) -> str:
    if decision.get("add"):
        return f"{decision['add']} more"
    return f"{decision['remove']} goes" if decision.get("remove") else "none comes or goes"


def _node_row(record: Row) -> Row:
    decision, gate = (cast(Row, record[name]) for name in ("decision", "gate"))
    return {
        "at_unix_ms": record["at_unix_ms"],
        "kind": record["kind"],
        "change": _node_change(decision),
        "because": decision["because"],
        "gate": gate.get("outcome", "none"),
        "id": record["id"],
    }


def show_decisions(records: list[Row]) -> None:
    """Newest first, one line each."""
    show_rows([_row(each) for each in records])


def _row(record: Row) -> Row:
    decision, gate, seen = (cast(Row, record[name]) for name in ("decision", "gate", "seen"))
    return {
        "at_unix_ms": record["at_unix_ms"],
        "kind": record["kind"],
        "before": cast(int, seen["serving"]) + cast(int, seen.get("starting", 0)),
        "wanted": decision["wanted"],
        "asked": decision["asked"],
        "because": decision["because"],
        "gate": gate.get("outcome", "none"),
        "id": record["id"],
    }


def _number(value: object) -> str:
    return f"{value:.1f}" if isinstance(value, int | float) else "not known"


def show_rules(answer: Row) -> None:
    """The tree, and behind it what operators wrote."""
    print(answer["rules"])
    for each in cast(list[Row], answer.get("own", [])):
        whose = f"of {each['slice']}" if each["slice"] else "of all slices without rules of their own"
        print(f"\n{painted(f'rules {whose}', 'bold')}\n{plain(str(each['source'])).rstrip()}")


def show_forecast(answer: Row) -> None:
    """Load and band of each slice; where there is none, why."""
    rows = cast(list[Row], answer["items"])
    show_rows(rows, FORECAST_COLUMNS)
    if trouble := str(answer["trouble"]):
        print(plain(trouble), file=sys.stderr)
    elif not rows:
        print("a slice is forecast once ten of its minutes are known; `aether ttm status` says more", file=sys.stderr)


def show_node_level(answer: Row) -> None:
    """Who provides nodes and which there are, then what was decided; `aether why ID` tells all of one decision."""
    show_members({name: value for name, value in answer.items() if name not in ("revision", "stale", "decisions")})
    decisions = cast(list[Row], answer["decisions"])
    if decisions:
        print(f"\n{painted('decisions', 'bold')}")
        show_rows([_node_row(each) for each in decisions])
