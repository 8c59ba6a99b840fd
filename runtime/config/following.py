"""A node follows the cluster's settings: what applies at once is told at once, the rest is kept for the next start."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import anyio
import anyio.to_thread
import msgspec

from runtime.cluster.membership import Lines
from runtime.config.effective import layers_of, slices_in, stored_for
from runtime.config.settings import Json, NodeSettings, keep, read_kept
from runtime.consensus.store import Revision
from runtime.deployment.records import Snapshot
from runtime.state import keys


class Followed(Snapshot, Protocol):
    """A cache of the state that tells when it changed."""

    async def ready(self) -> None: ...

    async def changed(self, after: Revision, *, among: Sequence[str] = ()) -> Revision: ...


class ConfigFollower:
    """`run` never returns. `live` is told the settings in force, at the start and whenever one changes, with
    those of the slices that have some of their own."""

    def __init__(
        self,
        *,
        node: str,
        state: Followed,
        data: Path,
        file: Mapping[str, Json],
        live: Callable[[NodeSettings, Mapping[str, NodeSettings]], None],
        log: Lines,
    ) -> None:
        self._node = node
        self._state = state
        self._data = data
        self._file = file
        self._live = live
        self._log = log
        self._kept = read_kept(data)

    async def run(self) -> None:
        await self._state.ready()
        while True:
            seen = self._state.revision
            await self._take()
            await self._state.changed(seen, among=(keys.CONFIG,))

    async def _take(self) -> None:
        """Kept first: who hears of a value may count on the next start."""
        stored = layers_of(self._state, self._node, file=self._file).stored()
        if stored != self._kept:
            await self._keep(stored)
        values = {**self._file, **stored}
        of_slices = {name: {**values, **stored_for(self._state, name)} for name in slices_in(self._state)}
        self._live(
            msgspec.convert(values, NodeSettings),
            {name: msgspec.convert(each, NodeSettings) for name, each in of_slices.items()},
        )

    async def _keep(self, stored: dict[str, Json]) -> None:
        try:
            await anyio.to_thread.run_sync(keep, self._data, stored)
        except OSError as error:
            self._log.warning("config_not_kept", reason=str(error))  # tried again with the next change
            return
        self._kept = stored
        self._log.info("config_kept", settings=sorted(stored))
