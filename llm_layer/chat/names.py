"""The live inventory, asked for once in a turn."""

from __future__ import annotations

from typing import Final

import msgspec

from llm_layer.desk import Plain
from llm_layer.evidence import EvidenceBook
from llm_layer.router.inventory import Inventory
from runtime.operations.queries.cluster import ClusterStatus

NAMES_MAX: Final = 100  # of each kind, the first page; a run or an alert that is older is named by its own command


async def read_inventory(book: EvidenceBook) -> Inventory:
    """Raises DeskRefused."""
    _, answer = await book.ask("cluster.status")
    status = msgspec.convert(answer, ClusterStatus)
    _, waiting = await book.ask("proposal.list", {"limit": NAMES_MAX})
    _, playbooks = await book.ask("playbook.list", {"limit": NAMES_MAX})
    _, runs = await book.ask("run.list", {"limit": NAMES_MAX})
    _, alerts = await book.ask("alert.list", {"limit": NAMES_MAX})
    versions: dict[str, list[str]] = {}
    wanted: dict[str, int] = {}
    for row in status.slices:
        versions.setdefault(row.slice, []).append(row.version)
        wanted[row.slice] = row.wanted
    return Inventory(
        slices=tuple(versions),
        nodes=tuple(each.node for each in status.nodes),
        blueprints=status.blueprints,
        proposals=_members(waiting, "proposals", "id"),
        playbooks=_members(playbooks, "items", "playbook"),
        runs=_members(runs, "items", "id"),
        alerts=_members(alerts, "items", "fingerprint"),
        wanted={name: count for name, count in wanted.items() if len(versions[name]) == 1},
        versions={name: tuple(each) for name, each in versions.items()},
    )


def _members(answer: Plain, listed: str, member: str) -> tuple[str, ...]:
    rows = answer.get(listed)
    return tuple(dict.fromkeys(str(each[member]) for each in rows)) if isinstance(rows, list) else ()
