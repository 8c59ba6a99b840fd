"""`aether store`: the consensus store as an operator sees it: its members, backups, history, and whether all agree."""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agent_api.cli.failure import report
from runtime.errors import RuntimeFault

if TYPE_CHECKING:
    from runtime.consensus.operator import Operator

Work = Callable[["Operator", argparse.Namespace], Awaitable[int]]
HERE: Final = Path()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    _online(actions.add_parser("status", help="term, leader, and how each member does"))
    check = actions.add_parser("check", help="compare the state of all members at one entry of the log")
    _online(check)
    transfer = actions.add_parser("transfer", help="let another member lead")
    transfer.add_argument("node", nargs="?", default="", metavar="NODE", help="default: any that has the whole log")
    _online(transfer)
    compact = actions.add_parser("compact", help="let go of history: watches and reads of before are refused then")
    compact.add_argument("--revision", type=int, default=0, metavar="N", help="up to and including (default: all)")
    _online(compact)
    _add_members(actions.add_parser("members", help="who belongs to the group: list, add, promote, remove"))
    _add_snapshot(actions.add_parser("snapshot", help="backups: save, verify, restore"))


def _add_members(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    _online(verbs.add_parser("list", help="members and their votes"))
    add = verbs.add_parser("add", help="as a learner: it receives the log and has no vote")
    add.add_argument("node", metavar="NODE")
    add.add_argument("address", metavar="HOST:PORT", help="where its store listens")
    _online(add)
    for verb, text in (("promote", "give a learner that has caught up its vote"), ("remove", "end a membership")):
        one = verbs.add_parser(verb, help=text)
        one.add_argument("node", metavar="NODE")
        _online(one)


def _add_snapshot(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    save = verbs.add_parser("save", help="write a backup from a running member, verified")
    save.add_argument("file", type=Path, metavar="FILE")
    save.add_argument("--node", default="", metavar="NODE", help="from that member (default: one that does not lead)")
    _online(save)
    verify = verbs.add_parser("verify", help="read a backup whole and say what it holds; needs no cluster")
    restore = verbs.add_parser("restore", help="let stores begin from a backup, as a new group")
    for each in (verify, restore):
        each.add_argument("file", type=Path, metavar="FILE")
        each.add_argument("--json", action="store_true")
    restore.add_argument(
        "--data", type=Path, nargs="+", required=True, metavar="DIR", help="core nodes' directories, without a store"
    )
    restore.add_argument("--from-cluster", default="", metavar="ID", help="the backup is of another cluster, and meant")


def _online(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", type=Path, default=HERE, metavar="DIR", help="a node's directory, or a Forge's (default: this one)"
    )
    parser.add_argument("--json", action="store_true")


def run(arguments: argparse.Namespace) -> int:
    """Exit codes: 0 done and well, 1 refused, failed, or something is not well."""
    from agent_api.cli import store_backups, store_verbs

    words = " ".join(filter(None, ("store", arguments.action, getattr(arguments, "verb", ""))))
    offline = {"store snapshot verify": store_backups.verify, "store snapshot restore": store_backups.restore}
    online: dict[str, Work] = {
        "store status": store_verbs.status,
        "store check": store_verbs.check,
        "store transfer": store_verbs.transfer,
        "store compact": store_verbs.compact,
        "store members list": store_verbs.list_members,
        "store members add": store_verbs.add_member,
        "store members promote": store_verbs.promote_member,
        "store members remove": store_verbs.remove_member,
        "store snapshot save": store_backups.save,
    }
    try:
        if words in offline:
            return offline[words](arguments)
        return _asked(online[words], arguments)
    except RuntimeFault as fault:
        return report(words, fault)


def _asked(work: Work, arguments: argparse.Namespace) -> int:
    import asyncio

    from agent_api.cli.node_join import identity_of
    from runtime.cluster.layout import NodeLayout
    from runtime.consensus.operator import Operator

    data = node_directory(arguments.data)
    identity = identity_of(data)

    async def ask() -> int:
        operator = Operator(NodeLayout(data), identity)
        try:
            return await work(operator, arguments)
        finally:
            await operator.close()

    return asyncio.run(ask())


def node_directory(given: Path) -> Path:
    """A node's directory: the one given, or below it (a Forge's) the first whose store listens, else the first."""
    from runtime.cluster.layout import NodeLayout

    if (given / "node.json").exists() or not given.is_dir():
        return given
    nodes = sorted(path.parent for path in given.glob("*/node.json"))
    listening = [path for path in nodes if NodeLayout(path).socket("store").exists()]
    return next(iter(listening or nodes), given)
