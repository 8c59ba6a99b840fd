"""The study as one HTML page that needs nothing else: tables, and a plot of every trace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

from evals.scaling.arrivals import Generator
from evals.scaling.plot import figure
from evals.scaling.policies import OURS
from evals.scaling.study import BASE, Means, Row

WORDS: Final = {
    Generator.RAMP: "Ramps between the minutes of a trace",
    Generator.STEP: "Steps from minute to minute",
}
STYLE: Final = """
:root{color-scheme:light dark;--ground:#fff;--text:#1c2430;--quiet:#5b6676;--rule:#dde2e9;--load:#c9d8ee;--band:#e4dcf5;
--ours:#1759c4;--other:#8a6100;--need:#5b6676;--bad:#c02626;--lane:#f1f3f6}
@media (prefers-color-scheme:dark){:root{--ground:#12161c;--text:#e6eaf0;--quiet:#9aa6b6;--rule:#2a323d;--load:#24405f;
--band:#3a3157;--ours:#7fb0ff;--other:#e0b04a;--need:#9aa6b6;--bad:#ff7b72;--lane:#1b2129}}
body{margin:0 auto;max-width:1080px;padding:24px;background:var(--ground);color:var(--text);
font:15px/1.5 system-ui,sans-serif}
h1{font-size:24px}h2{font-size:19px;margin-top:36px}h3{font-size:15px;margin:28px 0 4px}p,figcaption{color:var(--quiet)}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:5px 10px;text-align:right;border-bottom:1px solid var(--rule)}
th:first-child,td:first-child{text-align:left}
th{color:var(--quiet);font-weight:600}tr.ours td{font-weight:600;color:var(--ours)}
figure{margin:0}svg{width:100%;height:auto;display:block}svg text{fill:var(--quiet);font-size:11px}
.grid{stroke:var(--rule)}.load{fill:var(--load)}.band{fill:var(--band)}.lane{fill:var(--lane)}.violated{fill:var(--bad)}
.needed,.policy-0,.policy-1{fill:none;stroke-width:1.5}.needed{stroke:var(--need);stroke-dasharray:2 3}
.policy-0{stroke:var(--ours)}.policy-1{stroke:var(--other)}
.key span{display:inline-block;margin-right:18px}.key i{display:inline-block;width:22px;height:9px;margin-right:6px}
"""


def page(
    rows: Sequence[Row], found: Sequence[Means], pairs: Mapping[str, Mapping[str, float]], *, conditions: str
) -> str:
    """conditions: what the study was asked for, in words."""
    body = [f"<h1>Scaling policies on load traces</h1><p>{escape(conditions)}</p>"]
    for generator in Generator:
        body += [f"<h2>{WORDS[generator]}</h2>", _ratios(pairs.get(generator)), _table(found, generator)]
    body += ["<h2>Trace by trace</h2>", _key(rows), *_figures(rows)]
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Scaling policies</title>'
    return (
        f'<!doctype html><html lang="en"><head>{head}<style>{STYLE}</style></head><body>{"".join(body)}</body></html>'
    )


def _ratios(pair: Mapping[str, float] | None) -> str:
    if pair is None:
        return ""
    fewer, cost = pair["violations_hpa70_over_aether"], pair["cost_aether_over_hpa70"]
    return f"<p>Ours breaks the SLO {fewer:.1f} times less than Kubernetes HPA at 70 %, at {cost:.3f} of its cost.</p>"


def _table(found: Sequence[Means], generator: Generator) -> str:
    titles = ("policy", "violated seconds", "bad requests", "cost over the oracle's", "υ", "flaps")
    lines = ["<tr>" + "".join(f'<th scope="col">{each}</th>' for each in titles) + "</tr>"]
    for each in sorted((each for each in found if each.generator == generator), key=lambda one: one.violation_pct):
        cells = (
            escape(each.policy),
            f"{each.violation_pct:.3f} %",
            f"{each.bad_request_pct:.2f} %",
            f"{each.cost_vs_oracle:.3f}",
            f"{each.upsilon:.2f}",
            f"{each.flaps:.0f}",
        )
        kind = ' class="ours"' if each.policy == OURS else ""
        lines.append(f"<tr{kind}>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    return f'<div class="wide"><table>{"".join(lines)}</table></div>'


def _key(rows: Sequence[Row]) -> str:
    shown = _shown(rows)
    words = [
        ("load", "load, in instances that are always busy"),
        ("need", "instances needed, known in hindsight"),
        *zip(("ours", "other"), (f"{name} serving" for name in shown), strict=False),
        ("bad", "seconds that broke the SLO"),
    ]
    if any(row.drawing is not None and row.drawing.band is not None for row in rows):
        words.insert(1, ("band", "forecast, 5th to 95th percentile"))
    keys = "".join(f'<span><i style="background:var(--{colour})"></i>{escape(text)}</span>' for colour, text in words)
    return f'<p class="key">{keys}</p>'


def _shown(rows: Sequence[Row]) -> list[str]:
    """The policies that are drawn: ours and HPA at 70 %, or the first two there are."""
    there = list(dict.fromkeys(row.policy for row in rows))
    return [*[name for name in (OURS, BASE) if name in there], *[name for name in there if name not in (OURS, BASE)]][
        :2
    ]


def _figures(rows: Sequence[Row]) -> list[str]:
    shown = _shown(rows)
    groups: dict[tuple[str, str], dict[str, Row]] = {}
    for row in rows:
        if row.policy in shown and row.drawing is not None:
            groups.setdefault((row.trace, row.generator), {})[row.policy] = row
    return [
        _one(trace, generator, [each[name] for name in shown if name in each])
        for (trace, generator), each in sorted(groups.items())
    ]


def _one(trace: str, generator: str, rows: Sequence[Row]) -> str:
    title = f"{trace}, {generator}s"
    drawn = [(row.policy, row.drawing) for row in rows if row.drawing is not None]
    said = "; ".join(
        f"{row.policy}: {row.score.violation_pct:.2f} % violated at {row.score.cost_vs_oracle:.3f} of the oracle's cost"
        for row in rows
    )
    return f"<figure><h3>{escape(title)}</h3>{figure(title, drawn)}<figcaption>{escape(said)}</figcaption></figure>"
