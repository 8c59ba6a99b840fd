"""Artifacts in the cluster: taken once, found again, not dropped while something runs them."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from infra.artifacts.assembling import assemble
from infra.artifacts.errors import ArtifactExists, ArtifactInUse, ArtifactNotFound, WheelInvalid
from infra.artifacts.keeping import ArtifactShelf
from infra.artifacts.manifest import Manifest
from infra.artifacts.wheel import inspect_wheel
from runtime.clock import SystemClock
from runtime.consensus.memory import MemoryStore
from runtime.consensus.store import Delete, Put, TxnResult
from runtime.content.disk import DiskContent
from runtime.content.replicated import ReplicatedContent
from runtime.names import BlueprintId, NodeId, Sha256, SliceName, Version
from runtime.sdk.contract import SliceContract
from runtime.state import keys
from runtime.state.values import BlueprintSlice, SliceTarget, encode
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
    def __init__(self, root: Path, store: MemoryStore | None = None) -> None:
        self.store = store or MemoryStore()
        disk = DiskContent(root)
        disk.open()
        content = ReplicatedContent(node=NodeId("n1"), disk=disk, store=self.store, peers=NoPeers())
        self.shelf = ArtifactShelf(content=content, store=self.store, clock=SystemClock())

    def pins(self) -> list[str]:
        return [key for key in self.store.items if key.startswith(keys.CONTENT_PINS)]


class NoPeers:
    async def read(self, node: NodeId, sha256: Sha256) -> AsyncIterator[bytes]:
        raise AssertionError("there is nobody else")
        yield b""

    async def ask_to_fetch(self, node: NodeId, sha256: Sha256, source: NodeId) -> None:
        raise AssertionError("there is nobody else")


@pytest.fixture
def kept(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "content")


class PairedStore(MemoryStore):
    """Looks after every change whether each artifact has its pin."""

    async def txn(self, *changes: Sequence[Any], **options: Any) -> TxnResult:
        result = await super().txn(*changes, **options)
        kinds = Counter(key.split("/")[0] + "/" for key in self.items)
        assert kinds[keys.ARTIFACTS] == kinds[keys.CONTENT_PINS]
        return result


async def test_an_artifact_and_the_pin_of_its_bytes_come_and_go_together(tmp_path: Path) -> None:
    """An upload while the same artifact is dropped could leave a record whose bytes are collected an hour later."""
    kept = Shelf(tmp_path / "content", PairedStore())
    record = await kept.shelf.take(pieces(artifact(tmp_path)))
    await kept.shelf.drop(record.name, record.version)


async def test_an_upload_becomes_a_record_with_contracts_and_a_pin(kept: Shelf, tmp_path: Path) -> None:
    record = await kept.shelf.take(pieces(artifact(tmp_path)))
    assert (record.name, record.version, record.slices[0].entry) == ("pkg", "1.0.0", "pkg:Hello")
    assert await kept.shelf.listed() == (record,)
    assert len(kept.pins()) == 1


async def test_the_same_upload_again_changes_nothing(kept: Shelf, tmp_path: Path) -> None:
    first = await kept.shelf.take(pieces(artifact(tmp_path)))
    assert await kept.shelf.take(pieces(artifact(tmp_path))) == first


async def test_other_bytes_under_a_taken_coordinate_are_refused_and_not_pinned(kept: Shelf, tmp_path: Path) -> None:
    await kept.shelf.take(pieces(artifact(tmp_path)))
    with pytest.raises(ArtifactExists, match="other bytes"):
        await kept.shelf.take(pieces(artifact(tmp_path, code=SLICE_CODE + "\n# changed\n")))
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
    assert kept.store.items.keys() == set()


async def test_an_artifact_that_a_target_uses_is_not_dropped(kept: Shelf, tmp_path: Path) -> None:
    record = await kept.shelf.take(pieces(artifact(tmp_path)))
    settings = BlueprintSlice(
        slice=SliceName("hello"), version=Version("1.0.0"), artifact="pkg==1.0.0", instances=1, min=1, max=1
    )
    target = SliceTarget(blueprint=BlueprintId("shop"), settings=settings, artifact_sha256=record.sha256, wanted=1)
    key = keys.target(settings.slice, settings.version)
    await kept.store.txn([], [Put(key=key, value=encode(target))])
    with pytest.raises(ArtifactInUse, match="slice hello of blueprint shop"):
        await kept.shelf.drop("pkg", "1.0.0")
    await kept.store.txn([], [Delete(key=key)])
    assert await kept.shelf.drop("pkg", "1.0.0") == record
    assert (kept.pins(), await kept.shelf.listed()) == ([], ())


async def test_dropping_what_is_not_there_is_said_so(kept: Shelf) -> None:
    with pytest.raises(ArtifactNotFound, match="no artifact pkg==9"):
        await kept.shelf.drop("pkg", "9")
