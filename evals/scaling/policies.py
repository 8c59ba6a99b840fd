"""Every policy that can be compared, by name."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from controllers.scaling import boosted
from controllers.scaling.config import ScalingConfig
from controllers.scaling.tree import RuleTree, default_tree
from controllers.ttm.card import SHIPPED
from evals.scaling.errors import PolicyUnknown
from evals.scaling.foreseen import model_at
from evals.scaling.ours import Aether
from evals.scaling.peers.aws import TargetTracking
from evals.scaling.peers.hpa import Hpa
from evals.scaling.peers.keda import Keda
from evals.scaling.peers.knative import Knative
from evals.scaling.peers.simple import Oracle, Perfect, SeasonalNaive, Static, Thresholds
from evals.scaling.policy import MakePolicy
from runtime.spelling import nearest

OURS: Final = "aether"
TREE: Final = "aether-tree"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    summary: str
    make: MakePolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What our policies decide with. tree: None is the one that ships. boosted: the model that corrects it; None is
    none. model: the directory of layer 2's; None is none, so that layer 1 decides alone."""

    tree: RuleTree | None = None
    boosted: Path | None = boosted.SHIPPED
    model: Path | None = SHIPPED


def ours(made: Made, *, config: ScalingConfig | None = None) -> MakePolicy:
    """All layers and guard rails, as on a leader; config: with other settings than the defaults."""
    return functools.partial(
        Aether,
        tree=made.tree or default_tree(),
        config=config or ScalingConfig(),
        model=functools.partial(model_at, made.model) if made.model is not None else None,
        boosted=functools.partial(_opened, made.boosted) if made.boosted is not None else None,
    )


AS_SHIPPED: Final = Made()


@functools.lru_cache(maxsize=8)
def _opened(path: Path) -> boosted.BoostedRules:
    """Once in each process."""
    return boosted.open_boosted(path)


def our_policies(made: Made) -> Mapping[str, MakePolicy]:
    return {OURS: ours(made), TREE: ours(replace(made, model=None, boosted=None))}


def contestants(made: Made = AS_SHIPPED) -> Mapping[str, Contestant]:
    mine = our_policies(made)
    return {
        OURS: Contestant(
            summary="ours: rules and their correction, forecasts, arbitration, guard rails, as on a leader",
            make=mine[OURS],
        ),
        TREE: Contestant(summary="the same with the tree of rules alone: no forecasts, no correction", make=mine[TREE]),
        "hpa50": Contestant(summary="Kubernetes HPA v2, CPU at 50 %", make=functools.partial(Hpa, target=0.5)),
        "hpa70": Contestant(summary="Kubernetes HPA v2, CPU at 70 %", make=functools.partial(Hpa, target=0.7)),
        "keda70": Contestant(
            summary="KEDA, requests a second at 70 % of an instance", make=functools.partial(Keda, target=0.7)
        ),
        "knative": Contestant(summary="Knative KPA with its defaults", make=Knative),
        "aws50": Contestant(
            summary="AWS target tracking, CPU at 50 %", make=functools.partial(TargetTracking, target=0.5)
        ),
        "aws70": Contestant(
            summary="AWS target tracking, CPU at 70 %", make=functools.partial(TargetTracking, target=0.7)
        ),
        "thresholds": Contestant(summary="one more above 80 % of CPU, one fewer below 20 %", make=Thresholds),
        "seasonal-naive": Contestant(summary="as a day ago, with a simple reaction", make=SeasonalNaive),
        "static": Contestant(summary="what the 99th percentile needs, always", make=Static),
        "perfect": Contestant(summary="knows the next five minutes", make=Perfect),
        "oracle": Contestant(summary="knows every second", make=Oracle),
    }


def chosen(names: str, made: Made = AS_SHIPPED) -> dict[str, Contestant]:
    """Those named, with commas between; all for an empty text. made: what ours decide with. Raises PolicyUnknown."""
    known = contestants(made)
    if not names:
        return dict(known)
    found = {}
    for name in (word.strip() for word in names.split(",")):
        if name not in known:
            raise PolicyUnknown(f"there is no policy {name!r}{nearest(name, known)}")
        found[name] = known[name]
    return found
