"""TOML in, a Document out, or every mistake that the text alone can show, with line, key and remedy."""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import msgspec

from playbooks.document.lines import LineIndex, Path
from playbooks.document.model import (
    SOURCE_BYTES_MAX,
    AlertTrigger,
    BlastLimit,
    Condition,
    Document,
    EventTrigger,
    Header,
    LastVerification,
    Limits,
    Locks,
    ModelTrigger,
    Param,
    Part,
    RehearsalPlan,
    Retry,
    ScheduleTrigger,
    Step,
    Triggers,
    Undo,
    Verification,
)
from playbooks.errors import PlaybookInvalid, Problem
from runtime.names import Sha256
from runtime.spelling import nearest

GUIDE: Final = "docs/guides/write-a-playbook.md lists all keys; `aether playbook schema` prints the schema."
_AT: Final = re.compile(r"`\$\.?(.*?)`")
_PATH_PART: Final = re.compile(r"(\w+)|\[(\d+|\.\.\.)\]")
_TABLES: Final[dict[str, type[Part]]] = {
    "playbook": Header,
    "locks": Locks,
    "limits": Limits,
    "trigger": Triggers,
    "verify": LastVerification,
    "rehearse": RehearsalPlan,
}
_INNER: Final[dict[tuple[type[Part], str], type[Part]]] = {
    (Limits, "blast_radius"): BlastLimit,
    (Triggers, "alert"): AlertTrigger,
    (Triggers, "schedule"): ScheduleTrigger,
    (Triggers, "event"): EventTrigger,
    (Triggers, "model"): ModelTrigger,
    (Step, "retry"): Retry,
    (Step, "verify"): Verification,
    (Step, "undo"): Undo,
}


@dataclass(frozen=True)
class Source:
    """A playbook's text with what it says; `sha256` is what a run is pinned to."""

    text: str
    document: Document

    @cached_property
    def sha256(self) -> Sha256:
        return hash_of(self.text)

    @cached_property
    def lines(self) -> LineIndex:
        return LineIndex(self.text)

    def problem(self, path: Path, detail: str, remedy: str = GUIDE) -> Problem:
        return Problem(self.lines.line(path), dotted(path), detail, remedy)


def hash_of(text: str) -> Sha256:
    return Sha256(hashlib.sha256(text.encode()).hexdigest())


def dotted(path: Path) -> str:
    """("step", 0, "verify") as "step[0].verify"."""
    found = ""
    for part in path:
        found += f"[{part}]" if isinstance(part, int) else f".{part}" if found else part
    return found


def read(raw: bytes) -> Source:
    """Raises PlaybookInvalid, and nothing else, whatever the bytes."""
    table, text = _table(raw)
    problems = [*_unknown_keys(table, text)]
    if not problems:
        document = _document(table, text)
        if isinstance(document, Document):
            return Source(text, document)
        problems = [document]
    raise PlaybookInvalid(problems)


def _table(raw: bytes) -> tuple[dict[str, object], str]:
    if len(raw) > SOURCE_BYTES_MAX:
        raise _invalid(0, f"{len(raw)} bytes; a playbook has at most {SOURCE_BYTES_MAX}", "Split it in two.")
    try:
        text = raw.decode("utf-8")
        return tomllib.loads(text), text
    except UnicodeDecodeError as error:
        raise _invalid(raw[: error.start].count(b"\n") + 1, "the text is not UTF-8", "Save it as UTF-8.") from error
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"\(at line (\d+)", str(error))
        line = int(found[1]) if found else raw.count(b"\n") + 1
        raise _invalid(line, str(error).partition(" (at ")[0], "Write it as TOML.") from error
    except (RecursionError, ValueError) as error:  # ValueError: a number of thousands of digits
        raise _invalid(0, "nested too deeply, or a number is too long", "Write it as TOML.") from error


def _invalid(line: int, detail: str, remedy: str) -> PlaybookInvalid:
    return PlaybookInvalid([Problem(line, "", detail, remedy)])


def _document(table: Mapping[str, object], text: str) -> Document | Problem:
    try:
        return msgspec.convert(table, Document)
    except msgspec.ValidationError as error:
        return _problem_of(str(error), table, text)


def _problem_of(sentence: str, table: Mapping[str, object], text: str) -> Problem:
    """msgspec's sentence with the line it means. Of keys of a table it says only that one is wrong."""
    words, _, at = sentence.partition(" - at ")
    found = _AT.search(at)
    path = _path_of(found[1] if found else "", table)
    missing = re.search(r"missing required field `(\w+)`", words)
    if missing:
        path, words = (*path, missing[1]), "is missing"
    detail, remedy = _in_plain_words(words)
    return Problem(LineIndex(text).line(path), dotted(path), detail, remedy)


def _path_of(text: str, table: object) -> Path:
    """msgspec's path, where `[...]` is some member of a table: the first that is given, as it tells no more."""
    path: Path = ()
    value: object = table
    for word, index in _PATH_PART.findall(text):
        part: str | int = word or (int(index) if index.isdigit() else "")
        if part == "" and isinstance(value, dict):
            part = next(iter(value), "")
        path = (*path, part)
        value = _at(value, part)
    return path


def _at(value: object, part: str | int) -> object:
    if isinstance(value, dict):
        return value.get(part)
    return value[part] if isinstance(value, list) and isinstance(part, int) and part < len(value) else None


def _in_plain_words(words: str) -> tuple[str, str]:
    if "matching regex" in words and "ms|s|m|h|d" in words:
        return "is no duration", 'Write one as "10s", "5m" or "1h30m".'
    if "matching regex" in words:
        return "has letters that are not allowed here", "Use lower case, digits and hyphens; a version is 1.2.3."
    return words[:1].lower() + words[1:], GUIDE


def _unknown_keys(table: Mapping[str, object], text: str) -> list[Problem]:
    found: list[Problem] = []
    known = Document.__struct_encode_fields__
    for key, value in table.items():
        if key not in known:
            found.append(_unknown((key,), known, text))
        elif key in _TABLES:
            found += _unknown_in(value, _TABLES[key], (key,), text)
    for key, kind in (("step", Step), ("pre", Condition)):
        found += _unknown_in(table.get(key), kind, (key,), text)
    params = table.get("params")
    for name, value in params.items() if isinstance(params, dict) else ():
        found += _unknown_in(value, Param, ("params", name), text)
    return found


def _unknown_in(value: object, kind: type[Part], path: Path, text: str) -> list[Problem]:
    if isinstance(value, list):
        return [each for at, row in enumerate(value) for each in _unknown_in(row, kind, (*path, at), text)]
    if not isinstance(value, dict):
        return []
    known = kind.__struct_encode_fields__
    found = [_unknown((*path, key), known, text) for key in value if key not in known]
    for key, inner in value.items():
        if (kind, key) in _INNER:
            found += _unknown_in(inner, _INNER[kind, key], (*path, key), text)
    return found


def _unknown(path: Path, known: tuple[str, ...], text: str) -> Problem:
    hint = nearest(str(path[-1]), known) or f"; there are {', '.join(known)}"
    return Problem(LineIndex(text).line(path), dotted(path), f"unknown key{hint}", GUIDE)


assert set(_TABLES) <= set(Document.__struct_encode_fields__)
