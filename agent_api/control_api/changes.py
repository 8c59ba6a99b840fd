"""Changes: each one transaction on what was read, refused with a reason, or done."""

from __future__ import annotations

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from agent_api.control_api.ports import ApiParts
from agent_api.control_api.problems import ApiFault, BodyTooLarge, nearest
from agent_api.control_api.reads import known_slices
from runtime.cluster.leaving import mark_leaving
from runtime.consensus.store import Compare, Delete, Operation, Put, unchanged
from runtime.deployment.blueprint import TEXT_BYTES_MAX, check_against, check_still_met, parse
from runtime.deployment.errors import (
    BlueprintInvalid,
    BlueprintNotFound,
    ChangedMeanwhile,
    NodeNotFound,
    OutOfBounds,
    SliceNotFound,
)
from runtime.names import BlueprintId, Sha256, SliceName, Version
from runtime.sdk.contract import SliceContract
from runtime.state import keys
from runtime.state.values import BlueprintRecord, BlueprintSlice, NodeRecord, SliceTarget, encode

JSON_BYTES_MAX = 64 * 1024


class ScaleRequest(msgspec.Struct, forbid_unknown_fields=True):
    instances: int
    version: str = ""


class Changes:
    """One method per change."""

    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts
        self._view = parts.view
        self._store = parts.store

    async def apply_blueprint(self, request: Request) -> Response:
        """Writes blueprint and targets together. A slice that was scaled by hand keeps its number if that fits."""
        record = parse(await body_of(request, TEXT_BYTES_MAX))
        if record.blueprint != request.path_params["id"]:
            raise BlueprintInvalid(f"the path names {request.path_params['id']!r}", key="id")
        contracts = self._checked(record)
        if request.query_params.get("dry_run") == "true":
            return answer({"blueprint": record.blueprint, "valid": True})
        key = keys.blueprint(record.blueprint)
        turn, take_turn = self._turn()
        compare, operations = [turn, self._as_read(key)], [take_turn, Put(key=key, value=encode(record))]
        compare += [self._as_read(each) for each in self._artifact_keys(record)]
        targets = self._targets_of(record)
        for target_key, target in targets.items():
            compare.append(self._as_read(target_key))
            operations.append(Put(key=target_key, value=encode(target)))
        extra: list[Operation] = [
            Delete(key=target_key) for target_key in self._keys_of(record.blueprint) if target_key not in targets
        ]
        await self._commit(compare, [*operations, *extra])
        routes = sorted(f"{r.method} {r.path}" for c in contracts for m in c.methods for r in m.routes)
        return answer(
            {"blueprint": record.blueprint, "slices": [each.slice for each in record.slices], "routes": routes}
        )

    async def delete_blueprint(self, request: Request) -> Response:
        name = BlueprintId(request.path_params["id"])
        key = keys.blueprint(name)
        if self._view.cache.get(key) is None:
            hint = nearest(name, [record.blueprint for record in self._view.blueprints()])
            raise BlueprintNotFound(f"there is no blueprint {name!r}{hint}")
        check_still_met(self._others(name), before=self._slices_of(name), after=())
        turn, take_turn = self._turn()
        operations: list[Operation] = [take_turn, Delete(key=key), *(Delete(key=each) for each in self._keys_of(name))]
        await self._commit([turn, self._as_read(key)], operations)
        return answer({"blueprint": name, "deleted": True})

    async def scale(self, request: Request) -> Response:
        name = SliceName(request.path_params["slice"])
        try:
            wanted = msgspec.json.decode(await body_of(request, JSON_BYTES_MAX), type=ScaleRequest)
        except msgspec.DecodeError as error:
            raise ApiFault(f'send {{"instances": N}}: {error}') from error
        target = self._target(name, wanted.version)
        settings = target.settings
        if not settings.min <= wanted.instances <= settings.max:
            raise OutOfBounds(f"{wanted.instances} is outside {name}'s bounds {settings.min} to {settings.max}")
        key = keys.target(settings.slice, settings.version)
        changed = msgspec.structs.replace(target, wanted=wanted.instances)
        await self._commit([self._as_read(key)], [Put(key=key, value=encode(changed))])
        return answer({"slice": name, "version": settings.version, "wanted": wanted.instances, "before": target.wanted})

    async def upload(self, request: Request) -> Response:
        expected = request.query_params.get("sha256")
        try:
            record = await self._parts.shelf.take(
                request.stream(), expected=Sha256(expected) if expected is not None else None
            )
        except ClientDisconnect as error:
            raise ApiFault("the upload ended early; nothing was kept") from error
        return answer(
            {
                "name": record.name,
                "version": record.version,
                "sha256": record.sha256,
                "slices": [f"{contract.name} {contract.version}" for contract in record.slices],
            },
            status=201,
        )

    async def drop_artifact(self, request: Request) -> Response:
        record = await self._parts.shelf.drop(request.path_params["name"], request.path_params["version"])
        return answer({"name": record.name, "version": record.version, "deleted": True})

    async def drain(self, request: Request) -> Response:
        """Marks the node as leaving: the leader moves its instances away."""
        record = self._node(request)
        await mark_leaving(self._store, self._view, record.node)
        return answer({"node": record.node, "leaving": True}, status=202)

    async def forget_node(self, request: Request) -> Response:
        """Takes a node that is down, or has left, out of the cluster."""
        record = self._node(request)
        if record.node in {live.node for live in self._view.live_nodes()} and not record.leaving:
            raise ApiFault(f"node {record.node} is up; stop it first: aether node stop --data DIR --leave")
        operations: list[Operation] = [
            Delete(key=keys.node(record.node)),
            Delete(key=f"{keys.INSTANCES}{record.node}/", prefix=True),
        ]
        await self._commit([self._as_read(keys.node(record.node))], operations)
        return answer({"node": record.node, "deleted": True})

    async def join(self, request: Request) -> Response:
        reply = await self._parts.join(await body_of(request, JSON_BYTES_MAX))
        return Response(reply, media_type="application/octet-stream")

    # -- inside --------------------------------------------------------------------------------------------------------

    def _checked(self, record: BlueprintRecord) -> tuple[SliceContract, ...]:
        contracts = {f"{each.name}=={each.version}": each.slices for each in self._view.artifacts()}
        others = self._others(record.blueprint)
        found = check_against(record, contracts=contracts, others=others)
        after = [row.slice for row in record.slices]
        check_still_met(others, before=self._slices_of(record.blueprint), after=after)
        return found

    def _others(self, blueprint: BlueprintId) -> list[tuple[BlueprintSlice, SliceContract]]:
        return [
            (target.settings, contract)
            for target in self._view.targets()
            if target.blueprint != blueprint
            and (contract := self._view.contract(target.settings.slice, target.settings.version)) is not None
        ]

    def _slices_of(self, blueprint: BlueprintId) -> list[SliceName]:
        return [each.settings.slice for each in self._view.targets() if each.blueprint == blueprint]

    def _turn(self) -> tuple[Compare, Put]:
        """Validation reads all blueprints, so a change of any other since then must undo this one's."""
        return self._as_read(keys.BLUEPRINTS_TURN), Put(key=keys.BLUEPRINTS_TURN, value=b"")

    def _artifact_keys(self, record: BlueprintRecord) -> list[str]:
        named = {row.artifact for row in record.slices}
        return [keys.artifact(name, version) for name, _, version in (each.partition("==") for each in sorted(named))]

    def _targets_of(self, record: BlueprintRecord) -> dict[str, SliceTarget]:
        hashes = {f"{each.name}=={each.version}": each.sha256 for each in self._view.artifacts()}
        before = {(each.settings.slice, each.settings.version): each for each in self._view.targets()}
        found: dict[str, SliceTarget] = {}
        for settings in record.slices:
            old = before.get((settings.slice, settings.version))
            if old is not None and old.blueprint != record.blueprint:
                raise BlueprintInvalid(f"{settings.slice} {settings.version} belongs to blueprint {old.blueprint}")
            scaled = old is not None and old.wanted != old.settings.instances
            wanted = old.wanted if old is not None and scaled else settings.instances
            found[keys.target(settings.slice, settings.version)] = SliceTarget(
                blueprint=record.blueprint,
                settings=settings,
                artifact_sha256=hashes[settings.artifact],
                wanted=min(max(wanted, settings.min), settings.max),
            )
        return found

    def _keys_of(self, blueprint: BlueprintId) -> list[str]:
        return [
            keys.target(each.settings.slice, each.settings.version)
            for each in self._view.targets()
            if each.blueprint == blueprint
        ]

    def _target(self, name: SliceName, version: str) -> SliceTarget:
        found = [each for each in self._view.targets() if each.settings.slice == name]
        if version:
            found = [each for each in found if each.settings.version == Version(version)]
        if not found:
            raise SliceNotFound(f"slice {name!r} {version} is not deployed{known_slices(self._view, name)}")
        if len(found) > 1:
            versions = ", ".join(each.settings.version for each in found)
            raise ApiFault(f"slice {name} runs in versions {versions}; name one in the body")
        return found[0]

    def _node(self, request: Request) -> NodeRecord:
        name = request.path_params["node"]
        record = self._view.node(name)
        if record is None:
            hint = nearest(name, [each.node for each in self._view.nodes()])
            raise NodeNotFound(f"there is no node {name!r}{hint}")
        return record

    def _as_read(self, key: str) -> Compare:
        item = self._view.cache.get(key)
        return unchanged(key, item.mod_revision if item is not None else 0)  # type: ignore[arg-type]  # 0: absent

    async def _commit(self, compare: list[Compare], operations: list[Operation]) -> None:
        """Returns once this node's cache has it, so that whoever changed something reads the change."""
        result = await self._store.txn(compare, operations)
        if not result.succeeded:
            raise ChangedMeanwhile("the state changed while this was decided")
        await self._view.cache.wait_for(result.revision)


async def body_of(request: Request, most: int) -> bytes:
    """Raises BodyTooLarge without reading more than it may."""
    parts, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > most:
            raise BodyTooLarge(f"the body has more than {most} bytes")
        parts.append(chunk)
    return b"".join(parts)


def answer(body: dict[str, object], *, status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status, media_type="application/json")
