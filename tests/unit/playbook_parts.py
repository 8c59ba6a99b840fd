"""Playbooks on a gate in memory: their ports, and a driver that does what the kernel does, in one pass and without a
store of its own."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import msgspec

from controllers.gate.answers import AnswerBook
from controllers.gate.recalling import GateRecall
from playbooks.actions.shelf import builtin_actions
from playbooks.document.checking import Checker
from playbooks.document.reading import Source, read
from playbooks.expressions.picture import Measured, Standing
from playbooks.kind import PlaybookKind
from playbooks.planning.planner import RunPlanner
from playbooks.ports import PlaybookPorts
from playbooks.starting import Makers
from runtime.backup.proving import NoProof
from runtime.names import Sha256
from runtime.operations.actor import Actor
from runtime.operations.plan import Json
from runtime.workflow.errors import StepFailed
from runtime.workflow.flow import (
    Ask,
    Did,
    Do,
    Fail,
    Finish,
    RunView,
    SignalView,
    Sleep,
    StepContext,
    StepError,
    StepView,
)
from tests.unit.gate_parts import GateOnHand, person

LOG_LEVEL = """
[playbook]
id = "log-level"
version = "1.0.0"
kind = "troubleshooting"
risk = "low"
summary = "Write more into the log for a while"

[params]
level = { type = "string", default = "debug", choices = ["debug", "warning"] }
time = { type = "duration", default = "10m" }

[[pre]]
cel = "cluster.quorum"
why = "without a quorum nothing can be set"

[[step]]
id = "raise"
uses = "log-level.set"
with = { level = "{level}" }
verify = { cel = "config.log_level == params.level", within = "10s" }
undo = "inverse"

[[step]]
id = "meanwhile"
uses = "wait"
with = { for = "{time}" }

[[step]]
id = "lower"
uses = "log-level.unset"
verify = { cel = "config.log_level != params.level", within = "10s" }
undo = { none = "it is what was there before" }

[verify]
cel = "config.log_level == 'info'"
"""


class HandContent:
    """Content in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.pins: set[tuple[str, str]] = set()

    async def put(self, chunks: AsyncIterator[bytes], **_how: object) -> Sha256:
        raw = b"".join([chunk async for chunk in chunks])
        sha256 = Sha256(hashlib.sha256(raw).hexdigest())
        self.kept[sha256] = raw
        return sha256

    async def get(self, sha256: Sha256) -> Path:
        raise NotImplementedError

    async def pin(self, sha256: Sha256, owner: str) -> None:
        self.pins.add((sha256, owner))


@dataclass
class HandMeasures:
    slices: dict[str, dict[str, Json]] = field(default_factory=dict)

    def measured(self) -> Measured:
        return Measured(at_unix_ms=5, window_s=10, slices=self.slices)


class HandAsks:
    """Answers what it was told to, and notes who asked."""

    def __init__(self) -> None:
        self.answers: dict[str, dict[str, Json]] = {}
        self.asked: list[tuple[str, Mapping[str, Json], Actor]] = []

    async def ask(self, operation: str, request: Mapping[str, Json], actor: Actor) -> dict[str, Json]:
        self.asked.append((operation, request, actor))
        return self.answers.get(operation, {})


class PlaybooksOnHand:
    """`drive` carries a playbook out as far as it goes without people; time passes when it sleeps or looks in vain."""

    def __init__(self, gate: GateOnHand | None = None) -> None:
        self.gate = gate or GateOnHand()
        self.asks, self.measures, self.content = HandAsks(), HandMeasures(), HandContent()
        self.quorum = True
        self.moved = self._pass_time
        self.actions = builtin_actions()
        self.ports = PlaybookPorts(
            dispatcher=self.gate.gate,
            recalls=GateRecall(AnswerBook(self.gate.store, self.gate.clock), self.gate.link),
            asks=self.asks,
            catalogue=self.gate.desk.catalogue,
            state=self.gate.state,
            moved=self._moves,
            measures=self.measures,
            standing=lambda: Standing(leader="n1", quorum=self.quorum),
            content=self.content,  # type: ignore[arg-type]  # as much of it as is used
            clock=self.gate.clock,
            new_id=self.gate.desk.new_id,
            log=self.gate.log,
            backups=Path("nowhere"),
            proof=NoProof(),
        )
        self.checker = Checker(self.ports.catalogue, self.actions)
        self.kind = PlaybookKind(self.ports, self.actions)
        self.planner = RunPlanner(self.ports, self.actions, partial(self.gate.desk.judge, tainted=False))
        self.makers = Makers(self.gate.clock, self.gate.desk.new_id)

    async def _moves(self) -> None:
        await self.moved()

    async def _pass_time(self) -> None:
        self.gate.pass_time(500)

    def source(self, text: str) -> Source:
        source = read(text.encode())
        self.checker.check(source)
        return source

    def begin(self, text: str, *, starter: Actor | None = None, **params: Json) -> RunOnHand:
        source = self.source(text)
        given: dict[str, Json] = {name: each.default for name, each in source.document.params.items()} | params
        header = source.document.playbook
        run = RunView(
            id="run1",
            kind="playbook",
            definition=source.sha256,
            input={"playbook": header.id, "version": header.version, "params": given},
            actor=starter or person("anna"),
            trigger={},
            state="running",
            depth=0,
            parent="",
            began_unix_ms=self.gate.clock.unix_ms(),
            now_unix_ms=self.gate.clock.unix_ms(),
        )
        return RunOnHand(self, text, run)


class RunOnHand:
    def __init__(self, world: PlaybooksOnHand, text: str, run: RunView) -> None:
        self.world = world
        self.flow = world.kind.load(text.encode())
        self.run = run
        self.contexts: dict[str, StepContext] = {}
        self.undoable: list[str] = []
        self.undone: list[str] = []
        self.waits = ""
        """The signal that it waits for."""

    async def drive(self) -> Finish | Fail | Ask | None:
        """How it ended; None where it waits for people."""
        self.waits = ""
        while True:
            self._at(now_unix_ms=self.world.gate.clock.unix_ms())
            directive = self.flow.next(self.run)
            match directive:
                case Do():
                    if not await self._do(directive):
                        return None
                case Sleep(until_unix_ms=until):
                    self.world.gate.pass_time(until - self.run.now_unix_ms)
                case Fail(undo=True):
                    await self._undo()
                    return directive
                case Finish() | Fail() | Ask():
                    return directive
                case _:
                    raise AssertionError(directive)

    def step(self, name: str) -> StepView:
        found = self.run.step(name)
        assert found is not None, [each.step for each in self.run.steps]
        return found

    async def signalled(self, data: dict[str, Json] | None = None) -> Finish | Fail | Ask | None:
        """What the open step waited for has come."""
        signal = SignalView(name=self.waits, at_unix_ms=0, by="", data=data or {})
        name = next(each.step for each in self.run.steps if each.state == "waiting")
        self.contexts[name] = replace(self.contexts[name], signal=signal)
        return await self.drive() if await self._attempt(name) else None

    async def _do(self, do: Do) -> bool:
        now = self.run.now_unix_ms
        context = StepContext(
            run=self.run, step=do.step, attempt=1, key=f"{self.run.id}/{do.step}", input=do.input, began_unix_ms=now
        )
        self.contexts[do.step] = context
        view = StepView(step=do.step, action=do.action, state="begun", attempt=1, began_unix_ms=now, ended_unix_ms=0)
        self._at(steps=(*self.run.steps, view))
        if do.undo:
            self.undoable.append(do.step)
        return await self._attempt(do.step)

    async def _attempt(self, name: str) -> bool:
        view, context = self.step(name), self.contexts[name]
        try:
            outcome = await self.world.kind.action(view.action).run(context)
        except StepFailed as failed:
            error = StepError(code=failed.reason, detail=failed.detail, retryable=failed.again)
            self._ended(name, state="failed", error=error)
            return True
        if isinstance(outcome, Did):
            self._ended(name, state="done", result=outcome.result)
            return True
        self.waits = outcome.signal
        self.contexts[name] = replace(context, note=outcome.note)
        self._ended(name, state="waiting")
        return False

    async def _undo(self) -> None:
        for name in reversed(self.undoable):
            view = self.step(name)
            if view.state == "done":
                await self.world.kind.action(view.action).undo(self.contexts[name], view.result)
                self.undone.append(name)

    def _ended(self, name: str, **members: object) -> None:
        now = self.world.gate.clock.unix_ms()
        steps = tuple(
            msgspec.structs.replace(each, ended_unix_ms=now, **members) if each.step == name else each
            for each in self.run.steps
        )
        self._at(steps=steps)

    def _at(self, **members: object) -> None:
        self.run = msgspec.structs.replace(self.run, **members)
