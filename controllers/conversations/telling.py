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
_FIRST: Final = re.compile(r"\s*/\s*((?:[a-z-]+(?=[\s.]|$))?)", re.IGNORECASE)
_QUOTING: Final = re.compile(r"[\"'\\]")
"""Marks that whoever reads a /command takes for none of its letters, wherever they stand."""


Takes = Callable[[str, str], bool | None]
"""Whether a member of an operation may be a secret: its name, and the words of a command behind it. None where there is
no such operation."""


class Secrecy(Protocol):
    """What operations say of their members."""

    def told(self, call: Call) -> Call:
        """Without what may be secret."""
        ...

    def takes(self, operation: str, words: str) -> bool | None:
        """Whether a member of that operation may be one, in these words of a command; None if it is not known."""
        ...


class _Heard(msgspec.Struct, frozen=True):
    """Members of events that matter to whoever keeps them."""

    type: str
    id: str = ""
    tainted: bool = False
    answered_by: str = ""
    kind: str = ""
    slice: str = ""
    incident: bool = False
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
        self.postponed: tuple[str, bool] | None = None
        """The slice whose investigation a model shall go on with, and whether that is an incident."""
        self._bytes = 0

    def take(self, raw: bytes) -> str:
        """Its type."""
        event = msgspec.json.decode(raw, type=_Heard)
        self.tainted = self.tainted or event.tainted or event.diagnosis.get("tainted") is True
        if event.type == "card":
            self.cards.append(event.id)
        elif event.type == "postponed":
            self.postponed = (event.slice[:63], event.incident)
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
    """As it is kept. A /command whose operation takes secrets is told without its members, and so is one that there is
    not: what a misspelt one holds nobody knows."""
    text = redacted(_CONTROL.sub(" ", text[:SAID_CHARS_MAX]))
    if not text.lstrip().startswith("/"):
        return text
    command = _command(text)
    takes_any = takes(command[0], command[2]) if command is not None else None
    if command is None or takes_any is None:
        return _first_word(text)
    return f"/{command[1]} {HIDDEN}" if takes_any and command[2].strip() else text


def _command(text: str) -> tuple[str, str, str] | None:
    """The operation's name, as it is typed, and what stands behind it."""
    plain = _QUOTING.sub("", text)
    found = _SLASH.match(plain)
    return (f"{found[1]}.{found[2]}", f"{found[1]} {found[2]}", plain[found.end() :]) if found is not None else None


def _first_word(text: str) -> str:
    """Where words end is guessed: none is kept that has anything but letters in it."""
    plain = _QUOTING.sub("", text)
    found = _FIRST.match(plain)
    assert found is not None  # it begins with a slash
    return f"/{found[1]} {HIDDEN}" if plain[found.end() :].strip() else text


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
    """Choices and cards say the /commands that they stand for. What else begins so is a path."""
    if isinstance(value, str):
        command = _command(value)
        return f"/{command[1]} {HIDDEN}" if command is not None and secrecy.takes(command[0], command[2]) else value
    if isinstance(value, dict):
        return {name: _told_commands(each, secrecy) for name, each in value.items()}
    if isinstance(value, list):
        return [_told_commands(each, secrecy) for each in value]
    return value
