"""Refusals that several planners give, with the nearest real names."""

from __future__ import annotations

from collections.abc import Sequence

from runtime.names import BlueprintId
from runtime.operations.plan import Refusal
from runtime.operations.state import PlanState
from runtime.spelling import nearest
from runtime.state.values import SliceTarget


def slice_unknown(state: PlanState, name: str, version: str = "") -> Refusal:
    deployed = {each.settings.slice: each.settings.version for each in state.all_records.targets()}
    if version and name in deployed:
        versions = [each.settings.version for each in state.all_records.targets() if each.settings.slice == name]
        detail = f"slice {name} has no version {version[:48]!r} deployed; it has {', '.join(sorted(versions))}"
    else:
        detail = f"slice {name[:63]!r} is not deployed{nearest(name, deployed)}"
    return Refusal(code="slice_not_found", detail=detail, remedy="List what is deployed: aether slice list.")


def version_ambiguous(name: str, found: Sequence[SliceTarget]) -> Refusal:
    versions = ", ".join(sorted(each.settings.version for each in found))
    return Refusal(
        code="version_ambiguous",
        detail=f"slice {name} runs in versions {versions}",
        remedy="Name one: `version` in the request, --version on the command line.",
    )


def node_unknown(state: PlanState, name: str) -> Refusal:
    known = [each.node for each in state.all_records.nodes()]
    detail = f"there is no node {name[:63]!r}{nearest(name, known)}"
    return Refusal(code="node_not_found", detail=detail, remedy="List the nodes: aether node list.")


def subject_unknown(state: PlanState, subject: str) -> Refusal | None:
    """Of a slice, node, blueprint or artifact that is not there: a freeze of it would hold nothing back."""
    kind, _, name = subject.partition(":")
    records = state.records
    match kind:
        case "slice":
            return None if records.targets_of(name) else slice_unknown(state, name)
        case "node":
            return None if records.node(name) is not None else node_unknown(state, name)
        case "blueprint":
            found = records.blueprint(BlueprintId(name)) is not None
            return None if found else blueprint_unknown(state, name)
        case "artifact":
            known = {each.name: each.version for each in state.all_records.artifacts()}
            records.artifact(name, known.get(name, ""))  # noted
            detail = f"there is no artifact {name[:100]!r}{nearest(name, known)}"
            refusal = Refusal(code="artifact_not_found", detail=detail, remedy="List them: aether artifact list.")
            return None if name in known else refusal
    return None


def blueprint_unknown(state: PlanState, name: str) -> Refusal:
    known = [each.blueprint for each in state.all_records.blueprints()]
    detail = f"there is no blueprint {name[:63]!r}{nearest(name, known)}"
    return Refusal(code="blueprint_not_found", detail=detail, remedy="List what is applied: aether blueprint list.")
