"""Decisions on scaling for people: what was wanted, what held it back, and what came of it."""

from __future__ import annotations

from typing import cast

from agent_api.cli.paint import one_line, painted
from agent_api.cli.table import Row, cell, moment, show_rows

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
