"""The node deployment manager: makes this node's instances what its assignments say."""

from __future__ import annotations

import anyio
from anyio.abc import TaskGroup

from runtime.clock import Clock
from runtime.cluster.membership import Lines, Publisher
from runtime.consensus.store import Revision
from runtime.deployment.gateway_link import GatewayLink
from runtime.deployment.instance_driver import DRAIN_MS, Driver
from runtime.deployment.view import PREFIXES, StateView
from runtime.deployment.worker_pool import PooledWorker, WorkerPool
from runtime.errors import RuntimeFault
from runtime.hosting.ports import ArtifactSource, HostedInstance
from runtime.invocation.errors import CallFault
from runtime.names import NodeId
from runtime.state import keys
from runtime.state.values import Endpoint, InstanceAssignment, InstanceState, Isolation, Phase, encode


class NodeManager:
    """`run` never returns. Everything it starts on this node outlives it: workers, and the gateway's routes."""

    def __init__(
        self,
        *,
        node: NodeId,
        view: StateView,
        source: ArtifactSource,
        pool: WorkerPool,
        gateway: GatewayLink,
        publisher: Publisher,
        clock: Clock,
        log: Lines,
    ) -> None:
        self.node = node
        self.view = view
        self.source = source
        self.pool = pool
        self.gateway = gateway
        self.publisher = publisher
        self.clock = clock
        self.log = log
        self._drivers: dict[tuple[str, int], Driver] = {}
        self.adopted = anyio.Event()  # what ran before this control is known: a table can be made
        gateway.reconnected = self._gateway_began

    async def run(self) -> None:
        await self.view.cache.ready()
        async with anyio.create_task_group() as tasks:
            await self._adopt(tasks)
            self.adopted.set()
            tasks.start_soon(self.pool.run_exits)
            tasks.start_soon(self.pool.run_probe)
            while True:
                seen = self.view.cache.revision
                self._reconcile(tasks)
                self.gateway.push()
                await self.view.cache.changed(Revision(seen), among=PREFIXES)

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Of this node's instances that take calls: what the local gateway serves, whatever the store says."""
        return tuple(driver.endpoint for driver in self._drivers.values() if driver.serving)

    def local_workers(self) -> dict[tuple[str, int], str]:
        """(slice, number) → worker id, of the same instances."""
        return {driver.key: driver.worker_id for driver in self._drivers.values() if driver.serving}

    # -- what drivers ask ----------------------------------------------------------------------------------------------

    def publish_state(self, state: InstanceState) -> None:
        self.publisher.set(keys.instance_state(self.node, state.slice, state.number), encode(state))

    def publish_endpoint(self, endpoint: Endpoint) -> None:
        self.publisher.set(keys.endpoint(endpoint.slice, self.node, endpoint.number), encode(endpoint))

    def withdraw_endpoint(self, endpoint: Endpoint) -> None:
        self.publisher.remove(keys.endpoint(endpoint.slice, self.node, endpoint.number))

    def forget(self, driver: Driver) -> None:
        slice_name, number = driver.key
        self._drivers.pop(driver.key, None)
        self.publisher.remove(keys.instance_state(self.node, driver.endpoint.slice, number))
        self.log.info("instance_gone", slice=slice_name, number=number)
        self.gateway.push()

    # -- inside --------------------------------------------------------------------------------------------------------

    def _reconcile(self, tasks: TaskGroup) -> None:
        wanted = self.view.assignments(self.node)
        for key, driver in self._drivers.items():
            driver.assign(wanted.get(key))
        for key, assignment in wanted.items():
            if key not in self._drivers and assignment.wanted == "active":
                self._begin(assignment, tasks)

    def _begin(self, assignment: InstanceAssignment, tasks: TaskGroup) -> Driver:
        driver = self._drivers[assignment.slice, assignment.number] = Driver(self, assignment)
        tasks.start_soon(driver.run)
        return driver

    async def _adopt(self, tasks: TaskGroup) -> None:
        """Instances that run as assigned are taken over as they are. All others end, and workers with none."""
        left: list[tuple[PooledWorker, HostedInstance]] = []
        for worker in await self.pool.adopt():
            try:
                hosted = await (await worker.host()).instances()
            except CallFault as error:
                self.log.warning("worker_not_adopted", worker=worker.id, reason=str(error))
                continue
            left += [(worker, instance) for instance in hosted if not self._take_over(worker, instance, tasks)]
        await self.pool.drop_unused()
        async with anyio.create_task_group() as ending:
            for worker, instance in left:
                if worker.users:
                    ending.start_soon(self._end, worker, instance)

    def _take_over(self, worker: PooledWorker, instance: HostedInstance, tasks: TaskGroup) -> bool:
        """False for one that is not, or not as it is, assigned here."""
        assignment = self.view.assignments(self.node).get((instance.slice, instance.number))
        if (
            assignment is None
            or instance.phase is not Phase.ACTIVE
            or assignment.version != instance.version
            or assignment.artifact_sha256 != worker.sha256
            or assignment.settings.config != instance.config
        ):
            return False
        driver = self._drivers[assignment.slice, assignment.number] = Driver(self, assignment)
        worker.users.add(driver.key)
        driver.adopt(worker)
        tasks.start_soon(driver.run)
        self.log.info("instance_adopted", slice=instance.slice, number=instance.number, worker=worker.id)
        return True

    async def _end(self, worker: PooledWorker, instance: HostedInstance) -> None:
        """Of a worker that goes on: its assignment went or changed while no control looked."""
        key = (instance.slice, instance.number)
        try:
            host = await worker.host()
            if instance.phase is Phase.ACTIVE:
                await host.deactivate(*key, drain_ms=DRAIN_MS)
            await host.unload(*key)
        except RuntimeFault as error:
            self.log.warning("instance_not_ended", slice=key[0], number=key[1], reason=str(error))

    def _gateway_began(self) -> None:
        """A new gateway hosts nothing: what was inline there starts again."""
        for driver in self._drivers.values():
            if driver.assignment is not None and driver.assignment.settings.isolation is Isolation.INLINE:
                driver.gateway_lost()
