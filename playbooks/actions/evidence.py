"""To keep what would be gone later: the state's picture, events, logs and figures, as one file of content."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from playbooks.actions.action import ActionCall, ActionInput, ActionOutput, PlaybookAction
from runtime.content.port import ContentStore
from runtime.errors import RuntimeFault
from runtime.operations.operation import Effect
from runtime.operations.plan import Json

QUERIES: Final[dict[str, dict[str, Json]]] = {
    "cluster.status": {},
    "topology.show": {},
    "instance.list": {},
    "alert.list": {},
    "proposal.list": {},
    "event.list": {"limit": 1_000},
    "log.list": {"limit": 1_000},
}
"""What is asked; an answer that cannot be had is told in its place."""


class CollectIn(ActionInput, frozen=True, kw_only=True):
    about: Annotated[str, Meta(max_length=200, description="What it is collected for.")] = ""


class CollectOut(ActionOutput, frozen=True, kw_only=True):
    sha256: Annotated[str, Meta(description="Of the content: JSON with one member for each question.")]
    size_bytes: int
    silent: Annotated[tuple[str, ...], Meta(description="Questions that nobody answered.")] = ()


class Collect(PlaybookAction[CollectIn, CollectOut]):
    """Content by its hash: kept twice it is kept once."""

    name = "diagnostics.collect"
    summary = "Keep the cluster's picture, events, logs and figures as content."
    effect = Effect.READ
    input = CollectIn
    output = CollectOut

    async def run(self, call: ActionCall, wanted: CollectIn) -> CollectOut:
        found: dict[str, Json] = {"about": wanted.about, "at_unix_ms": call.ports.clock.unix_ms()}
        silent = []
        for name, request in QUERIES.items():
            try:
                found[name] = await call.ports.asks.ask(name, request, call.actor)
            except RuntimeFault as fault:
                found[name] = fault.problem()
                silent.append(name)
        raw = msgspec.json.encode(found)
        sha256 = await kept(call.ports.content, raw, f"run:{call.context.run.id}")
        return CollectOut(sha256=sha256, size_bytes=len(raw), silent=tuple(silent))


async def kept(content: ContentStore, raw: bytes, owner: str) -> str:
    """Its hash, once it is there and pinned. Raises ContentFault."""

    async def chunks() -> AsyncIterator[bytes]:
        yield raw

    sha256 = await content.put(chunks())
    await content.pin(sha256, owner)
    return sha256
