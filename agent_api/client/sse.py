"""Server-sent events: lines in, events out, and from where to go on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec

from agent_api.client.message import HttpRequest

STREAM_TIMEOUT_S: Final = 60.0  # silent for longer, a stream is begun anew where it was


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """`name` is what happened; "reset" says that events in between are gone, and `data` is the state as of now."""

    id: str
    name: str
    data: object


class EventLines:
    """Follows one stream over as many connections as it takes; `last_id` is that of the newest event."""

    def __init__(self, last_id: str = "") -> None:
        self.last_id = last_id
        self._begin()

    def request(self, path: str) -> HttpRequest:
        """What asks for the events behind the newest; what a broken connection left unfinished is forgotten."""
        self._begin()
        headers = {"accept": "text/event-stream"}
        if self.last_id:
            headers["last-event-id"] = self.last_id
        return HttpRequest(method="GET", path=path, headers=headers, timeout_s=STREAM_TIMEOUT_S, repeatable=True)

    def take(self, line: bytes) -> Event | None:
        """The event that this line ends, if it does."""
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        if not text:
            return self._end()
        name, _, value = text.partition(":")
        value = value.removeprefix(" ")
        if name == "id":
            self._id = value
        elif name == "event":
            self._name = value
        elif name == "data":
            self._data.append(value)
        return None

    def _begin(self) -> None:
        self._id, self._name = self.last_id, "message"
        self._data: list[str] = []

    def _end(self) -> Event | None:
        identity, name, data = self._id, self._name, "\n".join(self._data)
        self.last_id = identity
        self._begin()
        return Event(id=identity, name=name, data=_json(data)) if data else None


def _json(text: str) -> object:
    try:
        return msgspec.json.decode(text.encode())
    except msgspec.DecodeError:
        return text
