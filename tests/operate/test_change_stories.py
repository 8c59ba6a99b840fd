"""One change from its first thought to its undoing, on a real cluster: by commands, then by the Python client."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio
import pytest

from agent_api.client import AsyncClient
from agent_api.client.answers import AppliedChange
from agent_api.client.asynchronous import AsyncPendingChange
from agent_api.client.errors import ApiRefused
from controllers.gate.proposals import ProposalState
from evals.forge.app import build_app, read_app
from evals.forge.forge import Forge
from evals.forge.project import SliceWish, write_project
from runtime.operations.dispatch import Planned
from runtime.operations.queries.slices import SliceShown

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

AETHER: Final = (sys.executable, "-P", "-m", "agent_api.cli.main")
SOURCE: Final = '''
from runtime.sdk import get, slice_

@slice_(name="{name}", version="1.0.0")
class Hello:
    """Says hello."""

    @get("/{name}")
    async def hello(self) -> str:
        return "hello"
'''
WAIT_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class Built:
    wheel: Path
    blueprint: Path


@dataclass(frozen=True, slots=True)
class Cluster:
    """`keys` by principal: two people, an agent, and the first admin; `built` by slice."""

    addresses: tuple[str, ...]
    keys: dict[str, str]
    built: dict[str, Built]

    def client(self, principal: str) -> AsyncClient:
        return AsyncClient(*self.addresses, key=self.keys[principal])

    async def aether(self, principal: str, *words: str, code: int = 0) -> str:
        """What the command printed, when it ended as it should."""
        with tempfile.TemporaryDirectory() as home:
            api = ",".join(self.addresses)
            environment = {**os.environ, "XDG_CONFIG_HOME": home, "AETHER_API": api, "AETHER_KEY": self.keys[principal]}
            done = await anyio.run_process([*AETHER, *words], check=False, env=environment, stdin=subprocess.DEVNULL)
        assert done.returncode == code, (words, done.stdout.decode(), done.stderr.decode())
        return done.stdout.decode()

    async def asked(self, principal: str, *words: str, code: int = 0) -> dict[str, object]:
        found = json.loads(await self.aether(principal, *words, "--json", code=code))
        assert isinstance(found, dict)
        return found


@pytest.fixture(scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    """Three nodes without an application; wheels are built while they start."""
    built: dict[str, Built] = {}
    async with anyio.create_task_group() as builds:
        for name in ("told", "typed"):
            builds.start_soon(build, tmp_path_factory.mktemp(name), name, built)
        async with Forge(nodes=3) as forge:
            addresses = tuple(node.addresses.api for node in forge.nodes.values())
            keys = await make_keys(AsyncClient(*addresses, key=forge.admin_key()))
            with anyio.fail_after(60):
                while len(built) < 2:  # noqa: ASYNC110  another process makes them
                    await anyio.sleep(0.05)
            yield Cluster(addresses, {**keys, "admin": forge.admin_key()}, built)


async def build(directory: Path, name: str, built: dict[str, Built]) -> None:
    wish = SliceWish(name=name, class_name="Hello", instances=2)
    project = write_project(directory, name=name, source=SOURCE.format(name=name), slices=[wish])
    wheel = await build_app(read_app(project), directory / "dist")
    built[name] = Built(wheel, project / "blueprint.toml")


async def make_keys(admin: AsyncClient) -> dict[str, str]:
    """Two people who may approve, one of them an admin, and an agent."""
    await admin.principal.set(id="ada", kind="person", role="operator")
    await admin.principal.set(id="bob", kind="person", role="admin")
    await admin.principal.set(id="bot", kind="automation", role="operator", is_agent=True)
    keys = {}
    for principal in ("ada", "bob", "bot"):
        made = await admin.key.create(principal=principal, name="test", lifetime_days=1)
        assert isinstance(made, AppliedChange)
        keys[principal] = str(made.result["key"])
    return keys


async def test_by_commands(cluster: Cluster) -> None:
    """Deploy, look, propose as an agent, two approvals, see it take hold, ask why, undo."""
    app = cluster.built["told"]
    await cluster.aether("ada", "artifact", "upload", str(app.wheel))
    await cluster.aether("ada", "blueprint", "apply", str(app.blueprint), "--wait", f"{WAIT_S:g}")

    said = await cluster.aether("bot", "slice", "scale", "told", "4", "--dry-run", "--tainted")
    assert "+ wanted: 4" in said
    assert "would wait for 2 distinct approvers" in said

    scale = ("slice", "scale", "told", "4", "--tainted", "--evidence", "log:n1/gateway", "--reason", "calls wait")
    proposed = await cluster.asked("bot", *scale, code=3)
    identity = str(proposed["proposal"])
    await cluster.aether("bot", "approve", identity, code=1)
    assert identity in await cluster.aether("ada", "proposals", "--state", "pending")
    await cluster.aether("ada", "approve", identity, "--reason", "seen", code=3)
    await cluster.aether("bob", "approve", identity)
    await serving(cluster, "told", 4)

    why = await cluster.aether("ada", "why", identity)
    assert "for, ada: seen" in why
    assert "log:n1/gateway" in why
    assert "+ wanted: 4" in why
    await cluster.aether("bob", "rollback", identity, "--reason", "it was the load", "--wait", f"{WAIT_S:g}")
    await serving(cluster, "told", 2)
    at_once = await cluster.asked("ada", "slice", "scale", "told", "3", "--wait", f"{WAIT_S:g}")
    await cluster.aether("ada", "rollback", str(at_once["audit"]))
    await serving(cluster, "told", 2)
    await cluster.aether("ada", "slice", "set-bounds", "told", "1", "1", "--wait", f"{WAIT_S:g}")  # other settings, and
    await serving(cluster, "told", 1)  # fewer instances, in one change
    assert (await cluster.asked("ada", "audit", "verify"))["holds"] is True


async def test_by_the_python_client(cluster: Cluster) -> None:
    """The same, with typed answers; every node is asked for something."""
    app = cluster.built["typed"]
    ada, bob, bot = (cluster.client(name) for name in ("ada", "bob", "bot"))
    await ada.upload(app.wheel)
    deployed = await ada.blueprint.apply(blueprint="typed", source=app.blueprint.read_text(), wait_s=WAIT_S)
    assert isinstance(deployed, AppliedChange)
    assert deployed.converged

    bot.talks.book.rotate()
    planned = await bot.slice.scale(slice="typed", instances=4, tainted=True, dry_run=True)
    assert isinstance(planned, Planned)
    assert (planned.plan.decision, planned.plan.gate_class) == ("propose", "G2")
    assert [(row.path, row.before, row.after) for row in planned.plan.diff] == [("wanted", 2, 4)]

    pending = await bot.slice.scale(slice="typed", instances=4, tainted=True, reason="calls wait")
    assert isinstance(pending, AsyncPendingChange)
    with pytest.raises(ApiRefused) as refused:
        await bot.approve(pending.id)
    assert refused.value.code == "vote_refused"
    seen: list[str] = []
    newest = (await ada.event.list(limit=1)).items[-1].id
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(note_activations, ada, newest, seen)
        assert (await ada.approve(pending.id, "seen")).waits
        bob.talks.book.rotate()
        await bob.approve(pending.id)
        ended = await pending.wait(WAIT_S)
        assert ended.state is ProposalState.APPLIED
        assert {vote.voter.id for vote in ended.votes} == {"ada", "bob"}
        await serving(cluster, "typed", 4)
    assert len(seen) == 2, "events told of the two instances that came"

    undone = await bob.rollback(pending.id)
    assert isinstance(undone, AppliedChange)
    await serving(cluster, "typed", 2)


async def serving(cluster: Cluster, slice_name: str, instances: int) -> None:
    client = cluster.client("ada")
    with anyio.fail_after(WAIT_S):
        while (await shown(client, slice_name)) != instances:  # noqa: ASYNC110  the state of other processes
            await anyio.sleep(0.05)


async def shown(client: AsyncClient, slice_name: str) -> int:
    found: SliceShown = await client.slice.show(slice=slice_name)
    return sum(row.serving for row in found.versions)


async def note_activations(client: AsyncClient, after: str, seen: list[str]) -> None:
    """Until two instances became active behind that event."""
    async for event in client.events(after=after):
        data = event.data if isinstance(event.data, dict) else {}
        if event.name == "SliceActivated" and data["data"]["slice"] == "typed":
            seen.append(event.id)
        if len(seen) == 2:
            return
