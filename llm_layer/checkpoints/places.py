"""Names of what graphs keep: thread, namespace, checkpoint, and what of it. Any text may be a thread or a namespace."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple
from urllib.parse import quote, unquote

STATE: Final = "s"
WRITES: Final = "w"


class Place(NamedTuple):
    """Of one checkpoint. Ids of checkpoints grow with time."""

    thread: str
    namespace: str
    checkpoint: str

    @property
    def state(self) -> str:
        return f"{self._below}{STATE}"

    def writes(self, task: str) -> str:
        """What one task wrote, which the checkpoint does not have yet."""
        return f"{self._below}{WRITES}/{_quoted(task)}"

    @property
    def _below(self) -> str:
        return f"{below(self.thread, self.namespace)}{_quoted(self.checkpoint)}/"


def below(thread: str, namespace: str | None = None) -> str:
    """What names of a thread, or of one of its namespaces, begin with."""
    return f"{_quoted(thread)}/" if namespace is None else f"{_quoted(thread)}/{_quoted(namespace)}/"


def place_of(name: str) -> Place:
    thread, namespace, checkpoint, *_ = name.split("/")
    return Place(_plain(thread), _plain(namespace), _plain(checkpoint))


def by_place(names: Iterable[str]) -> dict[Place, list[str]]:
    """In the order of their names."""
    found: dict[Place, list[str]] = {}
    for name in names:
        found.setdefault(place_of(name), []).append(name)
    return found


def moved(name: str, thread: str) -> str:
    """The same of another thread."""
    return f"{below(thread)}{name.split('/', 1)[1]}"


def is_state(name: str) -> bool:
    return name.split("/")[3] == STATE


def task_of(name: str) -> str:
    """Of a name of a task's writes."""
    return _plain(name.split("/")[4])


def _quoted(text: str) -> str:
    """Never empty: the root's namespace has no name."""
    return f"-{quote(text, safe=':')}"


def _plain(text: str) -> str:
    return unquote(text[1:])
