"""Every policy that can be compared, by name."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from controllers.scaling.model import ScalingPolicy
from controllers.scaling.tree import RuleTree, default_tree
from evals.scaling.errors import PolicyUnknown
from evals.scaling.ours import Aether
from evals.scaling.peers.aws import TargetTracking
from evals.scaling.peers.hpa import Hpa
from evals.scaling.peers.keda import Keda
from evals.scaling.peers.knative import Knative
from evals.scaling.peers.simple import Oracle, Perfect, SeasonalNaive, Static, Thresholds
from evals.scaling.policy import MakePolicy
from runtime.operations.catalogue import nearest

OURS: Final = "aether"
RAILED: Final = "aether-rails"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    summary: str
    make: MakePolicy


def ours(tree: RuleTree, *, remembers: bool = False) -> MakePolicy:
    """Our rules with that tree."""
    return functools.partial(Aether, tree=tree, policy=ScalingPolicy(), remembers=remembers)


def contestants() -> Mapping[str, Contestant]:
    return {
        OURS: Contestant(summary="our rules, as they ship", make=ours(default_tree())),
        RAILED: Contestant(
            summary="the same, and nothing goes after six turns in five minutes, as in a cluster",
            make=ours(default_tree(), remembers=True),
        ),
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


def chosen(names: str) -> dict[str, Contestant]:
    """Those named, with commas between; all for an empty text. Raises PolicyUnknown."""
    known = contestants()
    if not names:
        return dict(known)
    found = {}
    for name in (word.strip() for word in names.split(",")):
        if name not in known:
            raise PolicyUnknown(f"there is no policy {name!r}{nearest(name, known)}")
        found[name] = known[name]
    return found
