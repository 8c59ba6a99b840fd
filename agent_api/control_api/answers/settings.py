"""Answers about settings, alerts and the store's snapshots."""

from __future__ import annotations

from agent_api.control_api.answers.known import check_node, check_slice
from agent_api.control_api.ports import ApiParts
from runtime.config.effective import Layers, layers_of
from runtime.config.settings import Setting, declared, find_setting
from runtime.consensus.store import KeyValue
from runtime.operations.actor import Actor
from runtime.operations.queries.page import page_of
from runtime.operations.queries.settings import (
    AlertListRequest,
    AlertPage,
    AlertRow,
    ConfigListRequest,
    ConfigPage,
    ConfigRequest,
    ConfigRow,
    ConfigShown,
)
from runtime.operations.queries.store import SnapshotListRequest, SnapshotPage, SnapshotRow
from runtime.operations.secrecy import HIDDEN
from runtime.state import keys
from runtime.state.values import AlertRecord, AlertThreshold, StoreBackup, decode


class SettingAnswers:
    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts
        self._cache = parts.view.cache

    async def settings(self, request: ConfigListRequest, _actor: Actor) -> ConfigPage:
        layers = self._layers(request.node, request.slice)
        page, cursor = page_of(declared(), lambda each: (each.name,), request)
        return ConfigPage(items=tuple(_row(each, layers) for each in page), next=cursor)

    async def setting(self, request: ConfigRequest, _actor: Actor) -> ConfigShown:
        """Raises SettingUnknown."""
        return ConfigShown(setting=_row(find_setting(request.name), self._layers(request.node, request.slice)))

    def _layers(self, node: str, slice_name: str) -> Layers:
        """What another node's file says is not known here. Raises NodeUnknown, SliceUnknown."""
        if node:
            check_node(self._parts.view, node)
        if slice_name:
            check_slice(self._parts.view, slice_name)
        is_own = node in ("", self._parts.node)
        file = self._parts.file_settings if is_own else None
        return layers_of(self._cache, node or self._parts.node, file=file, slice_name=slice_name)

    async def alerts(self, request: AlertListRequest, _actor: Actor) -> AlertPage:
        if request.slice:
            check_slice(self._parts.view, request.slice)
        prefix = keys.thresholds_of(request.slice) if request.slice else keys.ALERT_THRESHOLDS
        page, cursor = page_of(self._cache.items(prefix), lambda item: keys.parts(item.key), request)
        return AlertPage(items=tuple(self._alert(item.key, item.value) for item in page), next=cursor)

    async def snapshots(self, request: SnapshotListRequest, _actor: Actor) -> SnapshotPage:
        """Which nodes have them is asked of the store."""
        records = [decode(item.value, StoreBackup) for item in self._cache.items(keys.STORE_BACKUPS)]
        page, cursor = page_of(records, lambda each: (each.number,), request, newest_first=True)
        rows = [await self._snapshot(each) for each in page]
        return SnapshotPage(items=tuple(rows), next=cursor)

    async def _snapshot(self, backup: StoreBackup) -> SnapshotRow:
        copies: tuple[KeyValue, ...] = ()
        if backup.state == "kept":
            copies = (await self._parts.store.range(f"{keys.CONTENT}{backup.sha256}/", stale_ok=True)).items
        return SnapshotRow(
            number=backup.number,
            state=backup.state,
            sha256=backup.sha256,
            size_bytes=backup.size_bytes,
            revision=backup.revision,
            at_unix_ms=backup.at_unix_ms,
            reason=backup.reason,
            nodes=tuple(keys.parts(item.key)[1] for item in copies),
        )

    def _alert(self, key: str, raw: bytes) -> AlertRow:
        slice_name, metric = keys.parts(key)
        threshold = decode(raw, AlertThreshold)
        item = self._cache.get(keys.alert(slice_name, metric))
        alert = decode(item.value, AlertRecord) if item is not None else None
        return AlertRow(
            slice=slice_name,
            metric=metric,
            bound=threshold.bound,
            for_s=threshold.for_s,
            state="ok" if alert is None else "firing",
            value=alert.value if alert is not None else None,
            since_unix_ms=alert.since_unix_ms if alert is not None else 0,
        )


def _row(setting: Setting, layers: Layers) -> ConfigRow:
    value, source = layers.value(setting)
    return ConfigRow(
        name=setting.name,
        value=HIDDEN if setting.secret else value,
        source=source,
        default=setting.default,
        type=setting.type,
        unit=setting.unit,
        bounds=setting.bounds,
        scope=setting.scope,
        applies=setting.applies,
        summary=setting.summary,
    )
