"""The models of this cluster: which there are, where each comes from, which one forecasts; their heads are content."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final

import anyio
import msgspec

from controllers.ttm.errors import ModelUnreadable
from controllers.ttm.forecast_job import SHIPPED_MODEL, ModelBytes
from controllers.ttm.records import (
    SHIPPED,
    BandFactors,
    ForecastActive,
    ForecastModel,
    ForecastState,
    TrainingTrouble,
    active_of,
    model_key,
    outdated,
    pin_owner,
    read,
)
from runtime.consensus.store import Delete, Operation, Put, Revision, Store, absent, led_by, unchanged
from runtime.content.errors import ContentFault
from runtime.content.port import ContentStore, pin_key
from runtime.deployment.records import Snapshot
from runtime.names import Sha256
from runtime.state import keys
from runtime.state.values import encode

BANDS_EACH: Final = 200  # slices in one record: ten factors of seven characters each, 20 KiB of the 64 a value may have


class ModelRegistry:
    """Reads this node's copy of the state; writes, as the leader alone does, compare its fence. Raises StoreFault."""

    def __init__(self, *, store: Store, state: Snapshot, content: ContentStore) -> None:
        self._store = store
        self._state = state
        self._content = content

    def active(self) -> ForecastActive:
        return active_of(self._state.get(keys.FORECAST_ACTIVE))

    def state(self) -> ForecastState | None:
        return read(self._state.get(keys.FORECAST_STATE), ForecastState)

    def models(self) -> list[ForecastModel]:
        """Oldest first, those that this version can read."""
        found = (read(item, ForecastModel) for item in self._state.items(keys.FORECAST_MODELS))
        return [each for each in found if each is not None]

    def model(self, number: int) -> ForecastModel | None:
        return read(self._state.get(model_key(number)), ForecastModel)

    async def bytes_of(self, number: int) -> ModelBytes:
        """What a process needs to ask it. Raises ModelUnreadable."""
        if number == SHIPPED:
            return SHIPPED_MODEL
        model = self._known(number)
        if model.graph == model.number:
            return ModelBytes(file=await self._content_of(model))
        file = await self._content_of(self._known(model.graph)) if model.graph != SHIPPED else b""
        return ModelBytes(file=file, head=await self._content_of(model))

    def _known(self, number: int) -> ForecastModel:
        model = self.model(number)
        if model is None:
            raise ModelUnreadable(f"there is no model {number}, or it was made by another version")
        return model

    async def _content_of(self, model: ForecastModel) -> bytes:
        try:
            path = await self._content.get(Sha256(model.sha256))
            return await anyio.Path(path).read_bytes()
        except (ContentFault, OSError) as error:
            raise ModelUnreadable(f"the bytes of model {model.number} cannot be had: {error}") from error

    async def keep(self, model: ForecastModel, head: bytes, fence: Revision) -> ForecastModel:
        """Under the next number, with its bytes on several nodes; the oldest that nobody needs go. The record and its
        pin come in one transaction. Raises ContentFault, ModelUnreadable where another leader was quicker."""
        sha256 = await self._content.put(_once(head))
        number = max((each.number for each in self.models()), default=SHIPPED) + 1
        kept = msgspec.structs.replace(model, number=number, sha256=sha256)
        key = model_key(number)
        writes: list[Operation] = [
            Put(key=key, value=encode(kept)),
            Put(key=pin_key(sha256, pin_owner(number)), value=b""),
            *self._trimmed(),
        ]
        if not (await self._store.txn([led_by(fence), absent(key)], writes)).succeeded:
            raise ModelUnreadable(f"model {number} was not kept: another leader is at work")
        return kept

    def _trimmed(self) -> list[Operation]:
        gone: list[Operation] = []
        for each in outdated(self.models(), self.active()):
            gone.append(Delete(key=model_key(each.number)))
            gone.append(Delete(key=pin_key(Sha256(each.sha256), pin_owner(each.number))))
        return gone

    async def settle(self, active: ForecastActive, fence: Revision) -> None:
        """What a probation came to: kept, or the one before is back. Somebody who chose meanwhile goes before."""
        item = self._state.get(keys.FORECAST_ACTIVE)
        revision = item.mod_revision if item is not None else Revision(0)
        compare = [led_by(fence), unchanged(keys.FORECAST_ACTIVE, revision)]
        await self._store.txn(compare, [Put(key=keys.FORECAST_ACTIVE, value=encode(active))])

    async def tell(self, state: ForecastState, fence: Revision) -> None:
        """Every node's events say so."""
        await self._store.txn([led_by(fence)], [Put(key=keys.FORECAST_STATE, value=encode(state))])

    def training_trouble(self) -> TrainingTrouble | None:
        return read(self._state.get(keys.FORECAST_TRAINING), TrainingTrouble)

    async def tell_training(self, trouble: TrainingTrouble | None, fence: Revision) -> None:
        """Every node's events say so, once for as long as attempts come to the same. None: a challenger was trained."""
        if trouble is not None:
            await self._store.txn([led_by(fence)], [Put(key=keys.FORECAST_TRAINING, value=encode(trouble))])
        elif self._state.get(keys.FORECAST_TRAINING) is not None:
            await self._store.txn([led_by(fence)], [Delete(key=keys.FORECAST_TRAINING)])

    def factors(self) -> dict[str, tuple[float, ...]]:
        """By slice, as the last leader had calibrated."""
        found: dict[str, tuple[float, ...]] = {}
        for item in self._state.items(keys.FORECAST_BANDS):
            part = read(item, BandFactors)
            found.update(part.factors if part is not None else {})
        return found

    async def keep_factors(self, factors: Mapping[str, Sequence[float]], fence: Revision) -> None:
        names = sorted(factors)
        parts = [names[at : at + BANDS_EACH] for at in range(0, len(names), BANDS_EACH)]
        wanted = {keys.forecast_bands(at): part for at, part in enumerate(parts)}
        for item in self._state.items(keys.FORECAST_BANDS):
            if item.key not in wanted:
                await self._store.txn([led_by(fence)], [Delete(key=item.key)])
        for key, part in wanted.items():
            value = encode(BandFactors(factors={name: tuple(factors[name]) for name in part}))
            await self._store.txn([led_by(fence)], [Put(key=key, value=value)])


async def _once(raw: bytes) -> AsyncIterator[bytes]:
    yield raw
