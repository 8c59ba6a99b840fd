"""What a campaign showed, for people and for machines."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field

from evals.nemesis.account import Account


@dataclass(slots=True)
class Row:
    """One fault's cycles."""

    fault: str
    what: str
    cycles: int = 0
    well_s: list[float] = field(default_factory=list)  # from mending to every member well
    gaps_s: list[float] = field(
        default_factory=list
    )  # the longest time of each cycle in which nothing was acknowledged
    acknowledged: int = 0
    unknown: int = 0

    def figures(self) -> dict[str, object]:
        return {
            "what": self.what,
            "cycles": self.cycles,
            "well_s_median": round(statistics.median(self.well_s), 2) if self.well_s else None,
            "well_s_max": round(max(self.well_s, default=0.0), 2),
            "gap_s_median": round(statistics.median(self.gaps_s), 2) if self.gaps_s else None,
            "gap_s_max": round(max(self.gaps_s, default=0.0), 2),
            "acknowledged": self.acknowledged,
            "unknown": self.unknown,
        }


@dataclass(slots=True, kw_only=True)
class Report:
    """`failure` is empty when every promise was kept in every cycle."""

    seed: int
    cycles: int
    again: str = ""
    """How to run it once more."""
    rows: dict[str, Row] = field(default_factory=dict)
    commands: int = 0
    acknowledged: int = 0
    unknown: int = 0
    reads: int = 0
    leases: int = 0
    revisions: int = 0  # that watchers saw
    gaps: int = 0  # times that a watcher was told that history is gone, at a node that began again from a snapshot
    operations: int = 0  # in histories that were found linearizable
    undecided: int = 0  # histories whose check was given up
    elapsed_s: float = 0.0
    failure: str = ""
    kept_in: str = ""

    @property
    def passed(self) -> bool:
        return not self.failure and sum(row.cycles for row in self.rows.values()) > 0

    def add(self, fault: str, what: str, account: Account, *, well_s: float) -> None:
        row = self.rows.setdefault(fault, Row(fault, what))
        row.cycles += 1
        row.well_s.append(well_s)
        row.gaps_s.append(account.longest_gap_s)
        row.acknowledged += account.commands - account.failed
        row.unknown += account.failed
        self.commands += account.commands
        self.acknowledged += account.commands - account.failed
        self.unknown += account.failed
        self.reads += account.reads
        self.leases += account.leases

    def lines(self) -> list[str]:
        """For people."""
        lines = [f"{'fault':<16} {'cycles':>6} {'well s':>12} {'no ack s':>12} {'acknowledged':>12} {'unknown':>7}"]
        for row in self.rows.values():
            well = f"{statistics.median(row.well_s):.1f}/{max(row.well_s):.1f}"
            gap = f"{statistics.median(row.gaps_s):.1f}/{max(row.gaps_s):.1f}"
            lines.append(
                f"{row.fault:<16} {row.cycles:>6} {well:>12} {gap:>12} {row.acknowledged:>12,} {row.unknown:>7,}"
            )
        lines.append("(median/longest: from mending to every member well; in which no change was acknowledged)")
        lines.append(
            f"{self.acknowledged:,} changes acknowledged, {self.unknown:,} of unknown outcome, {self.reads:,} "
            f"linearizable reads, {self.leases:,} leases looked at, {self.revisions:,} revisions shown to watchers, "
            f"{self.operations:,} operations in linearizable histories, {self.undecided} histories undecided; "
            f"{self.elapsed_s / 60:.0f} min"
        )
        verdict = "passed" if self.passed else f"FAILED: {self.failure}\n  {self.again}\n  kept in {self.kept_in}"
        return [*lines, f"store campaign, seed {self.seed}: {verdict}"]

    def figures(self) -> dict[str, object]:
        """For machines."""
        return {
            "seed": self.seed,
            "cycles": self.cycles,
            "passed": self.passed,
            "failure": self.failure,
            "kept_in": self.kept_in,
            "faults": {name: row.figures() for name, row in self.rows.items()},
            "acknowledged": self.acknowledged,
            "unknown": self.unknown,
            "reads": self.reads,
            "leases": self.leases,
            "revisions": self.revisions,
            "watch_gaps_told": self.gaps,
            "linearizable_operations": self.operations,
            "undecided_histories": self.undecided,
            "elapsed_s": round(self.elapsed_s, 1),
        }
