"""Blueprints applied and deleted beside each other: what one reads of the others still holds when it is written."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import pytest

from runtime.consensus.memory import MemoryStore
from runtime.consensus.store import Compare, Delete, Operation, TxnResult
from runtime.names import Sha256, Version
from runtime.operations.actor import Actor, ActorKind, Role
from runtime.operations.dispatch import Applied, Outcome, Planned, Refused, Submission
from runtime.sdk.contract import DependencyContract, MethodContract, RouteContract, SliceContract
from runtime.state import keys
from runtime.state.values import ArtifactRecord
from tests.unit.gate_parts import GateOnHand, person

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


class Interrupted:
    """A store where something else happens between what a change read and what it writes, once."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.meanwhile: Callable[[], Awaitable[object]] | None = None

    async def txn(self, compare: Sequence[Compare], then: Sequence[Operation]) -> TxnResult:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            await meanwhile()
        return await self._store.txn(compare, then)


@pytest.fixture
async def gate() -> GateOnHand:
    found = GateOnHand()
    await found.people()
    for name, slices in ARTIFACTS.items():
        record = ArtifactRecord(
            name=name,
            version="1.0.0",
            sha256=Sha256(name.ljust(64, "0")),
            size_bytes=1,
            slices=slices,
            uploaded_unix_ms=0,
        )
        await found.put(keys.artifact(name, Version("1.0.0")), record)
    return found


async def applied(gate: GateOnHand, name: str, *rows: str) -> Outcome:
    source = f'id = "{name}"\n{"".join(rows)}'
    return await submit(gate, "blueprint.apply", {"blueprint": name, "source": source})


async def deleted(gate: GateOnHand, name: str) -> Outcome:
    return await submit(gate, "blueprint.delete", {"blueprint": name})


async def submit(gate: GateOnHand, operation: str, request: dict[str, object]) -> Outcome:
    actor = person("cleo", Role.ADMIN)
    return await gate.gate.submit(
        Submission(operation=operation, request=request, actor=actor, break_glass=True, reason="a test")
    )


def refused(outcome: Outcome, code: str) -> str:
    """What the refusal says."""
    assert isinstance(outcome, Refused), outcome
    assert outcome.code == code
    return outcome.detail


async def test_of_two_blueprints_applied_at_once_only_one_takes_a_route(gate: GateOnHand) -> None:
    store = Interrupted(gate.store)
    gate.desk.store = store  # type: ignore[assignment]  # what the gate uses of one
    store.meanwhile = lambda: applied(gate, "one", row("left", "left"))
    late = await applied(gate, "two", row("right", "right"))
    assert "is already a route of left" in refused(late, "blueprint_invalid")
    assert gate.state.get(keys.blueprint("two")) is None
    assert gate.state.get(keys.blueprint("one")) is not None


async def test_a_blueprint_whose_artifact_went_meanwhile_is_not_written(gate: GateOnHand) -> None:
    store = Interrupted(gate.store)
    gate.desk.store = store  # type: ignore[assignment]
    store.meanwhile = lambda: gate.store.txn((), [Delete(key=keys.artifact("left", Version("1.0.0")))])
    late = await applied(gate, "one", row("left", "left"))
    assert "artifact left==1.0.0 is not known" in refused(late, "blueprint_invalid")


async def test_a_blueprint_that_others_require_is_not_deleted_and_the_refusal_names_them(gate: GateOnHand) -> None:
    await applied(gate, "ground", row("base", "base"), row("extra", "base"))
    await applied(gate, "roof", row("top", "top"))
    assert "top 1.0.0 requires base" in refused(await deleted(gate, "ground"), "blueprint_required")
    less = await applied(gate, "ground", row("extra", "base"))
    assert "top 1.0.0 requires base" in refused(less, "blueprint_required")
    assert isinstance(await deleted(gate, "roof"), Applied)
    assert isinstance(await deleted(gate, "ground"), Applied)


async def test_an_optional_dependency_does_not_keep_a_blueprint(gate: GateOnHand) -> None:
    await applied(gate, "ground", row("base", "base"))
    await applied(gate, "roof", row("top", "top", 'optional = ["base"]'))
    assert isinstance(await deleted(gate, "ground"), Applied)


async def test_slices_of_one_artifact_agree_on_their_workers_memory(gate: GateOnHand) -> None:
    rows = row("base", "base", "memory_mb_max = 64"), row("extra", "base", "memory_mb_max = 128")
    detail = refused(await applied(gate, "ground", *rows), "blueprint_invalid")
    assert detail.startswith("line 17: slices[1].memory_mb_max: 128 MB, but base")
    await applied(gate, "ground", rows[0])
    assert "slices[0].memory_mb_max: 128 MB" in refused(await applied(gate, "more", rows[1]), "blueprint_invalid")


async def test_applying_the_same_blueprint_again_changes_nothing(gate: GateOnHand) -> None:
    first = await applied(gate, "ground", row("base", "base"))
    before = {key: item.mod_revision for key, item in gate.store.items.items() if key.startswith("slice-target/")}
    again = await applied(gate, "ground", row("base", "base"))
    assert isinstance(first, Applied)
    assert isinstance(again, Applied)
    after = {key: item.mod_revision for key, item in gate.store.items.items() if key.startswith("slice-target/")}
    assert after == before


async def test_what_one_slice_loses_is_not_made_good_by_another(gate: GateOnHand) -> None:
    """Else a blueprint would take instances away past the approval that scaling in, or deleting it, needs."""
    many = row("base", "base").replace("instances = 1\nmin = 1\nmax = 1", "instances = 4\nmin = 1\nmax = 9")
    await applied(gate, "pages", many)
    fewer, other = many.replace("instances = 4", "instances = 2"), row("left", "left")
    for rows, share in (((many, other), 0.0), ((fewer, other), 0.5), ((other,), 1.0)):
        source = f'id = "pages"\n{"".join(rows)}'
        request = {"blueprint": "pages", "source": source}
        actor = Actor(kind=ActorKind.AUTOMATION, id="ci", role=Role.OPERATOR)
        submission = Submission(operation="blueprint.apply", request=request, actor=actor, dry_run=True)
        outcome = await gate.gate.submit(submission)
        assert isinstance(outcome, Planned), outcome
        assert outcome.plan.blast.capacity_share == share
        assert outcome.plan.decision == ("propose" if share else "act")
