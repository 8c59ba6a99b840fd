"""What of a turn is kept: without secrets, and no more than a turn may hold."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final, Protocol, cast

import msgspec
import zstandard

from controllers.conversations.limits import EVENTS_BYTES_MAX, EVENTS_MAX, SAID_CHARS_MAX, TITLE_CHARS_MAX
from runtime.operations.plan import Call, Json
from runtime.security.redaction import redacted, redacted_tree

Event = dict[str, Json]

HIDDEN: Final = "***"
PASSING: Final = frozenset({"written", "anew"})
"""Told while an answer is being written; what comes of it is told again, whole."""
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")  # each would take six bytes in JSON
_SLASH: Final = re.compile(r"\s*/\s*([a-z-]+)[\s.]+([a-z-]+)(?=\s|$)")
_QUOTING: Final = re.compile(r"[\"'\\]")
"""Marks that whoever reads a /command takes for none of its letters, wherever they stand."""


Takes = Callable[[str, str], bool]
"""Whether a member of an operation may be a secret: its name, and the words of a command behind it."""


class Secrecy(Protocol):
    """What operations say of their members."""

    def told(self, call: Call) -> Call:
        """Without what may be secret."""
        ...

    def takes(self, operation: str, words: str) -> bool:
        """Whether a member of that operation may be one, in these words of a command."""
        ...


class _Heard(msgspec.Struct, frozen=True):
    """Members of events that matter to whoever keeps them."""

    type: str
    id: str = ""
    tainted: bool = False
    answered_by: str = ""
    kind: str = ""
    diagnosis: dict[str, Json] = {}


class Heard:
    """The events of one answer, as they come."""

    def __init__(self, *, tainted: bool) -> None:
        self.raw: list[bytes] = []
        self.left_out = 0
        self.tainted = tainted
        self.cards: list[str] = []
        self.answered_by = ""
        self.kind = ""
        self._bytes = 0

    def take(self, raw: bytes) -> str:
        """Its type."""
        event = msgspec.json.decode(raw, type=_Heard)
        self.tainted = self.tainted or event.tainted or event.diagnosis.get("tainted") is True
        if event.type == "card":
            self.cards.append(event.id)
        elif event.type == "done":
            self.answered_by, self.kind = event.answered_by[:80], event.kind[:40]
        if event.type in PASSING:
            return event.type
        if len(self.raw) < EVENTS_MAX and self._bytes + len(raw) <= EVENTS_BYTES_MAX:
            self.raw.append(raw)
            self._bytes += len(raw)
        else:
            self.left_out += 1
        return event.type


def said(text: str, takes: Takes) -> str:
    """As it is kept. A /command whose operation takes secrets is told without its members."""
    text = redacted(_CONTROL.sub(" ", text[:SAID_CHARS_MAX]))
    plain = _QUOTING.sub("", text)
    command = _SLASH.match(plain)
    if command is None or not takes(f"{command[1]}.{command[2]}", plain[command.end() :]):
        return text
    return f"/{command[1]} {command[2]} {HIDDEN}"


def title_of(text: str) -> str:
    """text: as it is kept."""
    line = " ".join(text.split())
    return line if len(line) <= TITLE_CHARS_MAX else f"{line[: TITLE_CHARS_MAX - 1]}…"


def packed(events: Sequence[bytes], secrecy: Secrecy) -> bytes:
    """Some milliseconds of processor for the longest answer."""
    kept = [_told_event(msgspec.json.decode(each, type=Event), secrecy) for each in events]
    return zstandard.compress(msgspec.json.encode(kept))


def unpacked(raw: bytes) -> tuple[Event, ...]:
    """Raises msgspec.DecodeError or zstandard.ZstdError for what is none."""
    if not raw:
        return ()
    plain = zstandard.decompress(raw, max_output_size=4 * EVENTS_BYTES_MAX)
    return msgspec.json.decode(plain, type=tuple[Event, ...])


def _told_event(event: Event, secrecy: Secrecy) -> Event:
    plain = cast(Event, _told_commands(redacted_tree(event), secrecy))
    request = plain.get("request")
    if plain.get("type") != "card" or not isinstance(request, dict):
        return plain
    shown = secrecy.told(Call(operation=str(plain.get("operation")), request=request)).request
    return plain if shown == request else {**plain, "request": shown, "submit": None}


def _told_commands(value: object, secrecy: Secrecy) -> object:
    """Choices and cards say the /commands that they stand for."""
    if isinstance(value, str):
        return said(value, secrecy.takes) if value.lstrip().startswith("/") else value
    if isinstance(value, dict):
        return {name: _told_commands(each, secrecy) for name, each in value.items()}
    if isinstance(value, list):
        return [_told_commands(each, secrecy) for each in value]
    return value
