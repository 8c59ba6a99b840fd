"""To write a backup into a directory of the leader's, to prove it, and to bring its state back."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import anyio
import msgspec
from anyio import to_thread
from msgspec import Meta

from playbooks.actions.action import ActionCall, ActionInput, ActionOutput, PlaybookAction
from runtime.content.store_backups import owner_of
from runtime.errors import RuntimeFault
from runtime.names import Sha256
from runtime.operations.operation import Effect
from runtime.state import keys
from runtime.state.values import ArtifactRecord, StoreBackup, decode
from runtime.workflow.errors import StepFailed

if TYPE_CHECKING:
    from runtime.backup.directory import Manifest

NumberField = Annotated[int, Meta(ge=0, description="Of the snapshot; 0 is the newest that is kept.")]


class WriteIn(ActionInput, frozen=True, kw_only=True):
    number: NumberField = 0


class WriteOut(ActionOutput, frozen=True, kw_only=True):
    number: int
    directory: Annotated[str, Meta(description="On the node that led then.")]
    node: str
    files: int
    artifacts: int
    revision: int
    desired_sha256: str


class WriteBackup(PlaybookAction[WriteIn, WriteOut]):
    """The same snapshot gives the same files: done twice it is done once."""

    name = "backup.write"
    summary = "Write a snapshot, its artifacts and its text into a directory."
    effect = Effect.IDEMPOTENT
    input = WriteIn
    output = WriteOut

    async def run(self, call: ActionCall, wanted: WriteIn) -> WriteOut:
        backup = kept_backup(call, wanted.number)
        directory = call.ports.backups / f"{backup.number:06}"
        from runtime.backup.directory import write_backup  # here: it loads the store's own modules

        try:
            snapshot = await call.ports.content.get(Sha256(backup.sha256))
            artifacts = {name: await call.ports.content.get(sha) for name, sha in _artifacts(call)}
            for _, sha in _artifacts(call):  # as long as the snapshot is kept, also where the artifact is deleted
                await call.ports.content.pin(sha, owner_of(backup.number))
            manifest = await to_thread.run_sync(
                functools.partial(
                    write_backup,
                    directory,
                    snapshot,
                    artifacts,
                    number=backup.number,
                    made_unix_ms=backup.at_unix_ms,
                )
            )
        except RuntimeFault as fault:
            raise StepFailed(fault.code, str(fault), again=fault.retryable) from fault
        except OSError as error:
            raise StepFailed("backup_unwritable", f"{directory}: {error.strerror}") from error
        return _written(call, directory, manifest, len(artifacts))


def _written(call: ActionCall, directory: Path, manifest: Manifest, artifacts: int) -> WriteOut:
    return WriteOut(
        number=manifest.number,
        directory=str(directory),
        node=call.ports.standing().leader,
        files=len(manifest.files),
        artifacts=artifacts,
        revision=manifest.revision,
        desired_sha256=manifest.desired_sha256,
    )


class ProveIn(ActionInput, frozen=True, kw_only=True):
    number: NumberField = 0


class ProveOut(ActionOutput, frozen=True, kw_only=True):
    equal: bool
    wanted: str
    found: str
    serving: tuple[str, ...]
    silent: tuple[str, ...]
    took_ms: int


class ProveBackup(PlaybookAction[ProveIn, ProveOut]):
    name = "backup.prove"
    summary = "Restore a backup into a cluster of its own, compare it, and see its slices serve."
    effect = Effect.READ
    input = ProveIn
    output = ProveOut

    async def run(self, call: ActionCall, wanted: ProveIn) -> ProveOut:
        number = kept_backup(call, wanted.number).number
        directory = call.ports.backups / f"{number:06}"
        if not await anyio.Path(directory).is_dir():
            raise StepFailed(
                "backup_elsewhere", f"{directory} is not on this node: another one led when it was written"
            )
        try:
            proved = await call.ports.proof.prove(directory)
        except RuntimeFault as fault:
            raise StepFailed(fault.code, str(fault), again=fault.retryable) from fault
        if not proved.equal:
            lacking = f"; {', '.join(proved.silent)} did not serve" if proved.silent else ""
            raise StepFailed("backup_unproven", f"restored it is {proved.found}, not {proved.wanted}{lacking}")
        return ProveOut(**msgspec.structs.asdict(proved), equal=True)


def kept_backup(call: ActionCall, number: int) -> StoreBackup:
    """Raises StepFailed."""
    records = [decode(item.value, StoreBackup) for item in call.ports.state.items(keys.STORE_BACKUPS)]
    kept = [each for each in records if each.state == "kept" and number in (0, each.number)]
    if not kept:
        which = f"snapshot {number} is not kept" if number else "no snapshot is kept"
        raise StepFailed("snapshot_missing", f"{which}; aether snapshot list shows those that are")
    return max(kept, key=lambda each: each.number)


def _artifacts(call: ActionCall) -> list[tuple[str, Sha256]]:
    records = [decode(item.value, ArtifactRecord) for item in call.ports.state.items(keys.ARTIFACTS)]
    return [(f"{each.name}-{each.version}.whl", each.sha256) for each in records]
