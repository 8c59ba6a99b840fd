"""To bring back what a snapshot of the store has: artifacts, blueprints and settings, each through the gate."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Annotated

import msgspec
from anyio import to_thread
from msgspec import Meta

from playbooks.actions.action import ActionCall, ActionInput, ActionOutput, PlaybookAction
from playbooks.actions.backing_up import NumberField, kept_backup
from playbooks.actions.standing import reason_of
from playbooks.actions.submitting import Submitter
from runtime.errors import RuntimeFault
from runtime.names import Sha256
from runtime.operations.dispatch import Submission
from runtime.operations.operation import Effect
from runtime.operations.plan import Call, Json
from runtime.state import keys
from runtime.state.values import ArtifactRecord, BlueprintRecord, decode
from runtime.workflow.errors import StepFailed
from runtime.workflow.flow import Waits

if TYPE_CHECKING:
    from runtime.backup.desired import DesiredItem


class RestoreIn(ActionInput, frozen=True, kw_only=True):
    number: NumberField = 0


class RestoreOut(ActionOutput, frozen=True, kw_only=True):
    number: int
    changed: Annotated[tuple[str, ...], Meta(description="What was not as in the snapshot, by its key.")]
    blueprints: Annotated[tuple[str, ...], Meta(description="All that the snapshot has.")]


class RestoreState(PlaybookAction[RestoreIn, RestoreOut]):
    """What came since stays. Each change has a key of its own below the step's, so that another attempt goes on."""

    name = "backup.restore"
    summary = "Bring back artifacts, blueprints and settings as a snapshot has them."
    effect = Effect.IDEMPOTENT
    input = RestoreIn
    output = RestoreOut

    async def run(self, call: ActionCall, wanted: RestoreIn) -> RestoreOut | Waits:
        from runtime.backup.desired import recoverable_items  # here: it loads the store's own modules

        backup = kept_backup(call, wanted.number)
        try:
            snapshot = await call.ports.content.get(Sha256(backup.sha256))
            items = await to_thread.run_sync(recoverable_items, snapshot)
            changed = []
            for item in items:
                if _now(call, item.key) == item.value:
                    continue
                waits = await self._bring_back(call, item)
                if waits is not None:
                    return waits
                changed.append(item.key)
        except RuntimeFault as fault:
            raise StepFailed(fault.code, str(fault), again=fault.retryable) from fault
        blueprints = [item.key.removeprefix(keys.BLUEPRINTS) for item in items if item.key.startswith(keys.BLUEPRINTS)]
        return RestoreOut(number=backup.number, changed=tuple(changed), blueprints=tuple(blueprints))

    async def _bring_back(self, call: ActionCall, item: DesiredItem) -> Waits | None:
        change = await _change(call, item)
        if change is None:
            return None
        submission = Submission(
            operation=change.operation,
            request=change.request,
            actor=call.actor,
            reason=f"{reason_of(call.context.run, call.context.step)}: {item.key}",
            idempotency_key=f"{call.context.key}/{hashlib.sha256(item.key.encode()).hexdigest()[:16]}",
        )
        done = await Submitter(call.ports).submit(submission, call.context)
        return done if isinstance(done, Waits) else None


async def _change(call: ActionCall, item: DesiredItem) -> Call | None:
    """None of what is brought back by something else."""
    if item.key.startswith(keys.ARTIFACTS):
        record = decode(item.value, ArtifactRecord)
        await call.ports.content.get(record.sha256)  # raises where nobody has its bytes any more
        return Call(operation="artifact.upload", request={"record": msgspec.to_builtins(record)})
    if item.key.startswith(keys.BLUEPRINTS):
        blueprint = decode(item.value, BlueprintRecord)
        return Call(operation="blueprint.apply", request={"blueprint": blueprint.blueprint, "source": blueprint.source})
    scope, name = keys.parts(item.key)
    kind, _, named = scope.partition(":")
    where: dict[str, Json] = {kind: named} if named else {}
    return Call(operation="config.set", request={"name": name, "value": msgspec.json.decode(item.value), **where})


def _now(call: ActionCall, key: str) -> bytes | None:
    item = call.ports.state.get(key)
    return item.value if item is not None else None
