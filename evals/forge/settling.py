"""Whether slices have the instances that they should have by now: the cluster's own number, which scaling changes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from evals.forge.cluster_api import ClusterApi, InstanceRow


async def unsettled(api: ClusterApi, slices: Iterable[str]) -> list[str]:
    """Those that the cluster does not know yet, or with other instances than it wants, or not all of them ACTIVE."""
    wanted, rows = await api.wanted(), await api.instances()
    return [name for name in slices if not _settled([row for row in rows if row.slice == name], wanted.get(name))]


async def standing(api: ClusterApi, slice_name: str) -> str:
    """Its instances in words."""
    rows = [row for row in await api.instances() if row.slice == slice_name]
    return "; ".join(f"{row.node}/{row.number} {row.phase} {row.reason}".strip() for row in rows) or "none placed"


def _settled(rows: Sequence[InstanceRow], wanted: int | None) -> bool:
    return len(rows) == wanted == sum(row.serving for row in rows)
