"""Models of layer 2 that never saw one origin, made where a directory of them lacks one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from controllers.ttm.card import MODEL_FILE, write_model
from controllers.ttm.corpus import Series
from evals.scaling.traces import Trace
from evals.scaling.unseen import folder_of

STEPS: Final = 1_500  # of learning: a third of the usual number, as one is made for each origin
COMMAND: Final = f"./aether ttm train --traces DIR --out DIR --steps {STEPS} --seed 1"


def can_train() -> bool:
    """Whether the extra `train` is there."""
    return find_spec("torch") is not None and find_spec("onnx") is not None


def make_missing(traces: Sequence[Trace], models: Path, *, told: Callable[[str, int, float], None]) -> None:
    """told: origin, step and loss. Needs the extra `train`. Raises TrainingDataUnusable."""
    for origin in sorted({each.origin for each in traces}):
        if not (models / folder_of(origin) / MODEL_FILE).exists():
            _make([each for each in traces if each.origin != origin], origin, models / folder_of(origin), told)


def _make(others: Sequence[Trace], origin: str, into: Path, told: Callable[[str, int, float], None]) -> None:
    from dataclasses import replace

    from controllers.ttm.training.making import make
    from controllers.ttm.training.recipe import FULL

    made = make(
        [Series(name=each.name, load=each.load, season=each.season) for each in others],
        replace(FULL, steps=STEPS),
        command=f"{COMMAND}, without {origin}",
        told=lambda step, loss: told(origin, step, loss),
    )
    write_model(into, made.graph, made.card)
