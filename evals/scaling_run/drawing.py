"""The run as one SVG file: load with what was forecast, instances, 95th percentile and where the SLO was broken."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from evals.scaling_run.account import SLO_MS, Forecasted, RunResult, Way

WIDTH, LEFT, RIGHT = 960, 100, 944
LOAD, INSTANCES, LATENCY = (30, 170), (210, 350), (390, 510)  # top and foot of each panel
LANES_TOP: Final = 536
LANE: Final = 18
HEIGHT: Final = LANES_TOP + 3 * LANE + 34
MINUTE_S: Final = 60
LATENCY_TOP_MS: Final = 1_500.0

STYLE: Final = """
.band{fill:#0969da;opacity:.18}.median{stroke:#0969da;stroke-dasharray:4 3}.load{stroke:#57606a}
.way-0{stroke:#1a7f37}.way-1{stroke:#bc4c00}.way-2{stroke:#8250df;stroke-dasharray:6 3}
.slo{stroke:#cf222e;stroke-dasharray:2 3}
.back{fill:#fff}.grid{stroke:#d0d7de;stroke-width:.6}.violated{fill:#cf222e}.lane{fill:#eaeef2}
path{fill:none;stroke-width:1.8}text{font:12px sans-serif;fill:#24292f}
.key-0{fill:#1a7f37}.key-1{fill:#bc4c00}.key-2{fill:#8250df}
@media(prefers-color-scheme:dark){.back{fill:#0d1117}.grid{stroke:#30363d}.lane{fill:#21262d}text{fill:#c9d1d9}
.load{stroke:#b1bac4}.band{fill:#58a6ff;opacity:.25}.median{stroke:#58a6ff}.way-0{stroke:#3fb950}.way-1{stroke:#f0883e}
.way-2{stroke:#bc8cff}.key-0{fill:#3fb950}.key-1{fill:#f0883e}.key-2{fill:#bc8cff}}
"""


def figure(result: RunResult) -> str:
    """It takes light or dark from whoever looks, and nothing from elsewhere."""
    length, ways = result.length_s, result.ways
    top_rps = max(*(each.sent_rps for each in ways[0].seconds), *(each.p90 for each in result.forecast), 1.0) * 1.05
    top_count = 2.0 * (max(each.instances_most for each in ways) // 2 + 1)  # even, as its middle is told
    parts = [f'<rect class="back" width="{WIDTH}" height="{HEIGHT}"/>']
    parts += _panel("requests a second; band: forecast p10 to p90, a minute ahead", LOAD, top_rps)
    parts += _forecast(result.forecast, top_rps, length)
    parts.append(_line("load", [each.sent_rps for each in ways[0].seconds], LOAD, top_rps))
    parts += _panel("instances, starting ones too", INSTANCES, top_count)
    parts += [
        _line(f"way-{at}", [float(s.wanted) for s in way.seconds], INSTANCES, top_count) for at, way in _back(ways)
    ]
    parts += _panel("95th percentile of each second, ms", LATENCY, LATENCY_TOP_MS)
    parts += [_line(f"way-{at}", _latencies(way), LATENCY, LATENCY_TOP_MS) for at, way in _back(ways)]
    parts.append(_line("slo", [SLO_MS] * length, LATENCY, LATENCY_TOP_MS))
    for at, way in enumerate(ways):
        parts += _lane(at, way, length)
    parts += _minutes(length)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="Load, forecast, instances and latency of three ways of scaling">'
        f"<style>{STYLE}</style>{''.join(parts)}</svg>\n"
    )


def _back(ways: Sequence[Way]) -> list[tuple[int, Way]]:
    """The first is drawn last, above the others."""
    return [*enumerate(ways)][::-1]


def _latencies(way: Way) -> list[float]:
    """A second without an answer is as bad as it gets."""
    return [min(LATENCY_TOP_MS, LATENCY_TOP_MS if s.p95_ms is None else s.p95_ms) for s in way.seconds]


def _panel(title: str, panel: tuple[int, int], top: float) -> list[str]:
    found = [f'<text x="{LEFT}" y="{panel[0] - 8}">{title}</text>']
    for tick in range(3):
        value = top * tick / 2
        y = _y(value, panel, top)
        found.append(f'<line class="grid" x1="{LEFT}" x2="{RIGHT}" y1="{y}" y2="{y}"/>')
        found.append(f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{value:.0f}</text>')
    return found


def _forecast(said: Sequence[Forecasted], top: float, length: int) -> list[str]:
    found = []
    for each in said:
        left, right = _x(each.at_s, length), _x(min(length, each.at_s + MINUTE_S), length)
        high, low, middle = (_y(value, LOAD, top) for value in (each.p90, each.p10, each.p50))
        found.append(f'<rect class="band" x="{left}" y="{high}" width="{right - left:.1f}" height="{low - high:.1f}"/>')
        found.append(f'<path class="median" d="M{left} {middle}H{right}"/>')
    return found


def _lane(at: int, way: Way, length: int) -> list[str]:
    y = LANES_TOP + LANE * at
    found = [f'<rect class="lane" x="{LEFT}" y="{y}" width="{RIGHT - LEFT}" height="{LANE - 4}"/>']
    found.append(f'<text class="key-{at}" x="{LEFT - 8}" y="{y + 11}" text-anchor="end">{way.slice}</text>')
    wide = (RIGHT - LEFT) / length
    found += [
        f'<rect class="violated" x="{LEFT + second * wide:.1f}" y="{y}" width="{wide:.1f}" height="{LANE - 4}"/>'
        for second, each in enumerate(way.seconds)
        if each.failed or (each.p95_ms or 0.0) > SLO_MS
    ]
    return found


def _minutes(length: int) -> list[str]:
    y = LATENCY[1] + 16
    return [
        f'<text x="{_x(at, length)}" y="{y}" text-anchor="middle">{at // MINUTE_S} min</text>'
        for at in range(0, length + 1, 2 * MINUTE_S)
    ] + [f'<text x="{LEFT}" y="{HEIGHT - 14}">red: seconds that broke the SLO of {SLO_MS:.0f} ms</text>']


def _line(kind: str, values: Sequence[float], panel: tuple[int, int], top: float) -> str:
    points = [f"{_x(at, len(values))} {_y(value, panel, top)}" for at, value in enumerate(values)]
    return f'<path class="{kind}" d="M{"L".join(points)}"/>'


def _x(at_s: float, length: int) -> float:
    return round(LEFT + (RIGHT - LEFT) * at_s / length, 1)


def _y(value: float, panel: tuple[int, int], top: float) -> float:
    return round(panel[1] - (panel[1] - panel[0]) * min(1.0, value / top), 1)
