"""How far a change reaches, and that nothing of it goes unseen: freezes, incidents, limits, and what goes away."""

from __future__ import annotations

import msgspec
import pytest

from controllers.gate.circumstances import LIMITED_MAX
from controllers.gate.desk import Judged
from runtime.names import BlueprintId, NodeId, SliceName, Version
from runtime.operations.actor import Actor, ActorKind, Role
from runtime.operations.dispatch import Outcome, Planned, PlanView, Proposed, Refused, Submission
from runtime.operations.plan import Call
from runtime.operations.state import PlanState
from runtime.state import keys
from runtime.state.values import BlueprintRecord, Endpoint, InstanceAssignment, SliceTarget
from tests.unit.gate_parts import GateOnHand, model, person, target
from tests.unit.test_node_records import Interrupted

pytestmark = pytest.mark.anyio

ANNA, CLEO = person("anna"), person("cleo", Role.ADMIN)
CI = Actor(kind=ActorKind.AUTOMATION, id="ci", role=Role.OPERATOR)


@pytest.fixture
async def gate() -> GateOnHand:
    found = GateOnHand()
    await found.populate()
    return found


async def put_target(gate: GateOnHand, name: str, *, blueprint: str = "shop", version: str = "1") -> SliceTarget:
    made = target(name, 2)
    settings = msgspec.structs.replace(made.settings, version=Version(version))
    made = msgspec.structs.replace(made, blueprint=BlueprintId(blueprint), settings=settings)
    await gate.put(keys.target(SliceName(name), Version(version)), made)
    return made


async def put_blueprint(gate: GateOnHand, name: str, slices: int) -> None:
    rows = [await put_target(gate, f"s{number}", blueprint=name) for number in range(slices)]
    record = BlueprintRecord(blueprint=BlueprintId(name), source="", slices=tuple(each.settings for each in rows))
    await gate.put(keys.blueprint(BlueprintId(name)), record)


async def put_serving(gate: GateOnHand, name: str, version: str, *nodes: str) -> None:
    for node in nodes:
        served = Endpoint(slice=SliceName(name), version=Version(version), node=NodeId(node), number=int(version))
        await gate.put(keys.endpoint(SliceName(name), NodeId(node), int(version)), served)


async def ask(gate: GateOnHand, operation: str, request: dict[str, object], actor: Actor = CLEO) -> Outcome:
    return await gate.gate.submit(Submission(operation=operation, request=request, actor=actor))


async def dry(gate: GateOnHand, operation: str, request: dict[str, object], actor: Actor = CLEO) -> PlanView:
    outcome = await gate.gate.submit(Submission(operation=operation, request=request, actor=actor, dry_run=True))
    assert isinstance(outcome, Planned), outcome
    return outcome.plan


def judged(gate: GateOnHand, operation: str, request: dict[str, object], actor: Actor) -> Judged:
    found = gate.desk.judge(PlanState(gate.state), Call(operation=operation, request=request), actor, tainted=False)
    assert isinstance(found, Judged)
    return found


# -- freezes and incidents ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("begins", "ends"), [("freeze.set", "freeze.lift"), ("incident.open", "incident.close")])
async def test_the_last_of_many_slices_is_looked_at_like_the_first(gate: GateOnHand, begins: str, ends: str) -> None:
    """A blueprint may have 200 slices: one beyond what was looked at would go although somebody said: not now."""
    await put_blueprint(gate, "wide", 120)
    for name in ("s0", "s99"):
        await ask(gate, begins, {"subject": f"slice:{name}", "why": f"{name} must stay"})
        seen = judged(gate, "blueprint.delete", {"blueprint": "wide"}, CLEO).circumstances
        assert f"{name} must stay" in (seen.frozen, seen.incident)
        await ask(gate, ends, {"subject": f"slice:{name}"})


async def test_a_freeze_of_any_blueprint_of_a_slice_holds_for_it(gate: GateOnHand) -> None:
    await put_target(gate, "orders", blueprint="zoo", version="2")
    await ask(gate, "freeze.set", {"subject": "cluster", "why": "not this"})
    await ask(gate, "freeze.lift", {"subject": "cluster"})
    await gate.put(
        keys.blueprint(BlueprintId("zoo")), BlueprintRecord(blueprint=BlueprintId("zoo"), source="", slices=())
    )
    await ask(gate, "freeze.set", {"subject": "blueprint:zoo", "why": "the second one"})
    told = await dry(gate, "slice.scale", {"slice": "orders", "version": "2", "instances": 3})
    assert "the second one" in told.rule


async def test_a_freeze_that_comes_between_plan_and_writing_is_heeded(gate: GateOnHand) -> None:
    async def freeze() -> None:
        await ask(gate, "freeze.set", {"subject": "cluster", "why": "just now"})

    gate.desk.store = Interrupted(gate.store, freeze)  # type: ignore[assignment]  # what the gate uses of one
    outcome = await gate.scale(5, ANNA)
    assert isinstance(outcome, Proposed), outcome
    assert "just now" in outcome.rule
    assert gate.wanted() == 4


async def test_the_first_freeze_there_ever_was_is_no_other_change_than_the_second(gate: GateOnHand) -> None:
    """What is approved is what people saw: a key that only puts changes in order is not among it."""
    request = {"subject": "slice:orders", "why": "sale"}
    first = await dry(gate, "freeze.set", request)
    await ask(gate, "freeze.set", {"subject": "cluster", "why": "x"})
    second = await dry(gate, "freeze.set", request)
    assert [row.key for row in first.diff] == ["freeze/slice:orders"]
    assert judged(gate, "freeze.set", request, CLEO).plan.inverse == first.inverse
    assert first.diff == second.diff


# -- limits of agents --------------------------------------------------------------------------------------------------


async def test_an_agent_changes_no_more_at_once_than_its_limits_can_count(gate: GateOnHand) -> None:
    await put_blueprint(gate, "wide", LIMITED_MAX)
    refused = await ask(gate, "blueprint.delete", {"blueprint": "wide"}, model(ANNA))
    assert isinstance(refused, Refused)
    assert f"may change {LIMITED_MAX}" in refused.detail
    assert not refused.retryable


async def test_an_agents_turn_is_taken_in_each_blueprint_of_a_slice(gate: GateOnHand) -> None:
    await put_target(gate, "orders", blueprint="zoo", version="2")
    await put_target(gate, "apes", blueprint="zoo")
    waits = await ask(gate, "slice.scale", {"slice": "orders", "version": "1", "instances": 5}, model(ANNA))
    assert isinstance(waits, Proposed)
    await gate.votes.cast(waits.proposal, person("ben"), approve=True, reason="")
    await gate.settle(waits.proposal)
    refused = await ask(gate, "slice.scale", {"slice": "apes", "instances": 3}, model(ANNA))
    assert isinstance(refused, Refused)
    assert "under way" in refused.detail


async def test_what_the_domain_follows_from_is_compared(gate: GateOnHand) -> None:
    scaled = judged(gate, "slice.scale", {"slice": "orders", "instances": 5}, model(ANNA))
    assert {keys.BLUEPRINTS_TURN, keys.MARKS_TURN, keys.agent_turn("blueprint:shop")} <= set(scaled.plan.reads)
    drained = judged(gate, "node.drain", {"node": "n1"}, model(CLEO))
    assert {keys.node(NodeId("n1")), keys.MARKS_TURN} <= set(drained.plan.reads)


# -- the share that goes away ------------------------------------------------------------------------------------------


async def test_a_nodes_share_is_of_instances_that_are_compared(gate: GateOnHand) -> None:
    for node, number in (("n1", 0), ("n2", 0), ("n2", 1), ("n3", 0)):
        placed = InstanceAssignment(
            slice=SliceName("orders"),
            number=number,
            version=Version("1"),
            artifact_sha256=target("orders", 4).artifact_sha256,
            settings=target("orders", 4).settings,
            generation=1,
        )
        await gate.put(keys.instance(NodeId(node), SliceName("orders"), number), placed)
    plan = judged(gate, "node.drain", {"node": "n2"}, CI).plan
    assert (plan.blast.instances, plan.blast.capacity_share) == (2, 0.5)
    assert len([key for key in plan.reads if key.startswith(keys.INSTANCES)]) == 4


async def test_a_version_that_gets_no_calls_any_more_is_capacity_that_goes(gate: GateOnHand) -> None:
    """By weights alone everything could be sent to one instance, past the approval that scaling in would need."""
    await put_target(gate, "orders", version="2")
    await put_serving(gate, "orders", "1", "n1", "n2", "n3")
    await put_serving(gate, "orders", "2", "n1")
    plan = await dry(gate, "slice.set-routing-weights", {"slice": "orders", "weights": {"1": 0}}, CI)
    assert (plan.blast.instances, plan.blast.capacity_share, plan.decision) == (3, 0.75, "propose")
    plan = await dry(gate, "slice.set-routing-weights", {"slice": "orders", "weights": {"1": 50, "2": 1}}, CI)
    assert (plan.blast.capacity_share, plan.decision) == (0.0, "act")
