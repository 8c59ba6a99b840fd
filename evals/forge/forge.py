"""A cluster in a box: real nodes, started by the `aether` command, driven over HTTP."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import anyio
import msgspec
from anyio.abc import TaskGroup

from controllers.nodes.port import NodeRole
from evals.forge.app import App, build_app, read_app
from evals.forge.awaited import READY_TIMEOUT_S, Awaited
from evals.forge.cluster_api import ClusterApi
from evals.forge.commands import run_command
from evals.forge.errors import ForgeFault, NoSigner, StateUnusable
from evals.forge.http_client import HttpClient
from evals.forge.load.generator import Target
from evals.forge.node import ForgeNode
from evals.forge.node_door import SCHEME, serve_door
from evals.forge.partition import PURPOSES, Network
from evals.forge.ports import bases
from evals.forge.providing import ProvidedNodes
from evals.forge.state_dir import Manifest, StateDir
from runtime.cluster.identity import read_identity
from runtime.cluster.layout import NodeLayout
from runtime.cluster.ports import OFFSETS, ports_of
from runtime.errors import RuntimeFault
from runtime.security.tls import CA_KEY

NODES_MAX: Final = 15
END_GRACE_S: Final = 20.0


class Forge(Awaited):
    """`async with Forge(nodes=3, apps=[…]) as forge:` gives a cluster that serves those applications.

    Everything it starts ends with it, also when it is killed: each node holds a pipe whose other end is here.
    """

    def __init__(
        self,
        *,
        nodes: int = 3,
        apps: Sequence[Path] = (),
        state: Path | None = None,
        keep: bool = False,
        port: int = 0,
        workers: int = 0,
        partitions: bool = False,
        provides: int = 0,
        progress: Callable[[str], None] = lambda line: None,
    ) -> None:
        """`nodes` of which the last `workers` have no vote; `partitions` puts a proxy between them; `provides` is how
        many more the cluster may ask for."""
        if not 1 <= nodes <= NODES_MAX or not 0 <= workers < nodes:
            raise ForgeFault(f"a Forge has 1 to {NODES_MAX} nodes, of which at least one is a core node")
        self.names = tuple(f"n{index + 1}" for index in range(nodes))
        super().__init__([read_app(path) for path in apps], ClusterApi(self._api_addresses, self.admin_key))
        self.network: Network | None = None
        self._workers = frozenset(self.names[nodes - workers :])
        self._state_path, self._keep, self._port = state, keep, port
        self._partitions, self._provides = partitions, provides
        self.provided: ProvidedNodes | None = None
        self._progress = progress
        self._stack = AsyncExitStack()
        self._state: StateDir | None = None
        self._tasks: TaskGroup | None = None

    @property
    def state(self) -> StateDir:
        assert self._state is not None, "the Forge has not been entered"
        return self._state

    async def __aenter__(self) -> Self:
        self._state = StateDir.open(self._state_path, keep=self._keep)
        try:
            self._tasks = await self._stack.enter_async_context(anyio.create_task_group())
            if self._partitions:
                self.network = Network(lambda: {name: node.pid for name, node in self.nodes.items()})
            await self._begin()
        except BaseException as error:
            await self._end()
            fault = first_fault(error)
            if fault is not None and fault is not error:
                raise fault from error
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end()

    # what is where

    def targets(self) -> list[Target]:
        """Every node's gateway, for a load generator."""
        return [Target(name, node.addresses.http) for name, node in self.nodes.items()]

    def http(self, node: str) -> HttpClient:
        """The application as that node serves it."""
        return HttpClient(self.nodes[node].addresses.http)

    # changing

    async def deploy(self, project: Path, *, wait: bool = True, build_options: Sequence[str] = ()) -> App:
        """Builds, uploads and applies an application."""
        app = read_app(project)
        await self._deliver(app, build_options)
        if wait:
            await self._until_settled([name for name, _ in app.slices])
        return app

    async def start_node(self, name: str) -> None:
        """A node that was killed or stopped, until it answers."""
        node = self.nodes[name]
        if not node.running:
            await node.start()
        await node.answers(timeout_s=READY_TIMEOUT_S)

    async def restart_rolling(self, *, progress: Callable[[str], None] = lambda line: None) -> None:
        """Each node in turn: drained, stopped, started, and all well again before the next."""
        for name, node in self.nodes.items():
            progress(f"restarting {name}")
            await node.stop(drain=True)
            await self.start_node(name)
            await self.until_ready()
            await self.until_apps_active()

    def in_background(self, work: Callable[[], Coroutine[None, None, object]]) -> None:
        """It ends with the Forge."""
        assert self._tasks is not None, "the Forge has not been entered"
        self._tasks.start_soon(work)

    # beginning and ending

    async def _begin(self) -> None:
        manifest = self.state.manifest
        if manifest is not None:
            self._check_names(manifest)
            await self._resume(manifest)
        else:
            await self._found()
        await self.until_ready()
        if self._provides:
            await self._provide()
        for app in self.apps:
            self._progress(f"waiting for the slices of {app.blueprint}")
        await self.until_apps_active()

    def _check_names(self, manifest: Manifest) -> None:
        if manifest.nodes != self.names:
            raise StateUnusable(
                f"{self.state.path} holds {len(manifest.nodes)} nodes, not {len(self.names)}",
                f"Ask for --nodes {len(manifest.nodes)}, or name another --state.",
            )

    async def _resume(self, manifest: Manifest) -> None:
        """The nodes of an earlier Forge, as they were, with the applications applied anew."""
        names = (*self.names, *manifest.provided)
        self._progress(f"starting the {len(names)} nodes in {self.state.path}")
        self.nodes = {name: ForgeNode(name, self.state.node(name)) for name in names}
        for node in self.nodes.values():
            await self._carry_again(node)
        for node in self.nodes.values():
            await node.start()
        for node in self.nodes.values():
            await node.answers(timeout_s=READY_TIMEOUT_S)
        await self.until_leader()
        for app in self.apps:
            await self._deliver(app)

    async def _found(self) -> None:
        """A new cluster. Wheels are built while nodes start."""
        first, *others = self.names
        ports = dict(zip(self.names, bases(len(self.names), self._port), strict=True))
        async with anyio.create_task_group() as builds:
            wheels: dict[str, Path] = {}
            for app in self.apps:
                builds.start_soon(self._build, app, wheels)
            self._progress(f"beginning a cluster in {self.state.path}")
            node = self._make(first)
            options = await self._options(first, ports[first])
            await run_command("cluster", "init", str(node.data), "--name", first, *options)
            await node.start()
            token = ""
            if others:
                token = (await run_command("cluster", "token", str(node.data), "--uses", str(len(others)))).strip()
            await node.answers(timeout_s=READY_TIMEOUT_S)
            self._progress(f"{first} answers")
            async with anyio.create_task_group() as joining:
                for name in others:
                    joining.start_soon(self._join, name, ports[name], f"{token}@{node.addresses.api}")
        self.state.finish(Manifest(cluster_id=read_identity(node.data / "node.json").cluster_id, nodes=self.names))
        await self.until_ready()
        for app in self.apps:
            self._progress(f"applying {app.blueprint}")
            await self.api.upload(wheels[app.blueprint])
        for app in self.apps:
            await self.api.apply(app.blueprint, app.blueprint_toml)

    def _make(self, name: str) -> ForgeNode:
        node = self.nodes[name] = ForgeNode(name, self.state.node(name))
        return node

    async def _options(self, name: str, base: int) -> list[str]:
        """Where the node listens, and through which ports others reach it."""
        options = ["--listen", f"127.0.0.1:{base}"]
        if self.network is not None:
            assert self._tasks is not None
            for purpose in PURPOSES:
                port = await self.network.listen(self._tasks, name, base + OFFSETS[purpose])
                options += ["--advertise", f"{purpose}=127.0.0.1:{port}"]
        return options

    async def _carry_again(self, node: ForgeNode) -> None:
        """The proxy on the ports that an earlier Forge advertised for the node."""
        listen = read_identity(node.data / "node.json").listen
        if bool(listen.advertised) != (self.network is not None):
            raise StateUnusable(
                f"{self.state.path} was made {'with' if listen.advertised else 'without'} --partitions",
                "Ask for the same, or name another --state.",
            )
        for purpose, address in listen.advertised.items():
            assert self.network is not None
            assert self._tasks is not None
            port = int(address.rpartition(":")[2])
            await self.network.listen(self._tasks, node.name, ports_of(listen)[purpose], port=port)

    async def _join(self, name: str, base: int, join: str, role: NodeRole | None = None) -> None:
        node = self._make(name)
        role = role or ("worker" if name in self._workers else "core")
        options = await self._options(name, base)
        await node.start("--name", name, "--role", role, "--join", join, *options)
        await node.await_directory(timeout_s=READY_TIMEOUT_S)
        await node.answers(timeout_s=READY_TIMEOUT_S)
        self._progress(f"{name} answers")

    # nodes that the cluster asks for

    async def _provide(self) -> None:
        """Opens the door, and tells the cluster where it is."""
        assert self._tasks is not None
        assert self.state.manifest is not None
        self.provided = ProvidedNodes(
            tasks=self._tasks,
            most=self._provides,
            founders=self.names,
            make=self._make_provided,
            drop=self._drop_provided,
            runs=lambda name: name in self.nodes and self.nodes[name].running,
        )
        for name in self.state.manifest.provided:
            self.provided.adopt(name)
        path = NodeLayout(self.state.path).socket("nodes")
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        door = await serve_door(path, self.provided)
        self._stack.push_async_callback(door.close)
        await self.api.provide_nodes(f"{SCHEME}{path}", most=self._provides)

    async def _make_provided(self, name: str, role: NodeRole) -> None:
        """One that joins through a node that signs certificates; or that has joined, and is started."""
        known = self.nodes.get(name)
        if known is not None and known.joined:
            await self.start_node(name)
            return
        await self._drop_provided(name)
        signer = self._signer()
        token = (await run_command("cluster", "token", str(signer.data), "--uses", "1")).strip()
        await self._join(name, bases(1)[0], f"{token}@{signer.addresses.api}", role)
        self._note_provided()

    def _signer(self) -> ForgeNode:
        """A node that signs certificates and answers. Raises NoSigner: asked of one that hangs, the new node would wait
        for half a minute and then not know why."""
        holders = [each for each in self.nodes.values() if (NodeLayout(each.data).tls / CA_KEY).is_file()]
        running = [each for each in holders if each.running and not each.paused]
        if not running:
            raise NoSigner([each.name for each in holders])
        return running[0]

    async def _drop_provided(self, name: str) -> None:
        node = self.nodes.pop(name, None)
        if node is not None:
            await node.kill()
            shutil.rmtree(node.data, ignore_errors=True)
            self._note_provided()

    def _note_provided(self) -> None:
        assert self.state.manifest is not None
        joined = [name for name, node in self.nodes.items() if name not in self.names and node.joined]
        self.state.finish(msgspec.structs.replace(self.state.manifest, provided=tuple(joined)))

    async def _build(self, app: App, wheels: dict[str, Path]) -> None:
        wheels[app.blueprint] = await build_app(app, self.state.path / "wheels" / app.blueprint)

    async def _deliver(self, app: App, options: Sequence[str] = ()) -> None:
        await self.api.upload(await build_app(app, self.state.path / "wheels" / app.blueprint, options))
        await self.api.apply(app.blueprint, app.blueprint_toml)

    async def _end(self) -> None:
        """Ends every node at once, then the proxy, then the directory unless it is kept."""
        left: list[int] = []
        with anyio.CancelScope(shield=True):
            async with anyio.create_task_group() as ending:
                for node in self.nodes.values():
                    ending.start_soon(partial(_end_node, node, left))
        try:
            if self._tasks is not None:
                self._tasks.cancel_scope.cancel()
            await self._stack.aclose()
        finally:
            if self._state is not None:
                self._state.close()
        if left:
            raise ForgeFault(f"processes that even SIGKILL did not end: {left}")

    def _api_addresses(self) -> Mapping[str, str]:
        return {name: self.nodes[name].addresses.api for name in self.running() if self.nodes[name].joined}

    def admin_key(self) -> str:
        return self.nodes[self.names[0]].admin_key_file.read_text().strip()


def first_fault(error: BaseException) -> RuntimeFault | None:
    """The expected failure inside a task group's wrapping, unless something unexpected is there too."""
    if isinstance(error, BaseExceptionGroup):
        faults, others = error.split(RuntimeFault)
        return first_fault(faults.exceptions[0]) if faults is not None and others is None else None
    return error if isinstance(error, RuntimeFault) else None


async def _end_node(node: ForgeNode, left: list[int]) -> None:
    left += await node.end(grace_s=END_GRACE_S)
