"""Playbooks carried out on a gate in memory: steps, limits, approvals, verification, undoing."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from controllers.gate.proposals import ProposalState
from playbooks.actions.standing import seen_by
from runtime.deployment.records import Records
from runtime.operations.actor import ActorKind, Role
from runtime.operations.dispatch import Submission
from runtime.state import keys
from runtime.workflow.effects import Abandons
from runtime.workflow.errors import StepFailed
from runtime.workflow.flow import Ask, Did, Done, Fail, Finish, NotDone, Unknown
from runtime.workflow.records import RunRecord, RunState
from tests.unit.gate_parts import model, person
from tests.unit.playbook_parts import LOG_LEVEL, PlaybooksOnHand, RunOnHand

pytestmark = pytest.mark.anyio

SCALE = """
[playbook]
id = "scale"
version = "1.0.0"
kind = "scaling"
risk = "medium"
summary = "Want another number of instances"

[params]
slice = { type = "slice", required = true }
number = { type = "integer", required = true }

[limits]
blast_radius = { instances = 3 }

[[step]]
id = "scale"
uses = "slice.scale"
with = { slice = "{slice}", instances = "{number}" }
verify = { cel = "slices.exists(s, s.name == params.slice && s.wanted == params.number)", within = "2s" }
undo = "inverse"
on_failure = "rollback"

[verify]
cel = "slices.exists(s, s.name == params.slice && s.ready == params.number)"
within = "5s"
"""

CORDON = """
[playbook]
id = "cordon"
version = "1.0.0"
kind = "incident"
risk = "low"
summary = "Let a node take no instances"

[params]
node = { type = "node", required = true }
instances = { type = "integer", default = 0 }

[[step]]
id = "cordon"
uses = "node.cordon"
with = { node = "{node}" }
verify = { cel = "nodes.exists(n, n.name == params.node && n.cordoned)", within = "2s" }
undo = "inverse"
on_failure = "rollback"

[verify]
cel = "nodes.exists(n, n.name == params.node && n.instances == params.instances)"
within = "5s"
"""


@pytest.fixture
async def world() -> PlaybooksOnHand:
    world = PlaybooksOnHand()
    await world.gate.populate(wanted=20, most=40)
    return world


async def test_it_does_its_steps_and_ends_when_verification_holds(world: PlaybooksOnHand) -> None:
    run = world.begin(LOG_LEVEL)
    begun = world.gate.clock.now_ms
    assert isinstance(await run.drive(), Finish)
    assert [each.step for each in run.run.steps] == [
        "pre",
        "raise/plan",
        "raise",
        "raise/verify",
        "meanwhile",
        "lower/plan",
        "lower",
        "lower/verify",
        "verify",
    ]
    assert world.gate.clock.now_ms - begun >= 600_000
    evidence = run.step("raise/verify").result["evidence"]
    assert isinstance(evidence, dict)
    assert evidence["seen"]["params"]["level"] == "debug"
    assert evidence["revision"] > 0


async def test_the_playbook_acts_for_its_starter(world: PlaybooksOnHand) -> None:
    """One that may only look starts nothing that changes."""
    run = world.begin(LOG_LEVEL, starter=person("anna", Role.VIEWER))
    ended = await run.drive()
    assert isinstance(ended, Fail)
    assert ended.code == "refused_by_policy"
    assert run.step("raise/plan").error is not None


async def test_a_precondition_that_does_not_hold_ends_it_before_anything_happens(world: PlaybooksOnHand) -> None:
    world.quorum = False
    run = world.begin(LOG_LEVEL)
    ended = await run.drive()
    assert isinstance(ended, Fail)
    assert (ended.code, ended.undo) == ("precondition_failed", False)
    assert "without a quorum" in ended.detail
    assert [each.step for each in run.run.steps] == ["pre"]


async def test_what_a_plan_would_touch_beyond_the_limit_is_not_done(world: PlaybooksOnHand) -> None:
    run = world.begin(SCALE, slice="orders", number=28)
    ended = await run.drive()
    assert isinstance(ended, Fail)
    assert ended.code == "blast_radius"
    assert "8 instances, and 3 are allowed" in ended.detail
    assert world.gate.wanted() == 20


def cordoned(world: PlaybooksOnHand) -> bool:
    return next(each.cordoned for each in Records(world.gate.state).nodes() if each.node == "n2")


async def test_a_verification_that_fails_undoes_what_was_done(world: PlaybooksOnHand) -> None:
    run = world.begin(CORDON, node="n2", instances=7)
    ended = await run.drive()
    assert isinstance(ended, Fail)
    assert ended.code == "verification_failed"
    assert "came to false" in ended.detail
    assert run.undone == ["cordon"]
    assert not cordoned(world)


async def test_taking_its_own_change_back_needs_nobody_and_making_it_again_does(world: PlaybooksOnHand) -> None:
    """A rollback at night puts things as they were; to try the same once more at once is flapping."""
    run = world.begin(SCALE, slice="orders", number=22)
    ended = await run.drive()
    assert isinstance(ended, Fail)
    assert (ended.code, run.undone, world.gate.wanted()) == ("verification_failed", ["scale"], 20)
    again = world.begin(SCALE, slice="orders", number=22)
    again.run = msgspec.structs.replace(again.run, id="run2")
    assert await again.drive() is None
    assert again.waits.startswith("proposal/")


def scaled_by_another(world: PlaybooksOnHand) -> None:
    """Somebody scales what the run has scaled, while it verifies that."""

    async def scales() -> None:
        if world.gate.wanted() == 22:
            await world.gate.scale(23, person("cleo"))
        world.gate.pass_time(1_000)

    world.moved = scales


async def test_an_undo_that_needs_people_says_so_and_is_made_once_they_agreed(world: PlaybooksOnHand) -> None:
    """The opposite of what another has just done is flapping to the gate, whoever asks for it."""
    scaled_by_another(world)
    run = world.begin(SCALE, slice="orders", number=22)
    with pytest.raises(StepFailed) as failed:
        await run.drive()
    assert (failed.value.reason, failed.value.again) == ("undo_waits", True)
    identity = failed.value.detail.rpartition(" ")[2]
    await world.gate.votes.cast(identity, person("ben"), approve=True, reason="")
    await world.gate.settle(identity)
    assert world.gate.wanted() == 20
    await world.kind.action("perform").undo(run.contexts["scale"], run.step("scale").result)


@pytest.mark.parametrize(
    ("on_failure", "kind", "undone"),
    [("rollback", Fail, ["cordon"]), ("stop", Fail, []), ("ask", Ask, []), ("continue", Fail, ["cordon"])],
)
async def test_a_step_that_fails_does_as_it_says(
    world: PlaybooksOnHand, on_failure: str, kind: type, undone: list[str]
) -> None:
    """`continue` comes to the playbook's own verification, which does not hold either, and undoes all."""
    text = CORDON.replace('on_failure = "rollback"', f'on_failure = "{on_failure}"')
    text = text.replace("&& n.cordoned)", "&& n.leaving)")
    run = world.begin(text, node="n2", instances=7)
    assert isinstance(await run.drive(), kind)
    assert run.undone == undone
    assert cordoned(world) is not bool(undone)


@pytest.mark.parametrize(("on_failure", "kind"), [("stop", Fail), ("ask", Ask)])
async def test_where_going_back_helps_nobody_the_last_verification_says_so(
    world: PlaybooksOnHand, on_failure: str, kind: type
) -> None:
    """A node that was replaced and forgotten cannot be taken back: undoing the rest would leave neither."""
    run = world.begin(f'{CORDON}on_failure = "{on_failure}"\n', node="n2", instances=7)
    assert isinstance(await run.drive(), kind)
    assert not run.undone
    assert cordoned(world)


async def test_a_change_that_waits_for_people_goes_on_once_it_is_made(world: PlaybooksOnHand) -> None:
    text = LOG_LEVEL.replace('uses = "log-level.set"', 'uses = "log-level.set"\napproval = "always"')
    run = world.begin(text)
    assert await run.drive() is None
    identity = run.waits.removeprefix("proposal/")
    proposal = world.gate.proposal(identity)
    assert proposal.actor.kind is ActorKind.PLAYBOOK
    assert proposal.actor.behind is not None
    assert proposal.actor.behind.id == "anna"
    assert proposal.evidence == ("run:run1",)
    await world.gate.votes.cast(identity, person("ben"), approve=True, reason="")
    await world.gate.settle(identity)
    assert isinstance(await run.signalled(), Finish)
    assert run.step("raise").result["proposal"] == identity


@pytest.mark.parametrize(("approve", "code"), [(False, "approval_denied"), (None, "approval_expired")])
async def test_what_people_do_not_approve_fails_and_is_not_made(
    world: PlaybooksOnHand, approve: bool | None, code: str
) -> None:
    text = SCALE.replace('uses = "slice.scale"', 'uses = "slice.scale"\napproval = "always"')
    run = world.begin(text, slice="orders", number=22)
    await run.drive()
    identity = run.waits.removeprefix("proposal/")
    if approve is None:
        world.gate.pass_time(24 * 3_600_000)
    else:
        await world.gate.votes.cast(identity, person("ben"), approve=approve, reason="no")
    await world.gate.settle(identity)
    ended = await run.signalled()
    assert isinstance(ended, Fail)
    assert ended.code == code
    assert world.gate.wanted() == 20


async def test_a_plan_that_changed_after_the_approval_fails_and_says_so(world: PlaybooksOnHand) -> None:
    text = SCALE.replace('uses = "slice.scale"', 'uses = "slice.scale"\napproval = "always"')
    run = world.begin(text, slice="orders", number=22)
    await run.drive()
    identity = run.waits.removeprefix("proposal/")
    await world.gate.scale(21, person("cleo", Role.ADMIN))
    await world.gate.votes.cast(identity, person("ben"), approve=True, reason="")
    await world.gate.settle(identity)
    ended = await run.signalled()
    assert isinstance(ended, Fail)
    assert ended.code == "plan_changed"
    assert "another effect" in ended.detail


async def test_a_step_that_is_carried_out_again_takes_effect_once(world: PlaybooksOnHand) -> None:
    """As after the death of a leader that had not recorded its outcome."""
    scaled_by_another(world)
    run = world.begin(SCALE, slice="orders", number=22)
    with pytest.raises(StepFailed, match="undo_waits"):
        await run.drive()
    first = run.step("scale").result
    await world.gate.scale(19, person("cleo", Role.ADMIN))
    again = await world.kind.action("perform").run(run.contexts["scale"])
    assert again.result["audit"] == first["audit"]  # type: ignore[union-attr]
    assert world.gate.wanted() == 19


async def test_whether_an_operation_took_effect_is_what_the_gate_answered_under_its_key(world: PlaybooksOnHand) -> None:
    """Going back, a change that was made when its step was stopped would stand."""
    run, action = world.begin(CORDON, node="n1"), world.kind.action("perform")
    await run.drive()
    context = run.contexts["cordon"]
    found = await action.probe(context)
    assert isinstance(found, Done)
    assert found.result["audit"] == run.step("cordon").result["audit"]
    assert await action.probe(replace(context, key="of another run")) == NotDone()


async def test_what_waits_for_people_is_withdrawn_when_its_run_goes_back(world: PlaybooksOnHand) -> None:
    text = SCALE.replace('uses = "slice.scale"', 'uses = "slice.scale"\napproval = "always"')
    run, action = world.begin(text, slice="orders", number=22), world.kind.action("perform")
    await run.drive()
    identity = run.waits.removeprefix("proposal/")
    forward = run.contexts["scale"]
    back = replace(forward, run=msgspec.structs.replace(forward.run, state=RunState.COMPENSATING))
    assert await action.probe(forward) == NotDone(), "it is asked for again, and gets the same proposal"
    assert isinstance(await action.probe(back), Unknown)
    assert isinstance(action, Abandons)
    await action.abandon(back)
    assert world.gate.proposal(identity).state is ProposalState.WITHDRAWN
    await action.abandon(back)
    assert await action.probe(back) == NotDone()


async def test_a_step_that_is_not_wanted_is_left_out(world: PlaybooksOnHand) -> None:
    text = LOG_LEVEL.replace('id = "lower"', 'id = "lower"\nwhen = "params.level == \'warning\'"')
    text = text.replace("config.log_level == 'info'", "config.log_level == 'debug'")
    run = world.begin(text)
    assert isinstance(await run.drive(), Finish)
    assert run.run.step("lower") is None
    assert run.step("lower/when").result["holds"] is False


async def test_conditions_that_must_always_hold_are_looked_at_after_a_wait(world: PlaybooksOnHand) -> None:
    text = LOG_LEVEL.replace("why = ", "always = true\nwhy = ")
    run = world.begin(text)
    passed = world.gate.pass_time

    def lost(elapsed_ms: int) -> None:
        world.quorum = world.quorum and elapsed_ms < 500_000
        passed(elapsed_ms)

    world.gate.pass_time = lost  # type: ignore[method-assign]
    ended = await run.drive()
    assert isinstance(ended, Fail)
    assert (ended.code, ended.undo) == ("precondition_failed", True)
    assert run.step("lower/pre").state == "failed"
    assert run.undone == ["raise"]


async def test_questions_are_asked_for_the_starter_and_their_answers_are_seen(world: PlaybooksOnHand) -> None:
    world.asks.answers["node.list"] = {"nodes": [{"node": "n1"}]}
    text = LOG_LEVEL.replace(
        '[[step]]\nid = "raise"',
        '[[step]]\nid = "look"\nuses = "node.list"\n\n'
        '[[step]]\nid = "raise"\nwhen = "size(steps.look.result.nodes) == 1"',
    )
    run = world.begin(text)
    assert isinstance(await run.drive(), Finish)
    assert world.asks.asked[0][2].behind == person("anna")
    assert seen_by(run.run)["steps"]["look"]["result"] == {"nodes": [{"node": "n1"}]}  # type: ignore[index,call-overload]


async def test_evidence_is_kept_as_content(world: PlaybooksOnHand) -> None:
    text = LOG_LEVEL.replace(
        '[[step]]\nid = "raise"', '[[step]]\nid = "keep"\nuses = "diagnostics.collect"\n\n[[step]]\nid = "raise"'
    )
    run = world.begin(text)
    assert isinstance(await run.drive(), Finish)
    sha256 = run.step("keep").result["sha256"]
    assert b"topology.show" in world.content.kept[str(sha256)]
    assert (sha256, "run:run1") in world.content.pins


async def test_what_a_model_starts_is_proposed_step_by_step(world: PlaybooksOnHand) -> None:
    run = world.begin(LOG_LEVEL, starter=model(person("anna")))
    assert await run.drive() is None
    assert run.waits.startswith("proposal/")


PARENT = (
    CORDON.replace('id = "cordon"\nversion', 'id = "parent"\nversion')
    .replace(
        'uses = "node.cordon"\nwith = { node = "{node}" }',
        'uses = "playbook.start"\nwith = { playbook = "cordon", params = { node = "{node}" } }\ntimeout = "5m"',
    )
    .replace('undo = "inverse"', 'undo = { none = "the other one undoes what it does" }')
)
PARENT = PARENT.replace("nodes.exists(n, n.name == params.node && n.cordoned)", "steps.cordon.state == 'done'")


async def test_a_blip_is_no_recovery(world: PlaybooksOnHand) -> None:
    """What holds for a moment and not for as long as it must has not been verified; it may still come in time."""
    text = CORDON.replace('within = "5s"', 'within = "5s"\nhold = "3s"')
    text = text.replace("n.instances == params.instances", "cluster.quorum && params.instances == 0")
    looks = 0

    async def waver() -> None:
        nonlocal looks
        looks += 1
        world.quorum = looks not in (2, 3)
        world.gate.pass_time(1_000)

    world.moved = waver
    run = world.begin(text, node="n2")
    begun_ms = world.gate.clock.now_ms
    assert isinstance(await run.drive(), Finish)
    assert world.gate.clock.now_ms - begun_ms == 7_000
    assert run.step("verify").result["held_ms"] == 3_000


async def with_child(world: PlaybooksOnHand) -> tuple[RunOnHand, RunRecord]:
    """A run that waits for the one that it started, and that one."""
    upload = Submission(operation="playbook.upload", request={"source": CORDON}, actor=person("anna"))
    await world.gate.gate.submit(msgspec.structs.replace(upload, made=world.makers.made(upload)))
    run = world.begin(PARENT, node="n2")
    record = RunRecord(id="run1", kind="playbook", definition="d", actor=person("anna"), created_unix_ms=0)
    await world.gate.put(keys.run("run1"), record)
    assert await run.drive() is None
    found = [msgspec.json.decode(item.value, type=RunRecord) for item in world.gate.state.items(keys.RUNS)]
    (child,) = [each for each in found if each.parent == "run1"]
    assert run.waits == f"run/{child.id}"
    return run, child


@pytest.mark.parametrize(("state", "kind"), [(RunState.SUCCEEDED, Finish), (RunState.FAILED, Fail)])
async def test_a_playbook_starts_another_one_and_goes_on_as_that_ends(
    world: PlaybooksOnHand, state: RunState, kind: type
) -> None:
    run, child = await with_child(world)
    assert isinstance(await run.signalled({"state": state.value, "result": {}, "error": None}), kind)
    assert (child.depth, child.root) == (1, "run1")
    assert [each.id for each in child.actor.chain()] == ["playbook:parent", "anna"]


@pytest.mark.parametrize(
    ("state", "found"),
    [(RunState.SUCCEEDED, Done), (RunState.CANCELLED, NotDone), (RunState.COMPENSATING, Unknown)],
)
async def test_what_came_of_the_other_one_is_known_when_its_starter_goes_back(
    world: PlaybooksOnHand, state: RunState, found: type
) -> None:
    """One that was cancelled has undone what it did: nothing of the step is left to undo, and nobody is asked."""
    run, child = await with_child(world)
    await world.gate.put(keys.run(child.id), msgspec.structs.replace(child, state=state))
    action = world.kind.action(run.step("cordon").action)
    assert isinstance(await action.probe(run.contexts["cordon"]), found)


async def test_an_attempt_after_the_other_one_has_ended_says_how(world: PlaybooksOnHand) -> None:
    run, child = await with_child(world)
    await world.gate.put(keys.run(child.id), msgspec.structs.replace(child, state=RunState.SUCCEEDED))
    action = world.kind.action(run.step("cordon").action)
    assert await action.run(run.contexts["cordon"]) == Did({"run": child.id, "result": {}})


async def test_limits_of_time_may_be_parameters(world: PlaybooksOnHand) -> None:
    text = CORDON.replace('within = "2s"', 'within = "{most}"').replace(
        "[params]", '[params]\nmost = { type = "duration", default = "7s" }'
    )
    text = text.replace("n.cordoned)", "n.cordoned && n.name == 'nobody')")
    run = world.begin(text, node="n2", most="9s")
    begun_ms = world.gate.clock.now_ms
    assert isinstance(await run.drive(), Fail)
    assert world.gate.clock.now_ms - begun_ms == 9_000
