"""Secrets are taken out of whatever the cluster answers, before this layer tells, keeps or passes it on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import msgspec

from llm_layer.desk import Because, Desk, Plain
from runtime.security.redaction import redacted, redacted_tree


class RedactingDesk:
    """Implements Desk around another one."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def ask(self, operation: str, request: Mapping[str, object]) -> Plain:
        return cast(Plain, redacted_tree(await self._desk.ask(operation, request)))

    async def plan(self, operation: str, request: Mapping[str, object]) -> Plain:
        return cast(Plain, redacted_tree(await self._desk.plan(operation, request)))

    async def propose(self, operation: str, request: Mapping[str, object], because: Because) -> Plain:
        reason, evidence = redacted(because.reason), tuple(map(redacted, because.evidence))
        said = msgspec.structs.replace(because, reason=reason, evidence=evidence)
        return cast(Plain, redacted_tree(await self._desk.propose(operation, request, said)))
