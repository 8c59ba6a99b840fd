"""Every question that is declared has an answer of the declared shape, and what is not there is named with what is."""

from __future__ import annotations

import msgspec
import pytest

from agent_api.catalogue import make_catalogue
from agent_api.control_api.answers.cluster import STATUS_ROWS_MAX
from agent_api.control_api.problems import (
    Declined,
    ExplainRefused,
    NodeUnknown,
    NotFound,
    SliceUnknown,
)
from controllers.conversations.records import ConversationRecord
from controllers.gate.audit import AuditRecord
from controllers.gate.errors import ProposalNotFound
from controllers.gate.policy import default_text
from controllers.gate.queries import (
    AuditPage,
    GateExplained,
    KeyPage,
    PolicyShown,
    PrincipalPage,
    ProposalPage,
    ProposalShown,
)
from controllers.scaling.config import ScalingConfig
from controllers.scaling.decide import decide
from controllers.scaling.errors import ScalingPolicyInvalid
from controllers.scaling.model import SliceSeen, Surroundings
from controllers.scaling.queries import WhatIfShown
from controllers.scaling.records import DecisionRecord
from controllers.scaling.tree import default_tree
from runtime.config.settings import SettingUnknown
from runtime.consensus.store import Put
from runtime.names import NodeId, Sha256, SliceName, Version
from runtime.operations.actor import Role
from runtime.operations.catalogue import OperationUnknown
from runtime.operations.dispatch import Proposed, Submission
from runtime.operations.queries.cluster import Topology
from runtime.operations.queries.page import CursorInvalid
from runtime.operations.queries.settings import ConfigPage, ConfigShown
from runtime.operations.queries.slices import InstancePage, MethodLoadShown, SliceExplained, SlicePage
from runtime.operations.queries.telemetry import EventPage
from runtime.sdk.contract import MethodContract, SliceContract
from runtime.security.principals import KeyRecord, PrincipalRecord
from runtime.state import keys
from runtime.state.values import (
    AlertRecord,
    ArtifactRecord,
    BlueprintRecord,
    Endpoint,
    InstanceAssignment,
    InstanceState,
    Phase,
    SliceTarget,
)
from runtime.telemetry.alerts.records import Alert
from runtime.workflow.records import RunRecord
from tests.unit.answer_parts import AnswersOnHand
from tests.unit.gate_parts import GateOnHand, person, target

pytestmark = pytest.mark.anyio

ADMIN = person("cleo", Role.ADMIN)
REQUESTS: dict[str, dict[str, object]] = {  # of those that need more than their defaults
    "alert.show": {"fingerprint": "a" * 16},
    "conversation.show": {"id": "talk"},
    "conversation.export": {"id": "talk"},
    "slice.show": {"slice": "orders"},
    "slice.explain": {"slice": "orders"},
    "metric.show": {"slice": "orders"},
    "metric.show-methods": {"slice": "orders"},
    "metric.show-node": {"node": "n1"},
    "blueprint.show": {"blueprint": "shop"},
    "blueprint.validate": {"source": 'id = "shop"'},
    "config.get": {"name": "log_level"},
    "operation.show": {"name": "slice.scale"},
    "playbook.show": {"playbook": "log-level-temporarily"},
    "playbook.plan": {"playbook": "log-level-temporarily"},
    "run.show": {"run": "goes"},
    "gate.explain": {"operation": "slice.scale", "request": {"slice": "orders", "instances": 3}},
}


async def place(hand: GateOnHand, number: int, *, serves: bool, node: str = "n1", slice_name: str = "orders") -> None:
    settings = target(slice_name, 4).settings
    name, version = SliceName(slice_name), Version("1")
    assignment = InstanceAssignment(
        slice=name, number=number, version=version, artifact_sha256="s", settings=settings, generation=1
    )
    await hand.put(keys.instance(NodeId(node), name, number), assignment)
    state = InstanceState(
        slice=name,
        node=NodeId(node),
        number=number,
        version=version,
        phase=Phase.ACTIVE if serves else Phase.FAILED,
        reason="" if serves else "start() raised ValueError",
        since_unix_ms=5,
        generation=1,
    )
    await hand.put(keys.instance_state(NodeId(node), name, number), state)
    if serves:
        endpoint = Endpoint(slice=name, version=version, node=NodeId(node), number=number)
        await hand.put(keys.endpoint(name, NodeId(node), number), endpoint)


def decided(identity: str, *, rate: float = 300.0, slice_name: str = "orders") -> DecisionRecord:
    config, around = ScalingConfig(), Surroundings()
    seen = SliceSeen(rate=rate, serving=2, rate_per_instance=100.0)
    return DecisionRecord(
        id=identity,
        at_unix_ms=1,
        kind="change",
        slice=slice_name,
        version="1",
        config=config,
        tree="default",
        seen=seen,
        around=around,
        decision=decide(config, default_tree(), seen, around),
    )


async def answers_on_hand() -> tuple[GateOnHand, AnswersOnHand]:
    hand = GateOnHand()
    await hand.populate(wanted=3)
    await hand.put(keys.blueprint("shop"), BlueprintRecord(blueprint="shop", source="", slices=()))
    talk = ConversationRecord(owner="cleo", title="hello", created_unix_ms=1, last_unix_ms=1)
    await hand.put(keys.conversation("talk"), talk)
    return hand, AnswersOnHand(hand)


def test_every_declared_query_has_an_answer_and_nothing_else_has() -> None:
    assert AnswersOnHand(GateOnHand()).names == {each.name for each in make_catalogue().queries()}


@pytest.mark.parametrize("name", sorted(each.name for each in make_catalogue().queries()))
async def test_an_answer_has_the_declared_shape(name: str) -> None:
    """What the documents promise must be what comes: the result decodes from its own JSON."""
    hand, asked = await answers_on_hand()
    await place(hand, 0, serves=True)
    await hand.scale(9, person("bot"), propose=True)
    await hand.put("audit-new/x", hand_record())
    await hand.put(keys.run("goes"), RunRecord(id="goes", kind="list", definition="s", actor=ADMIN, created_unix_ms=0))
    labels = {"alertname": "SliceSlow", "subject": "slice:orders"}
    await hand.put(
        keys.alert("a" * 16),
        Alert(fingerprint="a" * 16, group_key="g", labels=labels, starts_unix_ms=1, fired_unix_ms=1),
    )
    if name in ("proposal.show", "proposal.diff"):
        REQUESTS[name] = {"id": keys.parts(hand.state.items(keys.PROPOSALS)[0].key)[0]}
    result = await asked.ask(name, ADMIN, **REQUESTS.get(name, {}))
    declared = hand.desk.catalogue.find(name).result
    assert type(result) is declared
    assert msgspec.json.decode(msgspec.json.encode(result), type=declared) == result


def hand_record() -> AuditRecord:
    return AuditRecord(id="x", kind="applied", at_unix_ms=1, actor=ADMIN, subject="slice:orders", summary="4 wanted")


@pytest.mark.parametrize(
    ("name", "members", "fault", "hint"),
    [
        ("slice.show", {"slice": "order"}, SliceUnknown, "orders"),
        ("slice.explain", {"slice": "oders"}, SliceUnknown, "orders"),
        ("metric.show", {"slice": "orderss"}, NotFound, "orders"),
        ("metric.show-methods", {"slice": "orderss"}, SliceUnknown, "orders"),
        ("metric.show-node", {"node": "n9"}, NotFound, "no figures of node 'n9'"),
        ("blueprint.show", {"blueprint": "shopp"}, Declined, "shop"),
        ("config.get", {"name": "log_levl"}, SettingUnknown, "log_level"),
        ("operation.show", {"name": "slice.scael"}, OperationUnknown, "slice.scale"),
        ("gate.explain", {"operation": "slice.scael"}, Declined, "slice.scale"),
        ("gate.explain", {"operation": "slice.scale", "as": "ana"}, NotFound, "anna"),
        ("proposal.show", {"id": "nope"}, ProposalNotFound, "nope"),
        ("instance.list", {"cursor": "%"}, CursorInvalid, "cursor"),
        ("instance.list", {"slice": "order"}, SliceUnknown, "orders"),
        ("instance.list", {"node": "n9"}, NodeUnknown, "n9"),
        ("alert.list", {"slice": "order"}, SliceUnknown, "orders"),
        ("config.list", {"node": "n9"}, NodeUnknown, "n9"),
        ("event.list", {"cursor": "yesterday"}, CursorInvalid, "120.0"),
    ],
)
async def test_an_unknown_name_is_answered_with_the_nearest(
    name: str, members: dict[str, object], fault: type[Exception], hint: str
) -> None:
    _, asked = await answers_on_hand()
    with pytest.raises(fault, match=hint):
        await asked.ask(name, ADMIN, **members)


async def test_instances_are_told_page_by_page_and_of_one_slice_or_node() -> None:
    hand, asked = await answers_on_hand()
    for number in range(12):
        await place(hand, number, serves=number != 3, node=f"n{number % 2 + 1}")
    await place(hand, 99, serves=True, slice_name="stock")
    told: list[int] = []
    cursor = ""
    while True:
        page = await asked.ask("instance.list", ADMIN, slice="orders", node="n2", limit=4, cursor=cursor)
        assert isinstance(page, InstancePage)
        told += [row.number for row in page.items]
        cursor = page.next
        if not cursor:
            break
    assert told == [1, 3, 5, 7, 9, 11]
    assert msgspec.to_builtins(page).keys() == {"instances", "next"}


async def test_a_slice_that_serves_too_little_is_explained() -> None:
    """Cause, need, alert, freeze and the last change, in one answer."""
    hand, asked = await answers_on_hand()
    await place(hand, 0, serves=True)
    await place(hand, 1, serves=False)
    settings = msgspec.structs.replace(target("orders", 3).settings, requires=("stock",))
    await hand.put(
        keys.target(SliceName("orders"), Version("1")), msgspec.structs.replace(target("orders", 3), settings=settings)
    )
    await hand.put(f"{keys.ALERTS}orders/p99_ms", AlertRecord(since_unix_ms=1, value=90.0, bound=50.0, for_s=10))
    await hand.store.txn((), [Put(key=f"{keys.FREEZES}cluster", value=b"sale")])
    await hand.scale(5, person("cleo", Role.ADMIN), break_glass=True, reason="more load")
    found = await asked.ask("slice.explain", ADMIN, slice="orders")
    assert isinstance(found, SliceExplained)
    told = "\n".join(found.sentences)
    for word in ("1 of 5", "requires stock", "raised ValueError", "no node", "p99_ms", "sale", "cleo", "more load"):
        assert word in told, told
    assert [row.number for row in found.instances] == [1]
    assert [change.operation for change in found.changes] == ["slice.scale"]


async def test_recorded_decisions_are_decided_again_with_another_policy() -> None:
    """By any node, from the records alone: nothing of the cluster is touched."""
    hand, asked = await answers_on_hand()
    for number in range(1, 6):
        await hand.put(keys.decision("orders", f"d{number}"), decided(f"d{number}", rate=100.0 * number))
    await hand.put(keys.decision("stock", "s1"), decided("s1", slice_name="stock"))
    revision = hand.state.revision
    found = await asked.ask("controller.what-if", ADMIN, slice="orders", set={"utilisation": 0.4}, max=8, limit=4)
    assert isinstance(found, WhatIfShown)
    assert [each.id for each in found.items] == ["d5", "d4", "d3", "d2"]
    assert [each.other for each in found.items] == [8, 8, 8, 5]
    assert (found.summary.records, found.summary.changed, found.refused) == (4, 4, "")
    unsteady = await asked.ask("controller.what-if", ADMIN, slice="orders", set={"hold_s": 0, "dead_band": 0})
    assert isinstance(unsteady, WhatIfShown)
    assert "oscillate" in unsteady.refused
    with pytest.raises(ScalingPolicyInvalid, match="utilisation"):
        await asked.ask("controller.what-if", ADMIN, set={"utilisation": 2})
    assert hand.state.revision == revision


async def test_methods_that_nobody_called_are_told_with_those_that_were() -> None:
    hand, asked = await answers_on_hand()
    methods = (MethodContract(name="place"), MethodContract(name="cancel"))
    contract = SliceContract(name=SliceName("orders"), version="1", entry="m:C", methods=methods, dependencies=())
    record = ArtifactRecord(
        name="shop", version="1", sha256=Sha256("s"), size_bytes=1, slices=(contract,), uploaded_unix_ms=0
    )
    await hand.put(keys.artifact("shop", "1"), record)
    await hand.put(keys.target(SliceName("orders"), Version("1")), target("orders", 1))
    found = await asked.ask("metric.show-methods", ADMIN, slice="orders")
    assert isinstance(found, MethodLoadShown)
    told = [(each.method, each.version, each.calls, each.errors) for each in found.methods]
    assert told == [("cancel", "1", 0, 0), ("place", "1", 120, 3)]


async def test_the_topology_says_what_is_blocked_and_why() -> None:
    hand, asked = await answers_on_hand()
    settings = msgspec.structs.replace(target("orders", 1).settings, requires=("stock",), optional=("mail",))
    await hand.put(
        keys.target(SliceName("orders"), Version("1")),
        SliceTarget(blueprint="shop", settings=settings, artifact_sha256="s", wanted=1),
    )
    await hand.put(keys.target(SliceName("stock"), Version("1")), target("stock", 1))
    await place(hand, 0, serves=True, slice_name="stock")
    found = await asked.ask("topology.show", ADMIN)
    assert isinstance(found, Topology)
    assert [(zone.zone, [node.node for node in zone.nodes]) for zone in found.zones] == [
        ("default", ["n1", "n2", "n3"])
    ]
    assert [(each.requires, each.optional, each.met) for each in found.edges] == [
        ("mail", True, False),
        ("stock", False, True),
    ]
    assert [(each.slice, each.why) for each in found.blocked] == [("orders", ("1 of 1 instances have no node",))]


async def test_the_audit_is_told_newest_first_by_subject_and_page() -> None:
    hand, asked = await answers_on_hand()
    for instances in range(4, 14):
        await hand.scale(instances, person("anna"))
    await hand.gate.submit(  # something about another subject
        Submission(operation="node.cordon", request={"node": "n1"}, actor=ADMIN)
    )
    fence = hand.fence()
    assert fence is not None
    while await hand.chain.append(fence):
        pass
    numbers: list[int] = []
    cursor = ""
    while True:
        page = await asked.ask("audit.list", ADMIN, subject="slice:orders", actor="anna", limit=3, cursor=cursor)
        assert isinstance(page, AuditPage)
        numbers += [each.number for each in page.items]
        cursor = page.next
        if not cursor:
            break
    assert numbers == list(range(10, 0, -1))
    named = await asked.ask("audit.list", ADMIN, record=page.items[-1].record.id)
    assert isinstance(named, AuditPage)
    assert [each.number for each in named.items] == [1]


async def test_the_gate_explains_a_change_as_somebody_else_without_doing_it() -> None:
    hand, asked = await answers_on_hand()
    wish = {"operation": "slice.scale", "request": {"slice": "orders", "instances": 4}}
    as_agent = await asked.ask("gate.explain", person("anna"), **wish, **{"as": "agent"})
    as_self = await asked.ask("gate.explain", person("anna"), **wish)
    assert isinstance(as_agent, GateExplained)
    assert isinstance(as_self, GateExplained)
    assert (as_agent.allowed, as_agent.plan.gate_class) == ("propose", "G1")
    assert (as_self.allowed, as_self.actor) == ("act", "anna")
    assert hand.wanted() == 3
    with pytest.raises(ExplainRefused):
        await asked.ask("gate.explain", person("anna"), **wish, **{"as": "cleo"})


async def test_proposals_are_told_newest_first_and_by_state() -> None:
    hand, asked = await answers_on_hand()
    made = [await hand.scale(instances, person("anna"), propose=True) for instances in (4, 5, 6)]
    identities = [each.proposal for each in made if isinstance(each, Proposed)]
    await hand.votes.cast(identities[0], person("ben"), approve=False, reason="no")
    page = await asked.ask("proposal.list", ADMIN, state="pending")
    shown = await asked.ask("proposal.show", ADMIN, id=identities[0])
    assert isinstance(page, ProposalPage)
    assert isinstance(shown, ProposalShown)
    assert [row.id for row in page.items] == [identities[2], identities[1]]
    assert not shown.live


async def test_settings_say_where_their_value_comes_from() -> None:
    hand, asked = await answers_on_hand()
    for scope, name, value in (
        ("cluster", "log_level", "debug"),
        ("node:n2", "log_level", "error"),
        ("cluster", "log_ring_mib", 1),
    ):
        await hand.store.txn((), [Put(key=keys.config(scope, name), value=msgspec.json.encode(value))])
    own = await asked.ask("config.list", ADMIN)
    other = await asked.ask("config.get", ADMIN, name="log_level", node="n2")
    assert isinstance(own, ConfigPage)
    assert isinstance(other, ConfigShown)
    rows = {row.name: (row.value, row.source) for row in own.items}
    assert rows["log_level"] == ("debug", "cluster")
    assert rows["drain_s"] == (3.0, "file")
    assert rows["log_ring_mib"] == (256, "default")  # the cluster's is out of bounds
    assert (other.setting.value, other.setting.source) == ("error", "node")


async def test_keys_tell_no_secret() -> None:
    hand, asked = await answers_on_hand()
    await hand.put(keys.api_key("f" * 64), KeyRecord(principal="anna", name="ci", sha256="f" * 64, created_unix_ms=1))
    known = await asked.ask("key.list", ADMIN)
    assert isinstance(known, KeyPage)
    assert "f" * 17 not in msgspec.json.encode(known).decode()


async def test_events_go_on_from_the_newest_id_told() -> None:
    _, asked = await answers_on_hand()
    asked.telemetry.events = [{"id": f"{n}.0", "event": "NodeJoined", "data": {}} for n in (1, 2)]
    page = await asked.ask("event.list", ADMIN, limit=2)
    assert isinstance(page, EventPage)
    assert page.next == "2.0"
    asked.telemetry.events = []
    page = await asked.ask("event.list", ADMIN, cursor="2.0")
    assert isinstance(page, EventPage)
    assert page.next == "2.0"


async def test_a_status_holds_no_more_than_it_may() -> None:
    hand, asked = await answers_on_hand()
    for number in range(STATUS_ROWS_MAX + 1):
        name = f"s{number}"
        await hand.put(keys.target(SliceName(name), Version("1")), target(name, 1))
    status = msgspec.to_builtins(await asked.ask("cluster.status", ADMIN))
    assert len(status["slices"]) == STATUS_ROWS_MAX
    page = await asked.ask("slice.list", ADMIN)
    assert isinstance(page, SlicePage)
    assert page.next


async def test_the_policy_in_force_and_the_default_are_told_apart() -> None:
    hand, asked = await answers_on_hand()
    mine = default_text().replace("version = 1", "version = 7")
    await hand.store.txn((), [Put(key=keys.POLICY, value=mine.encode())])
    in_force = await asked.ask("policy.show", ADMIN)
    default = await asked.ask("policy.show", ADMIN, default=True)
    assert isinstance(in_force, PolicyShown)
    assert isinstance(default, PolicyShown)
    assert (in_force.policy, in_force.is_default) == (mine, False)
    assert (default.policy, default.is_default) == (default_text(), True)


async def test_the_first_admin_is_a_principal_too_until_a_record_says_otherwise() -> None:
    hand, asked = await answers_on_hand()
    before = await asked.ask("principal.list", ADMIN)
    await hand.principal(PrincipalRecord(id="admin", kind="person", role=Role.VIEWER))
    after = await asked.ask("principal.list", ADMIN)
    assert isinstance(before, PrincipalPage)
    assert isinstance(after, PrincipalPage)
    assert [row.role for row in before.items if row.id == "admin"] == [Role.ADMIN]
    assert [row.role for row in after.items if row.id == "admin"] == [Role.VIEWER]


async def test_an_agent_learns_every_operation_with_its_schemas_in_one_answer() -> None:
    """A model's tools are made from it; without the schemas it would have to ask for each of them."""
    _, hand = await answers_on_hand()
    page = await hand.ask("operation.list", person("anna"), limit=1_000, schemas=True)
    rows = {row["name"]: row for row in msgspec.to_builtins(page)["items"]}
    assert set(rows) == {each.name for each in hand.parts.catalogue}
    scale = rows["slice.scale"]
    asks = scale["request_schema"]["$defs"][scale["request_schema"]["$ref"].rpartition("/")[2]]
    assert asks["properties"]["instances"]["maximum"] == 1_000
    assert all(row["result_schema"] for row in rows.values())
    plain = msgspec.to_builtins(await hand.ask("operation.list", person("anna"), limit=1_000))["items"]
    assert all("request_schema" not in row for row in plain)
