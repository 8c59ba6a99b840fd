"""What control gives the trainer's process and what it gets back: bytes through pipes, no file and no code."""

from __future__ import annotations

import msgspec


class TrainingJob(msgspec.Struct, frozen=True, kw_only=True):
    """loads: little-endian float32, requests a minute, slice by slice, each of `minutes` values; NaN is not measured.
    head: the champion's, as head_file packs it; empty is its graph's own. file: the graph, as model_file packs it;
    empty is the shipped one."""

    slices: tuple[str, ...]
    minutes: int
    loads: bytes
    head: bytes = b""
    file: bytes = b""
    seed: int = 1


class TrainingResult(msgspec.Struct, frozen=True, kw_only=True):
    """A head with the contest's ruling, or `refused` with the fault's code and words."""

    head: bytes = b""
    base: str = ""
    """SHA-256 of the graph that the head belongs to."""
    ruling: str = ""
    recent: float = 1.0
    longer: float = 1.0
    older: float = 1.0
    samples: int = 0
    refused: str = ""
    reason: str = ""


def encode(value: TrainingJob | TrainingResult) -> bytes:
    return msgspec.msgpack.encode(value)


def decode_job(raw: bytes) -> TrainingJob:
    """Raises msgspec.DecodeError."""
    return msgspec.msgpack.decode(raw, type=TrainingJob)


def decode_result(raw: bytes) -> TrainingResult:
    """Raises msgspec.DecodeError."""
    return msgspec.msgpack.decode(raw, type=TrainingResult)
