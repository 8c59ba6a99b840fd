"""What slices stand on, and why one does not serve: read off the state, in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from runtime.deployment.blueprint import requirements
from runtime.deployment.records import Records
from runtime.operations.queries.cluster import Edge
from runtime.operations.queries.slices import InstanceRow, SliceRow


def edges_of(records: Records) -> list[Edge]:
    """What each deployed slice requires, and what it uses if it is there."""
    serving = {each.slice for each in records.endpoints()}
    contracts = {(each.name, each.version): each for each in records.contracts()}
    found: dict[tuple[str, str], Edge] = {}
    for target in records.targets():
        settings = target.settings
        contract = contracts.get((settings.slice, settings.version))
        required = requirements(settings, contract) if contract is not None else settings.requires
        declared = [each.name for each in contract.dependencies if each.kind == "slice"] if contract is not None else []
        for name in sorted({*required, *settings.optional, *declared}):
            optional = name not in required
            if (
                optional
                and not found.get((settings.slice, name), Edge(slice="", requires="", optional=True, met=True)).optional
            ):
                continue
            found[settings.slice, name] = Edge(
                slice=settings.slice, requires=name, optional=optional, met=name in serving
            )
    return [found[key] for key in sorted(found)]


def waits_of(row: SliceRow, edges: Iterable[Edge], instances: Sequence[InstanceRow]) -> tuple[str, ...]:
    """Why fewer instances serve than are wanted."""
    mine = [each for each in instances if (each.slice, each.version) == (row.slice, row.version)]
    why = [
        f"it requires {each.requires}, which does not serve"
        for each in edges
        if each.slice == row.slice and not each.met and not each.optional
    ]
    why += sorted({each.reason for each in mine if each.reason and not each.serving})
    if len(mine) < row.wanted:
        why.append(f"{row.wanted - len(mine)} of {row.wanted} instances have no node")
    return tuple(why) or ("its instances are starting",)
