"""The budget as it is told. Pure."""

from __future__ import annotations

from controllers.model_budget.decide import CHEAP_AT, SHARE, money_after, reserved, resets_in_s, rolled
from controllers.model_budget.queries import ModelBudgetShown, WindowShown
from controllers.model_budget.records import Budget, Limits


def shown(budget: Budget, limits: Limits, now_unix_ms: int) -> ModelBudgetShown:
    budget = rolled(budget, now_unix_ms)
    tokens, micros = reserved(budget)
    of_windows = (
        ("minute", limits.minute_tokens, budget.minute_tokens, tokens),
        ("hour", limits.hour_micros, budget.hour_micros, micros),
        ("day", limits.day_micros, budget.day_micros, micros),
    )
    return ModelBudgetShown(
        windows=tuple(
            WindowShown(window=name, limit=limit, spent=spent, reserved=held, resets_in_s=resets_in_s(name, budget))
            for name, limit, spent, held in of_windows
        ),
        cheap=money_after(budget, 0, limits, SHARE) > CHEAP_AT,
        for_all=SHARE,
        under_way=len(budget.open),
        lapsed=budget.lapsed,
        today=budget.today,
        recent=tuple(reversed(budget.recent)),
    )
