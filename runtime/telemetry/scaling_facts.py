"""Facts of scaling: what people set, what holds it, what it passed over, nodes that come and go, and forecasts."""

from __future__ import annotations

from runtime.telemetry.fact_made import Made, Values


def told_scaling_config(parts: tuple[str, ...], after: Values, _before: Values) -> Made:
    return ("ScalingUnset" if after is None else "ScalingConfigured"), {"scope": parts[0]}


def told_pin(parts: tuple[str, ...], after: Values, _before: Values) -> Made:
    data: dict[str, object] = {"slice": parts[0]}
    if after is None:
        return "SliceUnpinned", data
    return "SlicePinned", {
        **data,
        "instances": after.get("instances"),
        "until_unix_ms": after.get("until_unix_ms"),
        "why": after.get("why"),
    }


def told_trouble(parts: tuple[str, ...], after: Values, _before: Values) -> Made:
    data: dict[str, object] = {"slice": parts[0]}
    return ("ScalingResumed", data) if after is None else ("ScalingHeld", {**data, "why": after.get("why")})


def told_oddity(_parts: tuple[str, ...], after: Values, _before: Values) -> Made:
    if after is None:
        return None
    why = {"why": after.get("why")}
    if after.get("kind") == "clock":
        return "ClockJumped", why
    return "FiguresDoubted", {"slice": after.get("slice"), **why}


def told_node_request(parts: tuple[str, ...], after: Values, before: Values) -> Made:
    data: dict[str, object] = {"node": parts[0]}
    if after is None:
        return "ProvidedNodeGone", data
    state = after.get("state")
    if state == (before or {}).get("state"):
        return None
    names = {"wanted": "NodeRequested", "joined": "NodeProvided", "retiring": "NodeRetiring"}
    return (names[str(state)], data) if state in names else None


def told_node_trouble(_parts: tuple[str, ...], after: Values, _before: Values) -> Made:
    return ("NodesResumed", {}) if after is None else ("NodesHeld", {"why": after.get("why")})


def told_forecast_model(parts: tuple[str, ...], after: Values, before: Values) -> Made:
    if after is None or before is not None:
        return None  # the oldest go
    if after.get("ruling") == "uploaded":
        return "ForecastModelUploaded", {"model": int(parts[0]), "sha256": after.get("sha256")}
    told = ("ruling", "parent", "cause", "recent", "sha256")
    return "ForecastModelTrained", {"model": int(parts[0]), **{name: after.get(name) for name in told}}


def told_forecast_active(_parts: tuple[str, ...], after: Values, before: Values) -> Made:
    now, earlier = after or {}, before or {}
    return "ForecastModelChosen", {
        "model": now.get("number", 0),
        "before": earlier.get("number", 0),
        "probation": now.get("number", 0) != now.get("before", 0),
        "why": now.get("why", ""),
    }


def told_forecast_state(_parts: tuple[str, ...], after: Values, before: Values) -> Made:
    now, earlier = after or {}, before or {}
    data: dict[str, object] = {name: now.get(name) for name in ("code", "reason", "model")}
    if now.get("state") == "degraded":
        return "ForecastsDegraded", data
    if now.get("code"):
        return "ForecastModelRefused", data
    return ("ForecastsRestored", data) if earlier.get("state") == "degraded" else None


def told_forecast_training(_parts: tuple[str, ...], after: Values, before: Values) -> Made:
    if after is None or after.get("code") == (before or {}).get("code"):
        return None  # a challenger was trained, which is told by itself; or the next attempt came to the same
    name = "ForecastTrainingRefused" if after.get("state") == "refused" else "ForecastTrainingFailed"
    return name, {each: after.get(each) for each in ("code", "reason", "cause")}
