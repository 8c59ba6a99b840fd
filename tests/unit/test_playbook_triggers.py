"""What starts playbooks without a person."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import pytest

from controllers.journal.trigger_marks import StoreMarks
from playbooks.document.reading import read
from playbooks.records import newest
from playbooks.triggers.decide import Active, SeenAlert, SeenEvent, Start, for_alerts, for_event, for_time, ticks_of
from playbooks.triggers.loop import HELD_MS, TriggerLoop
from playbooks.triggers.seen import seen_alerts
from runtime.names import NodeId
from runtime.operations.actor import Role
from runtime.operations.plan import Json
from runtime.security.principals import PrincipalRecord
from runtime.state import keys
from runtime.state.values import NodeRecord
from runtime.telemetry.alerts.records import Acknowledgement, Alert, Silence
from runtime.telemetry.facts import order_of
from runtime.workflow.records import RunRecord
from tests.unit.gate_parts import NOWHERE, START_UNIX_MS, fence, person
from tests.unit.playbook_parts import PlaybooksOnHand
from tests.unit.test_playbook_flow import CORDON
from tests.unit.test_playbook_planning import proven, submit

ALERTED = (
    CORDON
    + """
[[trigger.alert]]
match = { alertname = "NodeOfTheTest" }
for = "10s"
params = { node = "labels.node" }
mode = "run"

[[trigger.event]]
event = "NodeDown"
when = "event.node != 'n1'"
params = { node = "event.node" }
mode = "run"

[[trigger.schedule]]
every = "1h"
params = { node = "n3" }
"""
)


def active(*, is_proven: bool = True) -> list[Active]:
    return [Active(source=read(ALERTED.encode()), proven=is_proven)]


def alert(node: str = "n2", since_ms: int = 0, **labels: str) -> SeenAlert:
    named = {"alertname": "NodeOfTheTest", "node": node, **labels}
    return SeenAlert(key=f"f-{node}", group_key="g", since_unix_ms=since_ms, labels=named)


def on_alerts(*alerts: SeenAlert, nodes: int = 10, is_proven: bool = True) -> tuple[Start, ...]:
    return for_alerts(active(is_proven=is_proven), alerts, nodes=nodes, now_unix_ms=10_000)


def test_an_alert_that_fits_and_lasts_starts_it_with_its_labels() -> None:
    (start,) = on_alerts(alert())
    assert (start.playbook, start.params, start.mode, start.problem) == ("cordon", {"node": "n2"}, "run", "")
    assert start.trigger["alert"] == "f-n2"
    assert start.evidence == ("alert:f-n2",)
    assert on_alerts(alert(since_ms=1)) == ()
    assert on_alerts(alert(alertname="NodeLoopLag")) == ()


def test_the_same_alert_is_one_start_and_the_next_one_another() -> None:
    (first,) = on_alerts(alert())
    assert on_alerts(alert())[0].key == first.key
    assert for_alerts(active(), [alert(since_ms=5)], nodes=10, now_unix_ms=20_000)[0].key != first.key


@pytest.mark.parametrize(
    ("nodes", "alerted", "mode"), [(10, 3, "run"), (10, 4, "propose"), (3, 1, "run"), (3, 2, "propose")]
)
def test_trouble_of_many_nodes_is_for_people(nodes: int, alerted: int, mode: str) -> None:
    """More than three in ten, and more than one: then the cause is elsewhere."""
    found = on_alerts(*(alert(f"n{number}") for number in range(1, alerted + 1)), nodes=nodes)
    assert {each.mode for each in found} == {mode}


def test_what_was_not_rehearsed_is_proposed() -> None:
    assert on_alerts(alert(), is_proven=False)[0].mode == "propose"


def test_what_cannot_be_started_says_why() -> None:
    (start,) = on_alerts(SeenAlert(key="f", group_key="", since_unix_ms=0, labels={"alertname": "NodeOfTheTest"}))
    assert "node" in start.problem
    (start,) = on_alerts(alert("N 2"))
    assert "is no node" in start.problem


def test_events_start_what_names_them_where_they_fit() -> None:
    def event(node: str) -> SeenEvent:
        return SeenEvent(id="7.0", event="NodeDown", data={"node": node})

    (start,) = for_event(active(), event("n2"))
    assert (start.params, start.evidence) == ({"node": "n2"}, ("event:7.0",))
    assert for_event(active(), event("n1")) == ()
    assert for_event(active(), SeenEvent(id="7.0", event="NodeUp", data={"node": "n2"})) == ()


HOUR_MS = 3_600_000


@pytest.mark.parametrize(
    ("marks", "now", "ticks"),
    [
        ({"cordon/1h": 0}, HOUR_MS, ["1h/1"]),
        ({"cordon/1h": 1}, HOUR_MS + 1, []),
        ({"cordon/1h": 0}, HOUR_MS - 1, []),
        ({"cordon/1h": 0}, 5 * HOUR_MS + 7, ["1h/5"]),
        ({"cordon/1h": 6}, 5 * HOUR_MS, []),
        ({}, 5 * HOUR_MS, []),
    ],
)
def test_a_time_that_came_starts_it_once_and_of_missed_ones_the_last(
    marks: dict[str, int], now: int, ticks: list[str]
) -> None:
    """One that was never seen waits: a playbook that was just uploaded has missed nothing."""
    assert [each.dedupe for each in for_time(active(), marks=marks, now_unix_ms=now)] == ticks
    assert ticks_of(active(), now) == {"cordon/1h": now // HOUR_MS}


# -- the loop ----------------------------------------------------------------------------------------------------------


class LoopOnHand:
    def __init__(self, world: PlaybooksOnHand) -> None:
        self.world = world
        self.alerts: list[SeenAlert] = []
        self.events: list[SeenEvent] = []
        """All that have happened, as every node knows them."""
        self.loop = self.another()

    def another(self) -> TriggerLoop:
        return TriggerLoop(
            ports=self.world.ports,
            makers=self.world.makers,
            alerts=lambda: self.alerts,
            events=self._behind,
            marks=StoreMarks(self.world.gate.store),
        )

    async def _behind(self, after: str) -> AsyncIterator[SeenEvent]:
        for event in self.events:
            if order_of(event.id) > order_of(after):
                yield event

    async def look(self, loop: TriggerLoop | None = None) -> list[Start]:
        return await (loop or self.loop).look()

    async def leads(self) -> TriggerLoop:
        """Another leader, which has looked at what it did not know of yet, and noted it."""
        loop = self.another()
        await loop.begin(fence(self.world.gate))
        await self.goes_on(loop)
        return loop

    async def goes_on(self, loop: TriggerLoop) -> None:
        await loop.look(events=[event async for event in self._behind(loop._event)])
        await loop.note(fence(self.world.gate))

    def happens(self, node: str) -> None:
        revision = self.world.gate.state.revision
        self.events.append(SeenEvent(id=f"{revision}.{len(self.events)}", event="NodeDown", data={"node": node}))

    def runs(self) -> list[dict[str, Json]]:
        items = self.world.gate.state.items(keys.RUNS)
        return [msgspec.json.decode(item.value, type=RunRecord).input for item in items]


@pytest.fixture
async def hand() -> LoopOnHand:
    world = PlaybooksOnHand()
    await world.gate.populate()
    await submit(world, "playbook.upload", {"source": ALERTED}, person("ben"))
    return LoopOnHand(world)


@pytest.mark.anyio
async def test_one_alert_starts_one_run_whoever_looks_how_often(hand: LoopOnHand) -> None:
    await proven(hand.world, ALERTED)
    hand.alerts = [alert(since_ms=START_UNIX_MS - 20_000)]
    await hand.look()
    await hand.look()
    await hand.look(hand.another())
    assert [each["params"] for each in hand.runs()] == [{"node": "n2", "instances": 0}]
    (record,) = hand.world.gate.state.items(keys.RUNS)
    ended = msgspec.structs.replace(msgspec.json.decode(record.value, type=RunRecord), state="succeeded")
    await hand.world.gate.put(record.key, ended)
    await hand.look(hand.another())
    assert len(hand.runs()) == 1, "it has ended, and the alert is the same"


@pytest.mark.anyio
async def test_a_trigger_acts_for_who_uploaded_it(hand: LoopOnHand) -> None:
    await proven(hand.world, ALERTED)
    hand.alerts = [alert(since_ms=START_UNIX_MS - 20_000)]
    await hand.world.gate.principal(PrincipalRecord(id="ben", kind="person", role=Role.VIEWER))
    await hand.look()
    assert hand.runs() == [], "ben may not start it any more"
    last = hand.world.gate.log.lines[-1]
    assert (last.event, last.fields["code"]) == ("trigger_refused", "refused_by_policy")


@pytest.mark.anyio
async def test_playbooks_of_the_package_may_do_all_that_their_steps_need_once_admins_agree(hand: LoopOnHand) -> None:
    """Else a node is made for one that is down, which is then never forgotten."""
    shipped = [each.source for each in newest(hand.world.gate.state) if each.record is None]
    (replacing,) = [each for each in shipped if each.document.playbook.id == "node-replace"]
    await proven(hand.world, replacing.text)
    hand.alerts = [alert(since_ms=START_UNIX_MS - 61_000, alertname="NodeUnresponsive")]
    await hand.look()
    (waiting,) = [each for each in hand.world.gate.desk.waiting() if each.call.request["playbook"] == "node-replace"]
    await hand.world.gate.votes.cast(waiting.id, person("cleo", Role.ADMIN), approve=True, reason="")
    await hand.world.gate.settle(waiting.id)
    started = [msgspec.json.decode(item.value, type=RunRecord) for item in hand.world.gate.state.items(keys.RUNS)]
    (run,) = [each for each in started if each.input["playbook"] == "node-replace"]
    used = {each.uses for each in replacing.document.step}
    roles = {each.role for each in hand.world.ports.catalogue if each.name in used}
    assert Role.ADMIN in roles, "it forgets a node"
    assert all(run.actor.may(role) for role in roles)


@pytest.mark.anyio
async def test_what_was_not_rehearsed_waits_for_people(hand: LoopOnHand) -> None:
    hand.alerts = [alert(since_ms=START_UNIX_MS - 20_000)]
    await hand.look()
    assert hand.runs() == []
    (waiting,) = hand.world.gate.desk.waiting()
    assert waiting.call.operation == "playbook.run"
    await hand.world.gate.votes.cast(waiting.id, person("anna"), approve=True, reason="")
    await hand.world.gate.settle(waiting.id)
    assert len(hand.runs()) == 1


@pytest.mark.anyio
async def test_what_is_refused_for_a_while_is_tried_again_later(hand: LoopOnHand) -> None:
    await proven(hand.world, ALERTED)
    hand.alerts = [alert("n2", START_UNIX_MS - 20_000), alert("n3", START_UNIX_MS - 20_000)]
    for number in range(4, 12):
        name = NodeId(f"n{number}")
        await hand.world.gate.put(keys.node(name), NodeRecord(node=name, role="core", addresses=NOWHERE))
    await hand.look()
    assert len(hand.runs()) == 1, "one at a time"
    (record,) = hand.world.gate.state.items(keys.RUNS)
    ended = msgspec.structs.replace(msgspec.json.decode(record.value, type=RunRecord), state="succeeded")
    await hand.world.gate.put(record.key, ended)
    await hand.look()
    assert len(hand.runs()) == 1
    hand.world.gate.pass_time(31_000)
    await hand.look()
    assert len(hand.runs()) == 2


@pytest.mark.anyio
async def test_a_silence_and_who_has_taken_it_on_keep_an_alert_from_starting_anything(hand: LoopOnHand) -> None:
    gate, now = hand.world.gate, START_UNIX_MS
    lasting = Alert(
        fingerprint="f1",
        group_key="g",
        labels={"alertname": "NodeOfTheTest", "node": "n2", "severity": "critical", "subject": "node:n2"},
        starts_unix_ms=now - 20_000,
        fired_unix_ms=now - 18_000,
    )
    await gate.put(keys.alert("f1"), lasting)
    assert [each.silenced for each in seen_alerts(gate.state, now)] == [False]
    taken = Acknowledgement(by="anna", why="on it", at_unix_ms=now)
    await gate.put(keys.alert("f1"), msgspec.structs.replace(lasting, acknowledged=taken))
    assert [each.silenced for each in seen_alerts(gate.state, now)] == [True]
    await gate.put(keys.alert("f1"), lasting)
    silence = Silence(matchers=("node=n2",), until_unix_ms=now + 1, created_unix_ms=now)
    await gate.put(keys.alert_silence("s1"), silence)
    hand.alerts = seen_alerts(gate.state, now)
    assert [each.silenced for each in hand.alerts] == [True]
    assert await hand.look() == []
    await gate.put(keys.alert("f1"), msgspec.structs.replace(lasting, ends_unix_ms=now))
    assert seen_alerts(gate.state, now) == []


# -- what happened while nobody led ------------------------------------------------------------------------------------


async def ended(hand: LoopOnHand) -> None:
    """All runs are over: another one may begin."""
    for item in hand.world.gate.state.items(keys.RUNS):
        run = msgspec.json.decode(item.value, type=RunRecord)
        await hand.world.gate.put(item.key, msgspec.structs.replace(run, state="succeeded"))


@pytest.mark.anyio
async def test_what_happened_while_nobody_led_starts_once_a_leader_stands_and_once(hand: LoopOnHand) -> None:
    await proven(hand.world, ALERTED)
    await hand.leads()
    hand.happens("n2")
    await hand.leads()
    assert [each["params"] for each in hand.runs()] == [{"node": "n2", "instances": 0}]
    await ended(hand)
    hand.world.gate.pass_time(25 * HOUR_MS)  # answers under idempotency keys are gone by then
    await hand.leads()
    assert len([each for each in hand.runs() if each["params"]["node"] == "n2"]) == 1  # type: ignore[index]


@pytest.mark.anyio
async def test_a_leader_that_dies_between_start_and_note_costs_nothing(hand: LoopOnHand) -> None:
    await proven(hand.world, ALERTED)
    loop = await hand.leads()
    hand.happens("n2")
    await loop.look(events=hand.events)
    await ended(hand)
    await hand.leads()
    assert len(hand.runs()) == 1


@pytest.mark.anyio
async def test_what_happened_before_it_was_uploaded_starts_nothing(hand: LoopOnHand) -> None:
    """Else the first leader after an upload would start it for the past."""
    hand.happens("n2")
    await submit(hand.world, "playbook.upload", {"source": ALERTED.replace("1.0.0", "1.0.1")}, person("ben"))
    await proven(hand.world, ALERTED.replace("1.0.0", "1.0.1"))
    await hand.leads()
    assert hand.runs() == []


@pytest.mark.anyio
async def test_an_event_that_finds_another_run_under_way_is_held_until_that_has_ended(hand: LoopOnHand) -> None:
    """It happens once: what was refused for a while must not be forgotten, whoever leads."""
    await proven(hand.world, ALERTED)
    loop = await hand.leads()
    hand.happens("n2")
    hand.happens("n3")
    await hand.goes_on(loop)
    assert len(hand.runs()) == 1, "one at a time"
    await ended(hand)
    another = await hand.leads()
    assert len(hand.runs()) == 2
    await ended(hand)
    hand.happens("n4")
    hand.happens("n5")
    await hand.goes_on(another)
    hand.world.gate.pass_time(HELD_MS)
    await hand.goes_on(another)
    assert len(hand.runs()) == 3
    assert "trigger_given_up" in [line.event for line in hand.world.gate.log.lines]


@pytest.mark.anyio
async def test_a_time_that_came_while_nobody_led_starts_it_once(hand: LoopOnHand) -> None:
    await hand.leads()
    hand.world.gate.pass_time(3 * HOUR_MS)
    await hand.leads()
    assert [each["params"] for each in hand.runs()] == [{"node": "n3", "instances": 0}]
    await ended(hand)
    await hand.leads()
    assert len(hand.runs()) == 1


@pytest.mark.anyio
async def test_a_start_that_nobody_decided_about_is_taken_back_once_its_alert_has_ended(hand: LoopOnHand) -> None:
    """Whoever approved it then would mend what is well. An alert that is silenced lasts; an event has no end."""
    loop = await hand.leads()
    hand.alerts = [alert("n2", START_UNIX_MS - 20_000), alert("n3", START_UNIX_MS - 20_000)]
    hand.happens("n4")
    await hand.goes_on(loop)
    waiting = hand.world.gate.desk.waiting()
    assert len(waiting) == 3
    hand.alerts = [msgspec.structs.replace(hand.alerts[0], silenced=True)]
    await hand.goes_on(loop)
    left = {each.call.request["params"]["node"] for each in hand.world.gate.desk.waiting()}  # type: ignore[index]
    assert left == {"n2", "n4"}
    (gone,) = [each for each in waiting if each.call.request["params"]["node"] == "n3"]  # type: ignore[index]
    assert hand.world.gate.proposal(gone.id).state == "withdrawn"
