"""What replacements of a node showed, for people and for machines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

EFFECTS: Final = ("playbook.run", "store.member-remove", "node.provision", "node.cordon", "node.forget")
"""Operations that a replacement of a node that is down makes, each once whoever leads."""


@dataclass(slots=True, kw_only=True)
class Replaced:
    """One replacement. `killed_at`: the step of the run at which the leader's whole node was killed; empty: never."""

    killed_at: str
    killed: str = ""
    alert_s: float = 0.0
    """From the moment the node stopped to its alert."""
    proposed_s: float = 0.0
    """From there until the playbook's start was proposed."""
    run_s: float = 0.0
    """From people's consent to the end of the run."""
    state: str = ""
    voters_before: tuple[str, ...] = ()
    voters_after: tuple[str, ...] = ()
    applied: Mapping[str, int] = field(default_factory=dict)
    """How often each operation was applied in the name of the playbook, by the audit."""
    approved: int = 0
    gone: bool = False
    """The node is no member any more."""
    serving: bool = False
    ended: bool = False
    """Its alert has ended."""

    @property
    def faults(self) -> tuple[str, ...]:
        wrong = {
            f"the run is {self.state}": self.state != "succeeded",
            f"{len(self.voters_after)} vote, not {len(self.voters_before)}": len(self.voters_after)
            != len(self.voters_before),
            "the node's vote or record stayed": not self.gone,
            "not all slices serve": not self.serving,
            "the alert lasts": not self.ended,
            "nobody was asked": self.approved == 0,
            "the leader was to be killed, and was not": bool(self.killed_at) and not self.killed,
        }
        wrong |= {
            f"{name} took effect {self.applied.get(name, 0)} times": self.applied.get(name, 0) != 1 for name in EFFECTS
        }
        return tuple(told for told, is_so in wrong.items() if is_so)

    def line(self) -> str:
        killed = f"leader {self.killed} killed at {self.killed_at}" if self.killed_at else "nobody killed"
        verdict = "; ".join(self.faults) or "replaced"
        return (
            f"{killed}: alert after {self.alert_s:.1f} s, start proposed {self.proposed_s:.1f} s later, run"
            f" {self.run_s:.1f} s, {self.approved} approvals, voters {', '.join(self.voters_after)}: {verdict}"
        )


@dataclass(slots=True, kw_only=True)
class Replacements:
    """All of a campaign."""

    rounds: list[Replaced] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return bool(self.rounds) and not any(each.faults for each in self.rounds)

    def lines(self) -> list[str]:
        verdict = "passed" if self.passed else "FAILED"
        return [*(each.line() for each in self.rounds), f"node-replaced, {len(self.rounds)} rounds: {verdict}"]

    def figures(self) -> dict[str, object]:
        return {
            "passed": self.passed,
            "rounds": [
                {
                    "killed_at": each.killed_at,
                    "alert_s": round(each.alert_s, 1),
                    "proposed_s": round(each.proposed_s, 1),
                    "run_s": round(each.run_s, 1),
                    "approved": each.approved,
                    "faults": list(each.faults),
                }
                for each in self.rounds
            ],
        }
