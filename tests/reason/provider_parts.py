"""Our providers with the makers' own clients, before the fake one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from evals.fake_provider.script import Script
from evals.fake_provider.server import KEY, FakeProvider
from llm_layer.providers.anthropic_messages import AnthropicMessages
from llm_layer.providers.configured import Configured
from llm_layer.providers.limits import USUAL, Limits
from llm_layer.providers.messages import Ask, Block, Message, Said, ToolSpec
from llm_layer.providers.openai_chat import OpenAiChat
from llm_layer.providers.openai_responses import OpenAiResponses
from runtime.telemetry.log import Secret

Ours = AnthropicMessages | OpenAiResponses | OpenAiChat
KINDS: Final = ("anthropic", "openai", "compatible")
STRONG: Final = "strong-1"
CHEAP: Final = "cheap-1"
WHY: Final = Message(role="user", parts=(Said(text="why are orders slow?"),))
LOOK: Final = ToolSpec(
    name="slice_get",
    summary="One slice.",
    schema={"type": "object", "properties": {"name": {"type": "string", "enum": ["orders"]}}, "required": ["name"]},
)
SYSTEM: Final = (Block(text="You look, then answer. " * 40, cached=True), Block(text="Today is Friday."))
ASK: Final = Ask(system=SYSTEM, messages=(WHY,), tools=(LOOK,))


def made(kind: str, url: str, *, key: str = KEY, limits: Limits = USUAL, cheap: str = STRONG) -> Ours:
    of = {"anthropic": AnthropicMessages, "openai": OpenAiResponses, "compatible": OpenAiChat}
    root = url if kind == "anthropic" else f"{url}/v1"
    return of[kind](Configured(name=kind, key=Secret(key), strong=STRONG, cheap=cheap, url=root, limits=limits))


@asynccontextmanager
async def provided(
    kind: str, script: Script, *, key: str = KEY, limits: Limits = USUAL, cheap: str = STRONG
) -> AsyncIterator[tuple[Ours, FakeProvider]]:
    async with FakeProvider(script).serving() as fake:
        ours = made(kind, fake.url, key=key, limits=limits, cheap=cheap)
        try:
            yield ours, fake
        finally:
            await ours.close()


class Listening:
    """Implements Heard."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.anews = 0

    async def text(self, piece: str) -> None:
        self.pieces.append(piece)

    async def anew(self) -> None:
        self.pieces.clear()
        self.anews += 1
