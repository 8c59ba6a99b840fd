"""The cluster that the tests of this group share, spoken to by the command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import anyio

from evals.forge.forge import Forge

AETHER: Final = (sys.executable, "-P", "-m", "agent_api.cli.main")
TURN_S: Final = 40.0
STARTS: Final = 3
"""Times that somebody asks again while the process that answers starts, as it says to."""


class Cluster:
    """`ask` says something at one node, by the command. `shop` is the project of the scenarios' application."""

    def __init__(self, forge: Forge, shop: Path) -> None:
        self.forge = forge
        self.shop = shop

    async def ask(self, text: str, node: str, code: int = 0, conversation: str = "") -> dict[str, Any]:
        words = ("ask", text, "--json", *(("--conversation", conversation) if conversation else ()))
        return json.loads(await self.aether(node, *words, code=code))  # type: ignore[no-any-return]

    async def said_in_vain(self, text: str, node: str, conversation: str) -> None:
        """It is told that nobody answers."""
        await self.aether(node, "ask", text, "--conversation", conversation, code=1)

    async def conversation(self, identity: str) -> dict[str, Any]:
        shown: Any = await self.forge.api.read(f"/v1/conversations/{identity}")
        return shown  # type: ignore[no-any-return]

    async def aether(self, node: str, *words: str, code: int = 0, said: str = "") -> str:
        address = self.forge.nodes[node].addresses.api
        environment = {**os.environ, "AETHER_API": address, "AETHER_KEY": self.forge.admin_key()}
        for tries_left in range(STARTS, -1, -1):
            with anyio.fail_after(TURN_S):
                done = await anyio.run_process(
                    [*AETHER, *words], input=said.encode(), check=False, env=environment, stderr=subprocess.PIPE
                )
            absent = b"reasoner_absent" in done.stderr and "--conversation" not in words
            if done.returncode == code or not absent or not tries_left:
                break
        assert done.returncode == code, (words, done.stdout.decode(), done.stderr.decode())
        return done.stdout.decode()

    async def wanted(self, name: str) -> int:
        shown: Any = await self.forge.api.read(f"/v1/slices/{name}")
        return int(shown["versions"][0]["wanted"])

    async def reasoners(self) -> dict[str, int]:
        """Process id by node."""
        return {
            node: process.pid
            for node in self.forge.names
            for process in await self.forge.processes(node, "reasoner")
            if process.pid
        }


def of_type(answer: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [each for each in answer["events"] if each["type"] == kind]
