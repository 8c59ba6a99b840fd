"""The boosted model: many small trees in one ONNX graph that correct the multiple of the readable rules, within limits.

Whatever fails here costs the correction and nothing else: the tree's own multiple is used.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

from controllers.scaling.ensemble import TreeEnsemble
from controllers.scaling.ensemble_file import ensemble_of, highest_of, read_file
from controllers.scaling.errors import BoostedInvalid
from controllers.scaling.signals import FEATURES

INPUT: Final = "features"
OUTPUT: Final = "multiple"
FEATURES_KEY: Final = "features"
NAME_KEY: Final = "name"
BYTES_MAX: Final = 2_000_000
SHIPPED: Final = Path(__file__).parent / "boosted.onnx"
LOWEST, HIGHEST = 0.7, 1.6
"""A correction's limits, as parts of the tree's multiple. Wider ones gained nothing on traces left out by origin."""


class Boosted(Protocol):
    """What judging asks beside the tree."""

    def multiple(self, features: Sequence[float]) -> float | None:
        """features: in the order of FEATURES. None where it cannot say."""
        ...


def corrected(multiple: float, boosted: float | None) -> float:
    """The tree's multiple, moved to the boosted model's as far as the limits allow; never below the present rate."""
    if boosted is None:
        return multiple
    return max(1.0, min(max(boosted, LOWEST * multiple), HIGHEST * multiple))


class BoostedRules:
    """Implements Boosted with its trees in memory: 15 µs of CPU a question in a warm loop, and 3 MB."""

    def __init__(self, trees: TreeEnsemble, name: str, *, log_max: float, failed: Callable[[str], None]) -> None:
        """trees: of the multiple's logarithm, which lies between 0 and `log_max`. failed: hears why it cannot say, once
        until it can again."""
        self.name = name
        self._trees = trees
        self._log_max = log_max
        self._failed = failed
        self._is_well = True

    def multiple(self, features: Sequence[float]) -> float | None:
        try:
            log = self._trees.value(features)
        except (struct.error, OverflowError, ValueError) as error:
            self._tell(f"it did not run: {error}")
            return None
        if not math.isfinite(log):
            self._tell(f"it gave {log}")
            return None
        self._is_well = True
        return math.exp(min(max(log, 0.0), self._log_max))

    def _tell(self, why: str) -> None:
        if self._is_well:
            self._is_well = False
            self._failed(why)


def open_boosted(path: Path = SHIPPED, *, failed: Callable[[str], None] = lambda _why: None) -> BoostedRules:
    """By default the model that comes with the package. Raises BoostedInvalid."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise BoostedInvalid(f"{path.name} cannot be read: {error.strerror}") from error
    if len(raw) > BYTES_MAX:
        raise BoostedInvalid(f"it has {len(raw)} bytes; {BYTES_MAX} is the most")
    try:
        file = read_file(raw)
        features = tuple(json.loads(file.said.get(FEATURES_KEY, "[]")))
        if features != FEATURES:
            raise BoostedInvalid(f"its features are not {', '.join(FEATURES)}, in this order")
        trees, log_max = ensemble_of(file, len(FEATURES)), highest_of(file)
    except (KeyError, IndexError, ValueError, TypeError, struct.error) as error:
        raise BoostedInvalid(f"it is no ensemble of trees: {error}") from error
    found = BoostedRules(trees, file.said.get(NAME_KEY, ""), log_max=log_max, failed=failed)
    if found.multiple((0.0,) * len(FEATURES)) is None:
        raise BoostedInvalid("it gives no number for a load that stands still")
    return found
