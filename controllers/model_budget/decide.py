"""Whether a question to a model may be paid for. Pure: a budget and a wish in, a budget and an answer out.

The worst that a try may take is reserved before it is made, so what is spent in a window can never be more than its
limit, however many ask at once and whoever dies meanwhile.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from controllers.model_budget.records import (
    DAY_MS,
    HELD_MS,
    HOUR_MS,
    MINUTE_MS,
    MODELS_MAX,
    OPEN_MAX,
    RECENT_MAX,
    Answered,
    Budget,
    Decided,
    Denied,
    Granted,
    Limits,
    ModelSum,
    Reservation,
    Settlement,
    Tier,
    Window,
    Wish,
)

SHARE: Final = 0.75  # of each limit for all but incidents: the rest is kept for them
CHEAP_AT: Final = 0.80  # of the money: from there on the cheap model answers
OTHERS: Final = "others"


def rolled(budget: Budget, now_unix_ms: int) -> Budget:
    """As it stands now: sums of past windows are gone, and what a holder who died had reserved is spent."""
    now = max(now_unix_ms, budget.at_unix_ms)
    if now // DAY_MS != budget.day:
        budget = replace(budget, day=now // DAY_MS, day_micros=0, today=())
    if now // HOUR_MS != budget.hour:
        budget = replace(budget, hour=now // HOUR_MS, hour_micros=0)
    if now // MINUTE_MS != budget.minute:
        budget = replace(budget, minute=now // MINUTE_MS, minute_tokens=0)
    for each in budget.open:
        if now - each.at_unix_ms >= HELD_MS:
            budget = _spent(budget, each, each.tokens, each.micros)
            budget = replace(budget, lapsed=budget.lapsed + 1)
    return replace(budget, at_unix_ms=now)


def reserve(
    budget: Budget, wish: Wish, limits: Limits, *, identity: str, principal: str, now_unix_ms: int
) -> tuple[Budget, Decided]:
    budget = rolled(budget, now_unix_ms)
    share = 1.0 if wish.incident else SHARE
    tier: Tier = wish.tier
    if tier == "strong" and money_after(budget, wish.strong_micros, limits, share) > CHEAP_AT:
        tier = "cheap"
    micros = wish.strong_micros if tier == "strong" else wish.cheap_micros
    window = _full(budget, wish.tokens, micros, limits, share) or _saved_for_answers(budget, wish, limits, share)
    if window is not None:
        return budget, Denied(window=window, resets_in_s=resets_in_s(window, budget))
    held = Reservation(
        id=identity,
        at_unix_ms=budget.at_unix_ms,
        tokens=wish.tokens,
        micros=micros,
        provider=wish.provider,
        principal=principal,
    )
    return replace(budget, open=(*budget.open, held)), Granted(id=identity, tier=tier)


def settle(budget: Budget, settlement: Settlement, *, now_unix_ms: int) -> Budget:
    """A reservation that is not open has lapsed, and is spent already."""
    budget = rolled(budget, now_unix_ms)
    held = next((each for each in budget.open if each.id == settlement.id), None)
    if held is None:
        return budget
    micros = held.micros if settlement.micros is None else settlement.micros
    budget = _spent(budget, held, settlement.tokens, micros)
    if not settlement.model:
        return budget
    answered = Answered(
        at_unix_ms=budget.at_unix_ms,
        principal=held.principal,
        provider=held.provider,
        model=settlement.model,
        fresh=settlement.fresh,
        cached=settlement.cached,
        written=settlement.written,
        output=settlement.output,
        micros=settlement.micros,
    )
    today = _added(budget.today, settlement.model, settlement.tokens, micros)
    return replace(budget, recent=(*budget.recent, answered)[-RECENT_MAX:], today=today)


def reserved(budget: Budget) -> tuple[int, int]:
    """Tokens and money of what is under way."""
    return sum(each.tokens for each in budget.open), sum(each.micros for each in budget.open)


def _spent(budget: Budget, held: Reservation, tokens: int, micros: int) -> Budget:
    return replace(
        budget,
        open=tuple(each for each in budget.open if each.id != held.id),
        minute_tokens=budget.minute_tokens + tokens,
        hour_micros=budget.hour_micros + micros,
        day_micros=budget.day_micros + micros,
    )


def money_after(budget: Budget, micros: int, limits: Limits, share: float) -> float:
    """What part of the money would be gone, of the window that has least."""
    wanted = reserved(budget)[1] + micros
    pairs = ((budget.hour_micros, limits.hour_micros), (budget.day_micros, limits.day_micros))
    return max((spent + wanted) / (limit * share) if limit else 2.0 for spent, limit in pairs)


def _full(budget: Budget, tokens: int, micros: int, limits: Limits, share: float) -> Window | None:
    held_tokens, held_micros = reserved(budget)
    if len(budget.open) >= OPEN_MAX:
        return "open"
    if budget.day_micros + held_micros + micros > limits.day_micros * share:
        return "day"
    if budget.hour_micros + held_micros + micros > limits.hour_micros * share:
        return "hour"
    if budget.minute_tokens + held_tokens + tokens > limits.minute_tokens * share:
        return "minute"
    return None


def _saved_for_answers(budget: Budget, wish: Wish, limits: Limits, share: float) -> Window | None:
    """When money runs short nothing is asked beside the answers: the cheap model is wanted for them."""
    if wish.tier == "strong" or money_after(budget, wish.cheap_micros, limits, share) <= CHEAP_AT:
        return None
    return "hour" if limits.hour_micros - budget.hour_micros < limits.day_micros - budget.day_micros else "day"


def resets_in_s(window: str, budget: Budget) -> int:
    if window == "open":
        return HELD_MS // 1_000
    length = {"minute": MINUTE_MS, "hour": HOUR_MS, "day": DAY_MS}[window]
    return -(-(length - budget.at_unix_ms % length) // 1_000)


def _added(sums: tuple[ModelSum, ...], model: str, tokens: int, micros: int) -> tuple[ModelSum, ...]:
    """One more answer. Past MODELS_MAX names the sum is told as `others`."""
    known = {each.model: each for each in sums}
    if model not in known and len(known) >= MODELS_MAX - 1:
        model = OTHERS
    before = known.get(model, ModelSum(model=model))
    known[model] = ModelSum(
        model=model, answers=before.answers + 1, tokens=before.tokens + tokens, micros=before.micros + micros
    )
    return tuple(known.values())
