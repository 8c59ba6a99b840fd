"""One run of a policy beside another one's, as an SVG figure that takes its colours from the page."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

from evals.scaling.drawing import Drawing

WIDTH: Final = 960
HEIGHT: Final = 220
LEFT: Final = 52
TOP: Final = 8
FOOT: Final = 46
LANE: Final = 12
HOUR_S: Final = 3_600.0
SHORT_S: Final = 12 * HOUR_S  # of which tenths of an hour are worth telling
TICKS: Final = 4


def figure(title: str, drawings: Sequence[tuple[str, Drawing]]) -> str:
    """drawings: policies with the same trace and generator, ours first. Load and need are the first one's."""
    first = drawings[0][1]
    top = max(1.0, *first.load, *(max(each.serving) for _, each in drawings))
    parts = [*_grid(top, len(first.load) * first.step_s)]
    if first.band is not None:
        low, high = first.band
        parts.append(f'<path class="band" d="{_area(low, high, top)}"/>')
    parts.append(f'<path class="load" d="{_area([0.0] * len(first.load), first.load, top)}"/>')
    parts.append(f'<path class="needed" d="{_steps(first.needed, top)}"/>')
    for number, (_, each) in reversed([*enumerate(drawings)]):
        parts.append(f'<path class="policy-{number}" d="{_steps(each.serving, top)}"/>')
    for number, (name, each) in enumerate(drawings):
        parts += _lane(number, name, each)
    spoken = f"{title}: load, instances needed and serving, and violations of {', '.join(name for name, _ in drawings)}"
    height = HEIGHT + FOOT - 2 * LANE + LANE * len(drawings)
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(spoken)}">{"".join(parts)}</svg>'


def _grid(top: float, length_s: float) -> list[str]:
    found = []
    digits = 1 if length_s < SHORT_S else 0
    for tick in range(TICKS + 1):
        value = top * tick / TICKS
        y = _y(value, top)
        found.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH}" y1="{y}" y2="{y}"/>')
        found.append(f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{value:.0f}</text>')
        x = LEFT + (WIDTH - LEFT) * tick / TICKS
        anchor = "start" if tick == 0 else "end" if tick == TICKS else "middle"
        hours = length_s * tick / TICKS / HOUR_S
        found.append(f'<text x="{x:.0f}" y="{HEIGHT - 18}" text-anchor="{anchor}">{hours:.{digits}f} h</text>')
    return found


def _lane(number: int, name: str, drawing: Drawing) -> list[str]:
    """Where the SLO was broken: a bar the stronger, the more of the step."""
    y = HEIGHT - 8 + LANE * number
    step = (WIDTH - LEFT) / len(drawing.violated)
    bars = [
        f'<rect class="violated" x="{LEFT + at * step:.1f}" y="{y}" width="{max(step, 1.5):.1f}" height="{LANE - 3}"'
        f' opacity="{0.3 + 0.7 * share:.2f}"/>'
        for at, share in enumerate(drawing.violated)
        if share > 0
    ]
    label = f'<text x="{LEFT - 6}" y="{y + 8}" text-anchor="end">{escape(name[:6])}</text>'
    return [f'<rect class="lane" x="{LEFT}" y="{y}" width="{WIDTH - LEFT}" height="{LANE - 3}"/>', *bars, label]


def _x(at: float, count: int) -> float:
    return round(LEFT + (WIDTH - LEFT) * at / count, 1)


def _y(value: float, top: float) -> float:
    return round(TOP + (HEIGHT - FOOT - TOP + 8) * (1 - value / top), 1)


def _steps(values: Sequence[float], top: float) -> str:
    """Only where it changes."""
    found = [f"M{LEFT} {_y(values[0], top)}"]
    for at, value in enumerate(values):
        if at and value != values[at - 1]:
            found.append(f"H{_x(at, len(values))}V{_y(value, top)}")
    return "".join(found) + f"H{WIDTH}"


def _area(low: Sequence[float], high: Sequence[float], top: float) -> str:
    there = [f"{_x(at + 0.5, len(high))} {_y(value, top)}" for at, value in enumerate(high)]
    back = [f"{_x(at + 0.5, len(low))} {_y(value, top)}" for at, value in reversed([*enumerate(low)])]
    return f"M{'L'.join(there)}L{'L'.join(back)}Z"
