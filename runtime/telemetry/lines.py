"""Reading what was written: the newest lines of a node's segments that fit a question, and pruning what is old."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from runtime.errors import RuntimeFault
from runtime.telemetry.segments import SUFFIX

LIMIT_MAX: Final = 1_000
READ_BYTES_MAX: Final = 64 * 1024 * 1024  # of the newest segments of the time asked for; beyond nothing is looked for
CHUNK_BYTES: Final = 256 * 1024
SPAN_MS_MAX: Final = 600_000  # a span is written when it ends and has the time of its begin
QUIET_S: Final = 600.0  # a process that wrote nothing for so long is gone, or begins a new segment
_decode: Final = msgspec.json.Decoder(dict[str, object]).decode


class QueryInvalid(RuntimeFault):
    code = "query_invalid"
    remedy = (
        "Give limit, since_ms and until_ms as whole numbers; text, level, process, event, request_id, trace_id as text."
    )


class LineQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All given conditions must hold. `text` is looked for in the whole line.

    `instance` is one, as "orders/1", or all of a slice, as "orders".
    """

    limit: int = 100
    since_ms: int = 0
    until_ms: int = 1 << 62
    text: str = ""
    level: str = ""
    process: str = ""
    event: str = ""
    instance: str = ""
    request_id: str = ""
    trace_id: str = ""


def query_of(words: dict[str, str]) -> LineQuery:
    """Raises QueryInvalid."""
    try:
        query = msgspec.convert(words, LineQuery, strict=False)
    except msgspec.ValidationError as error:
        raise QueryInvalid(str(error)) from error
    if not 1 <= query.limit <= LIMIT_MAX:
        raise QueryInvalid(f"limit must be 1 to {LIMIT_MAX}")
    return query


def find(directory: Path, query: LineQuery) -> list[dict[str, object]]:
    """Matches of all processes, newest first."""
    needles = [each.encode() for each in (query.text, query.request_id, query.trace_id) if each]
    found: list[dict[str, object]] = []
    budget = READ_BYTES_MAX
    for modified_s, path in _newest_first(directory):
        if modified_s * 1_000 < query.since_ms:
            break
        if _begins_ms(path) > query.until_ms + SPAN_MS_MAX:
            continue
        taken = 0
        for line in _lines_backwards(path):
            budget -= len(line) + 1
            if budget < 0:
                return _newest(found, query.limit)
            if all(needle in line for needle in needles):
                record = _record(line)
                if record is not None and _fits(record, query):
                    found.append(record)
                    taken += 1
                    if taken >= query.limit:
                        break
    return _newest(found, query.limit)


def merge(parts: list[list[dict[str, object]]], limit: int) -> list[dict[str, object]]:
    return _newest([record for part in parts for record in part], limit)


def prune(directory: Path, *, bytes_max: int, age_s_max: float) -> int:
    """Deletes the oldest segments beyond the size, and those that are too old; gives the bytes freed. The newest of a
    process stays while it is being written."""
    newest: dict[str, str] = {}
    files = []
    for path in directory.glob(f"*{SUFFIX}"):
        try:
            status = path.stat()
        except FileNotFoundError:
            continue
        source = path.name.rsplit(".", 2)[0]
        newest[source] = max(newest.get(source, ""), path.name)
        files.append((status.st_mtime, status.st_size, path, source))
    total, freed, now_s = sum(size for _, size, _, _ in files), 0, time.clock_gettime(time.CLOCK_REALTIME)
    for modified_s, size, path, source in sorted(files):
        age_s = now_s - modified_s
        in_use = path.name == newest[source] and age_s < min(QUIET_S, age_s_max)
        if (total - freed > bytes_max or age_s > age_s_max) and not in_use:
            path.unlink(missing_ok=True)
            freed += size
    return freed


def _newest_first(directory: Path) -> list[tuple[float, Path]]:
    """With the time of each one's newest line, in seconds."""
    found = []
    for path in directory.glob(f"*{SUFFIX}"):
        try:
            found.append((path.stat().st_mtime, path))
        except FileNotFoundError:
            continue
    return sorted(found, reverse=True)


def _begins_ms(path: Path) -> int:
    """The time of the first line; 0 when that cannot be read."""
    try:
        with path.open("rb") as file:
            record = _record(file.readline(CHUNK_BYTES))
    except OSError:
        return 0
    at_ms = record.get("at_ms") if record is not None else None
    return at_ms if isinstance(at_ms, int) else 0


def _lines_backwards(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            at, rest = file.seek(0, os.SEEK_END), b""
            while at > 0:
                size = min(CHUNK_BYTES, at)
                at -= size
                file.seek(at)
                lines = (file.read(size) + rest).split(b"\n")
                rest = lines.pop(0)
                yield from (line for line in reversed(lines) if line)
            if rest:
                yield rest
    except OSError:
        return  # pruned meanwhile


def _record(line: bytes) -> dict[str, object] | None:
    try:
        return _decode(line)
    except msgspec.DecodeError:
        return None  # a torn line at the end of a killed process's segment


def _fits(record: dict[str, object], query: LineQuery) -> bool:
    at_ms = record.get("at_ms")
    if not isinstance(at_ms, int) or not query.since_ms <= at_ms <= query.until_ms:
        return False
    wanted = ("level", "process", "event", "request_id", "trace_id")
    if not all(not getattr(query, name) or record.get(name) == getattr(query, name) for name in wanted):
        return False
    return query.instance in ("", record.get("instance"), str(record.get("instance", "")).partition("/")[0])


def _newest(found: list[dict[str, object]], limit: int) -> list[dict[str, object]]:
    return sorted(found, key=lambda record: int(str(record["at_ms"])), reverse=True)[:limit]
