"""Drives one instance of this node through its phases, for as long as it is assigned here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio

from runtime.deployment.blueprint import requirements
from runtime.deployment.phases import Step, advance
from runtime.deployment.placement import keeps_running
from runtime.errors import RuntimeFault
from runtime.hosting.ports import InstanceHost, InstanceSettings, PreparedArtifact
from runtime.state.values import Endpoint, InstanceAssignment, InstanceState, Isolation, Phase

if TYPE_CHECKING:
    from runtime.deployment.node_manager import NodeManager
    from runtime.deployment.worker_pool import PooledWorker

BACKOFF_S_MIN: Final = 0.2
BACKOFF_S_MAX: Final = 30.0
HEALTHY_S: Final = 30.0  # an instance that was active this long starts again without a wait
DRAIN_MS: Final = 5_000
WITHDRAW_S: Final = 1.0  # how long a withdrawal may take to reach the store before draining goes on without it


class Driver:
    """`assignment` is None once the instance is not wanted here any more."""

    def __init__(self, manager: NodeManager, assignment: InstanceAssignment) -> None:
        self._manager = manager
        self._current = assignment
        self.assignment: InstanceAssignment | None = assignment
        self.phase = Phase.LOADING
        self.reason = ""
        self.restarts = 0
        self.worker: PooledWorker | None = None
        self.changed = anyio.Event()
        self._since_ms = manager.clock.unix_ms()
        self._active_since_s = 0.0
        self._backoff_s = BACKOFF_S_MIN
        self._host: InstanceHost | None = None
        self._inline_lost = anyio.Event()
        self._last_failure = ""
        self.serving = False

    @property
    def key(self) -> tuple[str, int]:
        return self._current.slice, self._current.number

    @property
    def worker_id(self) -> str:
        if self._current.settings.isolation is Isolation.INLINE:
            return "inline"
        return self.worker.id if self.worker is not None else ""

    def assign(self, assignment: InstanceAssignment | None) -> None:
        """A new assignment, or none. An older generation is ignored."""
        if assignment is not None and assignment.generation < self._current.generation:
            return
        if assignment != self.assignment:
            self.assignment = assignment
            self.changed.set()

    def adopt(self, worker: PooledWorker) -> None:
        """The instance already runs there, since before this control began."""
        self.worker = worker
        self.phase = Phase.ACTIVE
        self.serving = True

    def gateway_lost(self) -> None:
        """An inline instance went with the gateway's process."""
        self._inline_lost.set()

    async def run(self) -> None:
        """Ends when the instance is unassigned and gone."""
        if self.phase is Phase.ACTIVE and self.worker is not None:
            try:
                self._host = await self.worker.host()
            except RuntimeFault as error:  # it ended since it was found
                await self._failed(str(error))
            else:
                await self._serve()
        while self.assignment is not None:
            self._current = self.assignment
            self.changed = anyio.Event()
            try:
                await self._start()
            except RuntimeFault as error:
                await self._failed(str(error))
                continue
            await self._serve()
        self._manager.forget(self)

    # -- starting ------------------------------------------------------------------------------------------------------

    async def _start(self) -> None:
        """To ACTIVE, endpoint published. Raises what went wrong; returns early when the assignment changed."""
        settings = self._current.settings
        self._inline_lost = anyio.Event()
        again = f"starts again; it failed before: {self._last_failure}" if self._last_failure else ""
        self._move_to(Phase.LOADING, again or f"preparing {settings.artifact}")
        artifact = await self._manager.source.prepare(self._current.artifact_sha256)
        host = await self._hosted(artifact)
        await host.load(
            artifact,
            InstanceSettings(
                slice=settings.slice,
                number=self._current.number,
                version=settings.version,
                config=settings.config,
                start_timeout_ms=settings.start_timeout_ms,
                stop_timeout_ms=settings.stop_timeout_ms,
            ),
        )
        self._step(Step.LOAD_DONE)
        if not await self._dependencies_there():
            return
        self._step(Step.ACTIVATION_BEGAN)
        await host.activate(*self.key)
        self._step(Step.ACTIVATION_DONE)

    async def _hosted(self, artifact: PreparedArtifact) -> InstanceHost:
        settings = self._current.settings
        if settings.isolation is Isolation.INLINE:
            self._host = await self._manager.gateway.host()
        else:
            pool = self._manager.pool
            self.worker = await pool.use(artifact, self.key, memory_mb_max=settings.memory_mb_max)
            self._host = await self.worker.host()
        return self._host

    async def _dependencies_there(self) -> bool:
        """Waits until every required slice has an endpoint; False if the assignment changed meanwhile."""
        view = self._manager.view
        settings = self._current.settings
        contract = view.contract(settings.slice, settings.version)
        needed = requirements(settings, contract) if contract is not None else settings.requires
        while not self.changed.is_set():
            seen = view.cache.revision
            there = {endpoint.slice for endpoint in view.endpoints()}
            missing = [name for name in needed if name not in there]
            if not missing:
                return True
            self._say(f"waits for an endpoint of {', '.join(missing)}")
            await self._either(view.cache.changed, seen)
        return False

    # -- serving -------------------------------------------------------------------------------------------------------

    async def _serve(self) -> None:
        while self.phase is Phase.ACTIVE:
            await self._publish()
            await self._until_changed_or_lost()
            if self._is_lost() or not self._takes_new_weight():
                break
        if self.worker is not None and self.worker.lost.is_set():
            await self._failed(self.worker.reason)
        elif self._inline_lost.is_set():
            await self._failed("the gateway that hosted it ended")
        elif self.changed.is_set():
            await self._withdraw()
            await self._stop()

    def _is_lost(self) -> bool:
        return self._inline_lost.is_set() or (self.worker is not None and self.worker.lost.is_set())

    async def _publish(self) -> None:
        """The gateway first: an endpoint that others see can be reached."""
        self._active_since_s = self._manager.clock.monotonic_s()
        self.serving = True
        await self._manager.gateway.pushed(limit_s=WITHDRAW_S * 3)
        self._manager.publish_endpoint(self.endpoint)
        self._say("")

    @property
    def endpoint(self) -> Endpoint:
        settings = self._current.settings
        return Endpoint(
            slice=settings.slice,
            version=settings.version,
            node=self._manager.node,
            number=self._current.number,
            weight=settings.weight,
        )

    async def _until_changed_or_lost(self) -> None:
        lost = self._inline_lost if self.worker is None else self.worker.lost
        await self._either(lost.wait)

    async def _either(self, other: object, *arguments: object) -> None:
        """Returns when `other(*arguments)` does, or when the assignment changed."""
        async with anyio.create_task_group() as tasks:

            async def wait_other() -> None:
                await other(*arguments)  # type: ignore[operator]  # a coroutine function, by the callers above
                tasks.cancel_scope.cancel()

            async def wait_changed() -> None:
                await self.changed.wait()
                tasks.cancel_scope.cancel()

            tasks.start_soon(wait_other)
            tasks.start_soon(wait_changed)

    def _takes_new_weight(self) -> bool:
        """Only a new weight keeps the instance as it is; everything else is a stop, and perhaps a new start."""
        after = self.assignment
        if after is None or not keeps_running(self._current, after):
            return False
        self._current = after
        self.changed = anyio.Event()
        return True

    async def _withdraw(self) -> None:
        """From the store first, then from this node's gateway: nobody is sent here who would find the door closed."""
        self._manager.withdraw_endpoint(self.endpoint)
        await self._manager.publisher.written(limit_s=WITHDRAW_S)
        self.serving = False
        await self._manager.gateway.pushed(limit_s=WITHDRAW_S)

    async def _stop(self) -> None:
        try:
            if self.phase is Phase.ACTIVE and self._host is not None:
                self._step(Step.DEACTIVATION_BEGAN)
                await self._host.deactivate(*self.key, drain_ms=DRAIN_MS)
                self._step(Step.DEACTIVATION_DONE)
            if self._host is not None and self.phase in (Phase.LOADED, Phase.FAILED):
                self._step(Step.UNLOAD_BEGAN)
                await self._host.unload(*self.key)
        except RuntimeFault as error:
            self._manager.log.warning("instance_stop_failed", slice=self.key[0], number=self.key[1], reason=str(error))
        await self._let_go()

    async def _let_go(self) -> None:
        worker, self.worker, self._host = self.worker, None, None
        if worker is not None:
            await self._manager.pool.release(worker, self.key)

    # -- failing -------------------------------------------------------------------------------------------------------

    async def _failed(self, reason: str) -> None:
        """FAILED with the reason; another try after a while."""
        was_healthy = self._active_since_s and (self._manager.clock.monotonic_s() - self._active_since_s > HEALTHY_S)
        self._active_since_s = 0.0
        if was_healthy:
            self._backoff_s = BACKOFF_S_MIN
        self._last_failure = reason
        self.serving = False
        self._manager.withdraw_endpoint(self.endpoint)
        self._manager.gateway.push()
        self.restarts += 1
        self._step(Step.FAILED, reason)
        self._manager.log.warning(
            "instance_failed", slice=self.key[0], number=self.key[1], reason=reason, again_in_s=self._backoff_s
        )
        with anyio.move_on_after(self._backoff_s):
            await self.changed.wait()
        self._backoff_s = min(BACKOFF_S_MAX, self._backoff_s * 2)
        await self._stop()

    # -- telling -------------------------------------------------------------------------------------------------------

    def _step(self, step: Step, reason: str = "") -> None:
        self._move_to(advance(self.phase, step), reason)

    def _move_to(self, phase: Phase, reason: str) -> None:
        if phase is not self.phase:
            self._since_ms = self._manager.clock.unix_ms()
        self.phase = phase
        self._say(reason)

    def _say(self, reason: str) -> None:
        self.reason = reason
        self._manager.publish_state(
            InstanceState(
                slice=self._current.slice,
                node=self._manager.node,
                number=self._current.number,
                version=self._current.version,
                phase=self.phase,
                reason=reason,
                since_unix_ms=self._since_ms,
                generation=self._current.generation,
                restarts=self.restarts,
                worker=self.worker_id,
                last_failure=self._last_failure,
            )
        )
