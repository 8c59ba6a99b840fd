"""What is decided about the cluster is told as facts, beside what happens in it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from controllers.gate.policy import default_text
from controllers.nodes.records import NodeRequest, NodeTrouble
from controllers.scaling.records import Oddity
from controllers.ttm.records import UPLOADED, ForecastState, TrainingTrouble
from runtime.consensus.store import Delete, KeyValue, Revision, WatchBatch, WatchEvent
from runtime.operations.actor import Role
from runtime.operations.dispatch import Proposed, Submission
from runtime.security.principals import hash_of
from runtime.state import keys
from runtime.telemetry.alerts.records import Acknowledgement, Alert, ReceiverTest, ReceiverTrouble
from runtime.telemetry.alerts.records import Told as ToldRecord
from runtime.telemetry.facts import TOLD, facts_of
from tests.unit.forecast_records import forecast_model
from tests.unit.gate_parts import GateOnHand, person
from tests.unit.playbook_parts import LOG_LEVEL

pytestmark = pytest.mark.anyio

CLEO = person("cleo", Role.ADMIN)


class Told:
    """Facts of everything that a gate on hand writes."""

    def __init__(self) -> None:
        self.hand = GateOnHand()
        self._known: dict[str, KeyValue] = {}

    def new(self) -> list[tuple[str, dict[str, object]]]:
        now = {item.key: item for prefix in TOLD for item in self.hand.state.items(prefix)}
        events = [WatchEvent(kind="put", item=item) for key, item in now.items() if self._known.get(key) != item]
        gone = [item for key, item in self._known.items() if key not in now]
        events += [WatchEvent(kind="delete", item=msgspec.structs.replace(item, value=b"")) for item in gone]
        batch = WatchBatch(revision=Revision(1), events=tuple(events))
        known, self._known = self._known, now
        return [(f.event, f.data) for f in facts_of(batch, lambda key: known[key].value if key in known else None)]

    async def ask(self, operation: str, **members: object) -> list[tuple[str, dict[str, object]]]:
        await self.hand.gate.submit(Submission(operation=operation, request=members, actor=CLEO))
        return self.new()


async def told() -> Told:
    found = Told()
    await found.hand.populate()
    found.new()
    return found


async def test_a_proposal_is_told_from_its_beginning_to_its_end() -> None:
    at = await told()
    proposed = await at.hand.scale(6, person("anna"), propose=True)
    assert isinstance(proposed, Proposed)
    ((event, data),) = at.new()
    assert (event, data["proposal"], data["subject"]) == ("ProposalCreated", proposed.proposal, "slice:orders")
    await at.hand.votes.cast(proposed.proposal, person("ben"), approve=True, reason="")
    assert [event for event, _ in at.new()] == ["ProposalApproved"]
    await at.hand.settle(proposed.proposal)
    assert [event for event, _ in at.new()] == ["ProposalApplied"]
    other = await at.hand.scale(7, person("anna"), propose=True)
    assert isinstance(other, Proposed)
    at.new()
    await at.hand.votes.cast(other.proposal, person("ben"), approve=False, reason="no")
    ((event, data),) = at.new()
    assert (event, data["ended"]) == ("ProposalRejected", "rejected by ben: no")


@pytest.mark.parametrize(
    ("begin", "end", "names"),
    [
        (
            ("freeze.set", {"subject": "cluster", "why": "sale"}),
            ("freeze.lift", {"subject": "cluster"}),
            (("FreezeSet", {"subject": "cluster", "why": "sale"}), ("FreezeLifted", {"subject": "cluster"})),
        ),
        (
            ("incident.open", {"subject": "slice:orders", "why": '{"a": 1}'}),
            ("incident.close", {"subject": "slice:orders"}),
            (
                ("IncidentOpened", {"subject": "slice:orders", "why": '{"a": 1}'}),
                ("IncidentClosed", {"subject": "slice:orders"}),
            ),
        ),
        (
            ("config.set", {"name": "log_level", "value": "debug"}),
            ("config.unset", {"name": "log_level"}),
            (
                ("ConfigSet", {"scope": "cluster", "name": "log_level"}),
                ("ConfigUnset", {"scope": "cluster", "name": "log_level"}),
            ),
        ),
        (
            ("key.create", {"principal": "anna", "name": "ci", "sha256": hash_of("x")}),
            ("key.revoke", {"id": hash_of("x")[:16]}),
            (
                ("KeyCreated", {"principal": "anna", "name": "ci"}),
                ("KeyRevoked", {"principal": "anna", "name": "ci"}),
            ),
        ),
        (
            ("principal.set", {"id": "dora", "kind": "person", "role": "viewer"}),
            ("principal.remove", {"id": "dora"}),
            (
                ("PrincipalSet", {"principal": "dora", "role": "viewer", "disabled": False}),
                ("PrincipalRemoved", {"principal": "dora"}),
            ),
        ),
    ],
)
async def test_what_begins_and_ends_is_told(
    begin: tuple[str, dict[str, object]],
    end: tuple[str, dict[str, object]],
    names: tuple[tuple[str, dict[str, object]], tuple[str, dict[str, object]]],
) -> None:
    at = await told()
    assert await at.ask(begin[0], **begin[1]) == [names[0]]
    assert await at.ask(end[0], **end[1]) == [names[1]]


async def test_the_policy_is_told() -> None:
    at = await told()
    assert await at.ask("policy.set", source=default_text()) == [("PolicySet", {})]


async def test_an_alert_is_told_from_its_beginning_to_its_end() -> None:
    """With what names it, so that whoever starts something by it does so once."""
    at = await told()
    one = Alert(fingerprint="f" * 16, group_key="g", labels={"a": "b"}, starts_unix_ms=5, fired_unix_ms=9, value=2.0)
    known = {
        "fingerprint": "f" * 16,
        "group_key": "g",
        "starts_unix_ms": 5,
        "origin": "rule",
        "labels": {"a": "b"},
        "annotations": {},
    }

    async def put(**members: Any) -> list[tuple[str, dict[str, object]]]:
        await at.hand.put(keys.alert(one.fingerprint), msgspec.structs.replace(one, **members))
        return at.new()

    taken = Acknowledgement(by="anna", why="mine", at_unix_ms=9)
    assert await put() == [("AlertFired", {**known, "value": 2.0, "bound": 0.0})]
    assert await put(heard_unix_ms=9) == []
    assert await put(acknowledged=taken) == [("AlertAcknowledged", {**known, "by": "anna", "why": "mine"})]
    assert await put() == [("AlertUnacknowledged", known)]
    assert await put(ends_unix_ms=9) == [("AlertEnded", {**known, "ends_unix_ms": 9})]
    assert await put(ends_unix_ms=9, acknowledged=taken) == []
    for starts in (11, 12):  # of one whose end was told, and of one that lasted until then
        fired = {**known, "starts_unix_ms": starts, "value": 2.0, "bound": 0.0}
        assert await put(starts_unix_ms=starts) == [("AlertFired", fired)]
    await put(ends_unix_ms=13)
    await at.hand.store.txn((), [Delete(key=keys.alert(one.fingerprint))])
    assert at.new() == []


async def test_what_receivers_take_and_do_not_take_is_told() -> None:
    at = await told()
    sent = ToldRecord(group_key="g", receiver="pager", number=3, at_unix_ms=1, firing={"f": 1})
    await at.hand.put(keys.alert_told("t"), sent)
    assert at.new() == [("NotificationSent", {"group_key": "g", "receiver": "pager", "number": 3, "firing": 1})]
    told_of: list[object] = []
    for attempts in (2, 3):
        trouble = ReceiverTrouble(since_unix_ms=1, attempts=attempts, error="refused")
        await at.hand.put(keys.alert_trouble("pager"), trouble)
        told_of += at.new()
    await at.hand.store.txn((), [Delete(key=keys.alert_trouble("pager"))])
    assert [*told_of, *at.new()] == [
        ("NotificationFailed", {"receiver": "pager", "error": "refused", "attempts": 2}),
        ("ReceiverRestored", {"receiver": "pager"}),
    ]


async def test_what_came_of_a_receivers_test_is_told() -> None:
    at = await told()
    test = ReceiverTest(at_unix_ms=1, by="anna")
    await at.hand.put(keys.alert_test("pager"), test)
    assert at.new() == []
    await at.hand.put(keys.alert_test("pager"), msgspec.structs.replace(test, state="failed", error="refused"))
    assert at.new() == [("ReceiverTested", {"receiver": "pager", "outcome": "failed", "error": "refused"})]


async def test_forecasts_that_fail_and_come_back_and_the_models_that_make_them_are_told() -> None:
    at = await told()

    async def state(kind: str, code: str = "") -> list[tuple[str, dict[str, object]]]:
        found = ForecastState(state="degraded" if kind == "degraded" else "working", code=code, reason=code, model=0)
        await at.hand.put(keys.FORECAST_STATE, found)
        return at.new()

    def data(code: str) -> dict[str, object]:
        return {"code": code, "reason": code, "model": 0}

    assert await state("working") == []
    assert await state("degraded", "ttm_model_unreadable") == [("ForecastsDegraded", data("ttm_model_unreadable"))]
    assert await state("working") == [("ForecastsRestored", data(""))]
    assert await state("working", "ttm_model_schema_wrong") == [
        ("ForecastModelRefused", data("ttm_model_schema_wrong"))
    ]
    model = forecast_model(1)
    await at.hand.put(keys.forecast_model(1), model)
    trained = {name: getattr(model, name) for name in ("ruling", "parent", "cause", "recent", "sha256")}
    assert at.new() == [("ForecastModelTrained", {"model": 1, **trained})]
    chosen = {"model": 1, "before": 0, "probation": True, "why": ""}
    assert await at.ask("ttm.activate", number=1) == [("ForecastModelChosen", chosen)]
    own = forecast_model(2, ruling=UPLOADED)
    await at.hand.put(keys.forecast_model(2), own)
    assert at.new() == [("ForecastModelUploaded", {"model": 2, "sha256": own.sha256})]
    assert await at.ask("ttm.rollback") == [
        ("ForecastModelChosen", {**chosen, "model": 0, "before": 1, "probation": False})
    ]


async def test_a_training_that_is_refused_is_told_once_however_often_it_is_tried() -> None:
    """Each six hours of a young cluster the answer is the same: too few minutes."""
    at = await told()
    trouble = TrainingTrouble(state="refused", code="too_short", reason="900 of 2880", cause="drift", tried_unix_ms=1)
    await at.hand.put(keys.FORECAST_TRAINING, trouble)
    data = {"code": "too_short", "reason": "900 of 2880", "cause": "drift"}
    assert at.new() == [("ForecastTrainingRefused", data)]
    await at.hand.put(keys.FORECAST_TRAINING, msgspec.structs.replace(trouble, reason="1260 of 2880", tried_unix_ms=2))
    assert at.new() == []
    failed = msgspec.structs.replace(trouble, state="failed", code="ttm_trainer_failed", reason="status 137")
    await at.hand.put(keys.FORECAST_TRAINING, failed)
    assert at.new() == [("ForecastTrainingFailed", {**data, "code": "ttm_trainer_failed", "reason": "status 137"})]


async def test_what_scaling_passes_over_is_told_though_nothing_came_of_it() -> None:
    at = await told()
    odd = Oddity(kind="figures", slice="orders", why="-5 calls in 1 s cannot be", at_unix_ms=1)
    await at.hand.put(keys.SCALING_ODDITY, odd)
    assert at.new() == [("FiguresDoubted", {"slice": "orders", "why": odd.why})]
    jump = Oddity(kind="clock", why="the leader's clock went back by 7200 s", at_unix_ms=2)
    await at.hand.put(keys.SCALING_ODDITY, jump)
    assert at.new() == [("ClockJumped", {"why": jump.why})]


async def test_nodes_that_are_asked_for_and_what_keeps_them_are_told() -> None:
    """A cluster that cannot grow must say so where people look."""
    at = await told()
    await at.ask("controller.configure-nodes", set={"provider": "unix:/nodes.sock"})
    assert await at.ask("node.provision") == [("NodeRequested", {"node": "auto-1"})]
    await at.hand.put(keys.node_request("auto-1"), NodeRequest(node="auto-1", state="joined"))
    assert at.new() == [("NodeProvided", {"node": "auto-1"})]
    assert await at.ask("node.retire", node="auto-1") == [("NodeRetiring", {"node": "auto-1"})]
    await at.hand.put(keys.NODE_TROUBLE, NodeTrouble(why="nobody provides nodes"))
    assert at.new() == [("NodesHeld", {"why": "nobody provides nodes"})]
    await at.hand.store.txn((), [Delete(key=keys.NODE_TROUBLE), Delete(key=keys.node_request("auto-1"))])
    assert sorted(at.new()) == [("NodesResumed", {}), ("ProvidedNodeGone", {"node": "auto-1"})]


async def test_playbooks_that_come_and_go_and_are_rehearsed_are_told() -> None:
    at = await told()
    name = {"playbook": "log-level", "version": "1.0.0"}
    ((event, data),) = await at.ask("playbook.upload", source=LOG_LEVEL)
    assert (event, data["playbook"], data["version"]) == ("PlaybookUploaded", "log-level", "1.0.0")
    proof = {"sha256": data["sha256"], "took_ms": 1, "failed_before": True, "held_after": False, "passed": True}
    ((event, data),) = await at.ask("playbook.prove", **name, **proof, detail="it did not help")
    assert (event, data["passed"], data["detail"]) == ("PlaybookRehearsed", False, "it did not help")
    assert await at.ask("playbook.delete", **name) == [("PlaybookDeleted", name)]
