"""The host inside one process: lives of instances, their calls, their proxies, and whose modules are whose."""

from __future__ import annotations

import asyncio
import gc
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any, cast

import msgspec
import pytest

from runtime.hosting.errors import CallFailed, DependencyUnavailable, InstanceFailed, UnknownInstance
from runtime.hosting.host import Host
from runtime.hosting.ports import InstanceSettings, PreparedArtifact
from runtime.hosting.tasks import TaskOwner
from runtime.invocation.connection import Connection
from runtime.invocation.context import CallContext, current
from runtime.invocation.errors import ConnectionLost, MessageTooLarge, NotStarted, RemoteFault
from runtime.invocation.http import HttpReply, HttpRequest
from runtime.invocation.incoming import IncomingCall
from runtime.names import Sha256
from runtime.sdk.contract import SliceContract
from runtime.sdk.services import ServiceRequest
from runtime.sdk.testing import CollectedLog
from runtime.state.values import Phase
from runtime.telemetry.recorder import Recorder
from runtime.telemetry.report import HostedLoad

pytestmark = pytest.mark.anyio

SOURCE = """
import asyncio
import msgspec
from typing import Annotated, Protocol
from runtime.sdk import DomainError, current_call, get, raises, slice_, use
from runtime.sdk.services import service


class Gone(DomainError):
    status = 410
    what: str


class Box(msgspec.Struct):
    items: list[int]


class Far(Protocol):
    @raises(Gone)
    async def ask(self, what: str) -> int: ...


@service("cache")
class Cache(Protocol):
    async def get(self, key: str) -> str: ...


class Settings(msgspec.Struct, frozen=True):
    size: int = 1


@slice_(name="near", version="1.0.0", concurrency_max=2)
class Near:
    seen = []

    async def echo(self, box: Box) -> Box:
        Near.seen.append(box)
        return box

    @raises(Gone)
    async def refuse(self, what: str) -> int:
        raise Gone(what=what)

    async def trace(self) -> str:
        return current_call().trace_id + current_call().span_id


@slice_(name="shop", version="1.0.0", concurrency_max=2)
class Shop:
    def __init__(self, near: Near, far: Far, cache: Cache, config: Settings) -> None:
        self.near, self.far, self.cache, self.config = near, far, cache, config
        self.gate = asyncio.Event()
        self.stopped = False

    async def stop(self) -> None:
        self.stopped = True

    async def size(self) -> int:
        return self.config.size

    async def cached(self, key: str) -> str:
        return await self.cache.get(key)

    async def mine_is_kept(self) -> bool:
        box = Box([1])
        back = await self.near.echo(box)
        back.items.append(2)
        Near.seen[-1].items.append(3)
        return box.items == [1] and back.items == [1, 2]

    async def what_near_refuses(self) -> str:
        try:
            await self.near.refuse("x")
        except Gone as error:
            return error.what
        return ""

    async def spans(self) -> bool:
        mine = current_call()
        theirs = await self.near.trace()
        after = current_call()
        return theirs[:32] == mine.trace_id and theirs[32:] != mine.span_id and after == mine

    @raises(Gone)
    @get("/ask/{what}")
    async def ask(self, what: str) -> int:
        return await self.far.ask(what)

    async def wait(self) -> int:
        await self.gate.wait()
        return 1

    async def open(self) -> None:
        self.gate.set()
"""


class FarCaller:
    """The gateway's side, scripted."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, object]] = []
        self.contexts: list[CallContext | None] = []
        self.answer: object = 7

    async def call(
        self, target: str, payload: bytes, context: CallContext | None, *, deadline_s: float, node: str = ""
    ) -> bytes:
        self.calls.append((target, msgspec.msgpack.decode(payload)))
        self.contexts.append(context)
        if isinstance(self.answer, Exception):
            raise self.answer
        return msgspec.msgpack.encode(self.answer)


class FakeCache:
    def __init__(self, request: ServiceRequest) -> None:
        self._slice = request.slice

    async def get(self, key: str) -> str:
        return f"{self._slice}:{key}"


class Hosted:
    """A host and what surrounds it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.caller = FarCaller()
        self.log = CollectedLog()
        self.tasks = TaskOwner()
        self.host = Host(
            node="n1",
            caller=self.caller,
            services={"cache": FakeCache},
            recorder=Recorder(),
            log=self.log,
            tasks=self.tasks,
        )

    def artifact(self, source: str = SOURCE, *, module: str = "hosted_shop", version: str = "a") -> PreparedArtifact:
        code = self.directory / version
        code.mkdir(exist_ok=True)
        (code / f"{module}.py").write_text(dedent(source))
        names = (("shop", "Shop"), ("near", "Near"))
        contracts = tuple(SliceContract(name=n, version="1.0.0", entry=f"{module}:{c}") for n, c in names)
        return PreparedArtifact(sha256=Sha256(version * 64), code=str(code), slices=contracts)

    async def active(self, name: str, number: int = 1, **config: int) -> None:
        settings = InstanceSettings(slice=name, number=number, version="1.0.0", config=dict(config))
        await self.host.load(self.artifact(), settings)
        await self.host.activate(name, number)

    async def call(self, target: str, *arguments: object, instance: int = 0) -> Any:
        call = incoming(target, msgspec.msgpack.encode(arguments), instance=instance)
        return msgspec.msgpack.decode(await self.tasks.start(self.host.answer(call), name=target))

    async def phases(self) -> dict[str, Phase]:
        return {f"{i.slice}/{i.number}": i.phase for i in await self.host.instances()}


def incoming(target: str, payload: bytes, *, instance: int = 0, http: bool = False) -> IncomingCall:
    context = CallContext.root(asyncio.get_running_loop().time() + 5)
    return IncomingCall(cast(Connection, None), 1, target, payload, context, instance, http)


@pytest.fixture
def hosted(tmp_path: Path) -> Iterator[Hosted]:
    before = list(sys.path)
    yield Hosted(tmp_path)
    sys.path[:] = before
    for name in [name for name in sys.modules if name.startswith("hosted_")]:
        del sys.modules[name]


def settings(name: str = "shop", number: int = 1, *, version: str = "1.0.0") -> InstanceSettings:
    return InstanceSettings(slice=name, number=number, version=version)


async def test_an_instance_is_loaded_activated_deactivated_and_unloaded(hosted: Hosted) -> None:
    contract = await hosted.host.load(hosted.artifact(), settings())
    assert contract.concurrency_max == 2
    assert await hosted.phases() == {"shop/1": Phase.LOADED}
    with pytest.raises(NotStarted):
        await hosted.call("shop/size")
    await hosted.host.activate("shop", 1)
    await hosted.host.activate("shop", 1)  # again, as control may after a lost reply
    assert await hosted.call("shop/size") == 1
    with pytest.raises(InstanceFailed, match="deactivate it first"):
        await hosted.host.unload("shop", 1)
    await hosted.host.deactivate("shop", 1, drain_ms=10)
    await hosted.host.deactivate("shop", 1, drain_ms=10)
    await hosted.host.unload("shop", 1)
    await hosted.host.unload("shop", 1)
    assert await hosted.phases() == {}
    with pytest.raises(UnknownInstance):
        await hosted.host.activate("shop", 1)


async def test_what_an_instance_held_goes_with_it_cycles_and_all(hosted: Hosted) -> None:
    """Or the one that is started in its place, in this process, would have the memory of both."""
    await hosted.host.load(hosted.artifact(), settings())
    kinds = [each for each in gc.get_objects() if type(each).__name__ == "Shop"]
    (shop,) = [each for each in kinds if type(each).__module__.startswith("hosted_")]
    shop.itself = shop
    held = weakref.ref(shop)
    del shop, kinds
    await hosted.host.unload("shop", 1)
    assert held() is None


async def test_config_and_services_are_injected(hosted: Hosted) -> None:
    await hosted.active("shop", size=9)
    assert await hosted.call("shop/size") == 9
    assert await hosted.call("shop/cached", "k") == "shop:k"


async def test_wrong_config_and_missing_services_fail_the_load_with_the_reason(hosted: Hosted) -> None:
    wrong = InstanceSettings(slice="shop", number=1, version="1.0.0", config={"size": "big"})
    with pytest.raises(InstanceFailed, match=r"its config is wrong: Expected `int`, got `str` - at `\$\.size`"):
        await hosted.host.load(hosted.artifact(), wrong)
    assert await hosted.phases() == {"shop/1": Phase.FAILED}
    hosted.host._services = {}
    with pytest.raises(InstanceFailed, match="offers no service 'cache'"):
        await hosted.host.load(hosted.artifact(), settings())
    await hosted.host.unload("shop", 1)
    assert await hosted.phases() == {}


async def test_a_version_that_is_not_the_codes_is_refused(hosted: Hosted) -> None:
    with pytest.raises(InstanceFailed, match=r"the code is slice shop 1\.0\.0, not 2\.0\.0"):
        await hosted.host.load(hosted.artifact(), settings(version="2.0.0"))


async def test_slices_of_one_artifact_call_each_other_in_the_loop_with_copies_and_spans(hosted: Hosted) -> None:
    await hosted.active("near")
    await hosted.active("shop")
    assert await hosted.call("shop/mine_is_kept") is True
    assert await hosted.call("shop/what_near_refuses") == "x"
    assert await hosted.call("shop/spans") is True
    assert hosted.caller.calls == []


async def test_without_a_local_instance_the_proxy_goes_through_the_gateway(hosted: Hosted) -> None:
    await hosted.active("shop")
    assert await hosted.call("shop/ask", "a") == 7
    assert hosted.caller.calls == [("far/ask", ["a"])]
    hosted.caller.answer = "seven"
    with pytest.raises(CallFailed):
        await hosted.call("shop/ask", "a")
    assert "ReplyInvalid" in str(hosted.log.lines[-1].fields["error"])


async def test_domain_errors_travel_as_themselves_and_undeclared_ones_do_not(hosted: Hosted) -> None:
    await hosted.active("shop")
    payload = msgspec.msgpack.encode({"what": "it"})
    hosted.caller.answer = RemoteFault(code="domain:gone", detail="", payload=payload)
    with pytest.raises(RemoteFault) as caught:
        await hosted.call("shop/ask", "a")
    assert (caught.value.code, msgspec.msgpack.decode(caught.value.payload)) == ("domain:gone", {"what": "it"})
    hosted.caller.answer = RemoteFault(code="domain:other", detail="secret")
    with pytest.raises(CallFailed):
        await hosted.call("shop/ask", "a")


async def test_what_start_begins_is_bound_by_no_deadline_of_the_call_that_activated_it(hosted: Hosted) -> None:
    """A task that a slice begins there lives for as long as the slice: with the activation's deadline every call of it
    would fail from half a minute after the start on."""
    begins = "    async def start(self) -> None:\n        await self.far.ask('early')\n\n    async def stop"
    artifact = hosted.artifact(SOURCE.replace("    async def stop", begins))
    await hosted.host.load(artifact, InstanceSettings(slice="shop", number=1, version="1.0.0", config={}))
    current.set(CallContext.root(asyncio.get_running_loop().time() + 5))
    await hosted.host.activate("shop", 1)
    assert hosted.caller.calls == [("far/ask", ["early"])]
    assert hosted.caller.contexts == [None]


@pytest.mark.parametrize("error", [NotStarted("full"), ConnectionLost("gone")])
async def test_a_dependency_that_is_away_never_looks_as_if_this_call_had_not_started(
    hosted: Hosted, error: Exception
) -> None:
    """A NACK for a call whose handler ran would be retried, and run it twice."""
    await hosted.active("shop")
    hosted.caller.answer = error
    with pytest.raises(DependencyUnavailable):
        await hosted.call("shop/ask", "a")
    request = msgspec.msgpack.encode(HttpRequest(0, ("a",)))
    raw = await hosted.tasks.start(hosted.host.answer(incoming("shop/ask", request, http=True)), name="http")
    assert msgspec.msgpack.decode(raw, type=HttpReply).status == 503


async def test_arguments_too_large_to_send_are_the_callers_own_error(hosted: Hosted) -> None:
    """Else its caller would be told to try again, and nobody would look for the reason."""
    await hosted.active("shop")
    hosted.caller.answer = MessageTooLarge("a message of 17000000 bytes")
    with pytest.raises(CallFailed):
        await hosted.call("shop/ask", "a")


async def test_deactivation_refuses_new_calls_waits_for_those_in_progress_then_stops(hosted: Hosted) -> None:
    await hosted.active("shop")
    waiting = hosted.tasks.start(hosted.call("shop/wait"), name="waiting")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    stopping = hosted.tasks.start(hosted.host.deactivate("shop", 1, drain_ms=5_000), name="stopping")
    await asyncio.sleep(0)
    with pytest.raises(NotStarted, match="shop/1 is deactivating"):
        await hosted.call("shop/size", instance=1)
    instance = hosted.host._instances["shop", 1]
    assert instance.in_progress == 1
    cast(Any, instance._object).gate.set()
    assert await waiting == 1
    await stopping
    assert cast(Any, instance._object).stopped


async def test_a_full_instance_refuses_and_another_takes_the_call(hosted: Hosted) -> None:
    await hosted.active("shop", 1)
    waiting = [hosted.tasks.start(hosted.call("shop/wait", instance=1), name="waiting") for _ in range(2)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    with pytest.raises(NotStarted, match="full"):
        await hosted.call("shop/size", instance=1)
    with pytest.raises(NotStarted):
        await hosted.call("shop/size")
    await hosted.active("shop", 2)
    assert [await hosted.call("shop/size") for _ in range(3)] == [1, 1, 1]
    assert hosted.host.loads() == (HostedLoad("shop", "1.0.0", 2, 2, 4),)
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    assert hosted.host._instances["shop", 1].in_progress == 0


async def test_inline_artifacts_of_two_versions_take_turns_but_never_share_names(hosted: Hosted) -> None:
    await hosted.active("near")
    other = hosted.artifact(SOURCE.replace("[1, 2]", "[9]"), version="b")
    with pytest.raises(InstanceFailed, match="cannot share a process"):
        await hosted.host.load(other, settings("near", 2))
    await hosted.host.deactivate("near", 1, drain_ms=0)
    await hosted.host.unload("near", 1)
    await hosted.host.load(other, settings("near", 2))
    assert Path(str(sys.modules["hosted_shop"].__file__)).parent.name == "b"


async def test_malformed_calls_get_errors_and_count_themselves_out(hosted: Hosted) -> None:
    await hosted.active("shop")
    for payload in (b"\xc1", b"\x93", b"\x91\x01\x02", b"", msgspec.msgpack.encode([1, 2, 3])):
        with pytest.raises(Exception, match="ask") as caught:
            await hosted.tasks.start(hosted.host.answer(incoming("shop/ask", payload)), name="bad")
        assert getattr(caught.value, "code", "") == "invalid_arguments"
    for payload in (b"\xc1", msgspec.msgpack.encode([99, ["a"]]), msgspec.msgpack.encode([0, []])):
        raw = await hosted.tasks.start(hosted.host.answer(incoming("shop/ask", payload, http=True)), name="bad")
        assert msgspec.msgpack.decode(raw, type=HttpReply).status == 422
    assert hosted.host._instances["shop", 1].in_progress == 0
