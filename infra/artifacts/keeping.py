"""Artifacts in the cluster: taken in, listed, dropped. The bytes are content; the record is a key."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

from infra.artifacts.errors import ArtifactExists, ArtifactInUse, ArtifactNotFound
from infra.artifacts.manifest import Manifest
from infra.artifacts.wheel import WheelContents, read_wheel
from runtime.clock import Clock
from runtime.consensus.store import Delete, KeyValue, Put, Revision, Store, absent, unchanged
from runtime.content.port import ContentStore, pin_key
from runtime.deployment.errors import ChangedMeanwhile
from runtime.names import Sha256
from runtime.state import keys
from runtime.state.values import ArtifactRecord, SliceTarget, decode, encode


class ArtifactShelf:
    """What control does with artifacts. Stateless: everything is in the store and the content."""

    def __init__(self, *, content: ContentStore, store: Store, clock: Clock) -> None:
        self._content = content
        self._store = store
        self._clock = clock

    async def take(self, chunks: AsyncIterator[bytes], *, expected: Sha256 | None = None) -> ArtifactRecord:
        """Keeps an uploaded wheel. The same bytes again are no error.

        Raises WheelInvalid, ContentMismatch, ContentTooLarge or ContentDiskFull, and nothing stays; or ArtifactExists,
        and what was refused is pinned by nobody and so collected.
        """
        seen: list[tuple[int, WheelContents, Manifest]] = []

        def look(path: Path) -> None:
            seen.append((path.stat().st_size, *read_wheel(path, name="the upload")))

        sha256 = await self._content.put(chunks, expected=expected, accept=look)
        ((size_bytes, contents, manifest),) = seen
        record = ArtifactRecord(
            name=contents.name,
            version=contents.version,
            sha256=sha256,
            size_bytes=size_bytes,
            slices=manifest.slices,
            pins=manifest.pins,
            uploaded_unix_ms=self._clock.unix_ms(),
        )
        key = keys.artifact(record.name, record.version)
        changes = [Put(key=key, value=encode(record)), Put(key=_pin(record), value=b"")]
        if (await self._store.txn([absent(key)], changes)).succeeded:
            return record
        known = await self.find(record.name, record.version)
        if known.sha256 == sha256:
            return known
        raise ArtifactExists(
            f"{contents.coordinate} is already kept with other bytes ({known.sha256[:12]}…)",
            "Raise the version in pyproject.toml and build again, or delete the old artifact first.",
        )

    async def find(self, name: str, version: str) -> ArtifactRecord:
        """Raises ArtifactNotFound."""
        return decode((await self._item(name, version)).value, ArtifactRecord)

    async def listed(self) -> tuple[ArtifactRecord, ...]:
        return tuple(decode(item.value, ArtifactRecord) for item in await self._range(keys.ARTIFACTS))

    async def drop(self, name: str, version: str) -> ArtifactRecord:
        """Forgets an artifact that nothing wanted runs. Its bytes go with the next collection."""
        turn = (await self._store.get(keys.BLUEPRINTS_TURN)).item
        item = await self._item(name, version)
        record = decode(item.value, ArtifactRecord)
        for target in await self._range(keys.TARGETS):
            wanted = decode(target.value, SliceTarget)
            if wanted.artifact_sha256 == record.sha256:
                raise ArtifactInUse(
                    f"{name}=={version} is used by slice {wanted.settings.slice} of blueprint {wanted.blueprint}",
                    f"Delete or change that blueprint first: aether blueprint delete {wanted.blueprint}",
                )
        as_read = [
            unchanged(item.key, item.mod_revision),
            unchanged(keys.BLUEPRINTS_TURN, turn.mod_revision if turn is not None else Revision(0)),
        ]
        if not (await self._store.txn(as_read, [Delete(key=item.key), Delete(key=_pin(record))])).succeeded:
            raise ChangedMeanwhile("a blueprint or the artifact changed while this was decided")
        return record

    async def _item(self, name: str, version: str) -> KeyValue:
        item = (await self._store.get(keys.artifact(name, version))).item
        if item is None:
            raise ArtifactNotFound(
                f"there is no artifact {name}=={version}", "See what there is: aether artifact list."
            )
        return item

    async def _range(self, prefix: str) -> list[KeyValue]:
        found: list[KeyValue] = []
        while True:
            page = await self._store.range(prefix, after=found[-1].key if found else "")
            found += page.items
            if not page.more:
                return found


def _pin(record: ArtifactRecord) -> str:
    """Comes and goes in one transaction with the record, so that never one is there without the other."""
    return pin_key(record.sha256, f"artifact {record.name}=={record.version}")
