"""What a run would do, and whether it may be started."""

from __future__ import annotations

import msgspec
import pytest

from evals.forge.rehearsal import before_of
from playbooks.actions.standing import actor_for
from playbooks.document.model import Limits
from playbooks.document.reading import read
from playbooks.limits.starting import refused
from playbooks.queries import PlaybookPlanned
from playbooks.records import PlaybookStarts, Start
from playbooks.requests import RunStarted
from runtime.operations.actor import Actor, ActorKind, Role
from runtime.operations.dispatch import Applied, Outcome, Proposed, Refused, Submission
from runtime.operations.overlay import Overlay
from runtime.operations.plan import Json, KeyChange
from runtime.state import keys
from runtime.workflow.records import RunRecord
from tests.unit.gate_parts import START_UNIX_MS, model, person
from tests.unit.playbook_parts import LOG_LEVEL, PlaybooksOnHand
from tests.unit.test_playbook_flow import CORDON, PARENT, SCALE

pytestmark = pytest.mark.anyio


@pytest.fixture
async def world() -> PlaybooksOnHand:
    world = PlaybooksOnHand()
    await world.gate.populate(wanted=20, most=40)
    return world


async def planned(world: PlaybooksOnHand, text: str, **params: Json) -> PlaybookPlanned:
    source = world.source(text)
    given: dict[str, Json] = {name: each.default for name, each in source.document.params.items()} | params
    return await world.planner.plan(source, given, actor_for(person("anna"), "p"))


async def test_each_step_is_planned_on_what_those_before_would_leave(world: PlaybooksOnHand) -> None:
    found = await planned(world, LOG_LEVEL)
    assert [each.state for each in found.steps] == ["predicted", "reads", "predicted"]
    assert found.predicted == "2 of 2"
    assert found.startable
    assert found.steps[2].diff[0].before == "debug"
    assert world.gate.state.get(keys.config("cluster", "log_level")) is None


async def test_what_looks_at_a_result_that_only_a_run_has_is_opaque_and_counted(world: PlaybooksOnHand) -> None:
    keep = '[[step]]\nid = "keep"\nuses = "diagnostics.collect"\n\n'
    text = LOG_LEVEL.replace(
        '[[step]]\nid = "raise"', keep + '[[step]]\nid = "raise"\nwhen = "steps.keep.size_bytes > 1"'
    )
    found = await planned(world, text)
    assert [each.state for each in found.steps] == ["reads", "opaque", "reads", "predicted"]
    assert found.predicted == "1 of 2"
    assert found.steps[1].why == "stands on what keep comes to"


async def test_what_would_be_refused_is_told_and_keeps_it_from_being_startable(world: PlaybooksOnHand) -> None:
    found = await planned(world, SCALE, slice="orders", number=60)
    assert (found.steps[0].state, found.startable) == ("refused", False)
    assert "outside orders's bounds" in found.steps[0].why
    assert found.predicted == "0 of 1"
    found = await planned(world, SCALE, slice="orders", number=30)
    assert "10 instances, and 3 are allowed" in found.steps[0].why


async def test_a_question_that_cannot_be_answered_is_no_step_with_an_effect(world: PlaybooksOnHand) -> None:
    look = '[[step]]\nid = "look"\nuses = "assert"\nwith = { that = { cel = "1 / 0 == 1" }, why = "x" }\n\n'
    source = read(LOG_LEVEL.replace('[[step]]\nid = "raise"', look + '[[step]]\nid = "raise"').encode())
    found = await world.planner.plan(source, {"level": "debug", "time": "1s"}, actor_for(person("anna"), "p"))
    assert (found.steps[0].state, found.predicted) == ("refused", "2 of 2")


async def test_steps_that_would_wait_for_people_are_counted(world: PlaybooksOnHand) -> None:
    text = SCALE.replace('uses = "slice.scale"', 'uses = "slice.scale"\napproval = "always"')
    assert (await planned(world, text, slice="orders", number=21)).approvals == 1
    assert (await planned(world, SCALE, slice="orders", number=21)).approvals == 0


async def test_a_step_that_is_not_wanted_is_shown_as_left_out(world: PlaybooksOnHand) -> None:
    text = LOG_LEVEL.replace('id = "lower"', 'id = "lower"\nwhen = "config.log_level == \'info\'"')
    assert (await planned(world, text)).steps[2].state == "skipped"


def test_an_overlay_is_the_state_as_it_would_be() -> None:
    below = Overlay()
    below.take([KeyChange(key="a/1", before=None, after=b"1"), KeyChange(key="a/2", before=None, after=b"2")])
    above = Overlay(below)
    above.take([KeyChange(key="a/1", before=b"1", after=None), KeyChange(key="a/3", before=None, after=b"3")])
    assert [(item.key, item.value) for item in above.items("a/")] == [("a/2", b"2"), ("a/3", b"3")]
    assert above.get("a/1") is None
    assert below.get("a/1") is not None
    assert above.revision == below.revision + 1


# -- starting ----------------------------------------------------------------------------------------------------------


async def submit(
    world: PlaybooksOnHand, operation: str, request: dict[str, Json], actor: Actor | None = None, **trigger: Json
) -> Outcome:
    submission = Submission(operation=operation, request=request, actor=actor or person("anna"))
    made = world.makers.made(submission)
    if trigger:
        made = world.makers.run_of(submission.actor, trigger)
    return await world.gate.gate.submit(msgspec.structs.replace(submission, made=made))


def run_of(world: PlaybooksOnHand, outcome: Outcome) -> RunRecord:
    assert isinstance(outcome, Applied), outcome
    started = msgspec.convert(outcome.result, RunStarted)
    item = world.gate.state.get(keys.run(started.run))
    assert item is not None
    return msgspec.json.decode(item.value, type=RunRecord)


async def test_what_is_started_is_a_queued_run_pinned_to_the_text(world: PlaybooksOnHand) -> None:
    text = CORDON.replace("[[step]]", '[locks]\nexclusive = ["node/{node}"]\nshared = ["cluster"]\n\n[[step]]', 1)
    await submit(world, "playbook.upload", {"source": text})
    run = run_of(world, await submit(world, "playbook.run", {"playbook": "cordon", "params": {"node": "n2"}}))
    assert (run.state, run.definition) == ("queued", world.source(text).sha256)
    assert run.input["params"] == {"node": "n2", "instances": 0}
    assert [(each.name, each.mode) for each in run.locks] == [("cluster", "shared"), ("node/n2", "exclusive")]
    assert run.actor == person("anna")


async def test_who_starts_it_is_what_the_cluster_says_not_what_the_request_does(world: PlaybooksOnHand) -> None:
    await submit(world, "playbook.upload", {"source": CORDON})
    forged = {"run": "r", "by": msgspec.to_builtins(person("cleo", Role.ADMIN))}
    outcome = await submit(world, "playbook.run", {"playbook": "cordon", "params": {"node": "n2"}, "made": forged})
    assert run_of(world, outcome).actor == person("anna")


async def test_a_version_says_the_same_for_ever(world: PlaybooksOnHand) -> None:
    await submit(world, "playbook.upload", {"source": CORDON})
    again = await submit(world, "playbook.upload", {"source": CORDON})
    assert isinstance(again, Applied)
    other = await submit(world, "playbook.upload", {"source": CORDON + "\n# changed\n"})
    assert isinstance(other, Refused)
    assert other.code == "playbook_exists"


async def test_a_bad_playbook_is_refused_with_line_and_key(world: PlaybooksOnHand) -> None:
    outcome = await submit(world, "playbook.upload", {"source": CORDON.replace("node.cordon", "node.cordn")})
    assert isinstance(outcome, Refused)
    assert (outcome.code, outcome.where["key"], outcome.where["line"]) == ("playbook_invalid", "step[0].uses", 15)


async def test_playbooks_that_start_one_another_in_a_circle_are_refused(world: PlaybooksOnHand) -> None:
    other = PARENT.replace('id = "parent"', 'id = "other"').replace('playbook = "cordon"', 'playbook = "parent"')
    assert isinstance(await submit(world, "playbook.upload", {"source": other}), Applied)
    circular = PARENT.replace('playbook = "cordon"', 'playbook = "other"')
    outcome = await submit(world, "playbook.upload", {"source": circular})
    assert isinstance(outcome, Refused)
    assert "parent -> other -> parent" in outcome.detail
    itself = PARENT.replace('playbook = "cordon"', 'playbook = "parent"')
    assert isinstance(await submit(world, "playbook.upload", {"source": itself}), Refused)


async def test_what_runs_cannot_be_deleted(world: PlaybooksOnHand) -> None:
    await submit(world, "playbook.upload", {"source": CORDON})
    run = run_of(world, await submit(world, "playbook.run", {"playbook": "cordon", "params": {"node": "n2"}}))
    outcome = await submit(world, "playbook.delete", {"playbook": "cordon", "version": "1.0.0"})
    assert isinstance(outcome, Refused)
    assert outcome.code == "playbook_in_use"
    await world.gate.put(keys.run(run.id), msgspec.structs.replace(run, state="succeeded"))
    outcome = await submit(world, "playbook.delete", {"playbook": "cordon", "version": "1.0.0"})
    assert isinstance(outcome, Applied)


async def test_no_more_run_at_a_time_than_it_allows(world: PlaybooksOnHand) -> None:
    await submit(world, "playbook.upload", {"source": CORDON})
    first = run_of(world, await submit(world, "playbook.run", {"playbook": "cordon", "params": {"node": "n2"}}))
    busy = await submit(world, "playbook.run", {"playbook": "cordon", "params": {"node": "n2"}})
    assert isinstance(busy, Refused)
    assert (busy.code, busy.retryable) == ("playbook_busy", True)
    assert first.id in busy.detail


async def proven(world: PlaybooksOnHand, text: str, *, failed_before: bool = True) -> Applied:
    request: dict[str, Json] = {
        "playbook": "cordon",
        "sha256": world.source(text).sha256,
        "passed": True,
        "took_ms": 5,
        "failed_before": failed_before,
        "held_after": True,
    }
    outcome = await submit(world, "playbook.prove", request, person("cleo", Role.ADMIN))
    assert isinstance(outcome, Applied)
    return outcome


ALERT: dict[str, Json] = {"kind": "alert", "mode": "run"}


async def test_an_alert_runs_only_what_was_rehearsed_as_it_is(world: PlaybooksOnHand) -> None:
    await submit(world, "playbook.upload", {"source": CORDON})
    trigger = Actor(kind=ActorKind.PLAYBOOK, id="trigger:cordon", role=Role.OPERATOR)
    request: dict[str, Json] = {"playbook": "cordon", "params": {"node": "n2"}}
    outcome = await submit(world, "playbook.run", request, trigger, **ALERT)
    assert isinstance(outcome, Refused)
    assert outcome.code == "playbook_not_rehearsed"
    assert (await proven(world, CORDON)).result["passed"] is True
    assert isinstance(await submit(world, "playbook.run", request, trigger, **ALERT), Applied)


async def test_a_rehearsal_that_saw_nothing_broken_proves_nothing(world: PlaybooksOnHand) -> None:
    await submit(world, "playbook.upload", {"source": CORDON})
    outcome = await proven(world, CORDON, failed_before=False)
    assert outcome.result["passed"] is False
    trigger = Actor(kind=ActorKind.PLAYBOOK, id="trigger:cordon", role=Role.OPERATOR)
    started = await submit(world, "playbook.run", {"playbook": "cordon", "params": {"node": "n2"}}, trigger, **ALERT)
    assert isinstance(started, Refused)
    assert started.code == "playbook_not_rehearsed"


async def test_an_agent_starts_nothing_that_does_not_say_so_and_else_proposes(world: PlaybooksOnHand) -> None:
    await submit(world, "playbook.upload", {"source": CORDON})
    request: dict[str, Json] = {"playbook": "cordon", "params": {"node": "n2"}}
    outcome = await submit(world, "playbook.run", request, model(person("anna")))
    assert isinstance(outcome, Refused)
    text = CORDON.replace('"1.0.0"', '"1.1.0"') + '\n[trigger.model]\nmode = "run"\n'
    await submit(world, "playbook.upload", {"source": text})
    assert isinstance(await submit(world, "playbook.run", request, model(person("anna"))), Proposed)


@pytest.mark.parametrize(
    ("mode", "risk", "is_proven", "starts"),
    [
        ("propose", "low", True, False),
        ("run", "low", False, False),
        ("run", "low", True, True),
        ("run", "read-only", False, False),
        ("run", "read-only", True, True),
        ("propose", "read-only", True, False),
    ],
)
async def test_an_agent_starts_at_once_only_what_says_so_and_was_rehearsed(
    world: PlaybooksOnHand, mode: str, risk: str, is_proven: bool, starts: bool
) -> None:
    """What it starts passes the gate as an agent's, step by step; all else people decide before it begins."""
    text = (LOOKS if risk == "read-only" else CORDON) + f'\n[trigger.model]\nmode = "{mode}"\n'
    await submit(world, "playbook.upload", {"source": text})
    if is_proven:
        await proven(world, text)
    request: dict[str, Json] = {"playbook": "cordon", "params": {"node": "n2"}}
    outcome = await submit(world, "playbook.run", request, model(person("anna")))
    assert isinstance(outcome, Applied if starts else Proposed)


async def test_what_raises_the_class_of_a_start_has_an_agent_ask_all_the_same(world: PlaybooksOnHand) -> None:
    text = CORDON + '\n[trigger.model]\nmode = "run"\n'
    await submit(world, "playbook.upload", {"source": text})
    await proven(world, text)
    await submit(world, "freeze.set", {"subject": "cluster", "why": "sale"})
    request: dict[str, Json] = {"playbook": "cordon", "params": {"node": "n2"}}
    assert isinstance(await submit(world, "playbook.run", request, model(person("anna"))), Proposed)


async def test_who_may_not_take_a_step_does_not_start_halfway(world: PlaybooksOnHand) -> None:
    """An operator's run would have drained the node, and then stood still with its locks before it is forgotten."""
    text = CORDON.replace('uses = "node.cordon"', 'uses = "node.forget"').replace('undo = "inverse"', GONE)
    await submit(world, "playbook.upload", {"source": text})
    request: dict[str, Json] = {"playbook": "cordon", "params": {"node": "n2"}}
    refused = await submit(world, "playbook.run", request, person("ben"))
    assert isinstance(refused, Refused)
    assert (refused.code, "cordon (node.forget)" in refused.detail) == ("playbook_needs_role", True)
    found = await world.planner.plan(read(text.encode()), {"node": "n2"}, person("ben"))
    assert (found.beyond_role, found.startable) == (("cordon (node.forget)",), False)
    assert isinstance(await submit(world, "playbook.run", {**request, "anyway": True}, person("ben")), Applied)
    admin = await world.planner.plan(read(text.encode()), {"node": "n2"}, person("cleo", Role.ADMIN))
    assert not admin.beyond_role


async def test_the_last_verification_is_planned_with_its_steps_taken_as_done(world: PlaybooksOnHand) -> None:
    """That nothing was done yet says nothing of the trouble: what fails then fails by the state."""
    there = "steps.cordon.state == 'done' && nodes.exists(n, n.name == params.node)"
    for text, value in ((there, True), (there.replace("exists(n, ", "exists(n, n.leaving && "), False)):
        found = await planned(world, with_verify(text), node="n2")
        assert found.verify is not None
        assert found.verify.value is value
    unknown = await planned(world, with_verify("steps.cordon.nothing > 1"), node="n2")
    assert unknown.verify is not None
    assert unknown.verify.error


def with_verify(text: str) -> str:
    head = CORDON[: CORDON.index("[verify]")].replace('instances = { type = "integer", default = 0 }\n', "")
    return f'{head}[verify]\ncel = "{text}"\n'


@pytest.mark.parametrize(
    ("text", "value", "before"),
    [
        ("cluster.quorum", False, "failed"),
        ("cluster.quorum", True, "held"),
        ("steps.cordon.state == 'done' && cluster.quorum", False, "failed"),
        ("steps.cordon.state == 'done' && cluster.quorum", True, "steps"),
        ("steps.cordon.nothing > 1", None, "steps"),
    ],
)
def test_by_what_a_verification_failed_before_is_told_apart(text: str, value: Json, before: str) -> None:
    """One that fails only since nothing was done yet has not been seen to tell trouble from none."""
    assert before_of(read(with_verify(text).encode()), {"value": value}) == before


GONE = 'undo = { none = "it may join again" }'
LOOKS = """
[playbook]
id = "cordon"
version = "1.0.0"
kind = "troubleshooting"
risk = "read-only"
summary = "See whether a node is there"

[params]
node = { type = "node", required = true }

[[step]]
id = "there"
uses = "assert"
with = { that = { cel = "nodes.exists(n, n.name == params.node)" }, why = "it is not" }
"""
LIMITS = Limits(cooldown="10m", max_per_hour=3, breaker=2, max_concurrent=1)
NOW = START_UNIX_MS


@pytest.mark.parametrize(
    ("starts", "states", "dedupe", "code"),
    [
        ([], {}, "a", ""),
        ([("r1", 60_000, "a")], {"r1": "succeeded"}, "a", "playbook_cooling_down"),
        ([("r1", 60_000, "a")], {"r1": "succeeded"}, "b", ""),
        ([("r1", 601_000, "a")], {"r1": "succeeded"}, "a", ""),
        ([("r1", 5_000, "a"), ("r2", 4_000, "b"), ("r3", 3_000, "c")], {}, "d", "playbook_too_often"),
        ([("r1", 3_600_000, "a"), ("r2", 4_000, "b"), ("r3", 3_000, "c")], {}, "d", ""),
        ([("r1", 5_000, "a"), ("r2", 4_000, "b")], {"r1": "failed", "r2": "compensated"}, "c", "playbook_breaker_open"),
        ([("r1", 5_000, "a"), ("r2", 4_000, "b")], {"r1": "failed", "r2": "succeeded"}, "c", ""),
        ([("r1", 5_000, "a"), ("r2", 4_000, "b")], {"r1": "failed", "r2": "cancelled"}, "c", ""),
        ([("r1", 5_000, "a")], {"r1": "paused"}, "c", "playbook_busy"),
    ],
)
def test_automation_is_kept_from_doing_harm_again_and_again(
    starts: list[tuple[str, int, str]], states: dict[str, str], dedupe: str, code: str
) -> None:
    rows = [Start(run=run, at_unix_ms=NOW - ago, dedupe=why) for run, ago, why in starts]
    found = refused(LIMITS, rows, states, dedupe=dedupe, now_unix_ms=NOW, by_person=False)
    assert (found.code if found is not None else "") == code
    person_may = refused(LIMITS, rows, states, dedupe=dedupe, now_unix_ms=NOW, by_person=True)
    assert (person_may is None) == (code != "playbook_busy")


def test_starts_are_kept_a_hundred_at_most() -> None:
    starts = PlaybookStarts()
    for number in range(120):
        starts = starts.with_start(Start(run=f"r{number}", at_unix_ms=number))
    assert (len(starts.starts), starts.starts[-1].run) == (100, "r119")


async def test_limits_that_are_parameters_are_those_of_the_start(world: PlaybooksOnHand) -> None:
    text = CORDON.replace('within = "5s"', 'within = "{most}"').replace(
        "[params]", '[params]\nmost = { type = "duration", default = "7s" }'
    )
    text = text.replace('summary = "', 'deadline = "{most}"\nsummary = "', 1)
    await submit(world, "playbook.upload", {"source": text})
    asked = {"playbook": "cordon", "params": {"node": "n2", "most": "90s"}}
    assert run_of(world, await submit(world, "playbook.run", asked)).limit_s == 90
    refused = await submit(world, "playbook.run", {**asked, "params": {"node": "n3", "most": "2d"}})
    assert isinstance(refused, Refused)
    assert refused.code == "parameters_invalid"
