"""The records of alerts as they stand in the state: typed, and without those that this version cannot read."""

from __future__ import annotations

from typing import Final, NamedTuple, TypeVar

import msgspec

from runtime.consensus.store import KeyValue
from runtime.state import keys
from runtime.state.values import AlertRecord, AlertThreshold, Value, decode
from runtime.telemetry.alerts.builtin import THRESHOLD
from runtime.telemetry.alerts.grouping import DEFAULT, DEFAULT_ROUTE
from runtime.telemetry.alerts.judging import alert_of
from runtime.telemetry.alerts.records import Alert, Receiver, ReceiverTest, ReceiverTrouble, Route, Silence, Told
from runtime.telemetry.alerts.rules import NamedRule, Reads, rule_of_threshold

ValueT = TypeVar("ValueT", bound=Value)
LEGACY_PARTS: Final = 2  # alert/{slice}/{metric}: how alerts were kept before they had fingerprints


class Kept(NamedTuple):
    """An alert with the record that it stands in."""

    item: KeyValue
    alert: Alert


def named(state: Reads, prefix: str, kind: type[ValueT]) -> dict[str, ValueT]:
    """By the last segment of their key."""
    found = {}
    for item in state.items(prefix):
        try:
            found[item.key.rpartition("/")[2]] = decode(item.value, kind)
        except msgspec.DecodeError:
            continue
    return found


def alerts(state: Reads) -> list[Kept]:
    found = []
    for item in state.items(keys.ALERTS):
        try:
            found.append(Kept(item, _alert(item)))
        except msgspec.DecodeError:
            continue
    return found


def is_legacy(item: KeyValue) -> bool:
    return len(keys.parts(item.key)) == LEGACY_PARTS


def _alert(item: KeyValue) -> Alert:
    if not is_legacy(item):
        return decode(item.value, Alert)
    slice_name, metric = keys.parts(item.key)
    old = decode(item.value, AlertRecord)
    threshold = AlertThreshold(bound=old.bound, for_s=old.for_s)
    rule = NamedRule(name=THRESHOLD, subject=f"slice:{slice_name}", rule=rule_of_threshold(metric, threshold))
    fired = old.since_unix_ms + old.for_s * 1_000
    return alert_of(rule, "warning", rule.subject, old.value, since_unix_ms=old.since_unix_ms, now_unix_ms=fired)


def silences(state: Reads) -> dict[str, Silence]:
    return named(state, keys.ALERT_SILENCES, Silence)


def receivers(state: Reads) -> dict[str, Receiver]:
    return named(state, keys.ALERT_RECEIVERS, Receiver)


def routes(state: Reads) -> dict[str, Route]:
    return {DEFAULT: DEFAULT_ROUTE, **named(state, keys.ALERT_ROUTES, Route)}


def told(state: Reads) -> dict[tuple[str, str], Told]:
    """By group and receiver."""
    found = named(state, keys.ALERTS_TOLD, Told)
    return {(each.group_key, each.receiver): each for each in found.values()}


def tests(state: Reads) -> dict[str, ReceiverTest]:
    return named(state, keys.ALERT_TESTS, ReceiverTest)


def troubles(state: Reads) -> dict[str, ReceiverTrouble]:
    return named(state, keys.ALERT_TROUBLES, ReceiverTrouble)
