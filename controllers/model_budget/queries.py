"""What can be asked about language models: who of their providers is there, and what was spent."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from controllers.model_budget.records import Answered, ModelSum, ProviderStanding
from runtime.operations.operation import Request, Result
from runtime.operations.queries.page import read

MoneyField = Annotated[int, Meta(description="Millionths of a US dollar.")]


class ModelStatusRequest(Request, frozen=True, kw_only=True):
    pass


class ModelBudgetRequest(Request, frozen=True, kw_only=True):
    pass


class ModelStatusShown(Result, frozen=True, kw_only=True):
    wanted: Annotated[tuple[str, ...], Meta(description="Of the setting `model_providers`, in their order.")]
    providers: Annotated[
        tuple[ProviderStanding, ...],
        Meta(description="As the process that asks them last told it; it starts with the first word said."),
    ]
    told_by: Annotated[str, Meta(description="That process's node; empty: none has told anything yet.")] = ""
    told_unix_ms: int = 0


class WindowShown(msgspec.Struct, frozen=True, kw_only=True):
    """limit and spent: tokens of a minute, else millionths of a US dollar. reserved: for questions under way."""

    window: str
    limit: int
    spent: int
    reserved: int
    resets_in_s: int


class ModelBudgetShown(Result, frozen=True, kw_only=True):
    windows: tuple[WindowShown, ...]
    cheap: Annotated[bool, Meta(description="Whether the cheap models answer, as most of the money is spent.")]
    for_all: Annotated[float, Meta(description="Share of the limits that all but incidents may use.")]
    under_way: int
    lapsed: Annotated[int, Meta(description="Reservations that nobody settled, and that count as spent.")]
    today: Annotated[tuple[ModelSum, ...], Meta(description="By model, since midnight UTC.")]
    recent: Annotated[tuple[Answered, ...], Meta(description="The last answers, newest first, 20 at most.")]


QUERIES: Final = (
    read(
        "model.status",
        "Which providers of language models are there, and why others are not.",
        ModelStatusRequest,
        ModelStatusShown,
        "/v1/models",
    ),
    read(
        "model.budget",
        "What language models may cost, and did.",
        ModelBudgetRequest,
        ModelBudgetShown,
        "/v1/models/budget",
    ),
)
