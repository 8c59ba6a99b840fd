"""A backup proved: a node of its own begins from it, and what people had made of the cluster is there again."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Final

import anyio

from evals.forge.cluster_api import ClusterApi
from evals.forge.commands import run_command
from evals.forge.node import ForgeNode
from evals.forge.ports import bases
from evals.forge.waiting import came_true
from runtime.backup.desired import snapshot_sha256
from runtime.backup.directory import ARTIFACTS, SNAPSHOT, read_backup
from runtime.backup.proving import Proved

NAME: Final = "proof"
ANSWERS_S: Final = 30.0
SERVES_S: Final = 60.0
LOOK_S: Final = 0.2


class ForgeProof:
    """Implements BackupProof."""

    async def prove(self, directory: Path) -> Proved:
        """Raises BackupDamaged, CommandFailed, NotReached."""
        begun_s = time.monotonic()
        manifest = read_backup(directory)
        with tempfile.TemporaryDirectory(prefix="aether-proof-") as place:
            node = ForgeNode(NAME, Path(place) / NAME)
            base = bases(1, 0)[0]
            await run_command("cluster", "init", str(node.data), "--name", NAME, "--listen", f"127.0.0.1:{base}")
            snapshot = str(directory / SNAPSHOT)
            whose = ("--from-cluster", manifest.cluster)
            await run_command("store", "snapshot", "restore", snapshot, "--data", str(node.data), *whose)
            try:
                await node.start()
                await node.answers(timeout_s=ANSWERS_S)
                serving, silent = await self._served(node, directory)
                found = await self._desired(node, Path(place) / "again.snapshot")
            finally:
                await node.kill()
        return Proved(
            wanted=manifest.desired_sha256,
            found=found,
            serving=serving,
            silent=silent,
            took_ms=round((time.monotonic() - begun_s) * 1_000),
        )

    async def _served(self, node: ForgeNode, directory: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Slices of which an instance serves in the end, and those of which none does."""
        api = ClusterApi(lambda: {NAME: node.addresses.api}, lambda: node.admin_key_file.read_text().strip())
        for wheel in sorted((directory / ARTIFACTS).glob("*.whl")):
            await api.upload(wheel)
        wanted = {str(row["slice"]) for row in await _slices(api) if int(str(row["wanted"])) > 0}
        serving: set[str] = set()

        async def all_serve() -> bool:
            serving.clear()
            serving.update(row.slice for row in await api.instances() if row.serving)
            return wanted <= serving

        await came_true(all_serve, timeout_s=SERVES_S, look_s=LOOK_S)
        return tuple(sorted(wanted & serving)), tuple(sorted(wanted - serving))

    async def _desired(self, node: ForgeNode, again: Path) -> str:
        await run_command("store", "snapshot", "save", str(again), "--data", str(node.data))
        return await anyio.to_thread.run_sync(snapshot_sha256, again)


async def _slices(api: ClusterApi) -> list[dict[str, object]]:
    page = await api.read("/v1/slices")
    assert isinstance(page, dict), "a page is an object"
    return list(page["slices"])
