"""What a playbook can do without a cluster: look at this node and at who else answers, and start a process anew."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Protocol

import msgspec
from msgspec import Meta

from playbooks.actions.action import ActionCall, ActionInput, ActionOutput, PlaybookAction
from runtime.operations.operation import Effect
from runtime.workflow.errors import StepFailed
from runtime.workflow.flow import Done, NotDone, Unknown


class LocalProcess(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    kind: str
    state: str
    pid: int
    restarts: int


class StoreMember(msgspec.Struct, frozen=True, kw_only=True):
    """A member of the store as it answers from here; `last_index` is how far its log goes."""

    node: str
    reachable: bool
    has_quorum: bool = False
    leader: str = ""
    term: int = 0
    last_index: int = 0
    error: str = ""


class LocalNode(Protocol):
    """The node that the command runs on. Raises RuntimeFault."""

    async def processes(self) -> tuple[LocalProcess, ...]: ...

    async def members(self) -> tuple[StoreMember, ...]: ...

    async def restart(self, process: str) -> None:
        """Ends it if it runs, and starts it anew."""
        ...


class NoLocalNode:
    """In the cluster's own processes: an offline playbook is only read there."""

    async def processes(self) -> tuple[LocalProcess, ...]:
        raise StepFailed("offline_only", "only the command line carries this out, on the node itself")

    async def members(self) -> tuple[StoreMember, ...]:
        raise StepFailed("offline_only", "only the command line carries this out, on the node itself")

    async def restart(self, process: str) -> None:
        raise StepFailed("offline_only", "only the command line carries this out, on the node itself")


class NothingIn(ActionInput, frozen=True, kw_only=True):
    pass


class ProcessesOut(ActionOutput, frozen=True, kw_only=True):
    processes: tuple[LocalProcess, ...]
    down: Annotated[int, Meta(description="How many of them do not run.")]


class MembersOut(ActionOutput, frozen=True, kw_only=True):
    members: tuple[StoreMember, ...]
    reachable: int
    quorum: bool
    newest: Annotated[str, Meta(description="The reachable member with the longest log.")]


class RestartIn(ActionInput, frozen=True, kw_only=True):
    process: Literal["store", "control", "gateway"]


class RestartOut(ActionOutput, frozen=True, kw_only=True):
    before_pid: int
    pid: int


class Processes(PlaybookAction[NothingIn, ProcessesOut]):
    name = "local.processes"
    summary = "The processes of this node, as its supervisor lists them."
    effect = Effect.READ
    input = NothingIn
    output = ProcessesOut
    local: ClassVar[bool] = True

    def __init__(self, node: LocalNode) -> None:
        self._node = node

    async def run(self, call: ActionCall, wanted: NothingIn) -> ProcessesOut:
        found = await self._node.processes()
        return ProcessesOut(processes=found, down=sum(each.state != "running" for each in found))


class Members(PlaybookAction[NothingIn, MembersOut]):
    name = "local.members"
    summary = "Who of the store's members answers from here, and how far each log goes."
    effect = Effect.READ
    input = NothingIn
    output = MembersOut
    local: ClassVar[bool] = True

    def __init__(self, node: LocalNode) -> None:
        self._node = node

    async def run(self, call: ActionCall, wanted: NothingIn) -> MembersOut:
        found = await self._node.members()
        reachable = [each for each in found if each.reachable]
        newest = max(reachable, key=lambda each: (each.last_index, each.node), default=None)
        return MembersOut(
            members=found,
            reachable=len(reachable),
            quorum=any(each.has_quorum for each in reachable),
            newest=newest.node if newest is not None else "",
        )


class Restart(PlaybookAction[RestartIn, RestartOut]):
    name = "local.restart"
    summary = "Start one process of this node anew."
    effect = Effect.IDEMPOTENT
    input = RestartIn
    output = RestartOut
    local: ClassVar[bool] = True

    def __init__(self, node: LocalNode) -> None:
        self._node = node

    async def run(self, call: ActionCall, wanted: RestartIn) -> RestartOut:
        before = await self._pid(wanted.process)
        await self._node.restart(wanted.process)
        return RestartOut(before_pid=before, pid=await self._pid(wanted.process))

    async def probe(self, call: ActionCall, wanted: RestartIn) -> Done | NotDone | Unknown:
        return NotDone()

    async def _pid(self, process: str) -> int:
        found = await self._node.processes()
        return next((each.pid for each in found if process in (each.id, each.kind)), 0)


def local_actions(node: LocalNode) -> tuple[Processes | Members | Restart, ...]:
    return (Processes(node), Members(node), Restart(node))
