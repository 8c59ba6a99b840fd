"""Settings of language models: who is asked, which of their models, for how long, and what may be spent."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

_AMOUNT: Final = r"\d{1,6}(?:\.\d{1,6})?"
PRICE_PATTERN: Final = rf"^\S{{1,100}}(?: {_AMOUNT}){{4}} \d{{4}}-\d\d-\d\d$(?!\n)"
DEFAULT_PRICES: Final = (
    "claude-opus-5-5 4 0.2 5 20 2026-11-27",
    "claude-sonnet-5-5 2 0.1 2.5 10 2026-11-27",
    "claude-haiku-5-5 0.1 0.01 0.125 0.5 2026-11-27",
    "gpt-6.2-sol 2 0.1 2.5 10 2026-11-27",
    "gpt-6-luna 0.1 0.01 0.125 0.5 2026-11-27",
    "* 15 15 30 75 2026-11-27",
)
"""The makers' list prices as read on that day, of questions below 100,000 tokens; `*` is as dear as any model of text
was in the two years before."""
LIVE: Final = {"applies": "live"}
SECONDS: Final = {"applies": "live", "unit": "s"}
FILE: Final = {"applies": "restart", "scope": "file"}  # where a key is sent is for who holds the node
ModelName = Annotated[str, Meta(max_length=100)]


class ModelSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    model_providers: Annotated[
        tuple[Literal["anthropic", "openai", "compatible"], ...],
        Meta(
            max_length=3,
            description="Providers of language models, in the order in which they are asked; none if empty. They are"
            " sent what is said, and what the cluster answers to it.",
            extra=LIVE,
        ),
    ] = ()
    model_anthropic_strong: Annotated[
        ModelName, Meta(description="Anthropic's model for conversations and investigations.", extra=LIVE)
    ] = "claude-sonnet-5-5"
    model_anthropic_cheap: Annotated[
        ModelName,
        Meta(
            description="Its model for small questions beside an answer (none are asked if it is the strong one), and"
            " when money runs short.",
            extra=LIVE,
        ),
    ] = "claude-haiku-5-5"
    model_anthropic_url: Annotated[str, Meta(description="Its address, if not its maker's own.", extra=FILE)] = ""
    model_openai_strong: Annotated[
        ModelName, Meta(description="OpenAI's model for conversations and investigations.", extra=LIVE)
    ] = "gpt-6.2-sol"
    model_openai_cheap: Annotated[
        ModelName,
        Meta(
            description="Its model for small questions beside an answer (none are asked if it is the strong one), and"
            " when money runs short.",
            extra=LIVE,
        ),
    ] = "gpt-6-luna"
    model_openai_url: Annotated[str, Meta(description="Its address, if not its maker's own.", extra=FILE)] = ""
    model_compatible_strong: Annotated[
        ModelName,
        Meta(description="Model of a server that is compatible with OpenAI's Chat Completions.", extra=LIVE),
    ] = ""
    model_compatible_cheap: Annotated[
        ModelName, Meta(description="Its model for small questions; the same one if empty.", extra=LIVE)
    ] = ""
    model_compatible_url: Annotated[
        str, Meta(description="That server's address, as http://127.0.0.1:8000/v1.", extra=FILE)
    ] = ""
    model_connect_s: Annotated[
        float, Meta(ge=0.1, le=60, description="For a connection to a provider.", extra=SECONDS)
    ] = 3.0
    model_first_token_s: Annotated[
        float, Meta(ge=0.1, le=600, description="For the first thing that a model writes.", extra=SECONDS)
    ] = 15.0
    model_total_s: Annotated[
        float,
        Meta(ge=1, le=100, description="For a question with all its tries, at all providers.", extra=SECONDS),
    ] = 90.0
    model_tokens_per_minute: Annotated[
        int,
        Meta(
            ge=0,
            le=1_000_000_000,
            description="Tokens that all questions may take; a quarter is kept for incidents, of money too.",
            extra=LIVE,
        ),
    ] = 60_000
    model_usd_per_hour: Annotated[
        float,
        Meta(
            ge=0,
            le=100_000,
            description="What models may cost in an hour; from 80 % on the cheap one answers.",
            extra={"unit": "US dollars", **LIVE},
        ),
    ] = 2.0
    model_usd_per_day: Annotated[
        float,
        Meta(ge=0, le=1_000_000, description="The same of a day (UTC).", extra={"unit": "US dollars", **LIVE}),
    ] = 20.0
    model_recordings: Annotated[
        int,
        Meta(
            ge=0,
            le=1_000,
            description="Conversations with a model that are recorded on the node that leads, the newest, with all"
            " that they were answered; none if 0.",
            extra=LIVE,
        ),
    ] = 0
    model_prices: Annotated[
        tuple[Annotated[str, Meta(pattern=PRICE_PATTERN)], ...],
        Meta(
            max_length=64,
            description="MODEL FRESH CACHED WRITTEN OUTPUT DATE: US dollars for a million tokens that are read, read"
            " from the cache, written to it, and answered. `*`: at what a model without a price is reserved.",
            extra=LIVE,
        ),
    ] = DEFAULT_PRICES
