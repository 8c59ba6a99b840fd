"""Models ask one provider after the other, and whoever listens is never told two beginnings as one answer."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import pytest
from msgspec.structs import replace

from controllers.model_budget.records import Decided, Denied, Granted, Settlement, Wish
from llm_layer.errors import LlmFault
from llm_layer.providers.asking import Models
from llm_layer.providers.awake import answers
from llm_layer.providers.breaker import FAILURES_MAX, OPEN_S, Breaker, Breakers
from llm_layer.providers.errors import BudgetEmpty, ModelsAbsent, ModelsExhausted, ProviderFault
from llm_layer.providers.limits import Limits
from llm_layer.providers.messages import Ask, Message, Reply, Said, Tier, Usage
from llm_layer.providers.prices import Prices
from llm_layer.providers.provider import Heard

pytestmark = pytest.mark.anyio

ASK = Ask(system=(), messages=(Message(role="user", parts=(Said(text="why?"),)),))
DENIED = ProviderFault("denied", "it refuses the key")
FAILING = ProviderFault("failing", "it answers HTTP 500")
CUT = ProviderFault("cut", "the connection broke")
AMID_CALL = ProviderFault("cut", "the connection broke", amid_call=True)
PRICES = Prices(["first-strong 1 0.1 2 10 2026-11-27", "first-cheap 0.5 0.1 1 5 2026-11-27"])


class HandClock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def monotonic_s(self) -> float:
        return self.now_s

    def unix_ms(self) -> int:
        return 0


class Speaking:
    """Implements Provider: of each try it says the words, or begins with `begins` and fails. The last is repeated."""

    def __init__(self, name: str, *tries: str | ProviderFault, begins: str = "") -> None:
        self.name = name
        self.tries = list(tries)
        self.begins = begins
        self.asked: list[tuple[str, Tier]] = []

    def model(self, tier: Tier) -> str:
        return f"{self.name}-{tier}"

    async def stream(self, ask: Ask, heard: Heard) -> Reply:
        said = self._next("stream", ask)
        if self.begins:
            await heard.text(self.begins)
        if isinstance(said, ProviderFault):
            raise said
        await heard.text(said)
        return self._reply(ask, said)

    async def whole(self, ask: Ask) -> Reply:
        said = self._next("whole", ask)
        if isinstance(said, ProviderFault):
            raise said
        return self._reply(ask, said)

    async def close(self) -> None:
        pass

    def _next(self, way: str, ask: Ask) -> str | ProviderFault:
        self.asked.append((way, ask.tier))
        return self.tries.pop(0) if len(self.tries) > 1 else self.tries[0]

    def _reply(self, ask: Ask, said: str) -> Reply:
        return Reply(
            text=said,
            parts=(Said(text=said),),
            stop="end",
            usage=Usage(fresh=100, cached=50, output=10),
            provider=self.name,
            model=self.model(ask.tier),
        )


class Listening:
    """Implements Heard."""

    def __init__(self) -> None:
        self.words = ""
        self.anews = 0

    async def text(self, piece: str) -> None:
        self.words += piece

    async def anew(self) -> None:
        self.words = ""
        self.anews += 1


class Purse:
    """Implements Ledger: says what it was told to, and remembers."""

    def __init__(self, *decided: Denied | Tier) -> None:
        self.decided = list(decided)
        self.wishes: list[Wish] = []
        self.settled: list[Settlement] = []

    async def reserve(self, wish: Wish) -> Decided:
        self.wishes.append(wish)
        said = self.decided.pop(0) if self.decided else wish.tier
        return said if isinstance(said, Denied) else Granted(id=f"r{len(self.wishes)}", tier=said)

    async def settle(self, settlement: Settlement) -> None:
        await anyio.lowlevel.checkpoint()
        self.settled.append(settlement)


class Pauses:
    def __init__(self) -> None:
        self.all: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.all.append(seconds)


def models(*providers: Speaking, pauses: Pauses | None = None, purse: Purse | None = None) -> Models:
    return Models(providers, pause=pauses or Pauses(), ledger=purse, prices=PRICES, jitter=lambda: 0.5)


async def test_the_next_provider_answers_where_the_first_does_not_and_what_it_began_is_void() -> None:
    listening = Listening()
    asked = models(Speaking("first", DENIED, begins="Because of the"), Speaking("second", "because"))
    reply = await asked.ask(ASK, listening)
    assert (reply.provider, listening.words, listening.anews) == ("second", "because", 1)


async def test_who_heard_nothing_is_not_told_to_forget_it() -> None:
    listening = Listening()
    await models(Speaking("first", DENIED), Speaking("second", "because")).ask(ASK, listening)
    assert (listening.words, listening.anews) == ("because", 0)


async def test_the_fault_names_every_provider_that_was_asked_in_vain() -> None:
    with pytest.raises(ModelsExhausted) as raised:
        await models(Speaking("first", DENIED), Speaking("second", FAILING)).ask(ASK)
    assert [each.provider for each in raised.value.tried] == ["first", "second", "second", "second"]


async def test_without_a_provider_models_are_absent_and_say_where_it_is_told_how() -> None:
    assert not models().present
    with pytest.raises(ModelsAbsent) as raised:
        await models().ask(ASK)
    assert "docs/guides/llm.md" in raised.value.remedy


async def test_a_provider_that_fails_is_asked_twice_more_with_growing_pauses() -> None:
    pauses, first = Pauses(), Speaking("first", FAILING, CUT, "at last")
    assert (await models(first, pauses=pauses).ask(ASK)).text == "at last"
    assert pauses.all == [0.5, 1.0]


async def test_a_listener_who_is_gone_before_a_probing_try_leaves_the_provider_to_be_asked() -> None:
    """The one question that finds out for all has to say how it went, whatever happens before it is sent."""

    class Gone(Listening):
        async def anew(self) -> None:
            raise ConnectionResetError

    clock, second = HandClock(), Speaking("second", FAILING)
    asked = Models([Speaking("first", DENIED, begins="Because"), second], breakers=Breakers(clock), pause=Pauses())
    for _ in range(2):
        with pytest.raises(ModelsExhausted):
            await asked.ask(ASK)
    clock.now_s += OPEN_S
    with pytest.raises(ConnectionResetError):
        await asked.ask(ASK, Gone())
    second.tries = ["well again"]
    assert (await asked.ask(ASK)).text == "well again"


@pytest.mark.parametrize(("after_s", "pauses"), [(7.0, [7.0]), (0.1, [0.5]), (21.0, [])])
async def test_retry_after_is_honoured_or_the_next_provider_asked(after_s: float, pauses: list[float]) -> None:
    waited, limited = Pauses(), ProviderFault("limited", "HTTP 429", retry_after_s=after_s)
    reply = await models(Speaking("first", limited, "here"), Speaking("second", "there"), pauses=waited).ask(ASK)
    assert waited.all == pauses
    assert reply.text == ("here" if pauses else "there")


@pytest.mark.parametrize("trouble", ["slow", "denied", "rejected", "garbled"])
async def test_what_would_be_the_same_again_is_not_tried_again(trouble: str) -> None:
    first = Speaking("first", ProviderFault(trouble, "no"))  # type: ignore[arg-type]
    assert (await models(first, Speaking("second", "yes")).ask(ASK)).text == "yes"
    assert len(first.asked) == 1


async def test_a_stream_cut_amid_a_call_is_asked_once_more_without_streaming() -> None:
    listening, pauses, first = Listening(), Pauses(), Speaking("first", AMID_CALL, "whole", begins="I lo")
    await models(first, pauses=pauses).ask(ASK, listening)
    assert pauses.all == []
    assert [way for way, _ in first.asked] == ["stream", "whole"]
    assert (listening.words, listening.anews) == ("whole", 1)
    second = Speaking("first", AMID_CALL, FAILING)
    with pytest.raises(ModelsExhausted):
        await models(second).ask(ASK)
    assert [way for way, _ in second.asked] == ["stream", "whole"]


async def test_who_keeps_failing_is_left_alone_for_a_minute_then_asked_once() -> None:
    clock, first = HandClock(), Speaking("first", FAILING)
    asked = Models([first, Speaking("second", "yes")], breakers=Breakers(clock), pause=Pauses())
    for _ in range(3):
        await asked.ask(ASK)
    assert len(first.asked) == 5
    clock.now_s += 59.9
    await asked.ask(ASK)
    assert len(first.asked) == 5
    clock.now_s += 0.1
    await asked.ask(ASK)
    assert len(first.asked) == 6  # it failed again: open for another minute
    clock.now_s += 60
    first.tries = ["well again"]
    assert (await asked.ask(ASK)).text == "well again"
    assert (await asked.ask(ASK)).text == "well again"


def test_of_many_who_ask_after_that_minute_one_finds_out_for_all() -> None:
    clock = HandClock()
    breaker = Breaker(clock)
    for _ in range(FAILURES_MAX):
        breaker.failed("HTTP 500")
    clock.now_s += OPEN_S
    assert [breaker.allows() for _ in range(3)] == [True, False, False]
    breaker.unknown()
    assert breaker.allows()
    breaker.went_well()
    assert [breaker.allows() for _ in range(3)] == [True, True, True]


async def test_a_rejected_request_is_not_held_against_the_provider() -> None:
    clock, first = HandClock(), Speaking("first", ProviderFault("rejected", "HTTP 400"))
    asked = Models([first, Speaking("second", "yes")], breakers=Breakers(clock), pause=Pauses())
    for _ in range(9):
        await asked.ask(ASK)
    assert len(first.asked) == 9


async def test_the_worst_case_is_reserved_before_and_what_it_took_is_settled_after() -> None:
    purse = Purse()
    asked = models(Speaking("first", "yes"), purse=purse)
    reply = await asked.ask(replace(ASK, tokens_max=1_000, incident=True))
    wish, settled = purse.wishes[0], purse.settled[0]
    assert wish.tokens > 1_000
    assert wish.strong_micros == (wish.tokens - 1_000) * 2 + 1_000 * 10
    assert wish.cheap_micros == (wish.tokens - 1_000) + 1_000 * 5
    assert wish.incident
    assert reply.cost_micros == settled.micros == 100 + 5 + 10 * 10
    assert (settled.id, settled.tokens, settled.model, settled.cached) == ("r1", 110, "first-strong", 50)


async def test_the_cheap_model_answers_where_the_budget_says_so() -> None:
    first = Speaking("first", "yes")
    reply = await models(first, purse=Purse("cheap")).ask(ASK)
    assert (reply.model, first.asked) == ("first-cheap", [("stream", "cheap")])


async def test_a_small_question_is_not_waited_for_as_long_as_an_answer() -> None:
    class Slow(Speaking):
        async def stream(self, ask: Ask, heard: Heard) -> Reply:
            await anyio.sleep_forever()
            raise AssertionError

    purse = Purse()
    with pytest.raises(ModelsExhausted, match=r"within 0\.01 s"):
        await models(Slow("first", "yes"), purse=purse).ask(replace(ASK, within_s=0.01))
    assert [each.tokens for each in purse.settled] == [purse.wishes[0].tokens]  # nobody tells us what it wrote


async def test_why_nobody_answered_is_told_once_with_how_often() -> None:
    with pytest.raises(ModelsExhausted) as raised:
        await models(Speaking("first", FAILING), Speaking("second", DENIED)).ask(ASK)
    assert str(raised.value) == "first: it answers HTTP 500 (3 times); second: it refuses the key"


@pytest.mark.parametrize(("said", "there"), [("here", True), (DENIED, False)])
async def test_whether_a_model_answers_is_asked_for_a_word(said: str | ProviderFault, *, there: bool) -> None:
    purse = Purse()
    assert await answers(models(Speaking("first", said), purse=purse), incident=True) is there
    assert (purse.wishes[0].incident, purse.wishes[0].tokens < 2_000) == (True, True)
    assert not await answers(models(), incident=False)


async def test_a_provider_with_one_model_has_none_for_small_questions() -> None:
    one = Speaking("local", "yes")
    one.model = lambda _tier: "local"  # type: ignore[method-assign]  # both are the same
    assert not models(one).has_cheap
    assert models(one, Speaking("first", "yes")).has_cheap


async def test_an_empty_budget_asks_nobody() -> None:
    first = Speaking("first", "yes")
    with pytest.raises(BudgetEmpty) as raised:
        await models(first, purse=Purse(Denied(window="hour", resets_in_s=60))).ask(ASK)
    assert "hour" in str(raised.value)
    assert isinstance(raised.value, ModelsExhausted)
    assert first.asked == []


async def test_where_nothing_can_be_reserved_nobody_is_asked_and_rules_may_answer() -> None:
    """As while the store has no majority: a turn that ended there would have told nothing of what rules can say."""

    class Lost(Purse):
        async def reserve(self, wish: Wish) -> Decided:
            raise LlmFault("the store has no majority")

    first = Speaking("first", "yes")
    with pytest.raises(ModelsExhausted, match="no majority"):
        await models(first, purse=Lost()).ask(ASK)
    assert first.asked == []


@pytest.mark.parametrize(("fault", "tokens"), [(FAILING, False), (DENIED, False), (CUT, True)])
async def test_of_a_failed_try_only_what_may_be_billed_is_spent(fault: ProviderFault, tokens: bool) -> None:
    purse = Purse()
    await models(Speaking("first", fault, "yes"), Speaking("second", "yes"), purse=purse).ask(ASK)
    assert (purse.settled[0].tokens, purse.settled[0].micros) == ((purse.wishes[0].tokens, None) if tokens else (0, 0))
    assert len(purse.settled) == len(purse.wishes) == 2


async def test_a_model_without_a_price_is_reserved_at_the_stated_worst_and_its_cost_is_unknown() -> None:
    purse = Purse()
    asked = Models([Speaking("local", "yes")], ledger=purse, prices=Prices(["* 1 1 1 3 2026-11-27"]))
    reply = await asked.ask(ASK)
    assert reply.cost_micros is None
    assert purse.settled[0].micros is None
    assert purse.wishes[0].strong_micros == purse.wishes[0].tokens - ASK.tokens_max + 3 * ASK.tokens_max


class Hanging(Speaking):
    """Never answers."""

    def __init__(self, name: str) -> None:
        super().__init__(name, "")
        self.began = anyio.Event()

    async def stream(self, ask: Ask, heard: Heard) -> Reply:
        self.began.set()
        await anyio.sleep_forever()
        raise AssertionError


async def test_all_tries_together_have_one_deadline_and_what_was_under_way_is_spent() -> None:
    purse = Purse()
    asked = Models([Hanging("first"), Speaking("second", "yes")], ledger=purse, limits=Limits(total_s=0.02))
    with pytest.raises(ModelsExhausted) as raised:
        await asked.ask(ASK)
    assert [each.trouble for each in raised.value.tried] == ["slow"]
    assert purse.settled == [Settlement(id="r1", tokens=purse.wishes[0].tokens)]


async def test_a_turn_that_is_given_up_settles_what_it_had_reserved_and_blames_nobody() -> None:
    purse, hanging, breakers = Purse(), Hanging("first"), Breakers(HandClock())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Models([hanging], ledger=purse, breakers=breakers).ask, ASK)
        await hanging.began.wait()
        tasks.cancel_scope.cancel()
    assert [each.id for each in purse.settled] == ["r1"]
    assert breakers.of("first").failures == 0
