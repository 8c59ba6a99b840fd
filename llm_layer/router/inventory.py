"""What there is right now: the only names that a sentence can mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from runtime.config.settings import declared
from runtime.spelling import near_names

NEAR: Final = 0.8  # how alike a word and a name are before one is offered for the other; never taken
NEAR_CHARS_MIN: Final = 4  # shorter words are near to everything


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """Names as the cluster has them. `wanted` is instances by slice, `versions` those deployed of a slice."""

    slices: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()
    blueprints: tuple[str, ...] = ()
    proposals: tuple[str, ...] = ()
    playbooks: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    alerts: tuple[str, ...] = ()
    wanted: Mapping[str, int] = field(default_factory=dict)
    versions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def named(self) -> dict[str, list[tuple[str, str]]]:
        """Lower-case word → (kind, name). One word may be a slice and a blueprint."""
        found: dict[str, list[tuple[str, str]]] = {}
        kinds = {
            "slice": self.slices,
            "node": self.nodes,
            "blueprint": self.blueprints,
            "playbook": self.playbooks,
            "proposal": self.proposals,
            "run": self.runs,
            "alert": self.alerts,
            "setting": tuple(each.name for each in declared()),
        }
        for kind, names in kinds.items():
            for name in names:
                found.setdefault(name.lower(), []).append((kind, name))
        return found

    def near(self, word: str) -> list[tuple[str, str]]:
        """(kind, name) of what the word may have been meant for; nearest first. Nobody misspells ids."""
        if len(word) < NEAR_CHARS_MIN:
            return []
        kinds = {name: kind for kind, name in self._places()}
        return [(kinds[name], name) for name in near_names(word.lower(), kinds, cutoff=NEAR)]

    def _places(self) -> list[tuple[str, str]]:
        return [
            *(("playbook", name) for name in self.playbooks),
            *(("blueprint", name) for name in self.blueprints),
            *(("node", name) for name in self.nodes),
            *(("slice", name) for name in self.slices),
        ]
