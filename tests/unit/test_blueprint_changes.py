"""Blueprints applied and deleted beside each other: what one reads of the others still holds when it is written."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import cast

import pytest
from starlette.requests import Request

from agent_api.control_api.changes import Changes
from agent_api.control_api.ports import ApiParts
from runtime.consensus.cache import StoreCache
from runtime.consensus.memory import MemoryStore
from runtime.consensus.store import Compare, Delete, Operation, Put, TxnResult
from runtime.deployment.errors import BlueprintInvalid, BlueprintRequired, ChangedMeanwhile
from runtime.deployment.view import PREFIXES, StateView
from runtime.names import Sha256, Version
from runtime.sdk.contract import DependencyContract, MethodContract, RouteContract, SliceContract
from runtime.state import keys
from runtime.state.values import ArtifactRecord, encode

pytestmark = pytest.mark.anyio


def contract(name: str, path: str, *needs: str) -> SliceContract:
    method = MethodContract(name="m", routes=(RouteContract(method="GET", path=path),))
    dependencies = tuple(DependencyContract(parameter=each, kind="slice", name=each) for each in needs)
    return SliceContract(name=name, version="1.0.0", entry="m:C", methods=(method,), dependencies=dependencies)


ARTIFACTS = {
    "left": (contract("left", "/same"),),
    "right": (contract("right", "/same"),),
    "base": (contract("base", "/base"), contract("extra", "/extra")),
    "top": (contract("top", "/top", "base"),),
}


def row(name: str, artifact: str, more: str = "") -> str:
    return (
        f'[[slices]]\nslice = "{name}"\nversion = "1.0.0"\nartifact = "{artifact}==1.0.0"\n'
        f"instances = 1\nmin = 1\nmax = 1\n{more}\n"
    )


def request(name: str, *rows: str) -> Request:
    body = f'id = "{name}"\n{"".join(rows)}'.encode()

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": body, "more_body": False}

    scope = {"type": "http", "method": "PUT", "path_params": {"id": name}, "query_string": b"", "headers": []}
    return Request(scope, receive)


class Interrupted:
    """A store where something else happens between what a change read and what it writes."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.meanwhile: Callable[[], Awaitable[object]] | None = None

    async def txn(self, compare: Sequence[Compare], then: Sequence[Operation]) -> TxnResult:
        if self.meanwhile is not None:
            await self.meanwhile()
        return await self._store.txn(compare, then)


class Parts:
    """What changes of blueprints use of the API's parts."""

    def __init__(self, store: Interrupted, cache: StoreCache) -> None:
        self.store, self.view = store, StateView(cache)


class Node:
    """One node's API, over its own cache."""

    def __init__(self, store: MemoryStore) -> None:
        self.cache = StoreCache(store, PREFIXES)
        self.store = Interrupted(store)
        self.changes = Changes(cast("ApiParts", Parts(self.store, self.cache)))
        self._following = asyncio.create_task(self.cache.run())

    async def close(self) -> None:
        self._following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._following


@pytest.fixture
async def store() -> MemoryStore:
    found = MemoryStore()
    for name, slices in ARTIFACTS.items():
        record = ArtifactRecord(
            name=name,
            version="1.0.0",
            sha256=Sha256(name.ljust(64, "0")),
            size_bytes=1,
            slices=slices,
            uploaded_unix_ms=0,
        )
        await found.txn((), [Put(key=keys.artifact(name, Version("1.0.0")), value=encode(record))])
    return found


@pytest.fixture
async def nodes(store: MemoryStore) -> AsyncIterator[tuple[Node, Node]]:
    found = (Node(store), Node(store))
    for each in found:
        await each.cache.ready()
    yield found
    for each in found:
        await each.close()


async def test_of_two_blueprints_applied_at_once_only_one_takes_a_route(
    nodes: tuple[Node, Node], store: MemoryStore
) -> None:
    first, late = nodes
    late.store.meanwhile = lambda: first.changes.apply_blueprint(request("one", row("left", "left")))
    with pytest.raises(ChangedMeanwhile):
        await late.changes.apply_blueprint(request("two", row("right", "right")))
    assert (await store.get(keys.blueprint("two"))).item is None


async def test_a_blueprint_whose_artifact_went_meanwhile_is_not_written(
    nodes: tuple[Node, Node], store: MemoryStore
) -> None:
    _, late = nodes
    late.store.meanwhile = lambda: store.txn((), [Delete(key=keys.artifact("left", Version("1.0.0")))])
    with pytest.raises(ChangedMeanwhile):
        await late.changes.apply_blueprint(request("one", row("left", "left")))


async def test_a_blueprint_that_others_require_is_not_deleted_and_the_refusal_names_them(
    nodes: tuple[Node, Node],
) -> None:
    changes = nodes[0].changes
    await changes.apply_blueprint(request("ground", row("base", "base"), row("extra", "base")))
    await changes.apply_blueprint(request("roof", row("top", "top")))
    with pytest.raises(BlueprintRequired, match=r"top 1\.0\.0 requires base"):
        await changes.delete_blueprint(request("ground"))
    with pytest.raises(BlueprintRequired, match=r"top 1\.0\.0 requires base"):
        await changes.apply_blueprint(request("ground", row("extra", "base")))
    await changes.delete_blueprint(request("roof"))
    await changes.delete_blueprint(request("ground"))


async def test_an_optional_dependency_does_not_keep_a_blueprint(nodes: tuple[Node, Node]) -> None:
    changes = nodes[0].changes
    await changes.apply_blueprint(request("ground", row("base", "base")))
    await changes.apply_blueprint(request("roof", row("top", "top", 'optional = ["base"]')))
    await changes.delete_blueprint(request("ground"))


async def test_slices_of_one_artifact_agree_on_their_workers_memory(nodes: tuple[Node, Node]) -> None:
    changes = nodes[0].changes
    rows = row("base", "base", "memory_mb_max = 64"), row("extra", "base", "memory_mb_max = 128")
    with pytest.raises(BlueprintInvalid, match=r"line 17: slices\[1\]\.memory_mb_max: 128 MB, but base .* 64 MB"):
        await changes.apply_blueprint(request("ground", *rows))
    await changes.apply_blueprint(request("ground", rows[0]))
    with pytest.raises(BlueprintInvalid, match=r"slices\[0\]\.memory_mb_max: 128 MB"):
        await changes.apply_blueprint(request("more", rows[1]))
