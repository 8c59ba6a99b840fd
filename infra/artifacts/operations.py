"""Operations on artifacts. An upload's bytes are kept first; record and pin of the bytes are written together."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from runtime.content.port import pin_key
from runtime.operations import results, subjects
from runtime.operations.actor import Role
from runtime.operations.fields import ArtifactField
from runtime.operations.operation import Change, Effect, Request, Risk, Route
from runtime.operations.plan import Call, KeyChange, Plan, Refusal
from runtime.operations.state import PlanState
from runtime.spelling import nearest
from runtime.state import keys
from runtime.state.values import ArtifactRecord, encode

VersionField = Annotated[str, Meta(min_length=1, max_length=64, description="Version of the artifact.")]


class UploadRequest(Request, frozen=True, kw_only=True):
    """Made from the bytes by the node that took them."""

    record: ArtifactRecord


class DeleteRequest(Request, frozen=True, kw_only=True):
    name: ArtifactField
    version: VersionField


def plan_upload(state: PlanState, request: UploadRequest) -> Plan | Refusal:
    record = request.record
    known = state.records.artifact(record.name, record.version)
    if known is not None and known.sha256 != record.sha256:
        return Refusal(
            code="artifact_exists",
            detail=f"{record.name}=={record.version} is already kept with other bytes ({known.sha256[:12]}…)",
            remedy="Raise the version in pyproject.toml and build again, or delete the old artifact first.",
        )
    key = keys.artifact(record.name, record.version)
    return Plan(
        operation="artifact.upload",
        subject=subjects.of_artifact(record.name),
        summary=f"{record.name}=={record.version} is kept",
        changes=(
            ()
            if known is not None
            else (
                KeyChange(key=key, before=None, after=encode(record)),
                KeyChange(key=_pin(record), before=None, after=b""),
            )
        ),
        reads=state.reads,
        inverse=Call(operation="artifact.delete", request={"name": record.name, "version": record.version}),
        result={
            "name": record.name,
            "version": record.version,
            "sha256": record.sha256,
            "slices": [f"{contract.name} {contract.version}" for contract in record.slices],
        },
    )


def plan_delete(state: PlanState, request: DeleteRequest) -> Plan | Refusal:
    """Of one that nothing wanted runs. Its bytes go with the next collection."""
    record = state.records.artifact(request.name, request.version)
    if record is None:
        known = [f"{each.name}=={each.version}" for each in state.all_records.artifacts()]
        coordinate = f"{request.name}=={request.version}"
        return Refusal(
            code="artifact_not_found",
            detail=f"there is no artifact {coordinate}{nearest(coordinate, known)}",
            remedy="See what there is: aether artifact list.",
        )
    state.get(keys.BLUEPRINTS_TURN)  # stands for all targets: each change of a blueprint writes it
    user = next((each for each in state.all_records.targets() if each.artifact_sha256 == record.sha256), None)
    if user is not None:
        return Refusal(
            code="artifact_in_use",
            detail=f"{record.name}=={record.version} is used by slice {user.settings.slice} of blueprint"
            f" {user.blueprint}",
            remedy=f"Delete or change that blueprint first: aether blueprint delete {user.blueprint}",
        )
    return Plan(
        operation="artifact.delete",
        subject=subjects.of_artifact(record.name),
        summary=f"{record.name}=={record.version} is kept no more",
        changes=(
            KeyChange(key=keys.artifact(record.name, record.version), before=encode(record), after=None),
            KeyChange(key=_pin(record), before=b"", after=None),
        ),
        reads=state.reads,
        result={"name": record.name, "version": record.version, "deleted": True},
    )


def _pin(record: ArtifactRecord) -> str:
    """Comes and goes in one transaction with the record, so that never one is there without the other."""
    return pin_key(record.sha256, f"artifact {record.name}=={record.version}")


OPERATIONS: Final = (
    Change(
        name="artifact.upload",
        summary="Keep an artifact that `aether build` made.",
        request=UploadRequest,
        result=results.ArtifactKept,
        route=Route(method="POST", path="/v1/artifacts"),
        role=Role.OPERATOR,
        risk=Risk.LOW,
        effect=Effect.IDEMPOTENT,
        subject=lambda request: subjects.of_artifact(request.record.name),
        plan=plan_upload,
        errors=("artifact_exists",),
        body="bytes",
    ),
    Change(
        name="artifact.delete",
        summary="Forget an artifact that nothing runs.",
        request=DeleteRequest,
        result=results.ArtifactDeleted,
        route=Route(method="DELETE", path="/v1/artifacts/{name}/{version}"),
        role=Role.OPERATOR,
        risk=Risk.MEDIUM,
        effect=Effect.IDEMPOTENT,
        subject=lambda request: subjects.of_artifact(request.name),
        plan=plan_delete,
        errors=("artifact_not_found", "artifact_in_use"),
    ),
)
