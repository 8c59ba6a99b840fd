"""An alert starts a playbook, and the death of the leader halfway changes nothing but the time that it takes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from evals.forge.chaos import Chaos
from evals.forge.commands import run_command
from evals.forge.forge import Forge
from evals.forge.rehearsal import ForgeRehearsal
from playbooks.document.reading import read
from runtime.clock import SystemClock

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

SILENT = """
[playbook]
id = "node-silent"
version = "1.0.0"
kind = "incident"
risk = "low"
summary = "Give a node that does not answer no more instances"

[params]
node = { type = "node", required = true }

[locks]
exclusive = ["silent/{node}"]

[[step]]
id = "cordon"
uses = "node.cordon"
with = { node = "{node}" }
verify = { cel = "nodes.exists(n, n.name == params.node && n.cordoned)", within = "5s" }
undo = "inverse"

[[step]]
id = "let-it-come-back"
uses = "wait"
with = { for = "4s" }

[[step]]
id = "uncordon"
uses = "node.uncordon"
with = { node = "{node}" }
verify = { cel = "nodes.exists(n, n.name == params.node && !n.cordoned)", within = "5s" }
undo = { none = "it was so before" }

[verify]
cel = "nodes.exists(n, n.name == params.node && n.up)"
within = "60s"

[[trigger.alert]]
match = { alertname = "NodeUnresponsive" }
params = { node = "labels.node" }
mode = "run"

[rehearse]
nodes = 3
fault = ["pause n3"]
observed = "node n3 down"
heal = ["resume n3"]
params = { node = "n3" }
"""
LOOK = """
[playbook]
id = "look-around"
version = "1.0.0"
kind = "incident"
risk = "low"
summary = "See who is left, and start this node's store anew"
offline = true

[[pre]]
cel = "!cluster.quorum"
why = "there is a quorum"

[[step]]
id = "who"
uses = "local.members"

[[step]]
id = "store"
uses = "local.restart"
when = "steps.who.reachable == 1 && steps.who.newest == 'n1'"
with = { process = "store" }
verify = { cel = "steps.store.pid > 0 && steps.store.pid != steps.store.before_pid", within = "1s" }
undo = { none = "it stays so" }

[verify]
cel = "steps.store.state == 'done'"
within = "1s"
"""
OVERRIDE = "break_glass=true&reason=a+test"


@pytest.fixture(scope="module")
async def forge() -> AsyncIterator[Forge]:
    async with Forge(nodes=3) as forge:
        yield forge


async def change(forge: Forge, method: str, path: str, **members: object) -> Any:
    return await forge.api.change(method, f"{path}?{OVERRIDE}", json.dumps(members).encode())


async def runs(forge: Forge) -> list[dict[str, Any]]:
    found = await forge.api.read("/v1/runs")
    assert isinstance(found, dict)
    return list(found["items"])


async def steps_of(forge: Forge, run: str) -> dict[str, str]:
    shown = await forge.api.read(f"/v1/runs/{run}")
    assert isinstance(shown, dict)
    return {step["step"]: step["state"] for step in shown["steps"]}


async def test_a_node_that_stops_answering_starts_its_playbook_once_and_it_ends_under_the_next_leader(
    forge: Forge,
) -> None:
    await change(forge, "POST", "/v1/playbooks", source=SILENT)
    source, chaos = read(SILENT.encode()), Chaos(forge)
    await change(
        forge,
        "POST",
        "/v1/playbooks/node-silent/proofs",
        version="1.0.0",
        sha256=source.sha256,
        passed=True,
        took_ms=1,
        failed_before=True,
        held_after=True,
    )
    leader = await forge.until_leader()
    victim = next(name for name in reversed(forge.names) if name != leader)  # the first is asked
    await chaos.do(f"pause {victim}")

    async def cordoned() -> bool:
        found = await silent_runs(forge, victim)
        return bool(found) and (await steps_of(forge, found[0]["id"])).get("let-it-come-back") == "done"

    await forge.until("the alert has started it, and it waits", cordoned, timeout_s=30)
    await chaos.do(f"resume {victim}")
    await chaos.do(f"kill node {leader}")
    killed_unix_ms = SystemClock().unix_ms()

    async def ended() -> bool:
        found = await silent_runs(forge, victim)  # none, of a node that slept and has not caught up yet
        return bool(found) and all(run["state"] == "succeeded" for run in found)

    await forge.until("another leader has brought it to its end", ended, timeout_s=60)
    of_victim = await silent_runs(forge, victim)
    assert len(of_victim) == 1
    assert of_victim[0]["ended_unix_ms"] > killed_unix_ms, "it had ended before the leader did"
    audit = await forge.api.read("/v1/audit?limit=200")
    assert isinstance(audit, dict)
    told = [row["record"] for row in audit["items"]]
    done = [each for each in told if (each.get("operation"), each["kind"]) == ("node.cordon", "applied")]
    assert [each["subject"] for each in done].count(f"node:{victim}") == 1
    await forge.start_node(leader)


async def silent_runs(forge: Forge, node: str) -> list[dict[str, Any]]:
    """Those of the playbook here, for that node: the package's own looks at it too, and the killed leader has runs of
    its own, which end when it comes back."""
    found = [run for run in await runs(forge) if run["title"].startswith("node-silent")]
    return [run for run in found if (await shown(forge, run["id"]))["input"]["params"]["node"] == node]


async def shown(forge: Forge, run: str) -> dict[str, Any]:
    found = await forge.api.read(f"/v1/runs/{run}")
    assert isinstance(found, dict)
    return found


async def test_where_quorum_is_gone_a_node_looks_by_itself_and_the_audit_hears_of_it_later(
    forge: Forge, tmp_path: Path
) -> None:
    """Only with the key in the node's directory, and never unseen."""
    file = tmp_path / "look.toml"
    file.write_text(LOOK)
    others = [name for name in forge.names if name != "n1"]
    await forge.until_ready()
    for name in others:
        await forge.nodes[name].kill()
    await Chaos(forge).until("no leader")  # who led thinks so until nobody has answered for a while
    data = str(forge.nodes["n1"].data)
    said = json.loads(await run_command("playbook", "offline", str(file), "--data", data, "--json"))
    assert said["state"] == "succeeded", said
    for name in forge.names:
        await forge.start_node(name)

    async def told() -> bool:
        audit = await forge.api.read("/v1/audit?kind=break_glass&operation=playbook.offline")
        assert isinstance(audit, dict)
        return [each["record"]["summary"] for each in audit["items"]] == [
            "playbook look-around 1.0.0 was run on n1 without a quorum: succeeded"
        ]

    await forge.until("the audit has it", told, timeout_s=30)


async def test_a_playbook_is_rehearsed_with_its_real_fault(tmp_path: Path) -> None:
    heard: list[str] = []
    stage = ForgeRehearsal(examples=Path("examples"), state=tmp_path / "forge")
    found = await stage.rehearse(read(SILENT.encode()), heard.append)
    assert (found.failed_before, found.held_after, found.passed) == (True, True, True), heard
    assert any("pause" in line for line in heard)


async def test_a_playbook_that_does_not_help_does_not_pass(tmp_path: Path) -> None:
    text = SILENT.replace("&& n.up)", "&& n.role == 'worker')").replace('within = "60s"', 'within = "1s"')
    text = text.replace('nodes = 3\nfault = ["pause n3"]\nobserved = "node n3 down"\nheal = ["resume n3"]', "nodes = 1")
    text = text.replace('node = "n3"', 'node = "n1"').replace('for = "4s"', 'for = "1s"')
    found = await ForgeRehearsal(examples=Path("examples")).rehearse(read(text.encode()), lambda _line: None)
    assert (found.failed_before, found.held_after) == (True, False)
    assert "verification_failed" in found.detail
