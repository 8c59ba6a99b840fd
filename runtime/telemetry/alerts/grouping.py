"""Which receiver is told what, and when. Pure: alerts, routes and what was told before in, notifications out.

As Alertmanager does it: the first word of a group waits `group_wait_s` for others to join; what changes in it is told
`group_interval_s` after the last word; what stays is told again after `repeat_s`. All times are those of records, so
another leader decides alike.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from runtime.telemetry.alerts.labels import fingerprint_of, fits, group_key_of
from runtime.telemetry.alerts.records import Alert, Labels, Receiver, Route, Told

DEFAULT: Final = "default"
DEFAULT_ROUTE: Final = Route(order=10_000, matchers=("origin!=external",))
"""The last one, unless another is set under its name. Who sends alerts to Aether tells people of them itself."""

TRIAL: Final = "ReceiverTest"

ToldBy = Mapping[tuple[str, str], Told]
"""What was told last, by group and receiver."""


@dataclass(frozen=True, slots=True)
class Group:
    key: str
    labels: Labels
    route: Route
    receivers: tuple[str, ...]
    alerts: tuple[Alert, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """What one receiver shall be told now. `key` is the same when the same is sent again after a leader's death."""

    key: str
    receiver: str
    group: Group
    firing: tuple[Alert, ...]
    ended: tuple[Alert, ...]
    told: Told
    """What is written once it took it."""


def routed(alert: Alert, routes: Mapping[str, Route]) -> Iterator[str]:
    """The names of the routes that it takes."""
    labels = {**alert.labels, "origin": alert.origin}
    for name, route in sorted(routes.items(), key=lambda each: (each[1].order, each[0])):
        if fits(route.matchers, labels):
            yield name
            if not route.goes_on:
                return


def groups_of(alerts: Iterable[Alert], routes: Mapping[str, Route], receivers: Sequence[str]) -> list[Group]:
    """receivers: all there are. A route's that are gone are left out."""
    gathered: dict[tuple[str, str], tuple[Labels, list[Alert]]] = {}
    for alert in alerts:
        for name in routed(alert, routes):
            labels = {label: alert.labels.get(label, "") for label in routes[name].group_by}
            key = group_key_of(name, labels)
            gathered.setdefault((name, key), (labels, []))[1].append(alert)
    return [
        Group(
            key,
            labels,
            routes[name],
            tuple(each for each in receivers if not routes[name].receivers or each in routes[name].receivers),
            tuple(sorted(found, key=lambda alert: (alert.starts_unix_ms, alert.fingerprint))),
        )
        for (name, key), (labels, found) in sorted(gathered.items())
    ]


def due(
    groups: Iterable[Group],
    receivers: Mapping[str, Receiver],
    told: ToldBy,
    is_muted: Callable[[Alert], bool],
    now_unix_ms: int,
) -> list[Notification]:
    """All that has to be told now."""
    found = []
    for group in groups:
        for name in group.receivers:
            made = _due(group, name, receivers[name], told.get((group.key, name)), is_muted, now_unix_ms)
            if made is not None:
                found.append(made)
    return found


def _due(
    group: Group,
    name: str,
    receiver: Receiver,
    before: Told | None,
    is_muted: Callable[[Alert], bool],
    now_unix_ms: int,
) -> Notification | None:
    known = before.firing if before is not None else {}
    lasting = [each for each in group.alerts if each.lasts]
    firing = [each for each in lasting if not is_muted(each)]
    ended = [each for each in group.alerts if not each.lasts and known.get(each.fingerprint) == each.starts_unix_ms]
    if not receiver.enabled or not _is_time(group.route, before, firing, ended, receiver, now_unix_ms):
        return None
    kept = {each.fingerprint: each.starts_unix_ms for each in lasting if each.fingerprint in known}
    after = Told(
        group_key=group.key,
        receiver=name,
        number=before.number + 1 if before is not None else 1,
        at_unix_ms=now_unix_ms,
        firing={**kept, **{each.fingerprint: each.starts_unix_ms for each in firing}},
    )
    shown = tuple(ended) if receiver.tells_ends else ()
    key = _key(after, firing, ended)
    return Notification(key=key, receiver=name, group=group, firing=tuple(firing), ended=shown, told=after)


def _is_time(
    route: Route,
    before: Told | None,
    firing: Sequence[Alert],
    ended: Sequence[Alert],
    receiver: Receiver,
    now_unix_ms: int,
) -> bool:
    if before is None:
        return any(now_unix_ms - each.fired_unix_ms >= route.group_wait_s * 1_000 for each in firing)
    since_ms = now_unix_ms - before.at_unix_ms
    news = any(before.firing.get(each.fingerprint) != each.starts_unix_ms for each in firing)
    if news or (ended and receiver.tells_ends):
        return since_ms >= route.group_interval_s * 1_000
    waits = any(each.acknowledged is None for each in firing)
    return waits and since_ms >= route.repeat_s * 1_000


def _key(told: Told, firing: Sequence[Alert], ended: Sequence[Alert]) -> str:
    said = [(each.fingerprint, each.starts_unix_ms, each.ends_unix_ms) for each in (*firing, *ended)]
    text = msgspec.json.encode((told.group_key, told.receiver, told.number, sorted(said)))
    return hashlib.sha256(text).hexdigest()[:32]


def trial(receiver: str, by: str, at_unix_ms: int) -> Notification:
    """What a receiver gets when somebody tries it: an alert that is none. Nothing of it is noted as told."""
    labels = {"alertname": TRIAL, "severity": "warning", "subject": "cluster"}
    summary = f"{by or 'somebody'} tries whether this receiver is told; nothing is wrong"
    alert = Alert(
        fingerprint=fingerprint_of(labels),
        group_key=TRIAL,
        labels=labels,
        annotations={"summary": summary},
        starts_unix_ms=at_unix_ms,
        fired_unix_ms=at_unix_ms,
    )
    group = Group(TRIAL, {"alertname": TRIAL}, DEFAULT_ROUTE, (receiver,), (alert,))
    told = Told(group_key=TRIAL, receiver=receiver, number=1, at_unix_ms=at_unix_ms, firing={})
    return Notification(
        key=_key(told, [alert], []), receiver=receiver, group=group, firing=(alert,), ended=(), told=told
    )


def forgotten(told: ToldBy, alerts: Mapping[str, Alert], receivers: Mapping[str, Receiver]) -> list[tuple[str, str]]:
    """What need not be remembered: nothing of it lasts, or is an end that its receiver has yet to hear of."""

    def matters(each: Told) -> bool:
        receiver = receivers.get(each.receiver)
        if receiver is None:
            return False
        known = [alerts.get(fingerprint) for fingerprint in each.firing]
        return any(alert is not None and (alert.lasts or receiver.tells_ends) for alert in known)

    return [place for place, each in told.items() if not matters(each)]


def awaited(told: ToldBy) -> frozenset[tuple[str, int]]:
    """Alerts, with when they began, whose end somebody has yet to hear of: they are kept for so long."""
    return frozenset((fingerprint, starts) for each in told.values() for fingerprint, starts in each.firing.items())
