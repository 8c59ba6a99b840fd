"""Artifacts in the cluster: taken once, found again, not dropped while something runs them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from infra.artifacts.assembling import assemble
from infra.artifacts.errors import WheelInvalid
from infra.artifacts.keeping import ArtifactShelf
from infra.artifacts.manifest import Manifest
from infra.artifacts.operations import DeleteRequest, plan_delete
from infra.artifacts.wheel import inspect_wheel
from runtime.clock import SystemClock
from runtime.consensus.store import Delete, Put
from runtime.content.disk import DiskContent
from runtime.content.replicated import ReplicatedContent
from runtime.names import BlueprintId, NodeId, Sha256, SliceName, Version
from runtime.operations.dispatch import Applied, Outcome, Refused, Submission
from runtime.operations.plan import Plan
from runtime.operations.state import PlanState
from runtime.sdk.contract import SliceContract
from runtime.state import keys
from runtime.state.values import ArtifactRecord, BlueprintSlice, SliceTarget, decode, encode
from tests.unit.gate_parts import GateOnHand, person
from tests.unit.wheels import SLICE_CODE, write_wheel

pytestmark = pytest.mark.anyio


def artifact(directory: Path, *, version: str = "1.0.0", code: str = SLICE_CODE) -> Path:
    """As `aether build` makes it, without a build."""
    plain = write_wheel(directory / "plain", "pkg", version, {"pkg.py": code}, entries="hello = pkg:Hello")
    target = directory / plain.name
    manifest = Manifest(slices=(SliceContract(name="hello", version="1.0.0", entry="pkg:Hello"),))
    assemble(plain, target, inspect_wheel(plain), manifest, ())
    return target


async def pieces(path: Path) -> AsyncIterator[bytes]:
    yield path.read_bytes()


class Shelf:
    """A shelf whose records are kept by a gate."""

    def __init__(self, root: Path) -> None:
        self.hand = GateOnHand()
        disk = DiskContent(root)
        disk.open()
        content = ReplicatedContent(node=NodeId("n1"), disk=disk, store=self.hand.store, peers=NoPeers())
        self.shelf = ArtifactShelf(content=content, clock=SystemClock())

    async def upload(self, path: Path) -> Outcome:
        record = await self.shelf.take(pieces(path))
        return await self.ask("artifact.upload", record=msgspec.to_builtins(record))

    async def ask(self, operation: str, **members: object) -> Outcome:
        return await self.hand.gate.submit(Submission(operation=operation, request=members, actor=person("anna")))

    def pins(self) -> list[str]:
        return [item.key for item in self.hand.state.items(keys.CONTENT_PINS)]

    def records(self) -> list[ArtifactRecord]:
        return [decode(item.value, ArtifactRecord) for item in self.hand.state.items(keys.ARTIFACTS)]


class NoPeers:
    async def read(self, node: NodeId, sha256: Sha256) -> AsyncIterator[bytes]:
        raise AssertionError("there is nobody else")
        yield b""

    async def ask_to_fetch(self, node: NodeId, sha256: Sha256, source: NodeId) -> None:
        raise AssertionError("there is nobody else")


@pytest.fixture
async def kept(tmp_path: Path) -> Shelf:
    found = Shelf(tmp_path / "content")
    await found.hand.people()
    return found


async def test_an_artifact_and_the_pin_of_its_bytes_come_and_go_together(kept: Shelf, tmp_path: Path) -> None:
    """An upload while the same artifact is dropped could leave a record whose bytes are collected an hour later."""
    await kept.upload(artifact(tmp_path))
    (item,) = kept.hand.state.items(keys.ARTIFACTS)
    (pin,) = kept.hand.state.items(keys.CONTENT_PINS)
    assert item.mod_revision == pin.mod_revision
    assert isinstance(await kept.ask("artifact.delete", name="pkg", version="1.0.0"), Applied)
    assert (kept.pins(), kept.records()) == ([], [])


async def test_an_upload_becomes_a_record_with_contracts_and_a_pin(kept: Shelf, tmp_path: Path) -> None:
    applied = await kept.upload(artifact(tmp_path))
    assert isinstance(applied, Applied)
    (record,) = kept.records()
    assert (record.name, record.version, record.slices[0].entry) == ("pkg", "1.0.0", "pkg:Hello")
    assert applied.result == {
        "name": "pkg",
        "version": "1.0.0",
        "sha256": record.sha256,
        "slices": ["hello 1.0.0"],
    }
    assert len(kept.pins()) == 1


async def test_the_same_upload_again_changes_nothing(kept: Shelf, tmp_path: Path) -> None:
    await kept.upload(artifact(tmp_path))
    first = kept.records()
    assert isinstance(await kept.upload(artifact(tmp_path)), Applied)
    assert kept.records() == first


async def test_other_bytes_under_a_taken_coordinate_are_refused_and_not_pinned(kept: Shelf, tmp_path: Path) -> None:
    await kept.upload(artifact(tmp_path))
    refused = await kept.upload(artifact(tmp_path, code=SLICE_CODE + "\n# changed\n"))
    assert isinstance(refused, Refused)
    assert (refused.code, "other bytes" in refused.detail) == ("artifact_exists", True)
    assert len(kept.pins()) == 1


async def test_what_is_no_artifact_is_refused_and_nothing_of_it_stays(kept: Shelf, tmp_path: Path) -> None:
    """Neither here nor on the nodes that would have kept a copy: a file that was cut short may be as large as any."""
    plain = write_wheel(tmp_path, "pkg", "1.0", {"pkg.py": ""})
    whole = artifact(tmp_path)
    short = tmp_path / "short.whl"
    short.write_bytes(whole.read_bytes()[:-100])
    for wrong in (plain, short):
        with pytest.raises(WheelInvalid, match="the upload"):
            await kept.shelf.take(pieces(wrong))
    assert [path for path in (tmp_path / "content").rglob("*") if path.is_file()] == []
    assert not kept.hand.state.items(keys.CONTENT)


async def test_an_artifact_that_a_target_uses_is_not_deleted(kept: Shelf, tmp_path: Path) -> None:
    await kept.upload(artifact(tmp_path))
    (record,) = kept.records()
    settings = BlueprintSlice(
        slice=SliceName("hello"), version=Version("1.0.0"), artifact="pkg==1.0.0", instances=1, min=1, max=1
    )
    target = SliceTarget(blueprint=BlueprintId("shop"), settings=settings, artifact_sha256=record.sha256, wanted=1)
    key = keys.target(settings.slice, settings.version)
    await kept.hand.store.txn([], [Put(key=key, value=encode(target))])
    refused = await kept.ask("artifact.delete", name="pkg", version="1.0.0")
    assert isinstance(refused, Refused)
    assert refused.code == "artifact_in_use"
    assert "slice hello of blueprint shop" in refused.detail
    await kept.hand.store.txn([], [Delete(key=key)])
    assert isinstance(await kept.ask("artifact.delete", name="pkg", version="1.0.0"), Applied)
    assert (kept.pins(), kept.records()) == ([], [])


async def test_a_blueprint_that_is_applied_meanwhile_makes_a_deletion_plan_again(kept: Shelf, tmp_path: Path) -> None:
    """Else its instances would wait for code that is gone."""
    await kept.upload(artifact(tmp_path))
    state = PlanState(kept.hand.state)
    plan = plan_delete(state, DeleteRequest(name="pkg", version="1.0.0"))
    assert isinstance(plan, Plan)
    assert keys.BLUEPRINTS_TURN in plan.reads


async def test_deleting_what_is_not_there_names_the_nearest(kept: Shelf, tmp_path: Path) -> None:
    await kept.upload(artifact(tmp_path))
    refused = await kept.ask("artifact.delete", name="pkg", version="1.0.9")
    assert isinstance(refused, Refused)
    assert refused.code == "artifact_not_found"
    assert "pkg==1.0.0" in refused.detail
