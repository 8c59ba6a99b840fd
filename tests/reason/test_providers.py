"""Each provider, with its maker's own client: what is asked, what comes back, and what goes wrong on the way."""

from __future__ import annotations

import socket

import msgspec
import pytest
from msgspec.structs import replace

from evals.fake_provider.script import Called, Line, in_turn
from evals.fake_provider.server import KEY
from llm_layer.providers.errors import ProviderFault
from llm_layer.providers.limits import Limits
from llm_layer.providers.messages import Ask, Kept, Message, Said, ToolResult
from llm_layer.providers.provider import Unheard
from tests.reason.provider_parts import ASK, CHEAP, KINDS, LOOK, SYSTEM, WHY, Listening, made, provided

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
CALL = Called(name="slice_get", arguments={"name": "orders"})
SCHEMA = {
    "type": "object",
    "properties": {"cause": {"type": "string"}},
    "required": ["cause"],
    "additionalProperties": False,
}
of_each = pytest.mark.parametrize("kind", KINDS)


@of_each
async def test_a_tool_is_called_and_its_result_answered(kind: str) -> None:
    """Reasoning goes back to who made it; words arrive piece by piece; usage adds up."""
    script = in_turn(Line(thinks="It may be memory.", says="I look.", calls=(CALL,)), Line(says="It lacks memory."))
    async with provided(kind, script) as (ours, fake):
        listening = Listening()
        first = await ours.stream(ASK, listening)
        assert (first.stop, first.text, first.provider, first.model) == ("calls", "I look.", kind, "strong-1")
        assert [(each.name, each.arguments) for each in first.calls] == [("slice_get", {"name": "orders"})]
        assert len(listening.pieces) > 0
        assert "".join(listening.pieces) == "I look."
        result = Message(role="user", parts=(ToolResult(id=first.calls[0].id, content="512 of 512 MiB"),))
        second = await ours.stream(replace(ASK, messages=(WHY, first.message, result)), listening)
    assert (second.stop, second.text) == ("end", "It lacks memory.")
    assert fake.seen[1].results[0].content == "512 of 512 MiB"
    assert fake.seen[0].tools == ("slice_get",)
    assert "You look" in fake.seen[0].system
    assert "Today is Friday." in fake.seen[0].system
    assert first.usage.output > 0
    assert first.usage.fresh > 0
    sent = msgspec.json.encode(fake.seen[1].body).decode()
    sealed = {"anthropic": "c2lnbmVk", "openai": "c2VhbGVk"}
    assert sealed.get(kind, "strong-1") in sent
    assert any(isinstance(each, Kept) for each in first.parts) == (kind in sealed)


@of_each
async def test_what_one_provider_sealed_is_not_sent_to_another(kind: str) -> None:
    kept = Kept(provider="elsewhere", raw={"type": "thinking", "thinking": "canary", "signature": "x"})
    said = Message(role="assistant", parts=(kept, Said(text="I looked.")))
    more = Message(role="user", parts=(Said(text="and?"),))
    async with provided(kind, in_turn(Line(says="Well."))) as (ours, fake):
        await ours.stream(replace(ASK, messages=(WHY, said, more)), Unheard())
    assert "canary" not in msgspec.json.encode(fake.seen[0].body).decode()


@of_each
async def test_an_answer_of_a_schema_is_an_object(kind: str) -> None:
    script = in_turn(Line(says='{"cause": "memory"}'), Line(says="It is memory."))
    async with provided(kind, script, cheap=CHEAP) as (ours, fake):
        asked = Ask(system=SYSTEM, messages=(WHY,), answer_schema=SCHEMA, tier="cheap")
        assert (await ours.stream(asked, Unheard())).answer == {"cause": "memory"}
        assert (await ours.whole(asked)).answer is None
    assert SCHEMA["required"] == ["cause"]
    assert '"cause"' in msgspec.json.encode(fake.seen[0].body).decode()
    assert fake.seen[0].model == CHEAP


@of_each
@pytest.mark.parametrize("streamed", [True, False])
async def test_malformed_arguments_and_unknown_tools_are_told_and_not_guessed(kind: str, *, streamed: bool) -> None:
    """They come as structured errors that the model can be told, and the conversation can go on with them in it."""
    bad = (Called(name="slice_get", raw='{"name": "ord'), Called(name="slice_got", arguments={"name": "orders"}))
    async with provided(kind, in_turn(Line(calls=(*bad, CALL)), Line(says="Well then."))) as (ours, fake):
        reply = await (ours.stream(ASK, Unheard()) if streamed else ours.whole(ASK))
        assert [(each.code, each.near) for each in reply.refused] == [
            ("arguments_malformed", ()),
            ("unknown_tool", ("slice_get",)),
        ]
        assert [each.name for each in reply.calls] == ["slice_get"]
        results = (*(each.result() for each in reply.refused), ToolResult(id=reply.calls[0].id, content="well"))
        told = Message(role="user", parts=results)
        assert (await ours.stream(replace(ASK, messages=(WHY, reply.message, told)), Unheard())).text == "Well then."
    assert fake.refused == []
    assert "arguments_malformed" in fake.seen[1].results[0].content


@of_each
@pytest.mark.parametrize(
    ("line", "stop"),
    [
        (Line(says="I will not.", ending="refused"), "refused"),
        (Line(says="It is bec", ending="length"), "length"),
        (Line(calls=(Called(name="slice_get", raw='{"name": "ord'),), ending="length"), "length"),
        (Line(fault="overflow"), "overflow"),
    ],
)
async def test_every_way_to_stop_has_its_name(kind: str, line: Line, stop: str) -> None:
    """Half a call of an answer that ran into its limit is left out: it is nobody's mistake."""
    async with provided(kind, in_turn(line, line)) as (ours, _):
        streamed, whole = await ours.stream(ASK, Unheard()), await ours.whole(ASK)
    assert (streamed.stop, whole.stop) == (stop, stop)
    assert streamed.text == whole.text == line.says
    assert not streamed.refused
    assert not streamed.calls


async def test_anthropics_own_ways_to_stop() -> None:
    """A pause is gone on from, and its parts are one answer; a window that is full amid an answer is told."""
    paused = (Line(says="First, ", ending="paused"), Line(says="then.", ending="paused"), Line(says=" Done."))
    async with provided("anthropic", in_turn(*paused, Line(says="It", ending="overflow"))) as (ours, _):
        listening = Listening()
        reply = await ours.stream(ASK, listening)
        assert (reply.text, reply.stop, "".join(listening.pieces)) == (
            "First, then. Done.",
            "end",
            "First, then. Done.",
        )
        assert (await ours.stream(ASK, Unheard())).stop == "overflow"
    assert reply.usage.output == 3  # one for each, as the fake one counts


async def test_anthropic_keeps_the_beginning_of_a_conversation() -> None:
    """Instructions, tools and what was said before are read from its cache the second time."""
    async with provided("anthropic", in_turn(Line(calls=(CALL,)), Line(says="So."))) as (ours, _):
        first = await ours.stream(ASK, Unheard())
        again = await ours.stream(ASK, Unheard())
    assert first.usage.written > 200
    assert again.usage.cached == first.usage.written
    assert again.usage.written == 0


@of_each
@pytest.mark.parametrize(
    ("line", "trouble", "amid_call"),
    [
        (Line(fault="status", status=429, retry_after="7"), "limited", False),
        (Line(fault="status", status=503), "failing", False),
        (Line(fault="status", status=529), "failing", False),
        (Line(fault="status", status=401), "denied", False),
        (Line(fault="status", status=404), "rejected", False),
        (Line(fault="slow"), "slow", False),
        (Line(says="It is because of", fault="cut"), "cut", False),
        (Line(calls=(CALL,), fault="cut"), "cut", True),
        (Line(fault="hang_up"), "unreachable", False),
        (Line(fault="garbled"), "garbled", False),
    ],
)
async def test_every_trouble_has_its_name(kind: str, line: Line, trouble: str, *, amid_call: bool) -> None:
    limits = Limits(first_s=0.1 if trouble == "slow" else 15.0)
    async with provided(kind, in_turn(line), limits=limits) as (ours, _):
        with pytest.raises(ProviderFault) as raised:
            await ours.stream(ASK, Unheard())
    fault = raised.value
    assert (fault.trouble, fault.amid_call) == (trouble, amid_call)
    assert fault.retry_after_s == (7.0 if trouble == "limited" else None)
    assert fault.__cause__ is None
    assert fault.__context__ is None


@of_each
async def test_a_server_that_takes_no_connection_is_not_waited_for(kind: str) -> None:
    """Its queue of connections is full, so that the handshake is never answered."""
    with socket.socket() as server, socket.socket() as waiting, socket.socket() as second:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for each in (waiting, second):
            each.setblocking(False)
            each.connect_ex(server.getsockname())
        ours = made(kind, f"http://127.0.0.1:{server.getsockname()[1]}", limits=Limits(connect_s=0.1))
        with pytest.raises(ProviderFault) as raised:
            await ours.whole(ASK)
        await ours.close()
    assert (raised.value.trouble, str(raised.value)) == ("unreachable", "no connection in time")


@of_each
async def test_a_key_is_in_no_error(kind: str) -> None:
    """Also where the provider repeats it, as OpenAI does."""
    async with provided(kind, in_turn(), key="sk-wrong-canary-0123456789abcdef") as (ours, _):
        with pytest.raises(ProviderFault) as raised:
            await ours.stream(ASK, Unheard())
        assert "canary" not in repr(raised.value) + repr(vars(raised.value))
        async with provided(kind, in_turn()) as (well, _):
            with pytest.raises(ProviderFault) as rejected:
                orphan = Message(role="user", parts=(ToolResult(id="none", content=f"my key is {KEY}"),))
                await well.stream(replace(ASK, messages=(orphan,)), Unheard())
    assert rejected.value.trouble == "rejected"
    assert KEY not in str(rejected.value)
    assert LOOK.name in ASK.tools[0].name
