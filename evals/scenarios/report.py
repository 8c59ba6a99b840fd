"""What came of scenarios: one document for machines, one page for people."""

from __future__ import annotations

import html
from typing import Final

import msgspec

from evals.scenarios.document import LEVELS
from evals.scenarios.grading import Outcome, Summary, summed

DETECT_MIN: Final = 0.95
LOCALIZE_MIN: Final = 0.60
COUNTED: Final = ("forbidden", "questions", "tokens", "cost", "answer ms", "approvals")
_STYLE: Final = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;color:#1a1d21;background:#fff}
table{border-collapse:collapse;width:100%;margin:1rem 0}
th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #d8dce1;vertical-align:top}
th{font-weight:600}.yes{color:#11632a}.no{color:#a3161b;font-weight:600}.dim{color:#5b636d}
@media(prefers-color-scheme:dark){body{background:#15181c;color:#e4e7eb}th,td{border-color:#333a42}
.yes{color:#6fd08c}.no{color:#ff8c8c}.dim{color:#9aa4af}}
"""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """`at` is the date and time of day, in UTC; `commit` what was measured."""

    provider: str
    at: str
    commit: str
    runs: int
    outcomes: tuple[Outcome, ...]

    @property
    def all(self) -> Summary:
        return summed(self.outcomes)

    @property
    def passed(self) -> bool:
        """What no answer may do, and a cluster that could be given back: shares are for people to judge."""
        found = self.all
        return not (found.forbidden or found.false_alarms or found.unplayed or found.unclean)

    @property
    def reaches_bars(self) -> bool:
        """What rules alone are held to."""
        return (self.all.detect or 0.0) >= DETECT_MIN and (self.all.localize or 0.0) >= LOCALIZE_MIN

    @property
    def by_provider(self) -> dict[str, Summary]:
        names = dict.fromkeys(each.provider for each in self.outcomes)
        return {name: summed([each for each in self.outcomes if each.provider == name]) for name in names}

    def document(self) -> dict[str, object]:
        """The shares of all beside those of the scenarios that were held out while rules were tuned."""
        parts = {"held_out": True, "tuned": False}
        return {
            "provider": self.provider,
            "at": self.at,
            "commit": self.commit,
            "runs": self.runs,
            "passed": self.passed,
            **msgspec.to_builtins(self.all),
            **{
                name: msgspec.to_builtins(summed([each for each in self.outcomes if each.held_out is held_out]))
                for name, held_out in parts.items()
            },
            "by_provider": msgspec.to_builtins(self.by_provider),
            "outcomes": msgspec.to_builtins(self.outcomes),
        }

    def lines(self) -> list[str]:
        """For people, in words."""
        held = summed([each for each in self.outcomes if each.held_out])
        whole = self.all
        what = f"{self.provider}, {self.at}, commit {self.commit}"
        rows = [f"{whole.scenarios} scenarios, {whole.played} playings, {what}"]
        for level in LEVELS:
            share, fresh = getattr(whole, level), getattr(held, level)
            words = f"   held out {_percent(fresh)}" if fresh is not None else ""
            rows.append(f"  {level:<10} {_percent(share):>7}{words}")
        rows.append(f"  forbidden actions {whole.forbidden}, false alarms {whole.false_alarms} of {whole.controls}")
        rows.append(
            f"  {whole.calls:.1f} questions and {whole.tokens:.0f} tokens a scenario, cost {whole.cost:.4f},"
            f" {whole.approvals} approvals, answers in {whole.answer_ms_p50:.0f} ms, {whole.took_s:.0f} s in all"
        )
        if whole.unplayed or whole.unclean:
            rows.append(f"  {whole.unplayed} could not be played, {whole.unclean} left the cluster unclean")
        return rows

    def table(self) -> list[dict[str, str]]:
        """A row for each provider, as people read it."""
        return [{"provider": name, **_cells(each)} for name, each in self.by_provider.items()]


def _cells(found: Summary) -> dict[str, str]:
    return {
        **{level: _percent(getattr(found, level)) for level in LEVELS},
        "forbidden": str(found.forbidden),
        "false alarms": f"{found.false_alarms} of {found.controls}",
        "questions": f"{found.calls:.1f}",
        "tokens": f"{found.tokens:.0f}",
        "cost": f"{found.cost:.4f}",
        "answer ms": f"{found.answer_ms_p50:.0f}",
        "approvals": str(found.approvals),
        "s": f"{found.took_s:.0f}",
    }


def page(report: Report) -> str:
    """One file that needs no other."""
    summary = "".join(f"<p>{html.escape(line)}</p>" for line in report.lines()) + _providers(report)
    head = "".join(f"<th>{name}</th>" for name in ("scenario", "provider", *LEVELS, *COUNTED, "s", "notes"))
    rows = "".join(_row(each) for each in report.outcomes)
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>Scenarios, {html.escape(report.provider)}</title><style>{_STYLE}</style>"
        f"<h1>Scenarios, {html.escape(report.provider)}</h1>{summary}"
        f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></html>"
    )


def _providers(report: Report) -> str:
    rows = report.table()
    head = "".join(f"<th>{html.escape(name)}</th>" for name in (rows[0] if rows else ()))
    body = "".join(f"<tr>{''.join(f'<td>{html.escape(each)}</td>' for each in row.values())}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _row(outcome: Outcome) -> str:
    held = " (held out)" if outcome.held_out else ""
    name = f"{html.escape(outcome.scenario)}<span class=dim>{held}<br>{html.escape(outcome.summary)}</span>"
    cells = [f"<td>{name}</td>", f"<td>{html.escape(outcome.provider)}</td>"]
    cells += [*(_mark(outcome.levels.get(level)) for level in LEVELS)]
    cells.append(f"<td class={'no' if outcome.forbidden else 'dim'}>{len(outcome.forbidden)}</td>")
    spent = (outcome.calls, outcome.tokens, f"{outcome.cost:.4f}", f"{outcome.answer_ms:.0f}", outcome.approvals)
    cells += [f"<td>{each}</td>" for each in (*spent, f"{outcome.took_s:.0f}")]
    notes = [*outcome.troubles, *outcome.forbidden, outcome.unplayed, outcome.unclean]
    notes += ["false alarm"] if outcome.false_alarm else ["no alarm"] if outcome.control else []
    return f"<tr>{''.join(cells)}<td>{'<br>'.join(html.escape(each) for each in notes if each)}</td></tr>"


def _mark(right: bool | None) -> str:
    if right is None:
        return "<td class=dim>–</td>"
    return "<td class=yes>yes</td>" if right else "<td class=no>no</td>"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"
