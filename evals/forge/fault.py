"""Faults as data: what breaks, how one sees that it broke, for how long, and what mends it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """`start` and `stop` are chaos commands; `observed` is a condition of `Chaos.until`.

    After `start` the run waits for `observed`, then `hold_s` seconds, then does `stop`. An empty `observed` is met at
    once, an empty `stop` mends nothing: the cluster mends itself.
    """

    start: str
    stop: str = ""
    observed: str = ""
    hold_s: float = 0.0


def node_loss(node: str, *, hold_s: float = 0.0) -> Fault:
    """A machine that loses power and comes back."""
    return Fault(start=f"kill node {node}", observed=f"node {node} down", hold_s=hold_s, stop=f"start {node}")
