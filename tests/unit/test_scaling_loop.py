"""The live loop on a gate in memory: load in, instances through the gate out, and records of why."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import anyio
import msgspec
import pytest

from controllers.journal.decisions import KEPT_PER_SLICE, read_records
from controllers.scaling.decide import decide
from controllers.scaling.loop import ScalingLoop
from controllers.scaling.model import Because, Choice, Opinion
from controllers.scaling.records import DecisionRecord, Oddity
from controllers.scaling.tree import default_tree
from runtime.consensus.store import Delete
from runtime.names import NodeId, SliceName, Version
from runtime.operations.actor import ActorKind
from runtime.operations.dispatch import Applied, Outcome, Refused, Submission
from runtime.operations.plan import Json
from runtime.state import keys
from runtime.state.values import Endpoint, InstanceAssignment, SliceTarget, decode
from runtime.telemetry.desk import ClosedSecond
from runtime.telemetry.figures import NodeFigures, SliceFigures, VersionFigures
from tests.unit.gate_parts import GateOnHand, person, target
from tests.unit.scaling_parts import context_on_hand, scaling_on_hand

pytestmark = pytest.mark.anyio
HOLD_S = 30


class Live:
    """One slice, orders: instances that are wanted serve at once. It carries 100 calls a second each."""

    def __init__(self, hand: GateOnHand) -> None:
        self.hand = hand
        self.context = context_on_hand(hand, hand.state)
        self.loop: ScalingLoop = scaling_on_hand(hand, hand.state, self.context)
        self.heard = ("n1", "n2", "n3")
        self.start_s = 0
        self._since_s: dict[int, int] = {}

    async def begin(self, *, wanted: int = 2, least: int = 1, most: int = 20, available: int = 1) -> None:
        await self.hand.populate(wanted=wanted, least=least, most=most)
        settings = target("orders", wanted, least, most).settings
        changed = msgspec.structs.replace(
            target("orders", wanted, least, most), settings=msgspec.structs.replace(settings, min_available=available)
        )
        await self.hand.put(keys.target(SliceName("orders"), Version("1")), changed)
        await self.configure(hold_s=HOLD_S, rate_per_instance=100.0, utilisation=0.5)
        await self.settle()
        await self.loop._journal.open()

    async def configure(self, **members: Json) -> None:
        outcome = await self.submit("controller.configure", slice="orders", set=members)
        assert isinstance(outcome, Applied), outcome

    async def submit(self, operation: str, **request: Json) -> Outcome:
        return await self.hand.gate.submit(Submission(operation=operation, request=dict(request), actor=person("anna")))

    async def settle(self) -> None:
        """As many instances serve as are wanted, `start_s` after that."""
        wanted, now_s = self.hand.wanted(), self.hand.clock.unix_ms() // 1_000
        item = self.hand.state.get(keys.target(SliceName("orders"), Version("1")))
        assert item is not None
        now = decode(item.value, SliceTarget)
        for number in range(25):
            node = NodeId(f"n{number % 3 + 1}")
            at = keys.instance(node, SliceName("orders"), number)
            there = self.hand.state.get(at) is not None
            since_s = self._since_s.setdefault(number, now_s) if number < wanted else self._since_s.pop(number, now_s)
            if number < wanted and not there and now_s - since_s < self.start_s:
                continue
            if number < wanted and not there:
                await self.hand.put(at, assignment(now, number))
                await self.hand.put(keys.endpoint(SliceName("orders"), node, number), endpoint(node, number))
            elif number >= wanted and there:
                gone = (at, keys.endpoint(SliceName("orders"), node, number))
                await self.hand.store.txn((), [Delete(key=key) for key in gone])

    async def seconds(self, count: int, calls: int | None, **members: object) -> None:
        """calls: of each second; None is a second in which no node tells anything."""
        for _ in range(count):
            self.hand.pass_time(1_000)
            figures = {} if calls is None else {"orders": self.figures(calls, **members)}
            await self.second(figures)

    def figures(self, calls: int, **members: object) -> SliceFigures:
        instances = self.hand.wanted()
        return msgspec.structs.replace(
            SliceFigures(
                calls=calls,
                instances=instances,
                versions={"1": VersionFigures(calls=calls, instances=instances, slots=10 * instances)},
            ),
            **members,
        )

    async def second(self, figures: Mapping[str, SliceFigures]) -> None:
        nodes = tuple(NodeFigures(node=name, at_s=0) for name in self.heard if figures)
        self.context.take(ClosedSecond(at_s=self.hand.clock.unix_ms() // 1_000, slices=figures, nodes=nodes))
        fence = self.hand.fence()
        assert fence is not None
        async with anyio.create_task_group() as tasks:
            await self.loop.tick(fence, tasks)
        await self.settle()

    async def records(self) -> list[DecisionRecord]:
        return [each async for each in read_records(self.hand.store)]


def told(calls: int, busy_us: int) -> dict[str, VersionFigures]:
    """Of one second, of two instances with ten places each."""
    return {"1": VersionFigures(calls=calls, instances=2, slots=20, busy_us=busy_us)}


def assignment(of: SliceTarget, number: int) -> InstanceAssignment:
    return InstanceAssignment(
        slice=of.settings.slice,
        number=number,
        version=of.settings.version,
        artifact_sha256=of.artifact_sha256,
        settings=of.settings,
        generation=1,
        restarts=of.restarts,
    )


def endpoint(node: NodeId, number: int) -> Endpoint:
    return Endpoint(slice=SliceName("orders"), version=Version("1"), node=node, number=number)


@asynccontextmanager
async def live(**members: int) -> AsyncIterator[Live]:
    found = Live(GateOnHand())
    await found.begin(**members)
    yield found


async def test_instances_come_with_the_load_and_go_with_it_through_the_gate() -> None:
    async with live() as orders:
        await orders.seconds(40, 300)
        assert orders.hand.wanted() == 6
        await orders.seconds(150, 0)
        assert orders.hand.wanted() == 1
        await orders.hand.chain_all()
        applied = [each async for each in orders.hand.audit.links() if each.record["kind"] == "applied"]
        actors = [each.record["actor"]["kind"] for each in applied if each.record["operation"] == "slice.scale"]
        assert set(actors) == {ActorKind.CONTROLLER}
        changes = [each for each in await orders.records() if each.kind == "change"]
        assert max(each.decision.wanted for each in changes) == 6, "no spares where instances serve at once"
        assert changes[-1].seen.start_delay_s == 0


async def test_spares_are_started_where_instances_were_seen_to_be_slow() -> None:
    async with live() as orders:
        orders.start_s = 20
        await orders.seconds(90, 300)
        await orders.seconds(2, 900)
        await orders.seconds(1, 900)
        assert Because.SHORT in (await orders.records())[-1].decision.because


async def test_bounds_that_leave_no_choice_leave_the_slice_alone() -> None:
    async with live(wanted=2, least=2, most=2) as orders:
        await orders.seconds(60, 900)
        assert orders.hand.wanted() == 2
        assert await orders.records() == []


async def test_missing_figures_hold_everything_and_are_told_until_they_are_back() -> None:
    async with live() as orders:
        await orders.seconds(40, 300)
        await orders.seconds(200, None)
        assert orders.hand.wanted() == 6
        assert orders.hand.state.get(keys.scaling_trouble("orders")) is not None
        assert (await orders.records())[-1].decision.because == (Because.NO_METRICS,)
        await orders.seconds(1, 300)
        assert orders.hand.state.get(keys.scaling_trouble("orders")) is None


async def test_a_slice_that_nobody_calls_is_told_from_one_whose_figures_are_missing() -> None:
    """Else a quiet slice would look like a fault of telemetry, and a fault like a quiet slice."""
    async with live() as orders:
        await orders.submit("controller.configure", slice="orders", unset=["rate_per_instance"])
        found = []
        for calls, busy_us, seconds in ((0, 0, 30), (100, 0, 3), (100, 9_000_000, 30), (None, 0, 30), (0, 0, 3)):
            await orders.seconds(seconds, calls, versions=told(calls or 0, busy_us))
            judged = orders.loop.look("orders")
            assert judged is not None
            found.append(judged.decision.because[0])
        assert found == [Because.NO_TRAFFIC, Because.LEARNING, Because.RULES, Because.NO_METRICS, Because.RULES]


async def test_figures_of_a_part_of_the_nodes_take_nothing_away() -> None:
    """Else a leader that is cut off from a busy node would scale in under full load."""
    async with live() as orders:
        await orders.seconds(40, 300)
        orders.heard = ("n1", "n2")
        await orders.seconds(100, 50)
        assert orders.hand.wanted() == 6


@pytest.mark.parametrize("calls", [300_000, -5])
async def test_absurd_figures_are_not_believed(calls: int) -> None:
    async with live() as orders:
        await orders.seconds(40, 300, busy_us=300 * 100_000)
        await orders.seconds(2, calls)
        odd = orders.hand.state.get(keys.SCALING_ODDITY)
        assert odd is not None, "too short to hold anything, and told all the same"
        assert decode(odd.value, Oddity).why.startswith(f"{calls} calls in 1 s ")
        await orders.seconds(40, 300, busy_us=300 * 100_000)
        assert orders.hand.wanted() == 6
        assert orders.hand.state.get(keys.SCALING_ODDITY) == odd, "once"


async def test_a_counter_that_goes_back_is_not_taken_for_a_load_that_ended() -> None:
    async with live() as orders:
        await orders.seconds(40, 300)
        await orders.seconds(3, 0, went_back=True)
        odd = orders.hand.state.get(keys.SCALING_ODDITY)
        assert odd is not None
        assert "fewer calls" in decode(odd.value, Oddity).why
        judged = orders.loop.look("orders")
        assert judged is not None
        assert judged.seen.rate == pytest.approx(300.0)


async def test_while_a_deployment_is_under_way_nothing_goes() -> None:
    async with live() as orders:
        await orders.seconds(40, 300)
        outcome = await orders.submit("slice.restart", slice="orders")
        assert isinstance(outcome, Applied)
        await orders.seconds(100, 0)
        assert orders.hand.wanted() == 6
        await orders.seconds(10, 900)
        assert orders.hand.wanted() > 6


async def test_a_number_that_a_person_set_is_left_alone_for_a_while() -> None:
    async with live() as orders:
        await orders.seconds(40, 300)
        await orders.submit("slice.scale", slice="orders", instances=12)
        await orders.seconds(100, 300)
        assert orders.hand.wanted() == 12
        await orders.seconds(540, 300)
        assert orders.hand.wanted() < 12


async def test_a_pin_holds_until_it_expires_or_is_taken_away() -> None:
    async with live() as orders:
        await orders.seconds(40, 300)
        await orders.submit(
            "controller.pin", slice="orders", instances=3, minutes=1, created_unix_ms=orders.hand.clock.unix_ms()
        )
        await orders.seconds(55, 300)
        assert orders.hand.wanted() == 3
        await orders.configure(override_s=0)
        await orders.seconds(10, 300)
        assert orders.hand.wanted() == 6


async def test_a_freeze_holds_and_asks_nobody() -> None:
    """Else every second of a freeze would make a proposal."""
    async with live() as orders:
        await orders.submit("freeze.set", subject="cluster", why="sale")
        await orders.seconds(60, 900)
        assert orders.hand.wanted() == 2
        assert not orders.hand.state.items(keys.PROPOSALS)


async def test_a_clock_that_jumps_changes_nothing() -> None:
    async with live() as orders:
        await orders.seconds(40, 300)
        for jump_ms in (3_600_000, -7_200_000, 3_600_000):
            orders.hand.clock.now_ms += jump_ms
            await orders.seconds(20, 300)
            assert orders.hand.wanted() == 6


async def test_a_slice_without_calls_goes_to_none_where_it_may_and_comes_back() -> None:
    async with live(wanted=1, least=0, available=0) as orders:
        await orders.configure(idle_s=20, hold_s=HOLD_S)
        await orders.seconds(5, 20)
        await orders.seconds(200, 0)
        assert orders.hand.wanted() == 0
        await orders.seconds(1, 0, waiting=3)
        assert orders.hand.wanted() == 1


async def test_a_slice_that_was_hardly_called_goes_to_none_though_nothing_was_learnt_of_it() -> None:
    async with live(wanted=2, least=0, available=0) as orders:
        await orders.configure(idle_s=20)
        await orders.submit("controller.configure", slice="orders", unset=["rate_per_instance"])
        await orders.seconds(2, 1)
        await orders.seconds(19, 0)
        assert orders.hand.wanted() == 2
        await orders.seconds(HOLD_S + 5, 0)
        assert orders.hand.wanted() == 0


async def test_a_slice_at_none_comes_back_when_gateways_refuse_its_calls_whatever_was_learnt() -> None:
    """Its figures are those of gateways alone, and a new leader knows nothing of what it carries."""
    async with live(wanted=0, least=0, available=0) as orders:
        await orders.submit("controller.configure", slice="orders", unset=["rate_per_instance"])
        await orders.seconds(5, 0)
        assert orders.hand.wanted() == 0
        await orders.seconds(1, 0, refused=1)
        assert orders.hand.wanted() == 1
        assert (await orders.records())[-1].decision.because == (Because.WAITING,)


async def test_refused_calls_keep_the_last_instance() -> None:
    async with live(wanted=1, least=0, available=0) as orders:
        await orders.configure(idle_s=20, hold_s=HOLD_S)
        await orders.seconds(200, 0, refused=1)
        assert orders.hand.wanted() == 1


async def test_a_new_leader_takes_nothing_away_before_it_has_seen_enough() -> None:
    async with live() as orders:
        await orders.seconds(40, 300)
        await orders.seconds(20, 0)
        assert orders.hand.wanted() == 6
        orders.loop = scaling_on_hand(orders.hand, orders.hand.state, orders.context)
        await orders.loop._journal.open()
        await orders.seconds(HOLD_S - 1, 0)
        assert orders.hand.wanted() == 6
        await orders.seconds(2 * HOLD_S, 0)
        assert orders.hand.wanted() == 1


async def test_a_refused_change_is_not_tried_each_second() -> None:
    async with live() as orders:
        tried = 0

        class Refusing:
            async def submit(self, submission: Submission) -> Outcome:
                nonlocal tried
                tried += 1
                return Refused(code="refused_by_policy", detail="no")

        orders.loop._dispatcher = Refusing()
        await orders.seconds(60, 300)
        assert 2 <= tried <= 4
        assert {each.gate.outcome for each in await orders.records()} == {"refused"}


async def test_a_record_decides_again_as_it_did() -> None:
    """What replay stands on: a record holds everything that was decided on."""
    async with live() as orders:
        await orders.seconds(40, 300)
        await orders.seconds(60, 0)
        found = await orders.records()
        assert {each.kind for each in found} == {"change", "near_miss"}
        for record in found:
            again = decide(
                record.config, default_tree(), record.seen, record.around, opinion=record.opinion, explain=True
            )
            assert again == record.decision
            assert msgspec.json.decode(msgspec.json.encode(record), type=DecisionRecord) == record


@pytest.mark.parametrize("learnt", [True, False])
async def test_an_operators_rule_acts_through_the_gate_and_the_record_says_which(learnt: bool) -> None:
    """Also before it is known what an instance carries."""
    rules = """
    tree = false
    [[rules]]
    name = "calls wait"
    when = [{ signal = "waiting", above = 3 }]
    stable_for_s = 5
    step = 2
    cool_down_s = 30
    """
    async with live(wanted=2) as orders:
        assert isinstance(await orders.submit("controller.set-rules", slice="orders", source=rules), Applied)
        if not learnt:
            await orders.submit("controller.configure", slice="orders", unset=["rate_per_instance"])
        await orders.seconds(4, 10, waiting=4)
        assert orders.hand.wanted() == 2
        await orders.seconds(2, 10, waiting=4)
        assert orders.hand.wanted() == 4
        await orders.seconds(25, 10, waiting=4)
        assert orders.hand.wanted() == 4, "it has just been changed"
        await orders.seconds(10, 10, waiting=4)
        assert orders.hand.wanted() == 6
        await orders.seconds(HOLD_S + 10, 10)
        assert orders.hand.wanted() == 6, "no rule takes any away, and the tree is not asked"
        record = next(each for each in await orders.records() if each.kind == "change")
        assert (record.decision.because, record.decision.path) == ((Because.OWN_RULE,), ("calls wait",))
        again = decide(record.config, default_tree(), record.seen, record.around, opinion=record.opinion, explain=True)
        assert again == record.decision


async def test_what_came_of_a_decision_is_added_to_it_after_5_15_and_60_minutes() -> None:
    async with live() as orders:
        await orders.seconds(40, 300)
        first = (await orders.records())[0]
        for _ in range(60):
            await orders.seconds(1, 300)
            orders.hand.clock.now_ms += 60_000
        await orders.seconds(1, 300)
        changed = next(each for each in await orders.records() if each.id == first.id)
        assert [each.after_min for each in changed.outcomes] == [5, 15, 60]
        assert changed.outcomes[0].serving == 6


async def test_decisions_join_the_audits_chain() -> None:
    async with live() as orders:
        await orders.seconds(40, 300)
        record = (await orders.records())[0]
        await orders.hand.chain_all()
        await orders.hand.audit.verify()
        kept = [each.record async for each in orders.hand.audit.links() if each.record["kind"] == "decision"]
        assert kept[0]["id"] == record.id
        assert kept[0]["detail"]["decision"]["wanted"] == record.decision.wanted


async def test_records_are_bounded() -> None:
    async with live() as orders:
        await orders.seconds(40, 300)
        first = (await orders.records())[0]
        for number in range(2 * KEPT_PER_SLICE):
            await orders.loop._journal.write(msgspec.structs.replace(first, id=f"later{number:03}"), 1)
        kept = [each.id for each in await orders.records()]
        assert kept == [f"later{number:03}" for number in range(KEPT_PER_SLICE, 2 * KEPT_PER_SLICE)]


async def test_the_reasoning_layers_own_number_waits_for_an_approval() -> None:
    async with live() as orders:
        await orders.seconds(40, 300)
        memory = orders.loop._memories["orders"]
        memory.opinion = Opinion(choice=Choice.CUSTOM, reason="sale at noon", instances=12)
        memory.asked_at_s = orders.hand.clock.monotonic_s()
        await orders.seconds(1, 300)
        assert orders.hand.wanted() == 6
        (waiting,) = orders.hand.state.items(keys.PROPOSALS_OPEN)
        last = max((each for each in await orders.records()), key=lambda each: each.id)
        assert orders.hand.proposal(keys.parts(waiting.key)[0]).evidence == (f"decision:{last.id}",)
