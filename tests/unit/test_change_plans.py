"""What holds for the plan of every change there is: pure, compared with what it stands on, described, and undone by its
inverse. A new operation needs a sample here."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from agent_api.assemble.gate import PREFIXES as KEPT_BY_GATES
from agent_api.assemble.playbooks import PREFIXES as KEPT_BY_PLAYBOOKS
from agent_api.catalogue import make_catalogue
from controllers.conversations.records import ConversationRecord
from controllers.gate.policy import default_text
from playbooks.library import library
from runtime.consensus.store import Delete, KeyValue
from runtime.deployment.records import Snapshot
from runtime.deployment.view import PREFIXES as KEPT_BY_VIEWS
from runtime.names import NodeId, Sha256, SliceName, Version
from runtime.operations.actor import Role
from runtime.operations.alerts.incoming import SentAlert, identity_of
from runtime.operations.dispatch import Applied, Submission
from runtime.operations.nodes import NodeRequest, plan_forget
from runtime.operations.operation import AnyChange, Effect
from runtime.operations.phrases import phrase_id
from runtime.operations.plan import Plan
from runtime.operations.state import PlanState
from runtime.security.principals import hash_of
from runtime.state import keys
from runtime.state.values import ArtifactRecord, Endpoint, InstanceAssignment, NodeRecord, StoreMembers
from runtime.workflow.records import RunRecord, RunState, StepRecord
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
RULES = '[[rules]]\nname = "busy"\nwhen = [{ signal = "cpu", above = 0.9 }]\nstable_for_s = 9\nstep = 1\n'

Call = tuple[str, dict[str, Any]]
SENT = {"status": "firing", "labels": {"alertname": "Far"}, "startsAt": "2026-01-01T00:00:00Z", "fingerprint": "f1"}
RECEIVED = {"groupKey": "g", "alerts": [SENT]}
FAR = {"fingerprint": identity_of("g", msgspec.convert(SENT, SentAlert))}
HOOK = {"name": "hook", "kind": "webhook", "url": "https://hook.test/x"}
QUIET = {"name": "deploy", "matchers": ["severity=warning"], "minutes": 5}
PROVIDED: Call = ("controller.configure-nodes", {"set": {"provider": "unix:/run/nodes.sock"}})
PHRASE = {"sentence": "make SLICE bigger", "operation": "slice.scale"}
PLAYBOOK = library()[0].text.replace(f'id = "{library()[0].document.playbook.id}"', 'id = "own"', 1)
PROOF = {
    "playbook": "diagnostics-collect",
    "sha256": "0" * 64,
    "passed": True,
    "took_ms": 9,
    "failed_before": True,
    "held_after": True,
}
SAMPLES: dict[str, tuple[dict[str, Any], tuple[Call, ...]]] = {  # request, and what is done before it
    "alert.ack": (FAR, (("alert.receive", RECEIVED),)),
    "alert.receive": (RECEIVED, ()),
    "alert.remove-receiver": ({"name": "hook"}, (("alert.set-receiver", {**HOOK, "state": "off", "ends": "untold"}),)),
    "alert.set-receiver": (HOOK, (("alert.set-receiver", {**HOOK, "format": "alertmanager"}),)),
    "alert.set-route": ({"name": "default", "receivers": ["hook"]}, (("alert.set-receiver", HOOK),)),
    "alert.set-rule": (
        {"name": "NodeDiskFull", "subject": "node:n1", "warning": 0.7, "drop": ["critical"]},
        (("alert.set-rule", {"name": "NodeDiskFull", "subject": "node:n1", "state": "off"}),),
    ),
    "alert.silence": (QUIET, (("alert.silence", {**QUIET, "minutes": 7, "why": "update"}),)),
    "alert.test-receiver": ({"name": "hook"}, (("alert.set-receiver", HOOK),)),
    "alert.unack": (FAR, (("alert.receive", RECEIVED), ("alert.ack", {**FAR, "why": "mine"}))),
    "alert.unset-route": ({"name": "far"}, (("alert.set-route", {"name": "far", "order": 3, "then": "go-on"}),)),
    "alert.unset-rule": ({"name": "SliceSlow"}, (("alert.set-rule", {"name": "SliceSlow", "warning": 0.8}),)),
    "alert.unsilence": ({"name": "deploy"}, (("alert.silence", QUIET),)),
    "alert.set-threshold": ({**LIMIT, "bound": 5.0}, ()),
    "alert.clear-threshold": (LIMIT, (("alert.set-threshold", {**LIMIT, "bound": 5.0}),)),
    "artifact.upload": ({"record": FREE}, ()),
    "artifact.delete": ({"name": "free", "version": "1.0.0"}, (("artifact.upload", {"record": FREE}),)),
    "blueprint.apply": ({"blueprint": "pages", "source": SOURCE}, ()),
    "blueprint.delete": ({"blueprint": "pages"}, (("blueprint.apply", {"blueprint": "pages", "source": SOURCE}),)),
    "controller.configure": ({**ORDERS, "set": {"cool_down_in_s": 600.0}}, ()),
    "controller.configure-nodes": ({"set": {"most": 2}}, ()),
    "controller.set-rules": ({**ORDERS, "source": RULES}, ()),
    "controller.unset-rules": ({}, (("controller.set-rules", {"source": RULES}),)),
    "controller.pin": ({**ORDERS, "instances": 6, "minutes": 5, "by": "cleo"}, ()),
    "controller.unpin": (ORDERS, (("controller.pin", {**ORDERS, "instances": 6}),)),
    "config.set": ({"name": "drain_s", "value": 5}, ()),
    "config.unset": (
        {"name": "drain_s", "node": "n1"},
        (("config.set", {"name": "drain_s", "value": 5, "node": "n1"}),),
    ),
    "conversation.delete": ({"id": "talk"}, ()),
    "freeze.set": ({"subject": "slice:orders", "why": "sale"}, ()),
    "freeze.lift": ({"subject": "cluster"}, (("freeze.set", {"subject": "cluster", "why": "sale"}),)),
    "incident.open": ({"subject": "node:n1", "why": "slow"}, ()),
    "incident.close": ({"subject": "node:n1"}, (("incident.open", {"subject": "node:n1", "why": "slow"}),)),
    "instance.kill": ({**ORDERS, "node": "n1", "number": 0}, ()),
    "key.create": (KEY, ()),
    "key.revoke": ({"id": hash_of("k")[:16]}, (("key.create", KEY),)),
    "log-level.unset": ({}, (("log-level.set", {"level": "error"}),)),
    "log-level.set": ({"level": "debug"}, (("log-level.set", {"level": "error"}),)),
    "node.activate": ({"node": "n2"}, (("node.drain", {"node": "n2"}),)),
    "node.cordon": ({"node": "n1"}, ()),
    "node.drain": ({"node": "n1"}, ()),
    "node.forget": ({"node": "gone"}, ()),
    "node.provision": ({"nodes": 2}, (PROVIDED,)),
    "node.retire": ({"node": "auto-1"}, (PROVIDED, ("node.provision", {}))),
    "node.shutdown": ({"node": "n3"}, ()),
    "node.uncordon": ({"node": "n1"}, (("node.cordon", {"node": "n1"}),)),
    "phrase.teach": (PHRASE, ()),
    "phrase.forget": ({"id": phrase_id(PHRASE["sentence"])}, (("phrase.teach", PHRASE),)),
    "playbook.upload": ({"source": PLAYBOOK}, ()),
    "playbook.delete": ({"playbook": "own", "version": "1.0.0"}, (("playbook.upload", {"source": PLAYBOOK}),)),
    "playbook.prove": (PROOF, ()),
    "playbook.run": ({"playbook": "diagnostics-collect", "made": {"run": "made"}}, ()),
    "policy.set": ({"source": default_text()}, ()),
    "policy.reset": ({}, (("policy.set", {"source": default_text()}),)),
    "principal.set": ({"id": "dora", "kind": "person", "role": "viewer"}, ()),
    "principal.remove": ({"id": "ben"}, ()),
    "run.pause": ({"run": "goes"}, ()),
    "run.resume": ({"run": "held"}, ()),
    "run.cancel": ({"run": "held", "why": "not today"}, ()),
    "run.retry-step": ({"run": "held", "step": "drain"}, ()),
    "run.signal": ({"run": "goes", "name": "ready", "payload": {"by": "hand"}}, ()),
    "slice.restart": (ORDERS, ()),
    "slice.scale": ({**ORDERS, "instances": 6}, ()),
    "slice.set-bounds": ({**ORDERS, "min": 1, "max": 9}, ()),
    "slice.set-routing-weights": ({**ORDERS, "weights": {"1": 50}}, ()),
    "store.member-add": ({"node": "old"}, ()),
    "store.member-remove": ({"node": "n3"}, (("node.drain", {"node": "n3"}),)),
    "store.snapshot": ({}, ()),
    "ttm.upload": ({"record": msgspec.to_builtins(forecast_model(1, ruling="uploaded"))}, ()),
    "ttm.activate": ({"number": 3}, ()),
    "ttm.rollback": ({}, (("ttm.activate", {"number": 3, "beside": 3}),)),
}
ALONE = (keys.CONTENT_PINS,)  # comes and goes with a record that is compared


async def hand_with(*before: Call) -> GateOnHand:
    hand = GateOnHand()
    await hand.populate()
    await hand.put(keys.node(NodeId("gone")), NodeRecord(node=NodeId("gone"), role="worker", addresses=NOWHERE))
    await hand.put(keys.node(NodeId("old")), NodeRecord(node=NodeId("old"), role="core", addresses=NOWHERE))
    members = StoreMembers(voters=("n1", "n2", "n3"), addresses=dict.fromkeys(("n1", "n2", "n3"), "h:1"))
    await hand.put(keys.STORE_MEMBERS, members)
    talk = ConversationRecord(owner="cleo", title="orders", created_unix_ms=0, last_unix_ms=0)
    await hand.put(keys.conversation("talk"), talk)
    await hand.put(keys.artifact("base", "1.0.0"), UPLOADED)
    await hand.put(keys.forecast_model(3), forecast_model(3))
    for name, state in (("goes", RunState.RUNNING), ("held", RunState.PAUSED)):
        run = RunRecord(
            id=name, kind="list", definition=Sha256("s"), actor=person("anna"), created_unix_ms=0, state=state
        )
        await hand.put(keys.run(name), run)
    step = StepRecord(
        number=1, step="drain", action="x", effect=Effect.ONCE, timeout_s=1, began_unix_ms=0, state="failed"
    )
    await hand.put(keys.run_step("held", 1), step)
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


class KeptState:
    """Reads what every node keeps of the state, and tells of all else that it was asked for."""

    def __init__(self, state: Snapshot) -> None:
        self._state = state
        self.revision = state.revision
        self.elsewhere: set[str] = set()

    def get(self, key: str) -> KeyValue | None:
        self._note(key)
        return self._state.get(key)

    def items(self, prefix: str) -> list[KeyValue]:
        self._note(prefix)
        return self._state.items(prefix)

    def _note(self, key: str) -> None:
        if not key.startswith((*KEPT_BY_VIEWS, *KEPT_BY_GATES, *KEPT_BY_PLAYBOOKS)):
            self.elsewhere.add(key)


@pytest.mark.parametrize("name", SAMPLES)
async def test_a_plan_reads_only_what_every_node_keeps(name: str) -> None:
    """What a node does not keep is not there to its planners, and they would refuse what there is."""
    request, before = SAMPLES[name]
    hand = await hand_with(*before)
    kept = KeptState(hand.state)
    operation = CATALOGUE.change(name)
    operation.plan(PlanState(kept), msgspec.convert(request, operation.request))
    operation.converged(PlanState(kept), msgspec.convert(request, operation.request))
    assert not kept.elsewhere


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


@pytest.mark.parametrize(("instances", "stops"), [(6, None), (3, 0), (2, 0), (1, 1)])
async def test_of_fewer_instances_those_stop_that_serve(instances: int, stops: int | None) -> None:
    """Starts that are taken back disturb nobody: counted as stopping, they would be flapping and cost the budget."""
    hand = await hand_with()
    for node in ("n1", "n2"):
        served = Endpoint(slice=SliceName("orders"), version=Version("1"), node=NodeId(node), number=0)
        await hand.put(keys.endpoint(SliceName("orders"), NodeId(node), 0), served)
    plan, _ = planned(hand, CATALOGUE.change("slice.scale"), {**ORDERS, "instances": instances})
    assert plan.stops == stops


async def test_who_forgets_a_node_is_told_of_the_vote_that_stays() -> None:
    """The store goes on counting on it, whatever the node's record says."""
    hand = GateOnHand()
    await hand.populate()
    await hand.store.txn((), [Delete(key=keys.node_live(NodeId("n3")))])
    await hand.put(keys.node(NodeId("gone")), NodeRecord(node=NodeId("gone"), role="worker", addresses=NOWHERE))
    told = [plan_forget(PlanState(hand.state), NodeRequest(node=each)) for each in ("n3", "gone")]
    assert ["aether store member-remove n3" in each.summary for each in told if isinstance(each, Plan)] == [
        True,
        False,
    ]
