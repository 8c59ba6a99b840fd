"""Facts: what happened, derived from the store's changes by one pure function, so equal on every node."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import msgspec

from runtime.consensus.store import LEADER_KEY, WatchBatch, WatchEvent
from runtime.state import keys
from runtime.telemetry.fact_made import Made, Values
from runtime.telemetry.run_facts import told_proof, told_run, told_step
from runtime.telemetry.scaling_facts import (
    told_forecast_active,
    told_forecast_model,
    told_forecast_state,
    told_forecast_training,
    told_node_request,
    told_node_trouble,
    told_oddity,
    told_pin,
    told_scaling_config,
    told_trouble,
)


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """`id` is "revision.index": it orders facts, and any node can go on from it."""

    id: str
    event: str
    data: dict[str, object]


ID_PATTERN: Final = r"[0-9]{1,18}\.[0-9]{1,9}"
_ID: Final = re.compile(ID_PATTERN)


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


def _versioned(noun: str, member: str) -> Callable[[tuple[str, ...], Values, Values], Made]:
    def made(parts: tuple[str, ...], after: Values, before: Values) -> Made:
        data: dict[str, object] = {member: parts[0], "version": parts[1]}
        if after is None:
            return f"{noun}Deleted", data
        return None if before is not None else (f"{noun}Uploaded", {**data, "sha256": after.get("sha256")})

    return made


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
    now, earlier = after or {}, before or {}
    if len(parts) > 1:  # of a version without fingerprints
        return None
    fires, fired = _lasts(after), _lasts(before)
    data = {name: (after or earlier).get(name) for name in _OF_ALERT}
    if fires and (not fired or now.get("starts_unix_ms") != earlier.get("starts_unix_ms")):
        return "AlertFired", {**data, "value": now.get("value"), "bound": now.get("bound")}
    if fired and not fires:
        return "AlertEnded", {**data, "ends_unix_ms": now.get("ends_unix_ms", 0)}
    taken, taken_before = now.get("acknowledged"), earlier.get("acknowledged")
    if not fires or taken == taken_before:
        return None
    if not isinstance(taken, dict):
        return "AlertUnacknowledged", data
    return "AlertAcknowledged", {**data, "by": taken.get("by"), "why": taken.get("why")}


_OF_ALERT: Final = ("fingerprint", "group_key", "starts_unix_ms", "origin", "labels", "annotations")


def _lasts(alert: Values) -> bool:
    return alert is not None and not alert.get("ends_unix_ms")


def _silence(parts: tuple[str, ...], after: Values, before: Values) -> Made:
    known = after or before or {}
    data = {"silence": parts[0], **{name: known.get(name) for name in ("matchers", "until_unix_ms", "by", "why")}}
    return ("AlertUnsilenced" if after is None else "AlertSilenced"), data


def _told_group(_parts: tuple[str, ...], after: Values, _before: Values) -> Made:
    if after is None:
        return None  # all of it has ended
    firing = after.get("firing")
    data = {name: after.get(name) for name in ("group_key", "receiver", "number")}
    return "NotificationSent", {**data, "firing": len(firing) if isinstance(firing, dict) else 0}


def _receiver_trouble(parts: tuple[str, ...], after: Values, before: Values) -> Made:
    data: dict[str, object] = {"receiver": parts[0]}
    if after is None:
        return "ReceiverRestored", data
    if before is not None:
        return None  # another attempt
    return "NotificationFailed", {**data, "error": after.get("error"), "attempts": after.get("attempts")}


def _receiver_test(parts: tuple[str, ...], after: Values, before: Values) -> Made:
    state = (after or {}).get("state")
    if state not in ("taken", "failed") or state == (before or {}).get("state"):
        return None
    return "ReceiverTested", {"receiver": parts[0], "outcome": state, "error": (after or {}).get("error", "")}


def _alert_rule(parts: tuple[str, ...], after: Values, _before: Values) -> Made:
    return ("AlertRuleUnset" if after is None else "AlertRuleSet"), {"rule": parts[0], "subject": parts[-1]}


def _alert_receiver(parts: tuple[str, ...], after: Values, _before: Values) -> Made:
    return ("AlertReceiverRemoved" if after is None else "AlertReceiverSet"), {"receiver": parts[0]}


def _alert_route(parts: tuple[str, ...], after: Values, _before: Values) -> Made:
    return ("AlertRouteUnset" if after is None else "AlertRouteSet"), {"route": parts[0]}


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
    keys.ARTIFACTS: _versioned("Artifact", "name"),
    keys.PROPOSALS: _proposal,
    keys.ALERTS: _alert,
    keys.ALERT_SILENCES: _silence,
    keys.ALERTS_TOLD: _told_group,
    keys.ALERT_TROUBLES: _receiver_trouble,
    keys.ALERT_TESTS: _receiver_test,
    keys.ALERT_RULES: _alert_rule,
    keys.ALERT_RECEIVERS: _alert_receiver,
    keys.ALERT_ROUTES: _alert_route,
    keys.CONFIG: _config,
    f"{keys.POLICY}/": _policy,
    keys.PRINCIPALS: _principal,
    keys.API_KEYS: _api_key,
    keys.STORE_BACKUPS: _backup,
    keys.SCALING_CONFIGS: told_scaling_config,
    keys.SCALING_PINS: told_pin,
    keys.SCALING_TROUBLES: told_trouble,
    f"{keys.SCALING_ODDITY}/": told_oddity,
    keys.NODE_REQUESTS: told_node_request,
    f"{keys.NODE_TROUBLE}/": told_node_trouble,
    keys.FORECAST_MODELS: told_forecast_model,
    f"{keys.FORECAST_ACTIVE}/": told_forecast_active,
    f"{keys.FORECAST_STATE}/": told_forecast_state,
    f"{keys.FORECAST_TRAINING}/": told_forecast_training,
    keys.PLAYBOOKS: _versioned("Playbook", "playbook"),
    keys.PLAYBOOK_PROOFS: told_proof,
    keys.RUNS: told_run,
    keys.RUN_STEPS: told_step,
}

TOLD: Final = (
    keys.PROPOSALS,
    keys.ALERTS,
    keys.ALERT_SILENCES,
    keys.ALERTS_TOLD,
    keys.ALERT_TROUBLES,
    keys.ALERT_TESTS,
    keys.ALERT_RULES,
    keys.ALERT_RECEIVERS,
    keys.ALERT_ROUTES,
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
    keys.SCALING_ODDITY,
    keys.NODE_REQUESTS,
    keys.NODE_TROUBLE,
    keys.FORECAST_MODELS,
    keys.FORECAST_ACTIVE,
    keys.FORECAST_STATE,
    keys.FORECAST_TRAINING,
    keys.PLAYBOOKS,
    keys.PLAYBOOK_PROOFS,
    keys.RUNS,
    keys.RUN_STEPS,
)
"""What facts are made from beside what deployment reads."""
