"""The open-loop generator: sends by the clock, whatever the answers do, over all nodes' gateways."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import anyio
from anyio.abc import TaskGroup

from evals.forge.errors import problem_of
from evals.forge.http_client import Answer, Broken, HttpConnection, cause_of, open_connection, render
from evals.forge.load.outcome import Failure, LoadReport
from evals.forge.load.profile import Shape
from evals.forge.load.scenario import Request, Scenario

IN_FLIGHT_MAX: Final = 4_096  # beyond, the generator itself would be what is measured
REQUEST_TIMEOUT_S: Final = 10.0  # twice the default deadline of a method
SWEEP_S: Final = 0.1
TICK_S: Final = 0.001
AVOID_S: Final = 0.2  # a gateway that refused is asked again after this


@dataclass(frozen=True, slots=True)
class Target:
    """A node's gateway."""

    node: str
    address: str


@dataclass(slots=True)
class _Gateway:
    target: Target
    idle: deque[HttpConnection] = field(default_factory=deque)
    avoid_until: float = 0.0

    def take(self) -> HttpConnection | None:
        while self.idle:
            connection = self.idle.pop()
            if connection.idle:
                return connection
        return None


@dataclass(slots=True, eq=False)
class _Flight:
    """A request on its way."""

    request: Request
    number: int
    intended: float
    gateway: _Gateway
    sent_at: float = 0.0
    connection: HttpConnection | None = None
    tried: int = 0


class LoadGenerator:
    """May go to another gateway while nothing was sent; a request that left is never sent again."""

    def __init__(self, targets: Sequence[Target], scenario: Scenario, profile: Shape) -> None:
        self.report = LoadReport()
        self._gateways = [_Gateway(target) for target in targets]
        self._scenario = scenario
        self._profile = profile
        self._turn = 0
        self._flights: set[_Flight] = set()
        self._landed = anyio.Event()  # set when the load has stopped and nothing is on its way
        self._began = 0.0
        self._stopping = False
        self.observers: list[Callable[[str, bool, int], None]] = []

    @property
    def in_flight(self) -> int:
        return len(self._flights)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the load began: the clock of its failures."""
        return asyncio.get_running_loop().time() - self._began

    async def run(self, duration_s: float | None = None) -> LoadReport:
        """Until `duration_s` has passed or `stop` was called; waits for what is on its way."""
        loop = asyncio.get_running_loop()
        self._began = loop.time()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._sweep)
            await self._send_on_time(tasks, duration_s)
            self._stopping = True
            self._note_landing()
            await self._landed.wait()
            tasks.cancel_scope.cancel()
        self.report.duration_s = loop.time() - self._began
        for gateway in self._gateways:
            for connection in gateway.idle:
                connection.quit()
        return self.report

    def stop(self) -> None:
        self._stopping = True

    async def _send_on_time(self, tasks: TaskGroup, duration_s: float | None) -> None:
        now = asyncio.get_running_loop().time
        at_s, number = 0.0, 0
        while not self._stopping:
            elapsed = now() - self._began
            while at_s <= elapsed and (duration_s is None or at_s < duration_s - TICK_S / 2):
                self._launch(tasks, number, self._began + at_s)
                number += 1
                at_s += 1.0 / self._profile.rate(at_s)
            if duration_s is not None and at_s >= duration_s - TICK_S / 2:
                return
            self.report.duration_s = elapsed
            await anyio.sleep(max(TICK_S, self._began + at_s - now()))

    def _launch(self, tasks: TaskGroup, number: int, intended: float) -> None:
        request = self._scenario.request(number)
        self.report.sent += 1
        gateway = self._next_gateway()
        flight = _Flight(request, number, intended, gateway)
        if len(self._flights) >= IN_FLIGHT_MAX:
            self._fail(flight, "generator_full", sent=False)
            return
        self._flights.add(flight)
        connection = gateway.take()
        if connection is None:
            tasks.start_soon(self._connect, flight)
        else:
            self._send(flight, connection)

    def _next_gateway(self) -> _Gateway:
        """In turn, leaving out those that just refused while another is left."""
        now = asyncio.get_running_loop().time()
        for _ in self._gateways:
            self._turn = (self._turn + 1) % len(self._gateways)
            if self._gateways[self._turn].avoid_until <= now:
                break
        return self._gateways[self._turn]

    async def _connect(self, flight: _Flight) -> None:
        """Connects until a gateway takes the connection: nothing was sent, so nothing is sent twice."""
        loop = asyncio.get_running_loop()
        while flight in self._flights:
            gateway = flight.gateway
            try:
                connection = await open_connection(gateway.target.address, gateway.idle.append)
            except (OSError, TimeoutError) as error:
                gateway.avoid_until = loop.time() + AVOID_S
                self.report.reconnects += 1
                flight.tried += 1
                if loop.time() - flight.intended > REQUEST_TIMEOUT_S:
                    self._fail(flight, cause_of(error), sent=False)
                    return
                if flight.tried % len(self._gateways) == 0:
                    await anyio.sleep(AVOID_S / 4)
                flight.gateway = self._next_gateway()
                continue
            if flight in self._flights:
                self._send(flight, connection)
            return

    def _send(self, flight: _Flight, connection: HttpConnection) -> None:
        request = flight.request
        flight.connection = connection
        flight.sent_at = asyncio.get_running_loop().time()
        raw = render(request.method, request.path, flight.gateway.target.address, request.body, request.headers)
        connection.send(raw, lambda outcome: self._ended(flight, outcome))

    def _ended(self, flight: _Flight, outcome: Answer | Broken) -> None:
        if isinstance(outcome, Broken):
            self._fail(flight, outcome.cause, sent=outcome.sent)
            return
        if outcome.status not in flight.request.expected:
            problem = problem_of(outcome.body)
            code = str(problem.get("code", "")) or "no code"
            self._fail(flight, f"http_{outcome.status} {code}", sent=True, detail=str(problem.get("detail", "")))
            return
        self._flights.discard(flight)
        self._note_landing()
        duration_us = int((asyncio.get_running_loop().time() - flight.intended) * 1e6)
        self.report.success(flight.gateway.target.node, duration_us)
        for observer in self.observers:
            observer(flight.gateway.target.node, True, duration_us)

    def _fail(self, flight: _Flight, cause: str, *, sent: bool, detail: str = "") -> None:
        self._flights.discard(flight)
        self._note_landing()
        now = asyncio.get_running_loop().time()
        node = flight.gateway.target.node
        self.report.failure(
            Failure(
                at_s=now - self._began,
                node=node,
                request=flight.request.name,
                number=flight.number,
                cause=cause,
                sent=sent,
                detail=detail,
            )
        )
        for observer in self.observers:
            observer(node, False, int((now - flight.intended) * 1e6))

    def _note_landing(self) -> None:
        if self._stopping and not self._flights:
            self._landed.set()

    async def _sweep(self) -> None:
        """Ends what takes too long."""
        while True:
            await anyio.sleep(SWEEP_S)
            oldest = asyncio.get_running_loop().time() - REQUEST_TIMEOUT_S
            for flight in [flight for flight in self._flights if flight.sent_at and flight.sent_at < oldest]:
                if flight.connection is not None:
                    flight.connection.abort("timeout")
