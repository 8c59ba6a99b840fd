"""A saver of langgraph's checkpoints on a conversation's shelf. Asynchronous alone: the reasoner has one loop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    PendingWrite,
    get_checkpoint_id,
    get_checkpoint_metadata,
    writes_sort_key,
)

from llm_layer.checkpoints.packing import Packing, Write
from llm_layer.checkpoints.places import Place, below, by_place, is_state, moved, task_of
from llm_layer.checkpoints.shelf import Shelf


class ShelfSaver(BaseCheckpointSaver[int]):
    """known: types of graphs' states that may be made again on reading; any other comes back as plain data.
    kept: how many checkpoints of a thread's namespace stay, the newest; 0 is all. How often a graph writes is its
    caller's to say: `durability="exit"` is one checkpoint a run."""

    def __init__(self, shelf: Shelf, *, known: Sequence[type] = (), kept: int = 0) -> None:
        self._packing = Packing(known)
        super().__init__(serde=self._packing.serde)
        self._shelf = shelf
        self._kept = kept

    # writing

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Whole, with every channel's value: nothing of it lies anywhere else."""
        thread, namespace = _thread(config), _namespace(config)
        place = Place(thread, namespace, checkpoint["id"])
        parent = str(config["configurable"].get("checkpoint_id") or "")
        raw = self._packing.state(checkpoint, get_checkpoint_metadata(config, metadata), parent)
        await self._shelf.put({place.state: raw})
        if self._kept:
            await self._trim(thread, namespace, self._kept)
        return _config(place)

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """What a task wrote first stays; of errors, interrupts and the like the last."""
        name = _place(config).writes(task_id)
        known = (await self._shelf.get([name])).get(name)
        found = {each[0]: each for each in self._packing.read_writes(known)[1]} if known is not None else {}
        for at, (channel, value) in enumerate(writes):
            index = WRITES_IDX_MAP.get(channel, at)
            if index < 0 or index not in found:
                found[index] = (index, channel, value)
        await self._shelf.put({name: self._packing.writes(task_path, [found[each] for each in sorted(found)])})

    # reading

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """The one that is named, or the newest."""
        wanted = get_checkpoint_id(config)
        places = by_place(await self._shelf.list(below(_thread(config), _namespace(config))))
        whole = [place for place, names in places.items() if any(map(is_state, names))]
        chosen = [place for place in whole if wanted in (None, "", place.checkpoint)]
        if not chosen:
            return None
        place = max(chosen, key=lambda each: each.checkpoint)
        return await self._tuple(place, places[place])

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # its name in langgraph
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """The newest first."""
        places = by_place(await self._shelf.list(_prefix(config)))
        wanted = get_checkpoint_id(config) if config is not None else None
        until = get_checkpoint_id(before) if before is not None else None
        left = len(places) if limit is None else limit
        for place in sorted(places, key=lambda each: each.checkpoint, reverse=True):
            if left <= 0:
                return
            if (wanted and place.checkpoint != wanted) or (until and place.checkpoint >= until):
                continue
            found = await self._tuple(place, places[place])
            if found is not None and _fits(found.metadata, filter):
                left -= 1
                yield found

    async def _tuple(self, place: Place, names: Sequence[str]) -> CheckpointTuple | None:
        items = await self._shelf.get(names)
        if place.state not in items:
            return None  # it went meanwhile, or only its tasks have written
        checkpoint, metadata, parent = self._packing.read_state(items[place.state])
        return CheckpointTuple(
            config=_config(place),
            checkpoint=checkpoint,
            metadata=metadata,
            parent_config=_config(place._replace(checkpoint=parent)) if parent else None,
            pending_writes=self._pending({name: raw for name, raw in items.items() if not is_state(name)}),
        )

    def _pending(self, items: dict[str, bytes]) -> list[PendingWrite]:
        """In the order in which a run would apply them."""
        rows: list[tuple[tuple[str, str, int], PendingWrite]] = []
        for name, raw in items.items():
            task = task_of(name)
            path, writes = self._packing.read_writes(raw)
            rows += [(writes_sort_key(path, task, each[0]), _pending(task, each)) for each in writes]
        return [write for _, write in sorted(rows, key=lambda row: row[0])]

    # taking away

    async def adelete_thread(self, thread_id: str) -> None:
        await self._shelf.delete(await self._shelf.list(below(thread_id)))

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Checkpoints whose metadata name one of these runs, with what their tasks wrote."""
        gone: list[str] = []
        for place, names in by_place(await self._shelf.list("")).items():
            raw = (await self._shelf.get([place.state])).get(place.state)
            if raw is not None and self._packing.read_state(raw)[1].get("run_id") in run_ids:
                gone += names
        await self._shelf.delete(gone)

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        items = await self._shelf.get(await self._shelf.list(below(source_thread_id)))
        await self._shelf.put({moved(name, target_thread_id): raw for name, raw in items.items()})

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """strategy: "keep_latest" of each namespace, or "delete"."""
        for thread in thread_ids:
            if strategy == "delete":
                await self.adelete_thread(thread)
                continue
            namespaces = {place.namespace for place in by_place(await self._shelf.list(below(thread)))}
            for namespace in sorted(namespaces):
                await self._trim(thread, namespace, 1)

    async def _trim(self, thread: str, namespace: str, kept: int) -> None:
        places = by_place(await self._shelf.list(below(thread, namespace)))
        old = sorted(places, key=lambda each: each.checkpoint, reverse=True)[kept:]
        if old:
            await self._shelf.delete([name for place in old for name in places[place]])


def _pending(task: str, write: Write) -> PendingWrite:
    return (task, write[1], write[2])


def _fits(metadata: CheckpointMetadata, wanted: dict[str, Any] | None) -> bool:
    return all(metadata.get(name) == value for name, value in (wanted or {}).items())


def _thread(config: RunnableConfig) -> str:
    return str(config["configurable"]["thread_id"])


def _namespace(config: RunnableConfig) -> str:
    return str(config["configurable"].get("checkpoint_ns", ""))


def _place(config: RunnableConfig) -> Place:
    return Place(_thread(config), _namespace(config), str(config["configurable"]["checkpoint_id"]))


def _prefix(config: RunnableConfig | None) -> str:
    if config is None:
        return ""
    return below(_thread(config), config["configurable"].get("checkpoint_ns"))


def _config(place: Place) -> RunnableConfig:
    return {
        "configurable": {
            "thread_id": place.thread,
            "checkpoint_ns": place.namespace,
            "checkpoint_id": place.checkpoint,
        }
    }
