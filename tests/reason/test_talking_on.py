"""Conversations and remedies in a real cluster whose leader dies. The last file of its group, as the cluster loses a
node in it."""

from __future__ import annotations

import json
import os

import anyio
import pytest

from evals.fake_provider import reading
from evals.fake_provider.careful import call, careful, said
from evals.fake_provider.script import Line, Seen
from evals.forge.errors import ChangeWaits, NotReached
from evals.scenarios.people import People, gather
from evals.scenarios.sights import Sights
from evals.scenarios.voices import Voice, speaking
from tests.reason.cluster import TURN_S, Cluster, of_type

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


def restarting(seen: Seen) -> Line:
    """A model that has one remedy for everything."""
    if "why" not in seen.wanted:
        return careful(seen)
    if seen.results:
        return said(cards=reading.cards(seen), why="it may help")
    return Line(calls=(call("slice_restart", slice=str(reading.facts(seen)["slice"])),))


async def proposed(people: People, name: str) -> tuple[str, str]:
    """The conversation, and what the model proposed in it, through investigate and remediate."""
    told = await people.operator.say(f"make {name} well again")
    proposal = told.of("proposal")[0]
    assert (proposal["operation"], proposal["request"]) == ("slice.restart", {"slice": name})
    return told.conversation, str(proposal["id"])


async def needs(cluster: Cluster, proposal: str) -> int:
    """How many must approve: two, where the model had read lines that a test before this one had written."""
    found = await cluster.forge.api.read(f"/v1/proposals/{proposal}")
    assert isinstance(found, dict)
    return int(found["proposal"]["needs"]["approvers"])


async def decided(cluster: Cluster, people: People, agreed: str, rejected: tuple[str, str]) -> None:
    """One is made, once; of the other its conversation says that it was not, as the graph goes on where it stood."""
    sights, (conversation, other) = Sights(cluster.forge), rejected
    newest = await sights.newest()
    for person in people.approvers[: await needs(cluster, agreed)]:
        assert await person.approve(agreed) == ""
    await people.approvers[0].api.change("POST", f"/v1/proposals/{other}/reject", b'{"reason": "not now"}')

    async def made() -> list[str]:
        """As the leader's own copy of the audit has it, which may be late."""
        rows = await sights.applied_since(newest)
        return [each.subject for each in rows if each.operation == "slice.restart"]

    seen: dict[str, object] = {}

    async def ended() -> bool:
        told = json.dumps(await cluster.conversation(conversation))
        seen["states"] = [await sights.state_of(each) for each in (agreed, other)]
        seen["made"] = await made()
        seen["told"] = "was not made. Its proposal is rejected." in told
        return seen == {"states": ["applied", "rejected"], "made": ["slice:shortener"], "told": True}

    try:
        await cluster.forge.until("both remedies have ended", ended, timeout_s=TURN_S)
    except NotReached:
        pytest.fail(f"remedies did not end as they should: {seen}")
    assert await made() == ["slice:shortener"]


async def test_what_no_model_could_answer_one_goes_on_with_when_it_is_back(cluster: Cluster) -> None:
    """Rules answer at once and say so. Nobody asks again, and the process that had answered is killed meanwhile."""
    voice = Voice(name="busy", api="anthropic", script=lambda _: Line(fault="status", status=429), usd=100.0)
    async with speaking(cluster.forge, voice) as provider:
        assert provider is not None
        first = await cluster.ask("why is the mailer slow?", "n1")
        assert (first["answered_by"], [each["slice"] for each in of_type(first, "postponed")]) == ("rules", ["mailer"])
        for pid in (await cluster.reasoners()).values():
            os.kill(pid, 9)
        provider.script = careful

        async def told() -> bool:
            turns = (await cluster.conversation(first["conversation"]))["turns"]
            return len(turns) == 2 and turns[1]["state"] == "ended"

        await cluster.forge.until("a model goes on with it", told, timeout_s=TURN_S)
    again = (await cluster.conversation(first["conversation"]))["turns"][1]
    assert again["text"] == "(a model answers again) why is the mailer slow?"
    assert [each["by"] for each in again["events"] if each["type"] == "concluded"] == ["model"]


async def test_a_conversation_outlives_its_leader_and_goes_on_under_the_next(cluster: Cluster) -> None:
    """It dies amid an answer, while a card's proposal and two of a model's wait. What was said is all there, and so are
    the proposals: people decide about them under the next leader, and remedies go on where they stood."""
    async with speaking(cluster.forge, Voice(name="restarting", api="openai", script=restarting, usd=100.0)):
        await outlived(cluster)


async def outlived(cluster: Cluster) -> None:
    people = await gather(cluster.forge)
    _, agreed = await proposed(people, "shortener")
    rejected = await proposed(people, "mailer")
    leader = await cluster.forge.until_leader()
    other = next(each for each in cluster.forge.names if each != leader)
    wanted = await cluster.wanted("shortener") + 1
    first = await cluster.ask(f"scale shortener to {wanted}", other)
    conversation, card = first["conversation"], of_type(first, "card")[0]["id"]
    words = f"propose=true&conversation={conversation}&card={card}"
    with pytest.raises(ChangeWaits):
        body = json.dumps({"instances": wanted}).encode()
        await cluster.forge.api.change("PUT", f"/v1/slices/shortener/scale?{words}", body)
    for pid in (await cluster.reasoners()).values():  # so that the next answer takes as long as one that starts
        os.kill(pid, 9)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(cluster.said_in_vain, "how is the cluster", other, conversation)

        async def answering() -> bool:
            return bool((await cluster.conversation(conversation))["turns"][-1]["state"] == "begun")

        await cluster.forge.until("the second turn is being answered", answering, timeout_s=TURN_S)
        await cluster.forge.nodes[leader].kill()
    await cluster.forge.until_leader(other_than=leader)

    async def told_broken() -> bool:
        turns = (await cluster.conversation(conversation))["turns"]
        return [each["state"] for each in turns] == ["ended", "broken"]

    await cluster.forge.until("its end is told", told_broken, timeout_s=TURN_S)
    await people.operator.say("which alerts are there")  # again until the process is there, however busy the machine is
    third = await cluster.ask("which nodes are there", other, conversation=conversation)
    assert (third["kind"], third["events"][0]["number"]) == ("answer", 3)
    shown = await cluster.conversation(conversation)
    assert [each["text"] for each in shown["turns"]] == [
        f"scale shortener to {wanted}",
        "how is the cluster",
        "which nodes are there",
    ]
    assert [each["id"] for each in shown["turns"][0]["events"] if each["type"] == "card"] == [card]
    assert [(each["id"], each["outcome"], each["state"]) for each in shown["cards"]] == [(card, "proposed", "pending")]
    await decided(cluster, people, agreed, rejected)
