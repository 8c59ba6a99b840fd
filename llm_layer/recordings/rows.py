"""A recording's rows, one JSON object a line: a turn begins, what was answered to it as it came, what it told."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Final

import msgspec

from llm_layer.errors import LlmFault
from llm_layer.providers.errors import Tried
from llm_layer.providers.messages import Ask, Message, Reply
from runtime.security.redaction import redacted_tree

FORMAT: Final = 1

Plain = dict[str, Any]


class RecordingUnreadable(LlmFault):
    """The file is none, or of another version."""

    code = "recording_unreadable"
    remedy = (
        "Recordings are files of a node's directory recordings/, one for each conversation; see docs/guides/llm.md."
    )


class Begun(msgspec.Struct, frozen=True, kw_only=True, tag="begun"):
    """A turn. proposal, ended: what goes on, where people had decided about something proposed before. has_cheap: there
    was a model for small questions. explains: the slice whose investigation it goes on with."""

    conversation: str
    number: int
    text: str
    tainted: bool
    proposal: str = ""
    ended: str = ""
    has_cheap: bool = False
    explains: str = ""
    format: int = FORMAT


class Timed(msgspec.Struct, frozen=True, kw_only=True, tag="time"):
    """The clock was read."""

    unix_ms: int


class Answered(msgspec.Struct, frozen=True, kw_only=True, tag="cluster"):
    """The cluster, by one of the desk's verbs; `code` where it refused."""

    verb: str
    operation: str
    request: Plain
    answer: Plain = {}
    code: str = ""
    detail: str = ""
    remedy: str = ""

    @property
    def key(self) -> str:
        return key_of(self.verb, self.operation, self.request)


class Replied(msgspec.Struct, frozen=True, kw_only=True, tag="model"):
    """A model, after all tries; without a reply, whom it was asked in vain."""

    asked: tuple[Message, ...]
    calling: str
    key: str
    reply: Reply | None = None
    tried: tuple[Tried, ...] = ()


class Told(msgspec.Struct, frozen=True, kw_only=True, tag="told"):
    """An event of the turn's answer."""

    event: Plain


Row = Begun | Timed | Answered | Replied | Told


def key_of(verb: str, operation: str, request: object) -> str:
    return msgspec.json.encode([verb, operation, request], order="sorted").decode()


def model_key(ask: Ask) -> str:
    """What it was asked, but for the standing instructions and the tools' descriptions: those may be mended."""
    told = redacted_tree(msgspec.to_builtins(ask.messages))
    names = sorted(each.name for each in ask.tools)
    whole = msgspec.json.encode([told, names, ask.calling, ask.answer_schema], order="sorted")
    return hashlib.sha256(whole).hexdigest()[:24]


def line_of(row: Row) -> bytes:
    """Without what looks like a secret."""
    return msgspec.json.encode(redacted_tree(msgspec.to_builtins(row))) + b"\n"


def read_rows(path: Path) -> list[Row]:
    """Raises RecordingUnreadable, with the line."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise RecordingUnreadable(f"{path} cannot be read: {error.strerror}") from error
    rows: list[Row] = []
    for number, line in enumerate(raw.splitlines(), 1):
        try:
            rows.append(msgspec.json.decode(line, type=Row))
        except msgspec.MsgspecError as error:
            raise RecordingUnreadable(f"{path}:{number}: {error}") from error
    if not rows or not isinstance(rows[0], Begun) or rows[0].format != FORMAT:
        raise RecordingUnreadable(f"{path} does not begin with a turn of format {FORMAT}")
    return rows
