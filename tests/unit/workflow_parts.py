"""An engine on a store in memory, in simulated time; its flow is a list, and its actions do what they are told."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

import anyio
import msgspec

from evals.simulation.loop import run as run_simulated
from runtime.consensus.memory import MemoryStore
from runtime.consensus.store import LEADER_KEY, Operation, Put, Revision
from runtime.names import Sha256
from runtime.operations.actor import Actor, ActorKind, Role
from runtime.operations.operation import Effect
from runtime.operations.plan import Json
from runtime.sdk.testing import CollectedLog
from runtime.state import keys
from runtime.state.values import decode, encode
from runtime.workflow.case import Note
from runtime.workflow.engine import WorkflowEngine
from runtime.workflow.errors import DefinitionNotFound, FlowInvalid, StepFailed
from runtime.workflow.flow import (
    Action,
    Did,
    Directive,
    Do,
    Done,
    Fail,
    Finish,
    Flow,
    NotDone,
    RunView,
    StepContext,
    Unknown,
    Waits,
)
from runtime.workflow.ports import WorkflowPorts
from runtime.workflow.records import LockRecord, RunOrder, RunRecord, RunState, SignalRecord, StepRecord

T = TypeVar("T")
ANNA = Actor(kind=ActorKind.PERSON, id="anna", role=Role.OPERATOR)
EPOCH_S = 1_700_000_000


def simulated(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    return run_simulated(work())


class LoopClock:
    def monotonic_s(self) -> float:
        return asyncio.get_running_loop().time()

    def unix_ms(self) -> int:
        return int((EPOCH_S + asyncio.get_running_loop().time()) * 1_000)


def do(step: str, effect: Effect = Effect.IDEMPOTENT, *, undo: bool = False, **members: Any) -> Do:
    found = Do(step=step, action=step.partition("/")[0], input={}, effect=effect, timeout_s=10, undo=undo)
    return msgspec.structs.replace(found, **members)


class ListFlow:
    """Its steps one after the other; the first that fails fails the run, which undoes what it did."""

    def __init__(self, steps: list[Directive]) -> None:
        self._steps = steps

    def next(self, run: RunView) -> Directive:
        for each in self._steps:
            if not isinstance(each, Do):
                return each
            found = run.step(each.step)
            if found is None:
                return each
            if found.state == "failed":
                assert found.error is not None
                return Fail(code=found.error.code, detail=found.error.detail, undo=True)
        return Finish(result={"steps": len(run.steps)})


Work = Callable[[StepContext], Any]


@dataclass
class ToldAction:
    """What it is told to do; every call is noted with the step's key."""

    calls: list[tuple[str, str]]
    works: Work | None = None
    probes: Work | None = None
    undoes: Work | None = None

    async def run(self, context: StepContext) -> Did | Waits:
        self.calls.append(("run", context.key))
        found = await self._said(self.works, context)
        return found if found is not None else Did({"attempt": context.attempt})

    async def probe(self, context: StepContext) -> Done | NotDone | Unknown:
        self.calls.append(("probe", context.key))
        found = await self._said(self.probes, context)
        return found if found is not None else NotDone()

    async def undo(self, context: StepContext, result: dict[str, Json]) -> None:
        self.calls.append(("undo", context.key))
        await self._said(self.undoes, context)

    async def _said(self, work: Work | None, context: StepContext) -> Any:
        found = work(context) if work is not None else None
        return await found if asyncio.iscoroutine(found) else found


@dataclass
class ListKind:
    flow: Flow
    actions: dict[str, Action] = field(default_factory=dict)
    name: str = "list"

    def load(self, definition: bytes) -> Flow:
        if definition == b"broken":
            raise FlowInvalid("it is broken")
        return self.flow

    def action(self, name: str) -> Action:
        return self.actions[name]


class KeptBytes:
    """Implements Definitions and Results."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def add(self, raw: bytes) -> Sha256:
        name = hashlib.sha256(raw).hexdigest()
        self.kept[name] = raw
        return Sha256(name)

    async def keep(self, run: str, raw: bytes) -> Sha256:
        return self.add(raw)

    async def read(self, sha256: Sha256) -> bytes:
        if sha256 not in self.kept:
            raise DefinitionNotFound(f"nobody has {sha256}")
        return self.kept[sha256]

    async def drop(self, run: str, sha256: Sha256) -> None:
        self.kept.pop(sha256, None)


class EngineOnHand:
    def __init__(self, steps: list[Directive] | None = None, *, flow: Flow | None = None) -> None:
        self.store = MemoryStore()
        self.calls: list[tuple[str, str]] = []
        self.kind = ListKind(flow or ListFlow(steps or []))
        for each in steps or []:
            if isinstance(each, Do):
                self.kind.actions[each.action] = ToldAction(self.calls)
        self.bytes = KeptBytes()
        self.definition = self.bytes.add(b"a list")
        self.notes: list[Note] = []
        self.log = CollectedLog()
        self.sources: dict[str, Any] = {}
        self.ports = WorkflowPorts(
            store=self.store,
            kinds={"list": self.kind},
            definitions=self.bytes,
            results=self.bytes,
            sources=self.sources,
            trail=self._noted,
            clock=LoopClock(),
            log=self.log,
        )

    def action(self, name: str) -> ToldAction:
        found = self.kind.actions[name]
        assert isinstance(found, ToldAction)
        return found

    def _noted(self, note: Note) -> list[Operation]:
        self.notes.append(note)
        return []

    @contextlib.asynccontextmanager
    async def leading(self) -> AsyncIterator[None]:
        """An engine under a leadership of its own; on the way out it is gone like a process that was killed."""
        async with anyio.create_task_group() as tasks:
            item = self.store.engine.machine.keys.get(LEADER_KEY)
            assert item is not None
            tasks.start_soon(WorkflowEngine(self.ports).run, Revision(item.mod_revision))
            yield
            tasks.cancel_scope.cancel()

    def lead_anew(self) -> None:
        self.store.engine.lead("n2" if self.store.engine.node == "n1" else "n1")

    async def start(self, identity: str = "r1", **members: Any) -> None:
        run = RunRecord(id=identity, kind="list", definition=self.definition, actor=ANNA, created_unix_ms=0)
        await self.put(keys.run(identity), msgspec.structs.replace(run, **members))

    async def put(self, key: str, value: Any) -> None:
        await self.store.txn((), [Put(key=key, value=encode(value))])

    async def order(self, order: Any, identity: str = "r1", **members: Any) -> None:
        await self.put(keys.run_order(identity), RunOrder(order=order, by="anna", **members))

    async def tell(self, name: str, identity: str = "r1", **data: Json) -> None:
        await self.put(keys.run_signal(identity, name), SignalRecord(name=name, at_unix_ms=1, by="anna", data=data))

    def run(self, identity: str = "r1") -> RunRecord:
        return decode(self.store.items[keys.run(identity)].value, RunRecord)

    def steps(self, identity: str = "r1") -> list[StepRecord]:
        prefix = keys.steps_of(identity)
        return [decode(item.value, StepRecord) for key, item in self.store.items.items() if key.startswith(prefix)]

    def locks(self) -> dict[str, LockRecord]:
        found = [
            decode(item.value, LockRecord) for key, item in self.store.items.items() if key.startswith("run-lock/")
        ]
        return {each.name: each for each in found}

    async def until(self, *states: RunState, identity: str = "r1") -> RunRecord:
        """Fails in simulated time when it never comes."""
        with anyio.fail_after(3_600):
            while self.run(identity).state not in states:
                seen = self.store.engine.changes.count
                if self.run(identity).state not in states:
                    await self.store.engine.changes.after(seen)
        return self.run(identity)

    async def until_seen(self, met: Callable[[], bool]) -> None:
        with anyio.fail_after(3_600):
            while not met():
                await self.store.engine.changes.after(self.store.engine.changes.count)


def fails(*_: Any) -> None:
    raise StepFailed("no_luck", "it did not work")


def crashes(*_: Any) -> None:
    raise ZeroDivisionError("a mistake")


async def never(_: Any) -> None:
    await anyio.sleep_forever()
