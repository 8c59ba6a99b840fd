"""What the rest of this layer asks models through."""

from __future__ import annotations

from typing import Protocol

from llm_layer.providers.messages import Ask, Reply
from llm_layer.providers.provider import Heard


class ModelEntry(Protocol):
    """Implemented by Models, and by recordings of what those replied."""

    @property
    def present(self) -> bool:
        """Whether a question may be answered at all."""
        ...

    @property
    def has_cheap(self) -> bool:
        """Whether a provider has a model for small questions that is not the strong one."""
        ...

    async def ask(self, ask: Ask, heard: Heard | None = None) -> Reply:
        """Raises ModelsAbsent where none is configured, ModelsExhausted where none answered."""
        ...
