"""Facts: what happened, derived from the store's changes by one pure function, so equal on every node."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import msgspec

from runtime.consensus.store import LEADER_KEY, WatchBatch, WatchEvent
from runtime.state import keys


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """`id` is "revision.index": it orders facts, and any node can go on from it."""

    id: str
    event: str
    data: dict[str, object]


_ID: Final = re.compile(r"[0-9]{1,18}\.[0-9]{1,9}")

Made = tuple[str, dict[str, object]] | None


def facts_of(batch: WatchBatch, before: Callable[[str], bytes | None]) -> tuple[Fact, ...]:
    """The facts of one revision. `before` gives a key's value as it was until then."""
    found = []
    for index, event in enumerate(batch.events):
        made = _fact(event, before(event.item.key))
        if made is not None:
            found.append(Fact(id=f"{batch.revision}.{index}", event=made[0], data=made[1]))
    return tuple(found)


def order_of(identity: str) -> tuple[int, int]:
    """Sorts ids. Anything that is no id comes before all."""
    revision, _, index = identity.partition(".")
    return (int(revision), int(index)) if is_fact_id(identity) else (0, 0)


def is_fact_id(text: str) -> bool:
    return _ID.fullmatch(text) is not None


def _fact(event: WatchEvent, before: bytes | None) -> Made:
    key = event.item.key
    after = event.item.value if event.kind == "put" else None
    if key == LEADER_KEY:
        return "LeaderChanged", {"leader": (after or b"").decode("utf-8", "replace")}
    kind = key.partition("/")[0] + "/"
    if kind in _TEXTS:
        return _text(kind, key, after)
    make = _BY_KIND.get(kind)
    if make is None:
        return None
    return make(keys.parts(key), _values(after), _values(before))


Values = dict[str, object] | None


def _values(raw: bytes | None) -> Values:
    if raw is None:
        return None
    try:
        found = msgspec.json.decode(raw)
    except msgspec.DecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _live(parts: tuple[str, ...], after: Values, before: Values) -> Made:
    if after is None:
        return "NodeLeft", {"node": parts[0]}
    if before is None or before.get("boot") != after.get("boot"):
        return "NodeJoined", {"node": parts[0]}
    return None


def _node(parts: tuple[str, ...], after: Values, before: Values) -> Made:
    if after is None:
        return "NodeRemoved", {"node": parts[0]}
    if after.get("leaving") and not (before or {}).get("leaving"):
        return "NodeDraining", {"node": parts[0]}
    if before is None:
        return "NodeRegistered", {"node": parts[0], "role": after.get("role"), "zone": after.get("zone")}
    return None


def _blueprint(parts: tuple[str, ...], after: Values, _before: Values) -> Made:
    return ("BlueprintDeleted" if after is None else "BlueprintApplied"), {"blueprint": parts[0]}


def _target(parts: tuple[str, ...], after: Values, before: Values) -> Made:
    data: dict[str, object] = {"slice": parts[0], "version": parts[1]}
    if after is None:
        return "SliceWithdrawn", data
    wanted, earlier = after.get("wanted"), (before or {}).get("wanted")
    if before is None:
        return "SliceDeployed", {**data, "wanted": wanted}
    if wanted != earlier:
        return "SliceScaled", {**data, "before": earlier, "wanted": wanted}
    return "SliceChanged", data


def _assignment(parts: tuple[str, ...], after: Values, before: Values) -> Made:
    data: dict[str, object] = {"node": parts[0], "slice": parts[1], "number": int(parts[2])}
    if after is None:
        return "InstanceUnassigned", data
    return None if before is not None else ("InstanceAssigned", {**data, "version": after.get("version")})


def _state(parts: tuple[str, ...], after: Values, before: Values) -> Made:
    if after is None or after.get("phase") != "failed" or (before or {}).get("phase") == "failed":
        return None
    data: dict[str, object] = {"node": parts[0], "slice": parts[1], "number": int(parts[2])}
    return "InstanceFailed", {**data, "reason": after.get("reason")}


def _endpoint(parts: tuple[str, ...], after: Values, before: Values) -> Made:
    data: dict[str, object] = {"slice": parts[0], "node": parts[1], "number": int(parts[2])}
    if after is None:
        return "SliceDeactivated", data
    return None if before is not None else ("SliceActivated", {**data, "version": after.get("version")})


def _artifact(parts: tuple[str, ...], after: Values, before: Values) -> Made:
    data: dict[str, object] = {"name": parts[0], "version": parts[1]}
    if after is None:
        return "ArtifactDeleted", data
    return None if before is not None else ("ArtifactUploaded", {**data, "sha256": after.get("sha256")})


def _proposal(parts: tuple[str, ...], after: Values, before: Values) -> Made:
    if after is None:
        return None  # history that is trimmed
    data: dict[str, object] = {"proposal": parts[0], "subject": after.get("subject"), "summary": after.get("summary")}
    state, earlier = after.get("state", "pending"), (before or {}).get("state", "pending")
    if before is None:
        return "ProposalCreated", data
    if state == earlier:
        return "ProposalVoted", {**data, "votes": _count(after.get("votes"))}
    if state == "pending":
        return "ProposalUnapproved", data
    name = "".join(word.capitalize() for word in str(state).split("_"))
    return f"Proposal{name}", {**data, "ended": after.get("ended", "")}


def _count(value: object) -> int:
    return len(value) if isinstance(value, list) else 0


def _alert(parts: tuple[str, ...], after: Values, before: Values) -> Made:
    data: dict[str, object] = {"slice": parts[0], "metric": parts[1]}
    if after is None:
        return "AlertCleared", data
    return (
        None
        if before is not None
        else ("AlertFired", {**data, "value": after.get("value"), "bound": after.get("bound")})
    )


def _config(parts: tuple[str, ...], after: Values, _before: Values) -> Made:
    return ("ConfigUnset" if after is None else "ConfigSet"), {"scope": parts[0], "name": parts[1]}


def _policy(_parts: tuple[str, ...], after: Values, _before: Values) -> Made:
    return ("PolicyReset" if after is None else "PolicySet"), {}


def _principal(parts: tuple[str, ...], after: Values, before: Values) -> Made:
    if after is None:
        return "PrincipalRemoved", {"principal": parts[0]}
    if after == before:
        return None  # written anew so that two changes do not pass each other
    data: dict[str, object] = {
        "principal": parts[0],
        "role": after.get("role"),
        "disabled": after.get("disabled", False),
    }
    return "PrincipalSet", data


def _api_key(_parts: tuple[str, ...], after: Values, before: Values) -> Made:
    known = after or before or {}
    return ("KeyRevoked" if after is None else "KeyCreated"), {
        "principal": known.get("principal"),
        "name": known.get("name"),
    }


def _backup(parts: tuple[str, ...], after: Values, before: Values) -> Made:
    state, earlier = (after or {}).get("state"), (before or {}).get("state")
    if after is None or state == earlier:
        return None
    data: dict[str, object] = {"number": int(parts[0])}
    if state == "failed":
        return "StoreSnapshotFailed", {**data, "reason": after.get("reason")}
    return ("StoreSnapshotKept", {**data, "sha256": after.get("sha256")}) if state == "kept" else None


def _scaling_config(parts: tuple[str, ...], after: Values, _before: Values) -> Made:
    return ("ScalingUnset" if after is None else "ScalingConfigured"), {"scope": parts[0]}


def _pin(parts: tuple[str, ...], after: Values, _before: Values) -> Made:
    data: dict[str, object] = {"slice": parts[0]}
    if after is None:
        return "SliceUnpinned", data
    return "SlicePinned", {
        **data,
        "instances": after.get("instances"),
        "until_unix_ms": after.get("until_unix_ms"),
        "why": after.get("why"),
    }


def _trouble(parts: tuple[str, ...], after: Values, _before: Values) -> Made:
    data: dict[str, object] = {"slice": parts[0]}
    return ("ScalingResumed", data) if after is None else ("ScalingHeld", {**data, "why": after.get("why")})


def _node_request(parts: tuple[str, ...], after: Values, before: Values) -> Made:
    data: dict[str, object] = {"node": parts[0]}
    if after is None:
        return "ProvidedNodeGone", data
    state = after.get("state")
    if state == (before or {}).get("state"):
        return None
    names = {"wanted": "NodeRequested", "joined": "NodeProvided", "retiring": "NodeRetiring"}
    return (names[str(state)], data) if state in names else None


def _node_trouble(_parts: tuple[str, ...], after: Values, _before: Values) -> Made:
    return ("NodesResumed", {}) if after is None else ("NodesHeld", {"why": after.get("why")})


def _forecast_model(parts: tuple[str, ...], after: Values, before: Values) -> Made:
    if after is None or before is not None:
        return None  # the oldest go
    told = ("ruling", "parent", "cause", "recent", "sha256")
    return "ForecastModelTrained", {"model": int(parts[0]), **{name: after.get(name) for name in told}}


def _forecast_active(_parts: tuple[str, ...], after: Values, before: Values) -> Made:
    now, earlier = after or {}, before or {}
    return "ForecastModelChosen", {
        "model": now.get("number", 0),
        "before": earlier.get("number", 0),
        "probation": now.get("number", 0) != now.get("before", 0),
        "why": now.get("why", ""),
    }


def _forecast_state(_parts: tuple[str, ...], after: Values, before: Values) -> Made:
    now, earlier = after or {}, before or {}
    data: dict[str, object] = {name: now.get(name) for name in ("code", "reason", "model")}
    if now.get("state") == "degraded":
        return "ForecastsDegraded", data
    if now.get("code"):
        return "ForecastModelRefused", data
    return ("ForecastsRestored", data) if earlier.get("state") == "degraded" else None


_TEXTS: Final = {keys.FREEZES: ("FreezeSet", "FreezeLifted"), keys.INCIDENTS: ("IncidentOpened", "IncidentClosed")}
"""Kinds whose values are words, not records: the events of their coming and going."""


def _text(kind: str, key: str, after: bytes | None) -> Made:
    begun, ended = _TEXTS[kind]
    subject = key.removeprefix(kind)
    if after is None:
        return ended, {"subject": subject}
    return begun, {"subject": subject, "why": after.decode("utf-8", "replace")}


_BY_KIND: Final[dict[str, Callable[[tuple[str, ...], Values, Values], Made]]] = {
    keys.NODES_LIVE: _live,
    keys.NODES: _node,
    keys.BLUEPRINTS: _blueprint,
    keys.TARGETS: _target,
    keys.INSTANCES: _assignment,
    keys.INSTANCE_STATES: _state,
    keys.ENDPOINTS: _endpoint,
    keys.ARTIFACTS: _artifact,
    keys.PROPOSALS: _proposal,
    keys.ALERTS: _alert,
    keys.CONFIG: _config,
    f"{keys.POLICY}/": _policy,
    keys.PRINCIPALS: _principal,
    keys.API_KEYS: _api_key,
    keys.STORE_BACKUPS: _backup,
    keys.SCALING_CONFIGS: _scaling_config,
    keys.SCALING_PINS: _pin,
    keys.SCALING_TROUBLES: _trouble,
    keys.NODE_REQUESTS: _node_request,
    f"{keys.NODE_TROUBLE}/": _node_trouble,
    keys.FORECAST_MODELS: _forecast_model,
    f"{keys.FORECAST_ACTIVE}/": _forecast_active,
    f"{keys.FORECAST_STATE}/": _forecast_state,
}

TOLD: Final = (
    keys.PROPOSALS,
    keys.ALERTS,
    keys.CONFIG,
    keys.POLICY,
    keys.FREEZES,
    keys.INCIDENTS,
    keys.PRINCIPALS,
    keys.API_KEYS,
    keys.STORE_BACKUPS,
    keys.SCALING_CONFIGS,
    keys.SCALING_PINS,
    keys.SCALING_TROUBLES,
    keys.NODE_REQUESTS,
    keys.NODE_TROUBLE,
    keys.FORECAST_MODELS,
    keys.FORECAST_ACTIVE,
    keys.FORECAST_STATE,
)
"""What facts are made from beside what deployment reads."""
