"""Watchers at every node: each revision once and in order, the same at all of them, with nothing left out."""

from __future__ import annotations

from collections.abc import Iterable

import anyio

from evals.nemesis.errors import NotThere, PromiseBroken
from runtime.consensus import errors as e
from runtime.consensus.store import Revision, Store, WatchBatch

Seen = dict[int, tuple[str, ...]]
"""Revision → its events, as the first watcher saw them."""


class Watcher:
    """Follows everything at one node, over the node's deaths. Where history is gone it is told so, and goes on."""

    def __init__(self, node: str, store: Store, seen: Seen) -> None:
        self.node = node
        self._store = store
        self._seen = seen
        self._next = Revision(1)
        self._moved = anyio.Event()
        self.gaps: list[tuple[int, int]] = []  # revisions that it was told are gone: from, up to but not including

    async def run(self) -> None:
        while True:
            try:
                async for batch in self._store.watch("", from_revision=self._next):
                    self._take(batch)
            except e.Compacted as error:
                if error.oldest <= self._next:
                    raise PromiseBroken(f"{self.node} refused revision {self._next} and has {error.oldest}") from error
                self.gaps.append((int(self._next), error.oldest))
                self._next = Revision(error.oldest)
            except e.Overloaded:
                await anyio.sleep(0.1)

    async def until(self, revision: Revision, *, timeout_s: float) -> None:
        """Returns once it has seen everything up to and including that."""
        with anyio.move_on_after(timeout_s):
            while self._next <= revision:
                self._moved = anyio.Event()
                await self._moved.wait()
            return
        raise NotThere(f"the watch at {self.node} stands at {self._next} and not behind {revision}")

    def missed(self, revision: int) -> bool:
        """Whether it was told that it would not see that one."""
        return any(first <= revision < end for first, end in self.gaps)

    def _take(self, batch: WatchBatch) -> None:
        if not batch.events:
            if batch.revision >= self._next:
                raise PromiseBroken(f"{self.node} says that it showed {batch.revision}; {self._next} was not shown")
            return
        if batch.revision != self._next:
            raise PromiseBroken(f"the watch at {self.node} expected revision {self._next} and got {batch.revision}")
        shown = tuple(f"{event.kind} {event.item.key} {event.item.version}" for event in batch.events)
        known = self._seen.setdefault(int(batch.revision), shown)
        if known != shown:
            raise PromiseBroken(f"revision {batch.revision} was {known} and is {shown} at {self.node}")
        self._next = Revision(batch.revision + 1)
        self._moved.set()


def check_shown(seen: Seen, watchers: Iterable[Watcher], acknowledged: dict[str, Revision]) -> None:
    """Every acknowledged write was shown at its revision, unless every watcher was told that this one is gone."""
    watchers = tuple(watchers)
    for key, revision in acknowledged.items():
        shown = seen.get(int(revision), ())
        if f"put {key} 1" not in shown and not all(watcher.missed(revision) for watcher in watchers):
            raise PromiseBroken(f"{key} was acknowledged at revision {revision}, which was shown as {shown}")
