"""How good a run was: violations of the SLO, cost, and the elasticity metrics of SPEC's cloud group."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np

from evals.scaling.run import History
from evals.scaling.traces import Floats

FLAP_S: Final = 300  # a change of direction within this is a flap


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """Of the judged part of one run. theta (under, over): instances missing and idle, in percent of what was needed, on
    average; tau (under, over): percent of time with too few and too many; upsilon: percent of steps in which demand and
    supply did not change alike. After Herbst et al., "Ready for Rain?" (SPEC RG 2016)."""

    violation_pct: float
    """Seconds with a 95th percentile above the SLO."""
    bad_request_pct: float
    """Requests that came in such seconds, and those turned away in others."""
    cost_vs_oracle: float
    """Instance seconds, from the moment of starting, over the oracle's."""
    theta_under: float
    theta_over: float
    tau_under: float
    tau_over: float
    upsilon: float
    changes: int
    flaps: int


def score(history: History, slo_s: float) -> Score:
    judged = slice(history.judged_from, None)
    violated = history.latency_p95_s[judged] > slo_s
    arrivals = history.arrivals[judged]
    existing, serving, needed = history.existing[judged], history.serving[judged], history.needed[judged]
    bad = float(arrivals[violated].sum()) + float(history.turned_away[judged][~violated].sum())
    under, over = np.maximum(needed - serving, 0.0), np.maximum(serving - needed, 0.0)
    moves = np.sign(np.diff(existing))
    return Score(
        violation_pct=100 * float(violated.mean()),
        bad_request_pct=100 * min(1.0, bad / max(1.0, float(arrivals.sum()))),
        cost_vs_oracle=float(existing.sum() / needed.sum()),
        theta_under=100 * float((under / needed).mean()),
        theta_over=100 * float((over / needed).mean()),
        tau_under=100 * float((under > 0).mean()),
        tau_over=100 * float((over > 0).mean()),
        upsilon=100 * float(np.minimum(1.0, np.abs(np.sign(np.diff(serving)) - np.sign(np.diff(needed)))).mean()),
        changes=int((moves != 0).sum()),
        flaps=_flaps(moves),
    )


def _flaps(moves: Floats) -> int:
    """Changes that undo the one before, soon after it."""
    at = np.flatnonzero(moves)
    turned = moves[at[1:]] != moves[at[:-1]]
    return int((turned & (np.diff(at) <= FLAP_S)).sum())
