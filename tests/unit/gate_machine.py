"""What may happen to a gate, as data: Hypothesis draws some at a time and the order in which they interleave."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from runtime.consensus.store import Delete, Put
from runtime.operations.actor import Role
from runtime.operations.dispatch import Submission
from runtime.operations.state import PlanState
from runtime.state import keys
from runtime.state.values import SliceTarget, encode
from tests.unit.gate_parts import target
from tests.unit.gate_world import GUARD, TARGET, WHO, World, interleave, tolerated

nodes = st.sampled_from(["", "", "", "n1", "n2"])
"""Where it is asked; empty is the leader."""
people = st.sampled_from(["anna", "ben", "cleo", "dora", "bot"])
newest = st.integers(0, 3)
"""Which of the proposals, from the newest."""

schedules = st.lists(st.integers(0, 3), max_size=24)
"""Who goes on at each pause."""

asks = st.fixed_dictionaries(
    {
        "do": st.just("ask"),
        "node": nodes,
        "who": st.sampled_from(sorted(WHO)),
        "instances": st.integers(1, 8),
        "tainted": st.sampled_from([False, False, True]),
        "propose": st.booleans(),
        "break_glass": st.sampled_from([False, False, True]),
        "guard": st.booleans(),
        "match": st.sampled_from([0, 0, 1, -1]),
    }
)
repeats = st.fixed_dictionaries({"do": st.just("repeat"), "node": nodes, "key": st.integers(0, 3)})
votes = st.fixed_dictionaries(
    {
        "do": st.just("vote"),
        "node": nodes,
        "which": newest,
        "who": people,
        "approve": st.sampled_from([True, True, True, True, False]),
    }
)
rest = st.one_of(
    st.fixed_dictionaries({"do": st.just("settle"), "node": nodes}),
    st.fixed_dictionaries({"do": st.just("guards"), "node": nodes}),
    st.fixed_dictionaries({"do": st.just("chain"), "node": nodes}),
    st.fixed_dictionaries({"do": st.just("withdraw"), "node": nodes, "which": newest, "who": people}),
    st.fixed_dictionaries({"do": st.just("review"), "node": nodes, "who": people}),
    st.fixed_dictionaries({"do": st.just("role"), "who": people, "role": st.sampled_from(Role)}),
    st.fixed_dictionaries({"do": st.just("mark"), "key": st.sampled_from(["freeze/cluster", "incident/slice:orders"])}),
    st.fixed_dictionaries({"do": st.just("write"), "what": st.sampled_from(["tea", "restarts"])}),
    st.fixed_dictionaries(
        {"do": st.just("time"), "ms": st.sampled_from([1_000, 31_000, 31_000, 301_000, 901_000, 3_601_000])}
    ),
    st.fixed_dictionaries({"do": st.just("lead"), "node": nodes}),
    st.fixed_dictionaries({"do": st.just("errors"), "share": st.sampled_from([0.0, 0.5])}),
)
spoils = st.one_of(
    st.fixed_dictionaries({"do": st.just("mark"), "key": st.just("freeze/cluster")}),
    st.fixed_dictionaries(
        {"do": st.just("role"), "who": st.sampled_from(["ben", "cleo"]), "role": st.just(Role.VIEWER)}
    ),
)
settles = st.fixed_dictionaries({"do": st.just("settle"), "node": nodes})
actions = st.one_of(asks, asks, votes, votes, settles, settles, repeats, rest, rest)
REPEATED = (("anna", 6), ("model", 7), ("bot", 3), ("cleo", 5))


class GateMachine(RuleBasedStateMachine):
    """Safety alone: what may happen happens, and the world's oracle looks at every transaction."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.asked = 0

    @initialize(first=st.lists(asks, max_size=2))
    def begin(self, first: list[dict[str, Any]]) -> None:
        self._one_by_one(first)

    @rule(chosen=st.lists(actions, min_size=1, max_size=4), schedule=schedules)
    def together(self, chosen: list[dict[str, Any]], schedule: list[int]) -> None:
        interleave([self._do(each) for each in chosen], schedule)

    @rule(
        who=st.sampled_from(["model", "bot", "cleo"]),
        instances=st.integers(1, 8),
        tainted=st.booleans(),
        voters=st.sampled_from([("ben",), ("cleo", "ben"), ("ben", "cleo", "dora")]),
        between=st.lists(st.one_of(rest, spoils), max_size=1),
        then=st.lists(actions, max_size=2),
        schedule=schedules,
    )
    def agreed(
        self,
        who: str,
        instances: int,
        tainted: bool,
        voters: tuple[str, ...],
        between: list[dict[str, Any]],
        then: list[dict[str, Any]],
        schedule: list[int],
    ) -> None:
        """The way that most proposals go: asked for, voted for, and settled; and what comes between."""
        node = self.world.leader()
        self._one_by_one([{"do": "ask", "node": node, "who": who, "instances": instances, "tainted": tainted}])
        for voter in voters:
            self._one_by_one([{"do": "vote", "node": node, "which": 0, "who": voter, "approve": True}])
        self._one_by_one(between)
        interleave([self._do(each) for each in ({"do": "settle", "node": node}, *then)], schedule)

    @rule(do=st.sampled_from([{"do": "repeat", "key": 0}, {"do": "chain"}, {"do": "settle"}]), schedule=schedules)
    def twice(self, do: dict[str, Any], schedule: list[int]) -> None:
        """The same at once, by the leader."""
        interleave([self._do({**do, "node": ""}) for _ in range(2)], schedule)

    @rule(instances=st.integers(1, 8), elapsed_ms=st.sampled_from([901_000, 3_601_000]), schedule=schedules)
    def late(self, instances: int, elapsed_ms: int, schedule: list[int]) -> None:
        """The time is over while it is applied."""
        self.agreed(
            "model",
            instances,
            False,
            ("ben",),
            [{"do": "time", "ms": 31_000}],
            [{"do": "time", "ms": elapsed_ms}],
            schedule,
        )

    @rule(count=st.integers(3, 5))
    def hurried(self, count: int) -> None:
        """An agent that asks again as soon as its turn is over."""
        for number in range(count):
            self.agreed("bot", 3 + number, False, ("ben",), [{"do": "time", "ms": 31_000}], [], [])

    @rule(instances=st.integers(1, 8))
    def overridden(self, instances: int) -> None:
        """An admin breaks the glass."""
        ask = {"do": "ask", "node": "", "who": "cleo", "instances": instances, "tainted": True}
        self._one_by_one([{**ask, "propose": False, "break_glass": True}])

    @rule(who=st.sampled_from(["cleo", "anna", "model"]), instances=st.integers(3, 8))
    def guarded(self, who: str, instances: int) -> None:
        """A change with a guard, and then errors."""
        ask = {"do": "ask", "node": "", "who": who, "instances": instances, "tainted": False, "guard": True}
        steps = [{**ask, "propose": False}, {"do": "errors", "share": 0.5}, {"do": "guards", "node": ""}]
        self._one_by_one(steps)

    @rule()
    def hear(self) -> None:
        self.world.hear()

    def _one_by_one(self, chosen: list[dict[str, Any]]) -> None:
        for each in chosen:
            interleave([self._do(each)], [])

    @invariant()
    def unbroken(self) -> None:
        if self.world.broken:
            raise self.world.broken[0]

    def teardown(self) -> None:
        self.world.finished()

    async def _do(self, action: dict[str, Any]) -> None:
        if action.get("node") == "":
            action = {**action, "node": self.world.leader()}
        await tolerated(getattr(self, f"_{action['do']}")(action))

    # -- actions -------------------------------------------------------------------------------------------------------

    async def _ask(self, action: dict[str, Any]) -> None:
        self.asked += 1
        item = self.world.memory.items[TARGET]
        submission = Submission(
            operation="slice.scale",
            request={"slice": "orders", "instances": action["instances"]},
            actor=WHO[action["who"]],
            reason=f"ask {self.asked}",
            tainted=action["tainted"],
            propose=action.get("propose", True),
            break_glass=action.get("break_glass", False),
            guard=GUARD if action.get("guard") else None,
            if_match=max(1, item.mod_revision + action["match"] - 1) if action.get("match") else 0,
        )
        await self.world.submit(action["node"], submission)

    async def _repeat(self, action: dict[str, Any]) -> None:
        who, instances = REPEATED[action["key"]]
        submission = Submission(
            operation="slice.scale",
            request={"slice": "orders", "instances": instances},
            actor=WHO[who],
            reason=f"key {action['key']}",
            idempotency_key=f"k{action['key']}",
        )
        await self.world.submit(action["node"], submission)

    async def _vote(self, action: dict[str, Any]) -> None:
        known = sorted(self.world.waiting, reverse=True)
        if known:
            identity = known[action["which"] % len(known)]
            await self.world.cast(action["node"], identity, action["who"], approve=action["approve"])

    async def _withdraw(self, action: dict[str, Any]) -> None:
        known = sorted(self.world.waiting, reverse=True)
        if known:
            identity = known[action["which"] % len(known)]
            actor = self.world.nodes["n1"].desk.principal(_state(self.world), action["who"])
            if actor is not None:
                await self.world.nodes[action["node"]].votes.withdraw(identity, actor, reason="")

    async def _settle(self, action: dict[str, Any]) -> None:
        fence = self.world.believes.get(action["node"])
        if fence is not None:
            await self.world.nodes[action["node"]].applier.look(fence)

    async def _guards(self, action: dict[str, Any]) -> None:
        fence = self.world.believes.get(action["node"])
        if fence is not None:
            await self.world.nodes[action["node"]].guards.look_at_all(fence)

    async def _chain(self, action: dict[str, Any]) -> None:
        fence = self.world.believes.get(action["node"])
        if fence is not None:
            await self.world.nodes[action["node"]].chain.append(fence)

    async def _review(self, action: dict[str, Any]) -> None:
        for key in [key for key in self.world.memory.items if key.startswith(keys.REVIEWS)][:1]:
            actor = WHO.get(action["who"], WHO["ben"])
            await self.world.nodes[action["node"]].reviews.close(keys.parts(key)[0], actor, reason="seen")

    async def _role(self, action: dict[str, Any]) -> None:
        self.world.role(action["who"], action["role"])

    async def _mark(self, action: dict[str, Any]) -> None:
        key = action["key"]
        there = key in self.world.memory.items
        turn = Put(key=keys.MARKS_TURN, value=b"")
        self.world.environment([Delete(key=key) if there else Put(key=key, value=b"so"), turn])

    async def _write(self, action: dict[str, Any]) -> None:
        """Unrelated, or to another member of the very record that proposals change."""
        if action["what"] == "tea":
            self.world.environment([Put(key="slice-target/tea/1", value=encode(target("tea", 2)))])
            return
        now = msgspec.json.decode(self.world.memory.items[TARGET].value, type=SliceTarget)
        after = msgspec.structs.replace(now, restarts=now.restarts + 1)
        self.world.environment([Put(key=TARGET, value=encode(after))])

    async def _time(self, action: dict[str, Any]) -> None:
        self.world.pass_time(action["ms"])

    async def _lead(self, action: dict[str, Any]) -> None:
        self.world.lead(action["node"])

    async def _errors(self, action: dict[str, Any]) -> None:
        self.world.figures.known["orders", "errors_share"] = action["share"]


def _state(world: World) -> Any:
    return PlanState(world.nodes["n1"].desk.state)
