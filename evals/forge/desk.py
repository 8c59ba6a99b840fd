"""What a person at the console may ask of the Forge that their cluster runs in: how it stands, load, and chaos."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from anyio.abc import TaskGroup

from evals.forge.chaos import Chaos
from evals.forge.console_door import SCHEME, Desk, serve_console_door
from evals.forge.forge import Forge
from evals.forge.load.generator import LoadGenerator
from evals.forge.load.profile import Profile
from evals.forge.load.requests import scenario_for
from evals.forge.operations import ForgeDispatcher, sent
from evals.forge.status import LoadWindow, read_status
from evals.forge.wishes import ChaosWish, ForgeNodeRow, ForgeStatus, LoadRow, LoadWish, refusal_of
from runtime.cluster.layout import NodeLayout
from runtime.errors import RuntimeFault
from runtime.invocation.listener import Listener
from runtime.operations.actor import Actor
from runtime.operations.dispatch import Outcome, Refused, Submission

FLOOR_RPS: Final = 1.0


async def open_console(forge: Forge, desk: Desk) -> Listener:
    """Whoever is an admin at a node's console may ask that desk, until what is given back is closed. Raises
    AddressUnusable."""
    path = NodeLayout(forge.state.path).socket("console")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    door = await serve_console_door(path, desk)
    await forge.api.tell_door(f"{SCHEME}{path}")
    return door


class ForgeDesk:
    """`heard` is told what was asked for, by whom."""

    def __init__(
        self,
        forge: Forge,
        tasks: TaskGroup,
        *,
        requests: Sequence[str] = (),
        heard: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.chaos = Chaos(forge)
        self.load: LoadGenerator | None = None
        self.window: LoadWindow | None = None
        self._forge = forge
        self._tasks = tasks
        self._requests = list(requests)
        self._heard = heard
        self._profile: Profile | None = None

    async def status(self) -> ForgeStatus:
        found = await read_status(self._forge, self.window)
        rows = tuple(
            ForgeNodeRow(node=each.name, state=each.state, leads=each.leads, active=each.active, rps=each.rps)
            for each in found.nodes
        )
        profile = self._profile
        load = LoadRow(
            shape=profile.shape if profile is not None else "",
            rps_wanted=profile.rps if profile is not None else 0.0,
            rps=found.rps,
            p99_ms=found.p99_ms,
            sent=found.sent,
            failed=found.failed,
        )
        return ForgeStatus(nodes=rows, load=load, partitions=self._forge.network is not None)

    async def send(self, profile: Profile | None) -> None:
        """In the place of the load there is; None ends it. Raises ForgeFault."""
        scenario = await scenario_for(self._forge, self._requests) if profile is not None else None
        if self.load is not None:
            self.load.stop()
        self.load = self.window = None
        self._profile = profile
        if profile is not None and scenario is not None:
            self.load = LoadGenerator(self._forge.targets(), scenario, profile)
            self.window = LoadWindow(self.load, time.monotonic)
            self._tasks.start_soon(self.load.run)

    async def wish(self, wish: LoadWish, actor: Actor) -> Outcome:
        self._heard(f"{actor.id}: load {wish.shape} {wish.rps:g}")
        if (refusal := refusal_of(actor)) is not None:
            return refusal
        profile = Profile(shape=wish.shape, rps=wish.rps, floor_rps=min(FLOOR_RPS, wish.rps)) if wish.rps else None
        try:
            await self.send(profile)
        except RuntimeFault as fault:
            return Refused(code="chaos_refused", detail=str(fault), remedy=str(fault.problem().get("remedy", "")))
        return sent(wish)

    async def break_something(self, wish: ChaosWish, actor: Actor) -> Outcome:
        self._heard(f"{actor.id}: {wish.operation} {msgspec.json.encode(wish.request).decode()}")
        submission = Submission(operation=wish.operation, request=wish.request, actor=actor)
        return await ForgeDispatcher(self.chaos).submit(submission)
