"""A series of figures in a few numbers: what it is now, what is usual, and when it changed."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, pstdev
from typing import Final

from llm_layer.desk import Plain

POINTS: Final = 12  # of the course: enough to see a shape, 60 tokens
CHANGES_MAX: Final = 3
SIDE_MIN: Final = 6  # points on either side of a change
SHIFT_MIN: Final = 0.3  # of the larger mean
NOISE_MIN: Final = 2.0  # standard deviations within the sides


def in_short(values: Sequence[float | None], step_s: int) -> Plain | None:
    """None where nothing is known of it. values: oldest first."""
    known = sorted(each for each in values if each is not None)
    if not known:
        return None
    newest = [each for each in values[-max(1, 30 // step_s) :] if each is not None]
    return {
        "last": next(round(each, 3) for each in reversed(values) if each is not None),
        "mean_30s": round(fmean(newest), 3) if newest else None,
        "min": round(known[0], 3),
        "p50": round(known[len(known) // 2], 3),
        "p95": round(known[int(len(known) * 0.95)], 3),
        "max": round(known[-1], 3),
        "course": thinned(values, POINTS),
        "missing": len(values) - len(known),
        "changes": [
            {"seconds_ago": (len(values) - at) * step_s, "before": round(before, 3), "after": round(after, 3)}
            for at, before, after in change_points(values)
        ],
    }


def thinned(values: Sequence[float | None], points: int) -> list[float | None]:
    """Means of equal parts; the last part ends with the last value."""
    width = max(1, -(-len(values) // points))
    parts = [values[max(0, end - width) : end] for end in range(len(values), 0, -width)]
    found = []
    for part in reversed(parts):
        known = [each for each in part if each is not None]
        found.append(round(fmean(known), 3) if known else None)
    return found


def change_points(values: Sequence[float | None]) -> list[tuple[int, float, float]]:
    """(index, mean before, mean after) where the level changed, in order of time: binary segmentation."""
    known = [(at, each) for at, each in enumerate(values) if each is not None]
    found: list[tuple[int, float, float]] = []
    parts = [known]
    while parts and len(found) < CHANGES_MAX:
        part = parts.pop(0)
        split = _split([value for _, value in part])
        if split is not None:
            before, after = part[:split], part[split:]
            found.append((after[0][0], fmean(v for _, v in before), fmean(v for _, v in after)))
            parts += [before, after]
    return sorted(found)


def _split(values: Sequence[float]) -> int | None:
    """Where two levels fit best, if they differ by more than noise. One pass over running sums."""
    count, total = len(values), sum(values)
    best, place, left = 0.0, None, sum(values[: SIDE_MIN - 1])
    for at in range(SIDE_MIN, count - SIDE_MIN + 1):
        left += values[at - 1]
        gain = (left / at - (total - left) / (count - at)) ** 2 * at * (count - at)
        if gain > best:
            best, place = gain, at
    if place is None:
        return None
    before, after = values[:place], values[place:]
    shift = abs(fmean(before) - fmean(after))
    noise = (pstdev(before) * len(before) + pstdev(after) * len(after)) / count
    large = shift >= SHIFT_MIN * max(abs(fmean(before)), abs(fmean(after)))
    return place if large and shift > NOISE_MIN * noise else None
