"""What a turn belongs to, and what it may ask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from controllers.conversations.remedies import RunOf
from llm_layer.chat.rules import Rules
from llm_layer.desk import Desk
from llm_layer.evidence import EvidenceBook
from llm_layer.providers.entry import ModelEntry
from runtime.operations.catalogue import Catalogue

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver

    from llm_layer.recordings.recording import Tape


SLOW_S: Final = 15.0  # without a model's answer, before what rules found is told first


@dataclass(frozen=True, slots=True, kw_only=True)
class Talk:
    """The turn's place in a conversation: changes that it proposes are told apart by it. tainted: text was read in the
    conversation before that somebody outside may have written."""

    run: RunOf
    models: ModelEntry
    tainted: bool = False
    keeper: Callable[[], BaseCheckpointSaver[Any]] | None = None
    """Makes what keeps the conversation for graphs; None where nothing does."""
    slow_s: float = SLOW_S
    tape: Tape | None = None
    """Notes all that the turn is answered, where it is recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a graph is made to work with."""

    desk: Desk
    book: EvidenceBook
    talk: Talk
    rules: Rules
    catalogue: Catalogue
