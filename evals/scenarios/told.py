"""What was answered, read from the events of a turn: the same for rules and for every model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

from runtime.operations.plan import Json

Event = Mapping[str, Json]
WORDS_MAX: Final = 1_000
MEANS: Final[Mapping[str, frozenset[str]]] = {
    "bad_change": frozenset({"recent_change", "pattern:import_failed"}),
    "saturation": frozenset({"saturated", "held_too_few"}),
    "memory": frozenset({"memory_grows", "pattern:out_of_memory"}),
    "not_starting": frozenset({"nothing_serves", "dependency_down"}),
    "not_enough_instances": frozenset({"no_room"}),
    "configuration": frozenset({"pattern:missing_setting", "pattern:permission"}),
    "disk_full": frozenset({"pattern:disk_full"}),
    "certificate": frozenset({"pattern:certificate"}),
    "connections_exhausted": frozenset({"pattern:pool_exhausted"}),
    "timeout": frozenset({"pattern:timeout"}),
    "network": frozenset({"pattern:connection_refused"}),
    "node_down": frozenset({"node_silent"}),
    "node_fault": frozenset({"store_silent"}),
}
"""What a model's word stands for in those of the rules, which scenarios are written in."""


def meanings(mechanism: str) -> frozenset[str]:
    return MEANS.get(mechanism, frozenset()) | {mechanism}


@dataclass(frozen=True, slots=True)
class Told:
    """One answer. A diagnosis names `roots`, the causes; each finding has a `root` and a `mechanism`."""

    said: str
    events: tuple[Event, ...]

    def of(self, kind: str) -> list[Event]:
        return [each for each in self.events if each.get("type") == kind]

    @property
    def done(self) -> Event:
        return next(iter(self.of("done")), {})

    @property
    def conversation(self) -> str:
        return str(self.done.get("conversation", ""))

    @property
    def kind(self) -> str:
        return str(self.done.get("kind", ""))

    @property
    def diagnoses(self) -> list[Event]:
        return [cast(Event, each["diagnosis"]) for each in self.of("diagnosed")]

    @property
    def concluded(self) -> list[Event]:
        """Of an investigation; where there is one, it counts instead of the diagnosis that it began with."""
        return self.of("concluded")

    @property
    def finds_fault(self) -> bool:
        if self.concluded:
            return any(each["mechanism"] != "none" for each in self.concluded)
        return any(not each["well"] for each in self.diagnoses)

    @property
    def roots(self) -> frozenset[str]:
        """What is named as the cause."""
        said = self.concluded or self.diagnoses
        return frozenset(str(root) for each in said for root in cast(Sequence[Json], each.get("roots", ())))

    @property
    def mechanisms(self) -> frozenset[str]:
        """Of each cause that is named, the weightiest finding's."""
        if self.concluded:
            return frozenset(str(each["mechanism"]) for each in self.concluded)
        found: dict[str, str] = {}
        for diagnosis in self.diagnoses:
            for each in cast(Sequence[Event], diagnosis["findings"]):
                if each["root"] in self.roots:
                    found.setdefault(str(each["root"]), str(each["mechanism"]))
        return frozenset(found.values())

    @property
    def words(self) -> str:
        return " ".join(str(each["text"]) for each in self.of("text"))[:WORDS_MAX]

    @property
    def cards(self) -> list[Event]:
        return self.of("card")

    @property
    def options(self) -> list[Event]:
        """What may be meant, or may help; `say` is the command for it."""
        return [option for each in self.of("choices") for option in cast(Sequence[Event], each["options"])]

    @property
    def calls(self) -> int:
        """Questions that were asked of the cluster."""
        return int(cast(int, self.done.get("asked", 0)))

    @property
    def taken_ms(self) -> float:
        return float(cast(float, self.done.get("taken_ms", 0.0)))

    @property
    def tokens(self) -> int:
        return int(cast(int, self.done.get("tokens") or 0))

    @property
    def cost(self) -> float:
        """In US dollars; 0 also where the price is not known."""
        return int(cast(int, self.done.get("cost_micros") or 0)) / 1_000_000
