"""How much calibrated bands cover, as a table or as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from agent_api.cli.table import show, show_json

if TYPE_CHECKING:
    from evals.forecasts.coverage import Coverage

COLUMNS: Final = (
    ("TRACE", "trace"),
    ("MINUTES", "minutes"),
    ("MODEL ALONE", "raw"),
    ("CALIBRATED", "calibrated"),
    ("WORST 12 H", "worst"),
    ("WIDTH", "width"),
    ("", "verdict"),
)


def show_coverage(found: Sequence[Coverage], *, as_json: bool) -> None:
    """Of each trace over its horizons: the least and the most."""
    if as_json:
        import msgspec

        show_json([{**msgspec.to_builtins(each), "within": each.within} for each in found])
        return
    rows = [
        {
            "trace": each.trace,
            "minutes": each.minutes,
            "raw": _span(each.raw),
            "calibrated": _span(each.calibrated),
            "worst": f"{min(each.worst):.1%}",
            "width": f"{min(each.width):.2f} to {max(each.width):.2f}",
            "verdict": "" if each.within else "out of bounds",
        }
        for each in found
    ]
    show(rows, COLUMNS)


def _span(shares: Sequence[float]) -> str:
    return f"{min(shares):.1%} to {max(shares):.1%}"
