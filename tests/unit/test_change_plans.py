"""What holds for the plan of every change there is: pure, compared with what it stands on, described, and undone by its
inverse. A new operation needs a sample here."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from agent_api.catalogue import make_catalogue
from controllers.gate.policy import default_text
from runtime.names import NodeId, Sha256, SliceName, Version
from runtime.operations.actor import Role
from runtime.operations.dispatch import Applied, Submission
from runtime.operations.operation import AnyChange
from runtime.operations.plan import Plan
from runtime.operations.state import PlanState
from runtime.security.principals import hash_of
from runtime.state import keys
from runtime.state.values import ArtifactRecord, InstanceAssignment, NodeRecord
from tests.unit.forecast_records import forecast_model
from tests.unit.gate_parts import NOWHERE, GateOnHand, person, target
from tests.unit.test_blueprint_changes import contract, row

pytestmark = pytest.mark.anyio

CLEO = person("cleo", Role.ADMIN)
CATALOGUE = make_catalogue()
ORDERS = {"slice": "orders"}
UPLOADED = ArtifactRecord(
    name="base",
    version="1.0.0",
    sha256=Sha256("b" * 64),
    size_bytes=1,
    slices=(contract("base", "/b"),),
    uploaded_unix_ms=0,
)
FREE = msgspec.to_builtins(msgspec.structs.replace(UPLOADED, name="free", sha256="f" * 64))
SOURCE = f'id = "pages"\n{row("base", "base")}'
LIMIT = {**ORDERS, "metric": "p99_ms"}
KEY = {"principal": "anna", "name": "ci", "sha256": hash_of("k")}

Call = tuple[str, dict[str, Any]]
PROVIDED: Call = ("controller.configure-nodes", {"set": {"provider": "unix:/run/nodes.sock"}})
SAMPLES: dict[str, tuple[dict[str, Any], tuple[Call, ...]]] = {  # request, and what is done before it
    "alert.set-threshold": ({**LIMIT, "bound": 5.0}, ()),
    "alert.clear-threshold": (LIMIT, (("alert.set-threshold", {**LIMIT, "bound": 5.0}),)),
    "artifact.upload": ({"record": FREE}, ()),
    "artifact.delete": ({"name": "free", "version": "1.0.0"}, (("artifact.upload", {"record": FREE}),)),
    "blueprint.apply": ({"blueprint": "pages", "source": SOURCE}, ()),
    "blueprint.delete": ({"blueprint": "pages"}, (("blueprint.apply", {"blueprint": "pages", "source": SOURCE}),)),
    "controller.configure": ({**ORDERS, "set": {"cool_down_in_s": 600.0}}, ()),
    "controller.configure-nodes": ({"set": {"most": 2}}, ()),
    "controller.pin": ({**ORDERS, "instances": 6, "minutes": 5, "by": "cleo"}, ()),
    "controller.unpin": (ORDERS, (("controller.pin", {**ORDERS, "instances": 6}),)),
    "config.set": ({"name": "drain_s", "value": 5}, ()),
    "config.unset": (
        {"name": "drain_s", "node": "n1"},
        (("config.set", {"name": "drain_s", "value": 5, "node": "n1"}),),
    ),
    "freeze.set": ({"subject": "slice:orders", "why": "sale"}, ()),
    "freeze.lift": ({"subject": "cluster"}, (("freeze.set", {"subject": "cluster", "why": "sale"}),)),
    "incident.open": ({"subject": "node:n1", "why": "slow"}, ()),
    "incident.close": ({"subject": "node:n1"}, (("incident.open", {"subject": "node:n1", "why": "slow"}),)),
    "instance.kill": ({**ORDERS, "node": "n1", "number": 0}, ()),
    "key.create": (KEY, ()),
    "key.revoke": ({"id": hash_of("k")[:16]}, (("key.create", KEY),)),
    "log-level.set": ({"level": "debug"}, (("log-level.set", {"level": "error"}),)),
    "node.activate": ({"node": "n2"}, (("node.drain", {"node": "n2"}),)),
    "node.cordon": ({"node": "n1"}, ()),
    "node.drain": ({"node": "n1"}, ()),
    "node.forget": ({"node": "gone"}, ()),
    "node.provision": ({"nodes": 2}, (PROVIDED,)),
    "node.retire": ({"node": "auto-1"}, (PROVIDED, ("node.provision", {}))),
    "node.shutdown": ({"node": "n3"}, ()),
    "node.uncordon": ({"node": "n1"}, (("node.cordon", {"node": "n1"}),)),
    "policy.set": ({"source": default_text()}, ()),
    "policy.reset": ({}, (("policy.set", {"source": default_text()}),)),
    "principal.set": ({"id": "dora", "kind": "person", "role": "viewer"}, ()),
    "principal.remove": ({"id": "ben"}, ()),
    "slice.restart": (ORDERS, ()),
    "slice.scale": ({**ORDERS, "instances": 6}, ()),
    "slice.set-bounds": ({**ORDERS, "min": 1, "max": 9}, ()),
    "slice.set-routing-weights": ({**ORDERS, "weights": {"1": 50}}, ()),
    "store.snapshot": ({}, ()),
    "ttm.activate": ({"number": 3}, ()),
    "ttm.rollback": ({}, (("ttm.activate", {"number": 3, "beside": 3}),)),
}
ALONE = (keys.CONTENT_PINS,)  # comes and goes with a record that is compared


async def hand_with(*before: Call) -> GateOnHand:
    hand = GateOnHand()
    await hand.populate()
    await hand.put(keys.node(NodeId("gone")), NodeRecord(node=NodeId("gone"), role="worker", addresses=NOWHERE))
    await hand.put(keys.artifact("base", "1.0.0"), UPLOADED)
    await hand.put(keys.forecast_model(3), forecast_model(3))
    assignment = InstanceAssignment(
        slice=SliceName("orders"),
        number=0,
        version=Version("1"),
        artifact_sha256=Sha256("s"),
        settings=target("orders", 4).settings,
        generation=1,
    )
    await hand.put(keys.instance(NodeId("n1"), SliceName("orders"), 0), assignment)
    for operation, request in before:
        await done(hand, operation, request)
    return hand


async def done(hand: GateOnHand, operation: str, request: dict[str, Any]) -> Applied:
    submission = Submission(
        operation=operation, request=request, actor=CLEO, break_glass=True, reason="whatever the gate says"
    )
    outcome = await hand.gate.submit(submission)
    assert isinstance(outcome, Applied), outcome
    return outcome


def planned(hand: GateOnHand, operation: AnyChange, request: dict[str, Any]) -> tuple[Plan, PlanState]:
    state = PlanState(hand.state)
    plan = operation.plan(state, msgspec.convert(request, operation.request))
    assert isinstance(plan, Plan), plan
    return plan, state


def bare(kind: msgspec.inspect.Type) -> msgspec.inspect.Type:
    return bare(kind.type) if isinstance(kind, msgspec.inspect.Metadata) else kind


def test_every_fraction_of_a_request_has_both_bounds() -> None:
    """JSON keeps an infinite number as null: no list and no inverse can read that record again."""
    fractions = [
        (each.name, member.name, kind)
        for each in CATALOGUE
        for member in msgspec.inspect.type_info(each.request).fields
        if isinstance(kind := bare(member.type), msgspec.inspect.FloatType)
    ]
    assert fractions
    for operation, member, kind in fractions:
        assert kind.ge is not None, (operation, member)
        assert kind.le is not None, (operation, member)


def test_every_change_has_a_sample() -> None:
    assert set(SAMPLES) == {each.name for each in CATALOGUE.changes()}


@pytest.mark.parametrize("name", SAMPLES)
async def test_a_plan_is_pure_and_compares_every_key_that_it_changes(name: str) -> None:
    """A key that is written and not compared is another's change undone without a word."""
    request, before = SAMPLES[name]
    hand = await hand_with(*before)
    operation = CATALOGUE.change(name)
    revision = hand.state.revision
    plan, state = planned(hand, operation, request)
    again, _ = planned(hand, operation, request)
    assert plan == again
    assert hand.state.revision == revision
    assert plan.operation == name
    assert plan.summary
    assert plan.changes, "a sample changes something"
    written = {each.key for each in plan.changes if not each.key.startswith(ALONE)}
    assert written <= set(state.reads)
    for each in plan.changes:
        item = hand.state.get(each.key)
        assert each.before == (item.value if item is not None else None)
    told = msgspec.convert(plan.result, operation.result)
    assert plan.result.keys() <= set(operation.result.__struct_fields__), told


@pytest.mark.parametrize("name", SAMPLES)
async def test_the_inverse_brings_back_what_was(name: str) -> None:
    """What a rollback does must be what people were told."""
    request, before = SAMPLES[name]
    hand = await hand_with(*before)
    plan, _ = planned(hand, CATALOGUE.change(name), request)
    await done(hand, name, request)
    for each in plan.changes:
        item = hand.state.get(each.key)
        assert (item.value if item is not None else None) == each.after
    if plan.inverse is None:
        return
    await done(hand, plan.inverse.operation, plan.inverse.request)
    for each in [each for each in plan.changes if each.key not in keys.TURNS]:
        item = hand.state.get(each.key)
        assert (item.value if item is not None else None) == each.before, each.key


@pytest.mark.parametrize("name", [name for name in SAMPLES if CATALOGUE.change(name).effect == "idempotent"])
async def test_an_idempotent_change_done_twice_is_done_once(name: str) -> None:
    request, before = SAMPLES[name]
    hand = await hand_with(*before)
    operation = CATALOGUE.change(name)
    await done(hand, name, request)
    state = PlanState(hand.state)
    again = operation.plan(state, msgspec.convert(request, operation.request))
    assert not isinstance(again, Plan) or again.is_noop
