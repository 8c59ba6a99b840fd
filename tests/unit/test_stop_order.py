"""What goes together goes in the reverse of the order in which it started: who requires another ends first."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.clock import SystemClock
from runtime.consensus.cache import StoreCache
from runtime.consensus.memory import MemoryStore
from runtime.consensus.store import LEADER_KEY, Delete, Put
from runtime.deployment.cluster_manager import ClusterManager
from runtime.deployment.stop_order import held
from runtime.deployment.view import PREFIXES, StateView
from runtime.names import BlueprintId, NodeId, Sha256, SliceName, Version
from runtime.sdk.contract import DependencyContract, SliceContract
from runtime.state import keys
from runtime.state.values import (
    Addresses,
    ArtifactRecord,
    BlueprintSlice,
    Endpoint,
    InstanceState,
    NodeLive,
    NodeRecord,
    Phase,
    SliceTarget,
    encode,
)

NAMES = ("a", "b", "c", "d")


def test_what_is_required_waits_for_those_who_go_with_it() -> None:
    needs = {"shop": ("stock", "mail"), "stock": ("log",)}
    going = {"shop", "stock", "log"}
    assert held(going, needs, calling=going) == {"stock", "log"}
    assert held(going, needs, calling={"stock", "log"}) == {"log"}, "the shop has ended"
    assert held({"stock", "log"}, needs, calling={"shop", "stock", "log"}) == {"log"}, "the shop stays"
    assert held(going, {}, calling=going) == frozenset()


@given(
    st.sets(st.sampled_from(NAMES)),
    st.dictionaries(st.sampled_from(NAMES), st.lists(st.sampled_from(NAMES), max_size=3)),
)
def test_every_order_ends(going: set[str], needs: dict[str, list[str]]) -> None:
    """Also where slices require each other, or themselves: somebody may always go."""
    while going:
        free = going - held(going, needs, calling=going)
        assert free
        going = going - free


class Cluster:
    """One node's records, and the leader's manager over them."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self.view = StateView(StoreCache(store, PREFIXES))

    async def deploy(self, name: str, *requires: str) -> None:
        version, sha = Version("1.0.0"), Sha256(name.ljust(64, "0"))
        dependencies = tuple(DependencyContract(parameter=each, kind="slice", name=each) for each in requires)
        contract = SliceContract(name=name, version=version, entry="m:C", dependencies=dependencies)
        settings = BlueprintSlice(
            slice=SliceName(name), version=version, artifact=f"{name}==1.0.0", instances=1, min=1, max=1
        )
        target = SliceTarget(blueprint=BlueprintId("b"), settings=settings, artifact_sha256=sha, wanted=1)
        record = ArtifactRecord(
            name=name, version=version, sha256=sha, size_bytes=1, slices=(contract,), uploaded_unix_ms=0
        )
        state = InstanceState(
            slice=settings.slice,
            node=NodeId("n1"),
            number=1,
            version=version,
            phase=Phase.ACTIVE,
            since_unix_ms=0,
            generation=1,
        )
        await self.store.txn(
            (),
            [
                Put(key=keys.artifact(name, version), value=encode(record)),
                Put(key=keys.target(settings.slice, version), value=encode(target)),
                Put(key=keys.instance_state(NodeId("n1"), settings.slice, 1), value=encode(state)),
            ],
        )

    async def assigned(self, *names: str) -> None:
        """Returns once exactly these slices have assignments."""
        async with asyncio.timeout(5):
            while tuple(sorted(each.assignment.slice for each in self.view.placed())) != names:
                await self.view.cache.changed(self.view.cache.revision)

    async def ended(self, name: str) -> None:
        await self.store.txn((), [Delete(key=keys.instance_state(NodeId("n1"), SliceName(name), 1))])


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    store = MemoryStore()
    node = NodeRecord(node=NodeId("n1"), role="core", addresses=Addresses(http="", api="", peer="", control=""))
    live = NodeLive(boot="b", started_unix_ms=0, cpu_count=1, memory_bytes=1)
    await store.txn(
        (),
        [
            Put(key=keys.node(node.node), value=encode(node)),
            Put(key=keys.node_live(node.node), value=encode(live)),
        ],
    )
    found = Cluster(store)
    following = asyncio.create_task(found.view.cache.run())
    await found.view.cache.ready()
    leader = (await store.get(LEADER_KEY)).item
    assert leader is not None
    manager = ClusterManager(store=store, view=found.view, clock=SystemClock(), log=Silent())
    managing = asyncio.create_task(manager.run(leader.mod_revision))
    yield found
    for task in (managing, following):
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


class Silent:
    def info(self, event: str, **fields: object) -> None: ...

    def warning(self, event: str, **fields: object) -> None: ...


@pytest.mark.anyio
async def test_a_deleted_blueprint_goes_from_the_top(cluster: Cluster) -> None:
    """Else a slice that still answers calls would find what it requires gone, and so would its stop()."""
    await cluster.deploy("base")
    await cluster.deploy("middle", "base")
    await cluster.deploy("top", "middle")
    await cluster.assigned("base", "middle", "top")
    await cluster.store.txn((), [Delete(key=keys.TARGETS, prefix=True)])
    await cluster.assigned("base", "middle")
    await cluster.ended("top")
    await cluster.assigned("base")
    await cluster.ended("middle")
    await cluster.assigned()


@pytest.mark.anyio
async def test_what_is_placed_is_put_together_anew_only_when_it_changed(cluster: Cluster) -> None:
    await cluster.deploy("base")
    await cluster.assigned("base")
    before = cluster.view.placed()
    done = await cluster.store.txn((), [Put(key=keys.artifact("other", Version("1")), value=b"{}")])
    await cluster.view.cache.wait_for(done.revision)
    assert cluster.view.placed() is before
    await cluster.ended("base")
    endpoint = Endpoint(node=NodeId("n1"), slice=SliceName("base"), number=1, version=Version("1.0.0"))
    key = keys.endpoint(SliceName("base"), NodeId("n1"), 1)
    done = await cluster.store.txn((), [Put(key=key, value=encode(endpoint))])
    await cluster.view.cache.wait_for(done.revision)
    assert [each.serving for each in cluster.view.placed()] == [True]
