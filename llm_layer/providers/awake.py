"""Whether a model answers, found out by asking for one word."""

from __future__ import annotations

from typing import Final

from llm_layer.providers.entry import ModelEntry
from llm_layer.providers.errors import ModelsAbsent, ModelsExhausted
from llm_layer.providers.messages import Ask, Message, Said

WITHIN_S: Final = 20.0
TOKENS_MAX: Final = 16  # the fewest that every provider takes
WORD: Final = Message(role="user", parts=(Said(text="Answer with one word: here"),))


async def answers(models: ModelEntry, *, incident: bool) -> bool:
    """Through the same breakers and the same budget as any question; incident: with what is kept for those."""
    ask = Ask(system=(), messages=(WORD,), tokens_max=TOKENS_MAX, incident=incident, within_s=WITHIN_S)
    try:
        await models.ask(ask)
    except (ModelsAbsent, ModelsExhausted):
        return False
    return True
