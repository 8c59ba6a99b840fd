"""What is decided about the cluster is told as facts, beside what happens in it."""

from __future__ import annotations

import msgspec
import pytest

from controllers.gate.policy import default_text
from controllers.nodes.records import NodeRequest, NodeTrouble
from controllers.ttm.records import ForecastState
from runtime.consensus.store import Delete, KeyValue, Revision, WatchBatch, WatchEvent
from runtime.operations.actor import Role
from runtime.operations.dispatch import Proposed, Submission
from runtime.security.principals import hash_of
from runtime.state import keys
from runtime.state.values import AlertRecord
from runtime.telemetry.facts import TOLD, facts_of
from tests.unit.forecast_records import forecast_model
from tests.unit.gate_parts import GateOnHand, person

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


async def test_alerts_and_the_policy_are_told() -> None:
    at = await told()
    assert await at.ask("policy.set", source=default_text()) == [("PolicySet", {})]
    await at.hand.put(keys.alert("orders", "p99_ms"), AlertRecord(since_unix_ms=1, value=9.0, bound=5.0, for_s=1))
    fired = {"slice": "orders", "metric": "p99_ms", "value": 9.0, "bound": 5.0}
    assert at.new() == [("AlertFired", fired)]


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
    assert await at.ask("ttm.rollback") == [
        ("ForecastModelChosen", {**chosen, "model": 0, "before": 1, "probation": False})
    ]


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
