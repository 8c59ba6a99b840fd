"""Where alerts get their figures: one port for all subjects, whoever measures them."""

from __future__ import annotations

from typing import Protocol


class FigureSource(Protocol):
    """Figures of subjects ("slice:orders", "node:n1", "store:n1", "cluster"), as of the last seconds: telemetry's own,
    and what other layers publish."""

    def figure(self, subject: str, metric: str) -> float | None:
        """None while nothing is known."""
        ...


def kind_of(subject: str) -> str:
    """The part before the colon; all of it where there is none, as for "cluster"."""
    return subject.partition(":")[0]


def name_of(subject: str) -> str:
    """The part behind the colon; empty for the cluster."""
    return subject.partition(":")[2]
