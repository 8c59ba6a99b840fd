"""The budget in the store: leaders that fall amid a transaction or before a settlement never let more be spent."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import count

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from controllers.model_budget.decide import rolled
from controllers.model_budget.keeper import BudgetKeeper, Purse
from controllers.model_budget.records import (
    HELD_MS,
    HOUR_MS,
    MINUTE_MS,
    Budget,
    Denied,
    Granted,
    Limits,
    ModelStanding,
    ProviderStanding,
    Settlement,
    Wish,
)
from runtime.consensus.errors import NotLeader, StoreFault, StoreUnavailable
from runtime.consensus.memory import MemoryStore
from runtime.consensus.store import LEADER_KEY, Compare, Operation, Put, TxnResult
from runtime.state import keys
from runtime.state.values import decode
from tests.unit.api_parts import api_on_hand
from tests.unit.gate_parts import HandClock

pytestmark = pytest.mark.anyio

LIMITS = Limits(minute_tokens=10_000, hour_micros=100_000, day_micros=1_000_000)


class FallingStore(MemoryStore):
    """Where `falls` says so, a transaction is answered by nobody: it was made all the same, or it was not."""

    def __init__(self) -> None:
        super().__init__()
        self.falls: random.Random | None = None

    async def txn(
        self, compare: Sequence[Compare], then: Sequence[Operation], otherwise: Sequence[Operation] = ()
    ) -> TxnResult:
        fate = self.falls.random() if self.falls is not None else 1.0
        if fate < 0.1:
            raise StoreUnavailable("nobody answered")
        done = await super().txn(compare, then, otherwise)
        if fate < 0.2:
            raise StoreUnavailable("nobody answered")
        return done


class World:
    def __init__(self) -> None:
        self.store = FallingStore()
        self.clock = HandClock()
        self.numbers = count(1)
        self.keeper = self.leader("n1")

    def leader(self, node: str) -> BudgetKeeper:
        """Another one, with its own fence: that of the one before holds no more."""
        self.store.engine.lead(node)
        fence = self.store.engine.machine.keys.get(LEADER_KEY)
        assert fence is not None
        return BudgetKeeper(
            node=node,
            store=self.store,
            led=lambda: fence.mod_revision,
            limits=lambda: LIMITS,
            new_id=lambda: f"r{next(self.numbers)}",
            clock=self.clock,
        )

    @property
    def budget(self) -> Budget:
        item = self.store.items.get(keys.MODEL_BUDGET)
        return rolled(decode(item.value, Budget) if item else Budget(), self.clock.unix_ms())


def wish(tokens: int, micros: int, *, incident: bool = False) -> Wish:
    return Wish(
        provider="anthropic", tier="strong", tokens=tokens, strong_micros=micros, cheap_micros=micros, incident=incident
    )


async def test_what_is_reserved_stands_in_the_store_before_the_question_is_asked_and_is_settled_after() -> None:
    world = World()
    purse = Purse(world.keeper, "ada")
    granted = await purse.reserve(wish(500, 900))
    assert isinstance(granted, Granted)
    assert [(each.id, each.principal, each.micros) for each in world.budget.open] == [("r1", "ada", 900)]
    await purse.settle(Settlement(id="r1", tokens=100, micros=80, model="m", fresh=90, output=10))
    assert (world.budget.open, world.budget.hour_micros, world.budget.minute_tokens) == ((), 80, 100)
    assert (world.budget.recent[0].model, world.budget.recent[0].principal) == ("m", "ada")


async def test_a_turn_settles_only_what_it_has_reserved_and_what_it_leaves_is_spent() -> None:
    world = World()
    mine, other = Purse(world.keeper, "ada"), Purse(world.keeper, "bob")
    await mine.reserve(wish(500, 900))
    await other.settle(Settlement(id="r1", tokens=0, micros=0))
    assert len(world.budget.open) == 1
    await mine.close()
    assert (world.budget.open, world.budget.hour_micros, world.budget.minute_tokens) == ((), 900, 500)


async def test_who_leads_no_more_lets_nothing_be_spent() -> None:
    world = World()
    world.leader("n2")
    with pytest.raises(NotLeader):
        await world.keeper.reserve(wish(1, 1), "ada")
    assert world.budget == rolled(Budget(), world.clock.unix_ms())


async def test_how_providers_stand_is_written_when_it_changes() -> None:
    world = World()
    ready = (ProviderStanding(name="anthropic", state="ready", strong="m"),)
    await world.keeper.stand(ready)
    revision = world.store.engine.machine.revision
    await world.keeper.stand(ready)
    assert world.store.engine.machine.revision == revision
    await world.keeper.stand(())
    assert decode(world.store.items[keys.MODEL_STANDING].value, ModelStanding).providers == ()


@settings(max_examples=20)
@given(seed=some.integers(0, 2**32))
def test_through_crashes_and_leader_changes_no_hour_is_overspent_and_nothing_is_lost(seed: int) -> None:
    """Questions truly cost what chance says, up to what was reserved; whoever asked may die before it settles, leaders
    change, and the store leaves transactions unanswered. The cost that providers saw stays within each window."""
    anyio.run(_crashed, seed)


async def _crashed(seed: int) -> None:
    chance, world = random.Random(seed), World()
    world.store.falls = chance
    hours: dict[int, int] = {}
    minutes: dict[int, int] = {}
    waiting: list[tuple[str, int, int]] = []
    for step in range(60):
        world.clock.now_ms += chance.choice((0, 1_000, 40_000, HELD_MS, HOUR_MS // 3))
        if chance.random() < 0.1:
            world.keeper = world.leader(f"n{step % 3}")
        try:
            if waiting and chance.random() < 0.5:
                identity, tokens, micros = waiting.pop(0)
                await world.keeper.settle(Settlement(id=identity, tokens=tokens, micros=micros, model="m"))
            else:
                asked = wish(chance.randrange(4_000), chance.randrange(40_000), incident=chance.random() < 0.3)
                decided = await world.keeper.reserve(asked, "ada")
                if isinstance(decided, Denied):
                    continue
                tokens, micros = (chance.randint(0, most) for most in (asked.tokens, asked.strong_micros))
                now = world.clock.unix_ms()
                hours[now // HOUR_MS] = hours.get(now // HOUR_MS, 0) + micros
                minutes[now // MINUTE_MS] = minutes.get(now // MINUTE_MS, 0) + tokens
                if chance.random() < 0.7:
                    waiting.append((decided.id, tokens, micros))
        except StoreFault:
            continue
    assert all(spent <= LIMITS.hour_micros for spent in hours.values()), f"seed {seed}"
    assert all(spent <= LIMITS.minute_tokens for spent in minutes.values()), f"seed {seed}"
    world.clock.now_ms += HELD_MS
    assert world.budget.open == ()
    hour = world.clock.unix_ms() // HOUR_MS
    assert world.budget.hour_micros >= hours.get(hour, 0), f"seed {seed}"


async def test_what_was_spent_and_who_is_there_is_told() -> None:
    async with api_on_hand() as hand:
        nothing = (await hand.ask("vic", "GET", "/v1/models/budget")).json()
        assert [(each["window"], each["limit"], each["spent"]) for each in nothing["windows"]] == [
            ("minute", 60_000, 0),
            ("hour", 2_000_000, 0),
            ("day", 20_000_000, 0),
        ]
        assert (await hand.ask("vic", "GET", "/v1/models")).json()["providers"] == []
        keeper = BudgetKeeper(
            node="n1",
            store=hand.hand.store,
            led=hand.hand.desk.fence,
            limits=lambda: LIMITS,
            new_id=hand.hand.desk.new_id,
            clock=hand.hand.clock,
        )
        purse = Purse(keeper, "anna")
        granted = await purse.reserve(wish(500, 90_000, incident=True))
        assert isinstance(granted, Granted)
        await purse.settle(Settlement(id=granted.id, tokens=400, micros=80_000, model="m", output=400))
        await purse.reserve(wish(100, 1_000, incident=True))
        await keeper.stand((ProviderStanding(name="anthropic", state="absent", why="no key"),))
        told = (await hand.ask("vic", "GET", "/v1/models/budget")).json()
        assert [(each["spent"], each["reserved"]) for each in told["windows"]] == [
            (400, 100),
            (80_000, 1_000),
            (80_000, 1_000),
        ]
        assert (told["under_way"], told["recent"][0]["micros"], told["today"][0]["answers"]) == (1, 80_000, 1)
        status = (await hand.ask("vic", "GET", "/v1/models")).json()
        assert (status["told_by"], status["providers"][0]["why"]) == ("n1", "no key")
        await hand.hand.store.txn(
            [], [Put(key=keys.config("cluster", "model_providers"), value=b'["openai","openai"]')]
        )
        await hand.seen()
        assert (await hand.ask("vic", "GET", "/v1/models")).json()["wanted"] == ["openai"]
