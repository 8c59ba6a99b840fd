"""What may be spent on models: never more than the limits in any window, whoever asks and whoever dies."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from msgspec.structs import replace

from controllers.model_budget.decide import CHEAP_AT, OTHERS, SHARE, reserve, reserved, rolled, settle
from controllers.model_budget.records import (
    DAY_MS,
    HELD_MS,
    HOUR_MS,
    MINUTE_MS,
    MODELS_MAX,
    OPEN_MAX,
    RECENT_MAX,
    Budget,
    Decided,
    Denied,
    Granted,
    Limits,
    Settlement,
    Tier,
    Wish,
)
from runtime.consensus.store import VALUE_BYTES_MAX

LIMITS = Limits(minute_tokens=60_000, hour_micros=2_000_000, day_micros=20_000_000)
NOW = 20_000 * DAY_MS


@dataclass
class Spender:
    """Reserves and settles, and keeps its own sums of what truly was spent in each window."""

    budget: Budget = field(default_factory=Budget)
    now: int = NOW
    number: int = 0
    tokens: dict[int, int] = field(default_factory=dict)
    hours: dict[int, int] = field(default_factory=dict)
    days: dict[int, int] = field(default_factory=dict)

    def reserve(
        self, tokens: int, micros: int, *, incident: bool = False, limits: Limits = LIMITS, tier: Tier = "strong"
    ) -> Decided:
        self.number += 1
        wish = Wish(
            provider="p",
            tier=tier,
            tokens=tokens,
            strong_micros=micros,
            cheap_micros=micros // 10,
            incident=incident,
        )
        self._lapse()
        self.budget, decided = reserve(
            self.budget, wish, limits, identity=f"r{self.number}", principal="person:ada", now_unix_ms=self.now
        )
        return decided

    def settle(self, identity: str, share: float) -> None:
        self._lapse()
        held = {each.id: each for each in self.budget.open}.get(identity)
        if held is None:
            self.budget = settle(self.budget, Settlement(id=identity, tokens=1, micros=1), now_unix_ms=self.now)
            return
        tokens, micros = int(held.tokens * share), int(held.micros * share)
        self._count(tokens, micros)
        settlement = Settlement(id=identity, tokens=tokens, micros=micros, model="m")
        self.budget = settle(self.budget, settlement, now_unix_ms=self.now)

    def _lapse(self) -> None:
        for each in self.budget.open:
            if self.now - each.at_unix_ms >= HELD_MS:
                self._count(each.tokens, each.micros)
        self.budget = rolled(self.budget, self.now)

    def _count(self, tokens: int, micros: int) -> None:
        for sums, length, amount in (
            (self.tokens, MINUTE_MS, tokens),
            (self.hours, HOUR_MS, micros),
            (self.days, DAY_MS, micros),
        ):
            sums[self.now // length] = sums.get(self.now // length, 0) + amount


STEPS = some.lists(
    some.one_of(
        some.tuples(some.just("reserve"), some.integers(0, 30_000), some.integers(0, 900_000), some.booleans()),
        some.tuples(some.just("settle"), some.integers(1, 30), some.floats(0, 1), some.just(False)),
        some.tuples(some.just("wait"), some.integers(0, 2 * HOUR_MS), some.just(0), some.just(False)),
    ),
    max_size=60,
)


@settings(max_examples=25)
@given(STEPS)
def test_no_window_is_ever_overspent_and_nothing_reserved_is_forgotten(
    steps: list[tuple[str, int, float, bool]],
) -> None:
    """Settled, lapsed or still open: it all counts; what is spent in a window stays within its limit."""
    spender = Spender()
    for step, first, second, incident in steps:
        match step:
            case "reserve":
                spender.reserve(first, int(second), incident=incident)
            case "settle":
                spender.settle(f"r{first}", second)
            case _:
                spender.now += first
        held_tokens, held_micros = reserved(spender.budget)
        budget = rolled(spender.budget, spender.now)
        assert budget.minute_tokens + reserved(budget)[0] <= LIMITS.minute_tokens
        assert budget.hour_micros + reserved(budget)[1] <= LIMITS.hour_micros
        assert budget.day_micros + reserved(budget)[1] <= LIMITS.day_micros
        assert held_tokens >= 0
        assert held_micros >= 0
    spender.now = max(spender.now, spender.budget.at_unix_ms) + HELD_MS
    spender._lapse()
    assert spender.budget.open == ()
    assert all(spent <= LIMITS.minute_tokens for spent in spender.tokens.values())
    assert all(spent <= LIMITS.hour_micros for spent in spender.hours.values())
    assert all(spent <= LIMITS.day_micros for spent in spender.days.values())
    assert spender.budget.hour_micros == spender.hours.get(spender.now // HOUR_MS, 0)


@settings(max_examples=25)
@given(STEPS, some.integers(0, 60))
def test_whoever_dies_between_reserve_and_settle_a_new_leader_counts_it_as_spent(
    steps: list[tuple[str, int, float, bool]], dies_at: int
) -> None:
    """The one truth is the record: read again from its bytes at any point it leads to the same decisions."""
    spender = Spender()
    for at, (step, first, second, incident) in enumerate(steps):
        if at == dies_at:
            again = msgspec.json.decode(msgspec.json.encode(spender.budget), type=Budget)
            assert again == spender.budget
            before = spender.budget
            spender = Spender(budget=again, now=spender.now, number=spender.number)
            after = rolled(again, max(spender.now, again.at_unix_ms) + HELD_MS)
            assert after.open == ()
            assert after.lapsed == before.lapsed + len(before.open)
        if step == "reserve":
            spender.reserve(first, int(second), incident=incident)
        elif step == "wait":
            spender.now += first
    left, later = spender.budget, max(spender.now, spender.budget.at_unix_ms) + HELD_MS
    lost = sum(each.micros for each in left.open)
    known = left.day_micros if later // DAY_MS == left.day else 0
    assert rolled(left, later).day_micros == known + lost


def test_a_quarter_is_kept_for_incidents() -> None:
    spender = Spender()
    assert spender.reserve(10, int(LIMITS.hour_micros * SHARE * CHEAP_AT)) == Granted(id="r1", tier="strong")
    assert isinstance(
        spender.reserve(10, 3_100_000), Denied
    )  # 310,000 of the cheap: more than the 300,000 that are left
    assert isinstance(spender.reserve(10, 3_100_000, incident=True), Granted)


def test_the_cheap_model_answers_from_four_fifths_of_the_money_on() -> None:
    spender = Spender()
    money = int(LIMITS.hour_micros * SHARE)
    assert spender.reserve(10, int(money * CHEAP_AT)) == Granted(id="r1", tier="strong")
    assert spender.reserve(10, 10_000) == Granted(id="r2", tier="cheap")
    assert spender.budget.open[1].micros == 1_000


@pytest.mark.parametrize(
    ("limits", "window", "resets_in_s"),
    [(LIMITS, "hour", 3_600), (replace(LIMITS, day_micros=LIMITS.hour_micros), "day", 86_400)],
)
def test_from_there_on_nothing_is_asked_beside_the_answers(limits: Limits, window: str, resets_in_s: int) -> None:
    spender = Spender()
    assert spender.reserve(10, 10_000, tier="cheap", limits=limits) == Granted(id="r1", tier="cheap")
    assert spender.reserve(10, 1_150_000, limits=limits) == Granted(id="r2", tier="strong")
    denied = Denied(window=window, resets_in_s=resets_in_s)  # type: ignore[arg-type]  # one of them
    assert spender.reserve(10, 1_000_000, tier="cheap", limits=limits) == denied
    assert spender.reserve(10, 1_000_000, limits=limits) == Granted(id="r4", tier="cheap")


@pytest.mark.parametrize(
    ("window", "limits", "resets_in_s"),
    [
        ("minute", replace(LIMITS, minute_tokens=100), 60),
        ("hour", replace(LIMITS, hour_micros=100), 3_600),
        ("day", replace(LIMITS, day_micros=100), 86_400),
    ],
)
def test_it_says_which_window_is_spent_and_when_the_next_begins(window: str, limits: Limits, resets_in_s: int) -> None:
    assert Spender().reserve(100, 1_000, limits=limits) == Denied(window=window, resets_in_s=resets_in_s)  # type: ignore[arg-type]


def test_a_limit_of_nothing_lets_nothing_through() -> None:
    nothing = Limits(minute_tokens=0, hour_micros=0, day_micros=0)
    assert isinstance(Spender().reserve(1, 1, limits=nothing), Denied)


def test_what_was_not_settled_in_time_is_spent_once_even_if_it_is_settled_later() -> None:
    spender = Spender()
    spender.reserve(5_000, 100_000)
    spender.now += HELD_MS
    spender.settle("r1", 0.0)
    assert (spender.budget.hour_micros, spender.budget.lapsed, spender.budget.open) == (100_000, 1, ())


def test_a_clock_that_goes_back_opens_no_window_again() -> None:
    spender = Spender()
    spender.reserve(5_000, 100_000)
    spender.settle("r1", 1.0)
    spender.now -= 2 * HOUR_MS
    spender.reserve(1, 1)
    assert spender.budget.hour_micros == 100_000


def test_an_unknown_price_is_spent_as_it_was_reserved_and_told_as_unknown() -> None:
    spender = Spender()
    spender.reserve(5_000, 100_000)
    spender.budget = settle(spender.budget, Settlement(id="r1", tokens=7, model="m"), now_unix_ms=spender.now)
    assert (spender.budget.hour_micros, spender.budget.recent[0].micros) == (100_000, None)


def test_the_record_stays_small_whatever_happens() -> None:
    """Its value has a limit in the store: so many reservations, answers and models at most."""
    spender, ample = Spender(), Limits(minute_tokens=10**12, hour_micros=10**12, day_micros=10**12)
    long = "x" * 100
    for number in range(OPEN_MAX + 40):
        decided = spender.reserve(1, 1, limits=ample)
        if number < 40 and isinstance(decided, Granted):
            settlement = Settlement(id=decided.id, tokens=1, micros=1, model=f"{long[:90]}{number}")
            spender.budget = settle(spender.budget, settlement, now_unix_ms=spender.now)
    assert spender.reserve(1, 1, limits=ample) == Denied(window="open", resets_in_s=HELD_MS // 1_000)
    budget = spender.budget
    assert (len(budget.open), len(budget.recent), len(budget.today)) == (OPEN_MAX, RECENT_MAX, MODELS_MAX)
    assert sum(each.answers for each in budget.today) == 40
    assert budget.today[-1].model == OTHERS
    widest = replace(
        budget,
        open=tuple(replace(each, id=long, provider=long, principal=long * 2) for each in budget.open),
        recent=tuple(replace(each, principal=long * 2, provider=long) for each in budget.recent),
    )
    assert len(msgspec.json.encode(widest)) < VALUE_BYTES_MAX
