"""`aether playbook offline ID --data DIR`: a playbook on this node alone, where quorum is gone."""

from __future__ import annotations

import argparse
import hmac
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import anyio

from agent_api.catalogue import make_catalogue
from agent_api.cli.failure import report
from agent_api.cli.main import DONE, FAILED, PROPOSED
from agent_api.cli.paint import one_line, plain
from agent_api.cli.playbook_rehearse import source_of
from playbooks.actions.shelf import builtin_actions
from playbooks.document.checking import Checker
from playbooks.document.parameters import checked
from playbooks.document.reading import Source
from playbooks.document.templates import limit_s
from playbooks.errors import NotOffline, OfflineForbidden
from playbooks.offline.driver import End, OfflineRun
from playbooks.offline.journal import Journal
from playbooks.offline.node import LocalProcess, StoreMember
from runtime.clock import SystemClock
from runtime.cluster.identity import read_identity
from runtime.cluster.layout import NodeLayout
from runtime.cluster.supervision import SupervisorClient
from runtime.consensus.errors import StoreFault
from runtime.consensus.operator import Operator
from runtime.errors import RuntimeFault
from runtime.operations.identity import new_id
from runtime.operations.plan import Json
from runtime.security.principals import bootstrap_admin, hash_of
from runtime.state import keys
from runtime.state.values import ClusterRecord, decode
from runtime.workflow.flow import StepView

ASK_S: Final = 2.0


class ThisNode:
    """Implements LocalNode by the supervisor's socket and the store's members."""

    def __init__(self, layout: NodeLayout, operator: Operator) -> None:
        self._supervisor = SupervisorClient(layout.socket("supervisor"))
        self._operator = operator

    async def processes(self) -> tuple[LocalProcess, ...]:
        found = await self._supervisor.processes()
        return tuple(
            LocalProcess(id=each.id, kind=each.kind, state=each.state, pid=each.pid, restarts=each.restarts)
            for each in found
        )

    async def members(self) -> tuple[StoreMember, ...]:
        found = []
        for each in await self._operator.status():
            status = each.status
            if status is None:
                found.append(StoreMember(node=each.node, reachable=False, error=each.error))
                continue
            found.append(
                StoreMember(
                    node=each.node,
                    reachable=True,
                    has_quorum=status.has_quorum,
                    leader=status.leader,
                    term=status.term,
                    last_index=status.last_index,
                )
            )
        return tuple(found)

    async def restart(self, process: str) -> None:
        await self._supervisor.restart(process)


def offline(arguments: argparse.Namespace) -> int:
    """Exit codes: 0 it succeeded, 1 it failed or was undone, 3 a person must go on."""
    try:
        source = source_of(arguments.playbook)
        if not source.document.playbook.offline:
            raise NotOffline(f"{source.document.playbook.id} needs a cluster")
        Checker(make_catalogue(), builtin_actions()).check(source)
        params = checked(source.document.params, with_own_node(source, _params(arguments.param), arguments.data))
        end, why = anyio.run(_run, source, params, arguments)
    except RuntimeFault as fault:
        return report("playbook offline", fault)
    if arguments.json:
        print(json.dumps({"state": end, "why": why}))
    else:
        print(plain(f"{source.document.playbook.id} {end}{f': {why}' if why else ''}"))
    return DONE if end == "succeeded" else PROPOSED if end == "needs_human" else FAILED


async def _run(source: Source, params: dict[str, Json], arguments: argparse.Namespace) -> tuple[End, str]:
    layout, clock = NodeLayout(arguments.data), SystemClock()
    operator = Operator(layout, read_identity(layout.identity))
    journal = Journal(layout.offline_runs, run := new_id(clock))
    try:
        await _admitted(layout, operator)
        driver = OfflineRun(
            source=source,
            node=ThisNode(layout, operator),
            run=run,
            actor=bootstrap_admin(),
            params=params,
            journal=journal,
            clock=clock,
            told=_silent if arguments.json else _tell,
        )
        return await driver.drive(limit_s(source.document.playbook.deadline, params))
    finally:
        journal.close()
        await operator.close()


async def _admitted(layout: NodeLayout, operator: Operator) -> None:
    """Who has the admin's key of this node's directory; where its store still answers, the key must be the cluster's.
    Raises OfflineForbidden."""
    try:
        key = layout.admin_key.read_text().strip()
    except OSError as error:
        raise OfflineForbidden(f"{layout.admin_key} cannot be read: {error.strerror}") from error
    try:
        with anyio.fail_after(ASK_S):
            item = (await operator.store.get(keys.CLUSTER, stale_ok=True)).item
    except (StoreFault, TimeoutError):
        return  # its own store does not answer either: the file in the node's directory is what there is
    record = decode(item.value, ClusterRecord) if item is not None else None
    if record is not None and not hmac.compare_digest(record.admin_key_sha256, hash_of(key)):
        raise OfflineForbidden(f"{layout.admin_key} is not the key of this cluster's admin")


def with_own_node(source: Source, given: Mapping[str, Json], data: Path) -> Mapping[str, Json]:
    """Where a node is asked for and not named, it is this one: nothing else can be touched."""
    declared = source.document.params
    lacking = [name for name, param in declared.items() if param.type == "node" and param.required]
    if all(name in given for name in lacking):
        return given
    return {**dict.fromkeys(lacking, str(read_identity(NodeLayout(data).identity).node)), **given}


def _params(words: list[str]) -> Mapping[str, Json]:
    """`name=value`, the value as JSON where it is some."""
    found: dict[str, Json] = {}
    for word in words:
        name, _, text = word.partition("=")
        try:
            found[name] = json.loads(text)
        except ValueError:
            found[name] = text
    return found


def _tell(step: StepView) -> None:
    why = f"  {step.error.code}: {step.error.detail}" if step.error is not None else ""
    print(one_line(f"  {step.step:<28} {step.state}{why}"), file=sys.stderr, flush=True)


def _silent(_step: StepView) -> None:
    return
