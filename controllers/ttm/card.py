"""What a model says of itself, beside it: what it takes and gives, where it comes from, how good it was."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from controllers.ttm.errors import ModelSchemaWrong, ModelUnreadable
from controllers.ttm.schema import HISTORY, HORIZONS, MODEL_BYTES_MAX, QUANTILES, SCHEMA_VERSION

MODEL_FILE: Final = "model.onnx"
CARD_FILE: Final = "model.json"
CARD_BYTES_MAX: Final = 100_000
SHIPPED: Final = Path(__file__).parent


class Lineage(msgspec.Struct, frozen=True, kw_only=True):
    """From which the same command makes the same model again."""

    command: str
    seed: int
    steps: int
    traces: dict[str, str]
    """By name: SHA-256 of the loads as 64-bit floats."""
    synthetic: int
    """Series that were made, of each pattern as many."""
    packages: dict[str, str]
    """Versions that the arithmetic depends on."""
    parent: str = ""
    """SHA-256 of the model whose features a challenger's head was fitted on."""


class Quality(msgspec.Struct, frozen=True, kw_only=True):
    """On the last part of each trace, which was held back from learning."""

    windows: int
    pinball: float
    """Mean over horizons and quantiles, in normalised units."""
    weighted_quantile_loss: float
    coverage_90: float


class ModelCard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    schema_version: int
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    """Of model.onnx."""
    opset: int
    inputs: dict[str, list[str]]
    outputs: dict[str, list[str]]
    history_minutes: int
    horizons_minutes: int
    quantiles: tuple[float, ...]
    parameters: int
    lineage: Lineage
    quality: Quality


def read_model(directory: Path) -> tuple[bytes, ModelCard]:
    """The graph and its card, which fit each other and this version. Raises ModelUnreadable, ModelSchemaWrong."""
    raw, graph = read_files(directory)
    return graph, card_of(graph, raw)


def read_files(directory: Path) -> tuple[bytes, bytes]:
    """Card and graph as they lie there. Raises ModelUnreadable."""
    return _read(directory / CARD_FILE, CARD_BYTES_MAX), _read(directory / MODEL_FILE, MODEL_BYTES_MAX)


def card_of(graph: bytes, raw: bytes) -> ModelCard:
    """The card, if it fits the graph and this version. Raises ModelUnreadable, ModelSchemaWrong."""
    card = parse_card(raw)
    if hashlib.sha256(graph).hexdigest() != card.sha256:
        raise ModelUnreadable(f"{MODEL_FILE} is not the file that {CARD_FILE} describes: its SHA-256 differs")
    return card


def parse_card(raw: bytes) -> ModelCard:
    """Raises ModelUnreadable, ModelSchemaWrong."""
    try:
        card = msgspec.json.decode(raw, type=ModelCard)
    except msgspec.DecodeError as error:
        raise ModelUnreadable(f"the card cannot be read: {error}") from error
    found = (card.schema_version, card.history_minutes, card.horizons_minutes, card.quantiles)
    wanted = (SCHEMA_VERSION, HISTORY, HORIZONS, QUANTILES)
    if found != wanted:
        raise ModelSchemaWrong(f"schema, history, horizons and quantiles are {found}; wanted are {wanted}")
    return card


def write_model(directory: Path, graph: bytes, card: ModelCard) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / MODEL_FILE).write_bytes(graph)
    (directory / CARD_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(card), indent=1) + b"\n")


def _read(path: Path, bytes_max: int) -> bytes:
    try:
        with path.open("rb") as file:
            raw = file.read(bytes_max + 1)
    except OSError as error:
        raise ModelUnreadable(f"{path.name} cannot be read: {error.strerror}") from error
    if len(raw) > bytes_max:
        raise ModelUnreadable(f"{path.name} is larger than {bytes_max} bytes")
    return raw
