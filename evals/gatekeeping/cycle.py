"""One cycle: a change is taken from being asked for to its end, and at one point of it the leader dies."""

from __future__ import annotations

import contextlib
import random
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import anyio

from evals.forge.errors import ApiUnreachable
from evals.forge.forge import Forge
from evals.forge.processes import send
from evals.gatekeeping.errors import GatePromiseBroken
from evals.gatekeeping.people import Document, Person
from evals.gatekeeping.report import GateReport

SLICE: Final = "steady"
POINTS: Final = ("directly", "asking", "voting", "approved", "applied", "undoing")
"""While a change is made at once; asked for; voted on; between the vote and its application; right behind that; while
its guard is breached."""
VICTIMS: Final = (("control", "store"), ("control", "store"), ("control",), ("store",))
DELAY_S_MAX: Final = 0.06  # from sending a request to the kill: what the leader does for it takes about this long
END_S: Final = 40.0
LOOK_S: Final = 0.05
CALL_S: Final = 0.02
WELL_S: Final = 60.0
CHANGES: Final = ("applied", "rolled_back", "break_glass")

T = TypeVar("T")


@dataclass(slots=True, kw_only=True)
class Cluster:
    """A Forge with one slice, and its people: one asks, one approves, and the first admin looks."""

    forge: Forge
    asking: Person
    approving: Person
    looking: Person
    report: GateReport


@dataclass(slots=True)
class Kill:
    """The leader's control, store or both, found before they are to die."""

    leader: str
    pids: tuple[int, ...]
    at_s: float = 0.0
    delay_s: float = 0.0

    async def strike(self) -> None:
        await anyio.sleep(self.delay_s)
        send(self.pids, signal.SIGKILL)
        self.at_s = time.monotonic()


@dataclass(slots=True)
class Cycle:
    cluster: Cluster
    number: int
    point: str
    rng: random.Random

    async def run(self) -> None:
        """Raises GatePromiseBroken, NoAnswer."""
        forge = self.cluster.forge
        await forge.until_ready(timeout_s=WELL_S)
        before = await self._wanted()
        kill = await self._aimed()
        wanted = self.rng.choice([each for each in range(2, 7) if each != before])
        proposal = await self._carried_out(kill, wanted)
        await self._wants(before if self.point == "undoing" else wanted)
        self.cluster.report.taken_s.setdefault(self.point, []).append(time.monotonic() - kill.at_s)
        await forge.until_ready(timeout_s=WELL_S)
        await self._audited(proposal)

    async def _aimed(self) -> Kill:
        forge = self.cluster.forge
        leader = await forge.until_leader()
        kinds = self.rng.choice(VICTIMS)
        found = tuple(process.pid for process in await forge.nodes[leader].processes() if process.kind in kinds)
        if len(found) != len(kinds):
            raise GatePromiseBroken(f"{leader} runs {len(found)} of {' and '.join(kinds)}")
        return Kill(leader, found, delay_s=self.rng.uniform(0.0, DELAY_S_MAX))

    async def _carried_out(self, kill: Kill, wanted: int) -> str:
        """The proposal's id; empty for a change that was made at once."""
        name = f"cycle-{self.number}"
        if self.point == "directly":
            await self._struck(kill, "directly", lambda: self._asked(name, wanted, propose=False))
            return ""
        asked = await self._struck(kill, "asking", lambda: self._asked(name, wanted, propose=True))
        identity = str(asked["proposal"])
        await self._struck(kill, "voting", lambda: self._voted(identity))
        if self.point == "approved":
            await kill.strike()
        await self._until(identity, "applied", "rolled_back")
        if self.point == "applied":
            await kill.strike()
        if self.point == "undoing":
            await self._undone(kill, identity)
        return identity

    async def _struck(self, kill: Kill, point: str, work: Callable[[], Awaitable[T]]) -> T:
        """What the work gives, with the kill amid it if this is the point."""
        found: list[T] = []

        async def done() -> None:
            found.append(await work())

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(done)
            if point == self.point:
                await kill.strike()
        return found[0]

    async def _asked(self, name: str, wanted: int, *, propose: bool) -> Document:
        """Asked twice: the second answer must be the first one, told again."""
        words = f"reason={name}" + ("&propose=true" if propose else "")
        if self.point == "undoing":
            words += "&guard=p50_ms>0@300"
        path = f"/v1/slices/{SLICE}/scale?{words}"
        answers = [
            await self.cluster.asking.ask("PUT", path, {"instances": wanted}, once=f"{self.cluster.report.seed}-{name}")
            for _ in range(2)
        ]
        member = "proposal" if propose else "audit"
        if not answers[0].get(member) or answers[0].get(member) != answers[1].get(member):
            raise GatePromiseBroken(f"one idempotency key was answered by {answers[0]} and by {answers[1]}")
        return answers[0]

    async def _voted(self, identity: str) -> None:
        """A vote that was counted before it was answered may find its proposal ended: `_until` tells how."""
        found = await self.cluster.approving.ask("POST", f"/v1/proposals/{identity}/approve", {"reason": "seen"})
        if "proposal" not in found and found.get("code") != "proposal_ended":
            raise GatePromiseBroken(f"a vote for {identity} was answered by {found}")

    async def _undone(self, kill: Kill, identity: str) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._calls)
            await anyio.sleep(self.rng.uniform(0.0, 2.0))  # figures are told every second
            await kill.strike()
            await self._until(identity, "rolled_back")
            tasks.cancel_scope.cancel()

    async def _calls(self) -> None:
        """The slice is used, so that its figures are known."""
        nodes = self.cluster.forge.names
        while True:
            with contextlib.suppress(ApiUnreachable):
                await self.cluster.forge.http(self.rng.choice(nodes)).request("GET", "/steady", timeout_s=2.0)
            await anyio.sleep(CALL_S)

    async def _until(self, identity: str, *states: str) -> None:
        state = ""
        with anyio.move_on_after(END_S):
            while state not in states:
                found = await self.cluster.looking.ask("GET", f"/v1/proposals/{identity}")
                proposal = found.get("proposal")
                state = str(proposal.get("state")) if isinstance(proposal, dict) else f"{found}"
                await anyio.sleep(LOOK_S)
            return
        raise GatePromiseBroken(f"proposal {identity} is {state} after {END_S:g} s, and not {' or '.join(states)}")

    async def _wants(self, expected: int) -> None:
        """On whichever node is asked: each tells what it has seen, and may be a moment behind."""
        found = -1
        with anyio.move_on_after(END_S):
            while found != expected:
                found = await self._wanted()
            return
        raise GatePromiseBroken(f"{SLICE} wants {found} instances after {END_S:g} s, not {expected}")

    async def _wanted(self) -> int:
        found = await self.cluster.looking.ask("GET", f"/v1/slices/{SLICE}")
        versions = found["versions"]
        assert isinstance(versions, list)
        return int(versions[0]["wanted"])

    async def _audited(self, proposal: str) -> None:
        """The chain holds, and has this cycle's change once, and once that it was undone."""
        checked = await self.cluster.looking.ask("GET", "/v1/audit/verify")
        if checked.get("holds") is not True:
            raise GatePromiseBroken(f"the audit does not hold: {checked}")
        expected = Counter({"applied": 1} | ({"rolled_back": 1} if self.point == "undoing" else {}))
        found: Counter[str] = Counter()
        with anyio.move_on_after(END_S):
            while found.total() < expected.total():
                found = await self._records(proposal)
        if found != expected:
            raise GatePromiseBroken(f"the audit has {dict(found)} of cycle {self.number}, not {dict(expected)}")
        self.cluster.report.applied += found["applied"]
        self.cluster.report.undone += found["rolled_back"]

    async def _records(self, proposal: str) -> Counter[str]:
        links = await self.cluster.looking.lines("/v1/audit/export")
        self.cluster.report.records = len(links)
        records = [link["record"] for link in links]
        mine = [
            each
            for each in records
            if isinstance(each, dict)
            and (each["proposal"] == proposal if proposal else each["reason"] == f"cycle-{self.number}")
        ]
        return Counter(str(each["kind"]) for each in mine if each["kind"] in CHANGES)
