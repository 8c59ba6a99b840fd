"""Small questions to the cheap model, beside an answer: which of some commands a sentence means, and whether claims
follow from their evidence. Whatever comes of one, the answer goes on."""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec

from llm_layer.claims.answer import schema_for
from llm_layer.graphs.prompts import given
from llm_layer.graphs.run import Run
from llm_layer.providers.errors import ModelsAbsent, ModelsExhausted
from llm_layer.providers.messages import Ask, Block

TOKENS_MAX: Final = 300  # numbers and words of a closed list, and no sentence

T = TypeVar("T", bound=msgspec.Struct)


async def aside(
    run: Run, task: str, facts: dict[str, object], answer: type[T], *, within_s: float
) -> tuple[T, str] | None:
    """With the provider and model that said it. None where no cheap model stands by, none answered in time, or what it
    said does not fit. `answer` has no free text: what this model writes is told to nobody, so nothing that it read can
    speak through it."""
    if not run.models.has_cheap:
        return None
    ask = Ask(
        system=(Block(text=task, cached=True),),
        messages=(given(**facts),),
        answer_schema=schema_for(answer),
        tokens_max=TOKENS_MAX,
        tier="cheap",
        incident=run.incident,
        within_s=within_s,
    )
    try:
        reply = await run.ask(ask)
        return msgspec.convert(reply.answer, answer), f"{reply.provider} {reply.model}"
    except (ModelsAbsent, ModelsExhausted, msgspec.ValidationError):
        return None
