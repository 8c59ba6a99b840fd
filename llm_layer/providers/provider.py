"""One maker of language models, behind the one interface that the rest of this layer knows."""

from __future__ import annotations

from typing import Protocol

from llm_layer.providers.messages import Ask, Reply, Tier


class Heard(Protocol):
    """Who listens while a model writes."""

    async def text(self, piece: str) -> None:
        """Comes in order; all pieces since the beginning or the last `anew` make up `Reply.text`."""
        ...

    async def anew(self) -> None:
        """What was heard is void: the answer begins again, of another try or another provider."""
        ...


class Unheard:
    """Implements Heard for who wants the whole reply alone."""

    async def text(self, piece: str) -> None:
        pass

    async def anew(self) -> None:
        pass


class Provider(Protocol):
    """Does one try of one question, with its time limits; whether it is tried again is for Models to say."""

    name: str

    def model(self, tier: Tier) -> str: ...

    async def stream(self, ask: Ask, heard: Heard) -> Reply:
        """Raises ProviderFault."""
        ...

    async def whole(self, ask: Ask) -> Reply:
        """As `stream`, without streaming: a tool call comes whole or not at all. Raises ProviderFault."""
        ...

    async def close(self) -> None:
        """Ends its connections; nobody asks it any more."""
        ...
