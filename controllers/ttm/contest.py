"""Who forecasts: whether a challenger takes the champion's place, and whether it stays there.

Before it is crowned it is judged on data that its training never saw; afterwards, live, beside the one it replaced.
Training anew without such a judge made forecasts up to 45 % worse where nothing had changed, so doubt favours the
champion. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from controllers.ttm.due import Floats
from controllers.ttm.standing import Standing

BLOCK: Final = 60  # minutes: losses of neighbouring minutes are alike, those of neighbouring hours much less
SPREAD_TIMES: Final = 1.0  # standard errors of the mean over blocks that a difference must exceed


@dataclass(frozen=True, slots=True, kw_only=True)
class ContestPolicy:
    """Shares of the champion's loss."""

    gain_min: float = 0.005
    """By so much the challenger must be better on the newest, held-back data."""
    worse_max: float = 0.01
    """By so much it may be worse over the longer window, and on older data."""
    blocks_min: int = 8
    """Hours of held-back data that a verdict needs."""
    probation_minutes: int = 1_440
    back_worse: float = 0.02
    """By so much worse, live, the one before comes back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """Of both on the same samples, in the order of time, NaN where nothing is known. The unit must be the same for all
    slices: pinball loss over a slice's mean load."""

    champion: Floats
    challenger: Floats


class Ruling(StrEnum):
    CROWNED = "crowned"
    TOO_LITTLE_DATA = "too_little_data"
    NOT_FINITE = "not_finite"
    NO_GAIN = "no_gain"
    GAIN_UNSURE = "gain_unsure"
    WORSE_LONGER = "worse_over_longer_window"
    WORSE_OLDER = "worse_on_older_data"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """`recent`, `longer`, `older`: the challenger's loss over the champion's; 1.0 where there is nothing to compare."""

    ruling: Ruling
    recent: float = 1.0
    longer: float = 1.0
    older: float = 1.0

    @property
    def crowned(self) -> bool:
        return self.ruling is Ruling.CROWNED


def judge(policy: ContestPolicy, *, recent: Losses, longer: Losses, older: Losses) -> Verdict:
    """Whether the challenger takes over.

    recent: the newest, held back from training; longer: a longer window that ends with it, so that one odd night does
    not crown; older: a sample of what lies before, so that nothing that was known is forgotten.
    """
    everything = (recent, longer, older)
    if any(np.isinf(each.challenger).any() or _lost(each) for each in everything):
        return Verdict(ruling=Ruling.NOT_FINITE)
    blocks = _differences(recent)
    ratios = {"recent": _ratio(recent), "longer": _ratio(longer), "older": _ratio(older)}
    return Verdict(ruling=_ruling(policy, blocks, **ratios), **ratios)


def _ruling(policy: ContestPolicy, blocks: Floats, *, recent: float, longer: float, older: float) -> Ruling:
    if len(blocks) < policy.blocks_min:
        return Ruling.TOO_LITTLE_DATA
    if recent > 1 - policy.gain_min:
        return Ruling.NO_GAIN
    if not _surely_above(-blocks):
        return Ruling.GAIN_UNSURE
    if longer > 1 + policy.worse_max:
        return Ruling.WORSE_LONGER
    if older > 1 + policy.worse_max:
        return Ruling.WORSE_OLDER
    return Ruling.CROWNED


class ProbationState(msgspec.Struct, frozen=True, kw_only=True):
    """Between two processes."""

    before: tuple[float, ...]
    now: tuple[float, ...]
    minutes: int


class Probation:
    """The newly crowned and the one it replaced, side by side on what really came."""

    def __init__(self, policy: ContestPolicy) -> None:
        self._policy = policy
        self._before: list[float] = []
        self._now: list[float] = []
        self.minutes = 0

    @property
    def ratio(self) -> float:
        """Loss of the newly crowned over that of the one before."""
        return _ratio(self._losses())

    def observe(self, *, before: float, now: float) -> Standing:
        """Once a minute, mean losses over all slices; NaN where nothing is known. Says what follows."""
        self.minutes += 1
        if np.isfinite(before):
            self._before.append(before)
            self._now.append(now)
        if np.isfinite(before) and not np.isfinite(now):
            return Standing.BACK
        losses = self._losses()
        blocks = _differences(losses)
        surely_worse = len(blocks) >= 2 and _surely_above(blocks) and self.ratio > 1 + self._policy.back_worse
        if surely_worse:
            return Standing.BACK
        return Standing.KEPT if self.minutes >= self._policy.probation_minutes else Standing.ON_PROBATION

    def state(self) -> ProbationState:
        return ProbationState(before=tuple(self._before), now=tuple(self._now), minutes=self.minutes)

    def resume(self, state: ProbationState) -> None:
        self._before, self._now, self.minutes = list(state.before), list(state.now), state.minutes

    def _losses(self) -> Losses:
        return Losses(champion=np.array(self._before), challenger=np.array(self._now))


def pinball(quantiles: Floats, levels: Floats, load: Floats) -> Floats:
    """Mean pinball loss over horizons and quantiles, times two, so that at the median it is the absolute error.

    quantiles: (n, horizons, quantiles) of load; load: (n, horizons). NaN in either is passed over; a row without any
    pair is NaN. Source: Koenker & Bassett 1978.
    """
    error = load[..., None] - quantiles
    loss = 2 * np.maximum(levels * error, (levels - 1) * error).mean(axis=-1)
    known: NDArray[np.bool_] = np.isfinite(loss)
    counts = known.sum(axis=-1)
    sums = np.where(known, loss, 0.0).sum(axis=-1)
    found: Floats = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return found


def _lost(losses: Losses) -> bool:
    """Samples that only the champion could forecast."""
    return bool((np.isfinite(losses.champion) & ~np.isfinite(losses.challenger)).any())


def _ratio(losses: Losses) -> float:
    both = np.isfinite(losses.champion) & np.isfinite(losses.challenger)
    champion = float(losses.champion[both].sum())
    return float(losses.challenger[both].sum()) / champion if champion > 0 else 1.0


def _differences(losses: Losses) -> Floats:
    """By block, how much more the challenger lost. What is left over at the end makes no block."""
    difference = losses.challenger - losses.champion
    known = difference[np.isfinite(difference)]
    whole: Floats = known[: len(known) // BLOCK * BLOCK].reshape(-1, BLOCK).mean(axis=1)
    return whole


def _surely_above(blocks: Floats) -> bool:
    """Whether their mean lies above nothing by more than chance."""
    return float(blocks.mean()) > SPREAD_TIMES * float(blocks.std(ddof=1)) / float(np.sqrt(len(blocks)))
