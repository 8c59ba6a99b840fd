"""Under which conditions a run goes: how instances start, differ and die, what is measured, and where they fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from evals.scaling.errors import ScenarioUnknown
from runtime.spelling import nearest

START_S_MAX: Final = 600.0


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """The defaults are what all published figures were measured with."""

    start_s: tuple[float, float] = (15.0, 60.0)
    """uniform: least and most; lognormal: median and 95th percentile."""
    start: Literal["uniform", "lognormal"] = "uniform"
    capacity_spread: float = 0.0
    """Standard deviation of what an instance carries, as a part of the mean."""
    metric_delay_s: int = 0
    """By how much everything that is measured is late, beside the delays that a policy has of its own."""
    metric_noise: float = 0.0
    """Standard deviation of what is measured of a second, as a part of it; counts of instances have none."""
    metric_gap: float = 0.0
    """Part of the seconds whose metrics never come: the last known ones stay."""
    nodes: int = 0
    """That instances fit on; 0 is without limit."""
    instances_per_node: int = 10
    nodes_most: int = 0
    """That may come on top of `nodes`, as the node level asks for them, and go again; 0 is none."""
    node_start_s: float = 90.0
    """From being asked for to taking instances."""
    node_fails_each_s: float = 0.0
    """Mean time between failures of a whole node, with what is on it; 0 is never. It is back after `node_back_s`."""
    node_back_s: int = 120
    instance_fails_each_s: float = 0.0
    """Mean time between failures of one instance, of all that serve; 0 is never."""


def scenarios() -> Mapping[str, Conditions]:
    return {
        "default": Conditions(),
        "slow-starts": Conditions(start_s=(60.0, 120.0)),
        "long-tailed-starts": Conditions(start_s=(20.0, 120.0), start="lognormal"),
        "uneven-instances": Conditions(capacity_spread=0.15),
        "late-metrics": Conditions(metric_delay_s=15),
        "noisy-metrics": Conditions(metric_noise=0.15, metric_gap=0.1),
        "full-nodes": Conditions(nodes=5, instances_per_node=10),
        "growing-nodes": Conditions(nodes=3, instances_per_node=10, nodes_most=6),
        "failures": Conditions(nodes=12, node_fails_each_s=6 * 3_600.0, instance_fails_each_s=1_800.0),
    }


def scenario(name: str) -> Conditions:
    """Raises ScenarioUnknown."""
    known = scenarios()
    if name not in known:
        raise ScenarioUnknown(f"there is no scenario {name!r}{nearest(name, known)}")
    return known[name]
