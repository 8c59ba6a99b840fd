"""The process that answers, in a real cluster: started by the first word, at any node, and missed by nobody else."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import anyio.to_thread
import pytest

from agent_api.cli.main import main
from evals.fake_provider.script import Called, Line, Seen
from evals.fake_provider.server import KEY, FakeProvider
from tests.reason.cluster import Cluster, of_type

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


async def test_any_node_answers_by_the_leader_s_one_process(cluster: Cluster) -> None:
    """It is started by the first word, and not before."""
    leader = await cluster.forge.until_leader()
    other = next(each for each in cluster.forge.names if each != leader)
    assert await cluster.reasoners() == {}
    first = await cluster.ask("how is the cluster", other)
    assert (first["kind"], first["answered_by"]) == ("answer", "rules")
    assert "3 of 3 nodes are up" in of_type(first, "text")[0]["text"]
    second = await cluster.ask("which nodes are there", leader)
    assert of_type(second, "table")[0]["columns"][0] == "node"
    assert set(await cluster.reasoners()) == {leader}


async def test_a_cause_is_looked_for_with_evidence(cluster: Cluster) -> None:
    answer = await cluster.ask("why is the shortener slow?", "n1")
    assert answer["kind"] == "diagnosis"
    diagnosis = of_type(answer, "diagnosed")[0]["diagnosis"]
    assert diagnosis["well"] is True
    assert {each["evidence"]["operation"] for each in of_type(answer, "looked")} >= {"slice.explain", "metric.show"}


async def test_a_card_changes_the_cluster_only_when_a_person_sends_it(cluster: Cluster) -> None:
    """The sentence alone has planned it; what is sent is the card's own request, under the person's own key."""
    before = await cluster.wanted("shortener")
    answer = await cluster.ask(f"scale shortener to {before + 1}", "n2")
    card = of_type(answer, "card")[0]
    assert (card["operation"], card["request"]) == ("slice.scale", {"slice": "shortener", "instances": before + 1})
    assert card["plan"]["summary"]
    assert await cluster.wanted("shortener") == before
    said = await cluster.aether("n2", "chat", said=f"scale shortener to {before + 1}\nexit\n")
    assert "/slice scale slice=shortener" in said
    assert await cluster.wanted("shortener") == before
    await cluster.aether("n2", "slice", "scale", "shortener", str(before + 1))
    assert await cluster.wanted("shortener") == before + 1


async def test_after_it_was_killed_the_next_word_is_answered(cluster: Cluster) -> None:
    """And nothing else of the node notices."""
    leader = await cluster.forge.until_leader()
    victim = next(each for each in await cluster.forge.processes(leader, "reasoner") if each.pid)
    os.kill(victim.pid, 9)
    assert (await cluster.ask("how is the cluster", leader))["kind"] == "answer"
    assert (await cluster.reasoners())[leader] != victim.pid


async def test_a_refusal_is_an_exit_code(cluster: Cluster) -> None:
    answer = await cluster.ask("/slice scael shortener 5", "n1", code=1)
    assert of_type(answer, "failed")[0]["code"] == "slash_invalid"


async def configure(cluster: Cluster, url: str) -> None:
    """As docs/guides/llm.md says: address and key lie on the nodes, who is asked is a setting of the cluster."""
    for node in cluster.forge.nodes.values():
        with (node.data / "config.toml").open("a") as file:
            file.write(f'model_anthropic_url = "{url}"\n')
        (node.data / "model-keys").mkdir(mode=0o700)
        key = node.data / "model-keys" / "anthropic"
        key.touch(mode=0o600)
        key.write_text(f"{KEY}\n")
    await cluster.aether("n1", "config", "set", "model_recordings", "1")
    await cluster.aether("n1", "config", "set", "model_providers", '["anthropic"]')


async def main_of(recordings: Path) -> int:
    """Goes through the conversation that was recorded."""
    (file,) = recordings.iterdir()
    return await anyio.to_thread.run_sync(main, ["eval", "session", str(file)])


def looking_then_saying(seen: Seen) -> Line:
    if "command" in seen.wanted:
        return Line(says='{"command": 0}')
    if "doubts" in seen.wanted:
        return Line(says=json.dumps({"doubts": [{"claim": 1, "why": "overstated"}]}))
    if not seen.results:
        return Line(calls=(Called(name="cluster_status"),))
    evidence = re.findall(r"\bE\d+\b", seen.results[0].content)
    claim = {"text": "The cluster has a leader.", "evidence": evidence[:1]}
    return Line(says=json.dumps({"claims": [claim], "plots": [], "cards": []}))


async def test_with_a_key_and_a_setting_a_model_answers_and_what_it_took_is_told(cluster: Cluster) -> None:
    """Nothing is restarted for it. The key is nowhere but where it was put; what was recorded comes again without the
    cluster, and without the provider."""
    async with FakeProvider(looking_then_saying).serving() as provider:
        await configure(cluster, provider.url)
        leader = await cluster.forge.until_leader()
        answer = await cluster.ask("what would you tell somebody who has just come in?", leader)
        done = of_type(answer, "done")[0]
        models = ["anthropic claude-haiku-5-5", "anthropic claude-sonnet-5-5"]
        assert (done["answered_by"], done["model"].split(", ")) == ("model", models)
        assert of_type(answer, "text")[0]["text"] == "The cluster has a leader."
        budget = json.loads(await cluster.aether(leader, "model", "budget", "--json"))
        assert sum(each["micros"] for each in budget["recent"]) == done["cost_micros"] > 0
        took = sorted(each["model"] for each in budget["recent"])
        assert (budget["under_way"], took) == (0, ["claude-haiku-5-5"] * 2 + ["claude-sonnet-5-5"] * 2)
        assert [(each["by"], len(each["doubts"])) for each in of_type(answer, "checked")] == [(models[0], 1)]
        status = json.loads(await cluster.aether(leader, "model", "status", "--json"))
        assert [(each["name"], each["state"]) for each in status["providers"]] == [("anthropic", "ready")]
        provider.script = lambda _: Line(fault="status", status=403)
        again = await cluster.ask("what would you tell somebody who has just come in?", leader)
        assert (again["answered_by"], again["kind"]) == ("rules", "rules_after_model")
        assert "anthropic: it refuses the key" in json.dumps(again)
    await cluster.aether("n1", "config", "set", "model_providers", "[]")
    assert await main_of(cluster.forge.nodes[leader].data / "recordings") == 0
    leaks = [
        path
        for node in cluster.forge.nodes.values()
        for path in node.data.rglob("*")
        if path.is_file() and path.parent.name != "model-keys" and KEY.encode() in path.read_bytes()
    ]
    assert leaks == []
