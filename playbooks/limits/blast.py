"""Whether a step's plan stays within what the playbook says it may touch."""

from __future__ import annotations

from playbooks.document.model import BlastLimit
from runtime.operations.plan import BlastRadius


def beyond(limit: BlastLimit, blast: BlastRadius) -> str:
    """What is too much, in words; empty where nothing is. A slice falls below its minimum where capacity goes that it
    has none of to spare."""
    below = int(blast.capacity_share > 0 and blast.budget_left is not None and blast.budget_left < 1)
    rows = (
        (limit.nodes, len(blast.nodes), "nodes"),
        (limit.instances, blast.instances, "instances"),
        (limit.capacity_share, blast.capacity_share, "of the capacity"),
        (limit.slices_below_min, below, "slices below their minimum"),
    )
    found = [
        f"{touched:g} {what}, and {most:g} are allowed"
        for most, touched, what in rows
        if most is not None and touched > most
    ]
    return f"it would touch {'; '.join(found)}" if found else ""
