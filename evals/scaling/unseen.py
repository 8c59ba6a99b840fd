"""What ours decides with on each origin's traces, and what had to stand in where it was not given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from controllers.scaling import boosted
from controllers.scaling.tree import LEAVES_MAX, RuleTree
from controllers.ttm.card import MODEL_FILE, SHIPPED, read_model
from evals.scaling import boosting
from evals.scaling.distil import MISS_PRICE, distil, gathered
from evals.scaling.policies import Made
from evals.scaling.synthetic import ORIGIN as SYNTHETIC
from evals.scaling.traces import Trace

FOLDER_MAX: Final = 40  # letters of an origin that name a directory
NO_EXPORT: Final = "the extra `train` is not installed: the rules are not corrected by a boosted model"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Of layer 1, made without one origin. boosted: None where it cannot be exported."""

    tree: RuleTree
    boosted: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineup:
    """By origin, what ours decides with, and in words what is not what was asked for."""

    made: Mapping[str, Made]
    notes: tuple[str, ...]


def folder_of(origin: str) -> str:
    """Of the model that never saw this origin: letters, digits and dashes."""
    return "".join(each if each.isalnum() else "-" for each in origin.lower())[:FOLDER_MAX].strip("-")


def unseen_rules(
    traces: Sequence[Trace], into: Path, *, models: Path | None, jobs: int, told: Callable[[str], None]
) -> dict[str, Rules]:
    """By origin rules that were made without any trace of it; the boosted models are written to `into`."""
    told("moments are gathered from all traces")
    known = gathered(traces, jobs=jobs, models=model_for(models))
    found = {}
    for out in sorted({origin for origin, _ in known} - {SYNTHETIC}):
        told(f"rules are made without {out}")
        parts = [each for origin, each in known if origin != out]
        tree = distil(parts, leaves=LEAVES_MAX, miss_price=MISS_PRICE)
        path = None
        if boosting.can_export():
            path = into / f"{folder_of(out)}.onnx"
            path.write_bytes(boosting.as_onnx(boosting.fit(parts), f"without {out}"))
        found[out] = Rules(tree=tree, boosted=path)
    return found


def model_for(models: Path | None) -> Callable[[Trace], Path | None]:
    """Which model of layer 2 forecasts a trace that rules are made from: one that never saw its origin, else none.
    Synthetic traces have the shipped one, which learnt from others."""

    def found(trace: Trace) -> Path | None:
        if trace.origin == SYNTHETIC:
            return SHIPPED
        own = models / folder_of(trace.origin) if models is not None else None
        return own if own is not None and (own / MODEL_FILE).exists() else None

    return found


def lineup(
    traces: Sequence[Trace], *, models: Path | None, rules: Mapping[str, Rules] = {}, unseen: bool = False
) -> Lineup:
    """models: of each origin one that never saw it, as `ttm backtest --leave-one-out --keep` writes them; an origin
    without one has the shipped model, or where nothing may have been seen, none. rules: likewise, shipped where there
    are none. Raises ModelUnreadable, ModelSchemaWrong."""
    by_origin: dict[str, list[str]] = {}
    for each in traces:
        by_origin.setdefault(each.origin, []).append(each.name)
    made, notes = {}, [NO_EXPORT] if any(each.boosted is None for each in rules.values()) else []
    for origin, names in sorted(by_origin.items()):
        model, note = _model(origin, names, models, unseen=unseen)
        own = rules.get(origin)
        made[origin] = Made(
            tree=own.tree if own is not None else None,
            boosted=own.boosted if own is not None else boosted.SHIPPED,
            model=model,
        )
        notes += [note] if note else []
    return Lineup(made=made, notes=tuple(notes))


def _model(origin: str, names: Iterable[str], models: Path | None, *, unseen: bool) -> tuple[Path | None, str]:
    own = models / folder_of(origin) if models is not None else None
    found = own if own is not None and (own / MODEL_FILE).exists() else SHIPPED
    known = sorted({*names} & read_model(found)[1].lineage.traces.keys())
    if unseen and known:
        return None, f"{origin}: there is no model that never saw it; layer 1 alone stands in for all layers"
    if found is SHIPPED and own is not None:
        return found, f"{origin}: {own.name} has no model; the shipped one stands in"
    if known:
        return found, f"{origin}: the model has learnt from {len(known)} of these traces"
    return found, ""
