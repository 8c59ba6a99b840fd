"""Which slices require which: the graph over all blueprints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from runtime.deployment.blueprint import requirements
from runtime.deployment.records import Records


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """`requires` maps each deployed slice to the slices that it cannot do without."""

    requires: Mapping[str, frozenset[str]]

    def dependants(self, slice_name: str) -> tuple[str, ...]:
        """Every slice that would be without something it needs, directly or over others, if that one were gone."""
        found: set[str] = set()
        ahead = [slice_name]
        while ahead:
            needed = ahead.pop()
            fresh = {name for name, needs in self.requires.items() if needed in needs} - found
            found |= fresh
            ahead += fresh
        return tuple(sorted(found - {slice_name}))


def topology_of(records: Records) -> Topology:
    requires: dict[str, set[str]] = {}
    contracts = {(each.name, each.version): each for each in records.contracts()}
    for target in records.targets():
        settings = target.settings
        contract = contracts.get((settings.slice, settings.version))
        needed = requirements(settings, contract) if contract is not None else settings.requires
        requires.setdefault(settings.slice, set()).update(needed)
    return Topology(requires={name: frozenset(needed) for name, needed in requires.items()})
