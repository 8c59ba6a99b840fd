"""Answers about settings, the store's snapshots and its members."""

from __future__ import annotations

from agent_api.control_api.answers.known import check_node, check_slice
from agent_api.control_api.ports import ApiParts
from runtime.config.effective import Layers, layers_of
from runtime.config.settings import Setting, declared, find_setting
from runtime.consensus.store import KeyValue
from runtime.operations.actor import Actor
from runtime.operations.queries.page import page_of
from runtime.operations.queries.settings import (
    ConfigListRequest,
    ConfigPage,
    ConfigRequest,
    ConfigRow,
    ConfigShown,
)
from runtime.operations.queries.store import (
    MemberListRequest,
    MemberPage,
    MemberRow,
    SnapshotListRequest,
    SnapshotPage,
    SnapshotRow,
)
from runtime.operations.secrecy import HIDDEN
from runtime.state import keys
from runtime.state.values import StoreBackup, StoreMembers, StoreMemberWish, decode


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

    async def snapshots(self, request: SnapshotListRequest, _actor: Actor) -> SnapshotPage:
        """Which nodes have them is asked of the store."""
        records = [decode(item.value, StoreBackup) for item in self._cache.items(keys.STORE_BACKUPS)]
        page, cursor = page_of(records, lambda each: (each.number,), request, newest_first=True)
        rows = [await self._snapshot(each) for each in page]
        return SnapshotPage(items=tuple(rows), next=cursor)

    async def store_members(self, request: MemberListRequest, _actor: Actor) -> MemberPage:
        view = self._parts.view
        members = view.store_members() or StoreMembers()
        wishes = {each.node: each for each in view.store_member_wishes()}
        live = {keys.parts(item.key)[0] for item in self._cache.items(keys.NODES_LIVE)}
        names = sorted({*members.addresses, *wishes})
        page, cursor = page_of(names, lambda each: (each,), request)
        rows = [_member(each, members, wishes.get(each), up=each in live) for each in page]
        return MemberPage(items=tuple(rows), next=cursor)

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


def _member(node: str, members: StoreMembers, wish: StoreMemberWish | None, *, up: bool) -> MemberRow:
    return MemberRow(
        node=node,
        role="voter" if node in members.voters else "learner" if node in members.learners else "none",
        address=members.addresses.get(node, ""),
        up=up,
        want=wish.want if wish is not None else "",
        trouble=wish.trouble if wish is not None else "",
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
