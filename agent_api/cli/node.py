"""`aether node`: start, stop and inspect a node on this machine."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Final, NoReturn

import msgspec

from agent_api.cli.failure import report
from agent_api.cli.listening import add_listen_arguments
from agent_api.cli.parser import seconds
from agent_api.cli.table import show_json
from runtime.errors import RuntimeFault

HERE: Final = Path()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    start = actions.add_parser("start", help="start a node, joining a cluster first when told to")
    start.add_argument("--data", type=Path, required=True, metavar="DIR", help="data directory of the node")
    start.add_argument(
        "--join", metavar="TOKEN@HOST:PORT", help="token and API address of the cluster to join, or several with commas"
    )
    start.add_argument("--name", help="node id (default: one is made up)")
    start.add_argument("--role", choices=("core", "worker"), default="core", help="core votes, worker only hosts")
    start.add_argument("--zone", default="default")
    start.add_argument("--detach", action="store_true", help="return once the node answers, and leave it running")
    start.add_argument("--lifeline-fd", type=int, metavar="N", help="end when the other end of this pipe closes")
    add_listen_arguments(start)
    start.add_argument("--json", action="store_true", help="print JSON")
    stop = actions.add_parser("stop", help="move the node's instances away, then stop it")
    stop.add_argument("--data", type=Path, default=HERE, metavar="DIR", help="default: this directory")
    stop.add_argument("--leave", action="store_true", help="also leave the cluster for good")
    stop.add_argument("--now", action="store_true", help="do not wait for instances to move")
    stop.add_argument(
        "--timeout", type=seconds, default=30.0, metavar="S", help="seconds to wait for that (default 30)"
    )
    stop.add_argument("--json", action="store_true", help="print JSON")
    status = actions.add_parser("status", help="the node's processes and addresses")
    status.add_argument("--data", type=Path, default=HERE, metavar="DIR", help="default: this directory")
    status.add_argument("--json", action="store_true")


def run(arguments: argparse.Namespace) -> int:
    try:
        if arguments.action == "start":
            return _start(arguments)
        if arguments.action == "stop":
            from agent_api.cli.node_stop import stop

            done = stop(
                arguments.data,
                leave=arguments.leave,
                at_once=arguments.now,
                timeout_s=arguments.timeout,
                told=sys.stderr.isatty() and not arguments.json,
            )
            show_json(msgspec.to_builtins(done)) if arguments.json else print(done.in_words())
            return 0
        from agent_api.cli.node_status import show

        return show(arguments.data, as_json=arguments.json)
    except RuntimeFault as fault:
        return report(f"node {arguments.action}", fault)


def _start(arguments: argparse.Namespace) -> int:
    from agent_api.cli.listening import address_lines
    from agent_api.cli.node_join import prepared
    from agent_api.cli.node_status import identity_document

    identity = prepared(arguments)
    if not arguments.json:
        print(f"node {identity.node} ({identity.role}, zone {identity.zone}) of cluster {identity.cluster_id}")
        print(address_lines(identity.listen), flush=True)
    if not arguments.detach:
        if arguments.json:
            show_json(identity_document(identity))
            sys.stdout.flush()
        return _become_supervisor(arguments.data, arguments.lifeline_fd)
    from agent_api.cli.node_detach import start_detached

    pid = start_detached(arguments.data)
    if arguments.json:
        show_json({**identity_document(identity), "supervisor_pid": pid})
    else:
        print(f"runs in the background (supervisor pid {pid}); stop it: aether node stop --data {arguments.data}")
    return 0


def _become_supervisor(data: Path, lifeline: int | None) -> NoReturn:
    """Replaces this process, so that nothing of the command stays in memory."""
    words = [sys.executable, "-P", "-m", "runtime.cluster.supervisor", "--data", str(data)]
    if lifeline is not None:
        words += ["--lifeline-fd", str(lifeline)]
        os.set_inheritable(lifeline, True)
    os.execv(sys.executable, words)  # noqa: S606  our own interpreter, never a shell
