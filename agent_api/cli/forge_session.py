"""One run of `aether forge`: start, show, obey, end."""

from __future__ import annotations

import argparse
import json
import math
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import anyio
import msgspec
from anyio.abc import TaskGroup

from agent_api.cli.forge_input import CommandLine
from agent_api.cli.forge_view import View, plain_line, welcome
from evals.forge.chaos import HELP, Chaos
from evals.forge.desk import ForgeDesk, open_console
from evals.forge.errors import ForgeFault
from evals.forge.forge import Forge
from evals.forge.load.generator import LoadGenerator
from evals.forge.load.profile import Profile
from evals.forge.load.requests import parsed
from evals.forge.operations import ForgeDispatcher
from evals.forge.status import read_status
from runtime.cluster.ports import ports_of
from runtime.errors import RuntimeFault
from runtime.operations.dispatch import Submission
from runtime.operations.plan import Call
from runtime.security.principals import bootstrap_admin

STATUS_S: Final = 1.0
PLAIN_STATUS_S: Final = 5.0
MESSAGES_MAX: Final = 5


class Session:
    """Prints plain lines or JSON where nobody looks at a terminal."""

    def __init__(self, arguments: argparse.Namespace, apps: Sequence[Path]) -> None:
        self._arguments = arguments
        self._json = bool(arguments.json)
        self._terminal = sys.stdout.isatty() and not self._json
        self._apps = list(apps)
        self._messages: list[str] = []
        self._view = View() if self._terminal else None
        self._began = time.monotonic()

    async def run(self) -> None:
        """Until Ctrl-C, `quit`, or the end of --duration. A load that makes no sense is refused before all else."""
        profile = self._profile()
        async with anyio.create_task_group() as outer:
            outer.start_soon(self._end_on_signal, outer.cancel_scope)
            forge = Forge(
                nodes=self._arguments.nodes,
                workers=self._arguments.workers,
                apps=self._apps,
                state=self._arguments.state,
                keep=self._arguments.keep,
                port=self._arguments.port,
                partitions=self._arguments.partitions,
                provides=self._arguments.provide,
                progress=self._progress,
            )
            async with forge:
                await self._hold(forge, profile)
            outer.cancel_scope.cancel()
        self._say("ended", "everything that was started has ended")

    async def _hold(self, forge: Forge, profile: Profile | None) -> None:
        async with anyio.create_task_group() as tasks:
            desk = ForgeDesk(forge, tasks, requests=self._arguments.request, heard=self._message)
            door = await open_console(forge, desk)
            try:
                await desk.send(profile)
                await self._announce(forge)  # once all is there: whoever ends it then is told of its load
                tasks.start_soon(self._show, forge, desk)
                tasks.start_soon(self._obey, desk.chaos, tasks)
                await anyio.sleep(math.inf if self._arguments.duration is None else self._arguments.duration)
                tasks.cancel_scope.cancel()
            finally:
                if self._view is not None:
                    self._view.close()
                if desk.load is not None:
                    self._report(desk.load)
                with anyio.CancelScope(shield=True):
                    await door.close()

    def _profile(self) -> Profile | None:
        """Raises ProfileInvalid or RequestInvalid."""
        if not self._arguments.load:
            return None
        for text in self._arguments.request:
            parsed(text)
        return Profile(shape=self._arguments.load, rps=self._arguments.rps, floor_rps=min(1.0, self._arguments.rps))

    async def _show(self, forge: Forge, desk: ForgeDesk) -> None:
        while True:
            status = await read_status(forge, desk.window)
            if self._json:
                print(json.dumps({"event": "status", **msgspec.to_builtins(status)}), flush=True)
            elif self._view is not None:
                self._view.show(status, self._messages)
            else:
                print(plain_line(status), flush=True)
            await anyio.sleep(STATUS_S if self._json or self._terminal else PLAIN_STATUS_S)

    async def _obey(self, chaos: Chaos, tasks: TaskGroup) -> None:
        async with anyio.create_task_group() as running:
            async for command in CommandLine(self._typed if self._view else None):
                if command in ("quit", "exit"):
                    tasks.cancel_scope.cancel()
                    return
                if command in ("help", "?"):
                    self._message(HELP)
                elif command:
                    running.start_soon(self._carry_out, chaos, command)

    async def _carry_out(self, chaos: Chaos, command: str) -> None:
        try:
            self._message(await (_called(chaos, command) if command.startswith("{") else chaos.do(command)))
        except RuntimeFault as fault:
            self._message("\n  ".join(filter(None, (str(fault), str(fault.problem()["remedy"])))))
        except (ValueError, BaseExceptionGroup) as error:
            self._message(f"{command!r} failed: {error}")

    def _typed(self, text: str) -> None:
        if self._view is not None:
            self._view.typed(text)

    def _message(self, text: str) -> None:
        self._messages = [*self._messages, *text.splitlines()][-max(MESSAGES_MAX, len(text.splitlines())) :]
        if self._view is None:
            self._say("message", text)

    def _progress(self, line: str) -> None:
        self._say("progress", f"{time.monotonic() - self._began:5.1f} s  {line}")

    async def _announce(self, forge: Forge) -> None:
        ready_s = time.monotonic() - self._began
        if not self._json:
            print(welcome(forge, ready_s, await forge.api.routes()), flush=True)
            return
        nodes = [
            {"node": name, **msgspec.to_builtins(node.addresses), "ports": ports_of(node.listen)}
            for name, node in forge.nodes.items()
        ]
        first = forge.nodes[forge.names[0]]
        started = {
            "event": "started",
            "ready_s": round(ready_s, 3),
            "state": str(forge.state.path),
            "admin_key_file": str(first.admin_key_file),
            "console": f"http://{first.addresses.api}/console/",
            "nodes": nodes,
        }
        print(json.dumps(started), flush=True)

    def _report(self, load: LoadGenerator) -> None:
        if self._json:
            print(json.dumps({"event": "load", **load.report.figures()}), flush=True)
        else:
            print("\n".join(load.report.lines()), flush=True)

    def _say(self, event: str, text: str) -> None:
        print(json.dumps({"event": event, "text": text}) if self._json else text, flush=True)

    async def _end_on_signal(self, scope: anyio.CancelScope) -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
            async for _ in signals:
                with suppress(ForgeFault):
                    self._say("ending", "ending every node")
                scope.cancel()


async def _called(chaos: Chaos, line: str) -> str:
    """An operation as JSON, as programs give it: the outcome as JSON. Raises ValueError for what is no call."""
    call = msgspec.json.decode(line, type=Call)
    submission = Submission(operation=call.operation, request=call.request, actor=bootstrap_admin())
    return msgspec.json.encode(await ForgeDispatcher(chaos).submit(submission)).decode()
