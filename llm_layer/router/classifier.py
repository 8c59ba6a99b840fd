"""Which operation a masked sentence means: character and word n-grams, and least squares in their kernel's space.

Least squares on one-hot targets have a closed form, also for what each example would get if it had been left out: how
sure to be follows from the left-out answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, solve
from scipy.linalg.lapack import strtri
from scipy.sparse import csr_matrix, hstack
from sklearn.feature_extraction.text import TfidfVectorizer

from llm_layer.router.embedding import Embedder

Matrix = NDArray[np.float64]
Narrow = NDArray[np.float32]

RIDGE: Final = 0.2  # of kernels whose diagonal is 1
MEANING: Final = 0.8  # of the weight, where there is an embedder: both chosen on the left-out training sentences
SHARPNESS: Final = (2.0, 3.0, 4.0, 6.0, 8.0, 10.0, 12.0, 16.0, 24.0, 32.0)  # tried on the left-out answers


class Grams:
    """Sentences to unit vectors of n-grams; half of the weight lies on characters, half on words."""

    def __init__(self, sentences: Sequence[str]) -> None:
        self._characters = TfidfVectorizer(
            analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, lowercase=False, dtype=np.float32
        )
        self._words = TfidfVectorizer(
            tokenizer=str.split,
            token_pattern=None,
            ngram_range=(1, 2),
            sublinear_tf=True,
            lowercase=False,
            dtype=np.float32,
        )
        self.table = self._both(self._characters.fit_transform(sentences), self._words.fit_transform(sentences))

    def __call__(self, sentences: Sequence[str]) -> csr_matrix:
        return self._both(self._characters.transform(sentences), self._words.transform(sentences))

    def _both(self, characters: csr_matrix, words: csr_matrix) -> csr_matrix:
        return csr_matrix(hstack([characters, words]) * np.float32(np.sqrt(0.5)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """What a fit comes to. weights: (examples, operations). left_out_right: of the examples, how many it would have
    got right without having seen them."""

    weights: Narrow
    sharpness: float
    left_out_right: float


class Classifier:
    """Fitted on construction, some three seconds of a core for 4,000 examples, unless `fitted` is what that came to."""

    def __init__(
        self, examples: Sequence[tuple[str, str]], embedder: Embedder | None = None, fitted: Fitted | None = None
    ) -> None:
        sentences = [each for each, _ in examples]
        self.operations = sorted({each for _, each in examples})
        self._place = {operation: at for at, operation in enumerate(self.operations)}
        self.words = _words_of(examples)
        """By operation, all words of its examples."""
        self._grams = Grams(sentences)
        self._meaning = _Meaning(embedder, sentences) if embedder is not None else None
        self.fitted = fitted or _fit(self._kernel(), np.array([self._place[each] for _, each in examples]))
        self._by_letters: Narrow = self._grams.table.T @ self.fitted.weights
        self._by_meaning = self._meaning.table.T @ self.fitted.weights if self._meaning is not None else None

    def shares(self, sentences: Sequence[str], taught: Taught | None = None) -> Matrix:
        """(sentences, operations), each row sums to 1."""
        scores = self._scores(sentences)
        if taught is not None:
            scores += self._likeness(sentences, taught.sentences) @ taught.weights
        return _shares(scores, self.fitted.sharpness)

    def taught(self, corrections: Sequence[tuple[str, str]]) -> Taught:
        """What people taught, fitted to what the examples leave of it; nothing else is fitted anew."""
        sentences = [each for each, _ in corrections]
        wanted = np.eye(len(self.operations))[[self._place[each] for _, each in corrections]]
        kernel = self._likeness(sentences, sentences) + RIDGE * np.eye(len(sentences))
        return Taught(sentences=sentences, weights=solve(kernel, wanted - self._scores(sentences), assume_a="pos"))

    def _scores(self, sentences: Sequence[str]) -> Matrix:
        """(sentences, operations): the kernel is a product, so its weights are those of n-grams and of meanings."""
        scores: Matrix = (self._grams(sentences) @ self._by_letters).astype(np.float64)
        if self._meaning is None or self._by_meaning is None:
            return scores
        return (1 - MEANING) * scores + MEANING * (self._meaning(sentences) @ self._by_meaning)

    def _kernel(self) -> Narrow:
        """(examples, examples): how alike they are, 1 for the same."""
        letters: Narrow = (self._grams.table @ self._grams.table.T).toarray()
        return letters if self._meaning is None else _mixed(letters, self._meaning.table @ self._meaning.table.T)

    def _likeness(self, sentences: Sequence[str], others: Sequence[str]) -> Narrow:
        letters: Narrow = (self._grams(sentences) @ self._grams(others).T).toarray()
        return letters if self._meaning is None else _mixed(letters, self._meaning(sentences) @ self._meaning(others).T)


@dataclass(frozen=True, slots=True, kw_only=True)
class Taught:
    """Sentences of people, and what each adds to the score of an operation. weights: (sentences, operations)."""

    sentences: list[str]
    weights: Matrix


class _Meaning:
    """Cosines of embeddings around their mean: by themselves all sentences of this model are much alike."""

    def __init__(self, embedder: Embedder, sentences: Sequence[str]) -> None:
        self._embedder = embedder
        vectors = embedder(sentences)
        self._mean = vectors.mean(axis=0)
        self.table = self._centred(vectors)

    def __call__(self, sentences: Sequence[str]) -> Narrow:
        return self._centred(self._embedder(sentences))

    def _centred(self, vectors: Matrix) -> Narrow:
        moved = vectors - self._mean
        unit: Narrow = (moved / (np.linalg.norm(moved, axis=1, keepdims=True) + 1e-12)).astype(np.float32)
        return unit


def _words_of(examples: Sequence[tuple[str, str]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for sentence, operation in examples:
        found.setdefault(operation, set()).update(sentence.split())
    return found


def _mixed(letters: Narrow, meaning: Narrow) -> Narrow:
    letters *= 1 - MEANING
    letters += MEANING * meaning
    return letters


def _fit(kernel: Narrow, answers: NDArray[np.int64]) -> Fitted:
    """Left-out scores from the inverse's diagonal (Rifkin & Lippert 2007). Single precision and the inverse of a
    triangle instead of the whole: a sixth of the work, and the kernel's own memory."""
    wanted = np.eye(answers.max() + 1, dtype=np.float32)[answers]
    kernel[np.diag_indices_from(kernel)] += RIDGE
    lower = cholesky(kernel, lower=True, overwrite_a=True, check_finite=False)
    weights: Narrow = cho_solve((lower, True), wanted, check_finite=False)
    inverse, _ = strtri(lower, lower=1, overwrite_c=1)
    left_out = wanted - weights / np.einsum("ij,ij->j", inverse, inverse)[:, None]
    sharpness = min(SHARPNESS, key=lambda each: _surprise(_shares(left_out, each), answers))
    right = float(np.mean(left_out.argmax(axis=1) == answers))
    return Fitted(weights=weights, sharpness=sharpness, left_out_right=right)


def _shares(scores: Matrix, sharpness: float) -> Matrix:
    raised = np.exp(sharpness * (scores - scores.max(axis=1, keepdims=True)))
    found: Matrix = raised / raised.sum(axis=1, keepdims=True)
    return found


def _surprise(shares: Matrix, answers: NDArray[np.int64]) -> float:
    return float(-np.log(shares[np.arange(len(answers)), answers] + 1e-12).mean())
