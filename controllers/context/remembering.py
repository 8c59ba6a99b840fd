"""What instances carry, over a restart of control: written beside the minutes, read when it begins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from controllers.context.errors import HistoryAway
from controllers.context.history import MinuteHistory
from controllers.context.minute import MINUTE_S
from controllers.context.slice_load import SliceLoad
from controllers.scaling.capacity import Capacity

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(dict[str, Capacity]).decode


class CapacityMemory:
    """`read` once, `resume` each slice that comes into sight, `keep` each minute."""

    def __init__(self, history: MinuteHistory) -> None:
        self._history = history
        self._known: dict[str, tuple[int, dict[str, Capacity]]] = {}

    async def read(self) -> None:
        """What cannot be read is learnt anew."""
        try:
            found = await self._history.ask(lambda file: file.capacities())
        except HistoryAway:
            return
        for name, (minute, packed) in found.items():
            try:
                self._known[name] = (minute, _decode(packed))
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue

    def resume(self, name: str, load: SliceLoad, now_minute: int) -> None:
        """Once for each slice: a version that has learnt since knows better."""
        minute, versions = self._known.pop(name, (0, {}))
        for version, capacity in reversed(versions.items()):
            load.resume(version, capacity, (now_minute - minute) * MINUTE_S)

    async def keep(self, minute: int, loads: Mapping[str, SliceLoad]) -> None:
        """Raises HistoryAway."""
        packed = {name: _encode(found) for name, load in loads.items() if (found := load.learnt())}
        if packed:
            await self._history.ask(lambda file: file.keep_capacities(minute, packed))
