"""Breaking things by name: `kill node n2`, `pause n1`, `partition n3`, `restart rolling`."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import anyio

from evals.forge.app_chaos import VERBS, AppChaos
from evals.forge.errors import ChaosRefused
from evals.forge.fault import Fault
from evals.forge.forge import Forge
from evals.forge.processes import send

KINDS: Final = ("store", "control", "gateway", "worker")
FAULT_TIMEOUT_S: Final = 30.0
HELP: Final = """\
  kill node NAME             every process of the node at once (kill -9), as when a machine loses power
  kill leader                the leader's whole node
  kill store|control|gateway|worker [NODE]   one kind of process of a node; the leader's when none is named
  hang store|control|gateway|worker NODE     stop one kind of process in its tracks (SIGSTOP)
  start NAME                 a node that was killed or stopped
  stop NAME                  drain the node, then stop it
  pause NAME, resume NAME    stop its processes in their tracks (SIGSTOP), let them go on
  partition NAME[,NAME…]     cut these nodes off from the others (Forge started with --partitions)
  heal                       mend all cuts
  restart rolling            every node in turn, with draining
  scale SLICE N              want N instances
  call METHOD PATH [JSON]    one request to the applications
  load RPS METHOD PATH       so many a second, until the end
  apply FILE                 a blueprint in an application's directory
  remove BLUEPRINT           a blueprint with all its slices
  snapshot                   one of the store, kept
  flood NAME MIB             so much into a node's logs
  pin SLICE N                hold it at N instances, whatever its load
  {"operation": "chaos.kill", "request": {"node": "n2"}}   the same as an operation, answered as JSON
  quit                       end everything"""


class Chaos:
    """Carries out one command at a time and says in a sentence what it did."""

    def __init__(self, forge: Forge) -> None:
        self._forge = forge
        self._apps = AppChaos(forge)

    async def do(self, command: str) -> str:
        """Raises ChaosRefused for a command that makes no sense, and the errors of Forge."""
        verb, _, rest = command.strip().partition(" ")
        if verb in VERBS:  # their words may be JSON, quotes and all
            return await self._apps.do(verb, rest.strip())
        words = shlex.split(command)
        match words:
            case ["hang", kind, name] if kind in KINDS:
                return await self._hang(self._known(name), kind)
            case ["kill", "leader"]:
                return await self._kill_node(await self._forge.until_leader())
            case ["kill", "node", name]:
                return await self._kill_node(self._known(name))
            case ["kill", kind] if kind in KINDS:
                return await self._kill_process(await self._forge.until_leader(), kind)
            case ["kill", kind, name] if kind in KINDS:
                return await self._kill_process(self._known(name), kind)
            case ["scale", slice_name, count] if count.isdigit():
                await self._forge.api.scale(slice_name, int(count))
                return f"{slice_name} shall have {count} instances"
            case ["restart", "rolling"]:
                await self._forge.restart_rolling()
                return "every node was restarted"
            case [verb, name] if verb in ("start", "stop", "pause", "resume"):
                return await self._node(verb, self._known(name))
            case ["partition", names]:
                return self._partition([self._known(name) for name in names.split(",")])
            case ["heal"]:
                return self._heal()
            case _:
                raise ChaosRefused(f"{command!r} is no command")

    async def run(self, fault: Fault, *, meanwhile: Callable[[], Awaitable[None]] | None = None) -> None:
        """The fault from beginning to end; `meanwhile` runs while it holds."""
        await self.do(fault.start)
        await self.until(fault.observed)
        if meanwhile is not None:
            await meanwhile()
        await anyio.sleep(fault.hold_s)
        if fault.stop:
            await self.do(fault.stop)

    async def until(self, condition: str, *, timeout_s: float = FAULT_TIMEOUT_S) -> None:
        """`node NAME down|up`, `leader`, `ready`, `slice NAME short`, `slice NAME FIGURE above BOUND`, or nothing.
        Raises NotReached or ChaosRefused."""
        match condition.split():
            case []:
                return
            case ["ready"]:
                await self._forge.until_ready(timeout_s=timeout_s)
            case ["no", "leader"]:
                await self._forge.until(condition, self._leaderless, timeout_s=timeout_s)
            case ["leader"]:
                await self._forge.until_leader(timeout_s=timeout_s)
            case ["node", name, ("up" | "down") as wanted]:
                await self._until_node(self._known(name), live=wanted == "up", timeout_s=timeout_s)
            case ["node", name, "disk", "above", bound]:
                full = partial(self._apps.is_full, self._known(name), float(bound))
                await self._forge.until(condition, full, timeout_s=timeout_s)
            case ["slice", name, "short"]:
                await self._forge.until(condition, partial(self._apps.is_short, name), timeout_s=timeout_s)
            case ["slice", name, figure, "above", bound]:
                above = partial(self._apps.is_above, name, figure, float(bound))
                await self._forge.until(condition, above, timeout_s=timeout_s)
            case _:
                raise ChaosRefused(f"{condition!r} is no condition")

    async def _leaderless(self) -> bool:
        """A node whose store answers nothing knows no better than that the one before leads."""
        for name in self._forge.running():
            if not await self._forge.api.leader(node=name):
                return True
        return False

    async def _until_node(self, name: str, *, live: bool, timeout_s: float) -> None:
        async def so() -> bool:
            return any(row.node == name and row.live == live for row in await self._forge.api.nodes())

        await self._forge.until(f"{name} is {'up' if live else 'down'}", so, timeout_s=timeout_s)

    async def _kill_node(self, name: str) -> str:
        await self._forge.nodes[name].kill()
        return f"killed every process of {name}; `start {name}` brings it back"

    async def _kill_process(self, name: str, kind: str) -> str:
        found = await self._forge.processes(name, kind)
        if not found:
            raise ChaosRefused(f"{name} runs no {kind}")
        victim = found[0]
        send((victim.pid,), signal.SIGKILL)
        await self._forge.until_replaced(name, victim)
        return f"killed {victim.id} of {name} (pid {victim.pid}); another one runs"

    async def _hang(self, name: str, kind: str) -> str:
        """Its supervisor sees a process that runs."""
        found = await self._forge.processes(name, kind)
        if not found:
            raise ChaosRefused(f"{name} runs no {kind}")
        send([each.pid for each in found], signal.SIGSTOP)
        return f"the {kind} of {name} hangs"

    async def _node(self, verb: str, name: str) -> str:
        node = self._forge.nodes[name]
        match verb:
            case "start":
                await self._forge.start_node(name)
            case "stop":
                await node.stop(drain=True)
            case "pause":
                node.pause()
            case _:
                node.resume()
        done = {"start": "runs", "stop": "is stopped", "pause": "is paused", "resume": "goes on"}
        return f"{name} {done[verb]}"

    def _partition(self, names: list[str]) -> str:
        network = self._forge.network
        if network is None:
            raise ChaosRefused("this Forge has no proxy between its nodes; start it with --partitions")
        others = [name for name in self._forge.nodes if name not in names]
        network.cut(names, others)
        return f"{', '.join(names)} cut off from {', '.join(others) or 'nobody'}"

    def _heal(self) -> str:
        if self._forge.network is not None:
            self._forge.network.heal()
        return "all links are whole"

    def _known(self, name: str) -> str:
        if name not in self._forge.nodes:
            raise ChaosRefused(f"no node is called {name!r}; there are {', '.join(self._forge.nodes)}")
        return name
