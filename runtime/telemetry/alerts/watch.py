"""The leader's watch over figures: alerts begin and end in the store, and what is over goes from there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import anyio
import anyio.lowlevel
import msgspec

from runtime.clock import Clock
from runtime.consensus.store import (
    Compare,
    Delete,
    KeyValue,
    Operation,
    Put,
    Revision,
    Store,
    absent,
    led_by,
    unchanged,
)
from runtime.deployment.records import Records, Snapshot
from runtime.names import NodeId
from runtime.state import keys
from runtime.state.values import encode
from runtime.telemetry.alerts import kept
from runtime.telemetry.alerts.builtin import NODE_UNRESPONSIVE
from runtime.telemetry.alerts.figures import FigureSource, kind_of, name_of
from runtime.telemetry.alerts.grouping import awaited
from runtime.telemetry.alerts.judging import SEVERITIES, Streak, alert_of, decide, streak_of
from runtime.telemetry.alerts.metrics import METRICS, SELDOM_S
from runtime.telemetry.alerts.muting import SLICES
from runtime.telemetry.alerts.records import Alert, Labels, Severity
from runtime.telemetry.alerts.rules import NamedRule, RuleBook, rule_book

LOOK_S: Final = 1.0
TOGETHER: Final = 20
"""Subjects that are judged before others of this process have their turn: about a millisecond."""
ENDED_KEPT_MS: Final = 3_600_000
ENDED_KEPT: Final = 200  # 1 KiB each
EXTERNAL_MS_MAX: Final = 86_400_000
"""An alert from outside of which nothing was heard for a day has ended unheard: senders repeat theirs in hours."""


class Place(NamedTuple):
    """What an alert of a rule is of: cheaper to tell apart than fingerprints, which are hashes."""

    name: str
    severity: str
    subject: str
    metric: str

    @classmethod
    def of_labels(cls, labels: Labels) -> Place:
        get = labels.get
        return cls(get("alertname", ""), get("severity", ""), get("subject", ""), get("metric", ""))


class AlertWatch:
    """`run` is a leader service. After a change of the leader every streak begins anew; alerts that last go on."""

    def __init__(self, *, store: Store, state: Snapshot, records: Records, figures: FigureSource, clock: Clock) -> None:
        self._store = store
        self._state = state
        self._records = records
        self._figures = figures
        self._clock = clock
        self._streaks: dict[Place, Streak] = {}
        self._values: dict[tuple[str, str], float | None] = {}
        self._hosted: dict[str, str] = {}
        self._book: tuple[tuple[tuple[str, int], ...], RuleBook] | None = None
        self._looks = 0

    async def run(self, fence: Revision) -> None:
        self._streaks.clear()
        self._values.clear()
        while True:
            await self.look(fence)
            await anyio.sleep(LOOK_S)

    async def look(self, fence: Revision) -> None:
        """Once over all rules. Raises StoreFault."""
        known = kept.alerts(self._state)
        lasting = {
            Place.of_labels(each.alert.labels): each
            for each in known
            if each.alert.lasts and each.alert.origin == "rule"
        }
        self._note_hosted()
        watched: set[Place] = set()
        book = self._rules()
        for at, subject in enumerate(self._subjects()):
            if at % TOGETHER == 0:
                await anyio.lowlevel.checkpoint()
            for rule in book.of(subject):
                values = [self._value(subject, metric) for metric in (rule.rule.metric, *rule.rule.also)]
                for severity in SEVERITIES:
                    if rule.rule.bound(severity) is not None:
                        place = Place(rule.name, severity, subject, rule.rule.labels.get("metric", ""))
                        watched.add(place)
                        await self._judge(place, rule, severity, values, lasting.get(place), fence)
        for place, found in lasting.items():
            if place not in watched:
                await self._end(found, fence)
        self._forget(watched)
        self._looks += 1
        await self._sweep(known, fence)

    def _forget(self, watched: set[Place]) -> None:
        """What was noted of slices and rules that are gone."""
        self._streaks = {place: streak for place, streak in self._streaks.items() if place in watched}
        if self._looks % SELDOM_S == 0:
            subjects = {place.subject for place in watched}
            self._values = {place: value for place, value in self._values.items() if place[0] in subjects}

    def _subjects(self) -> Iterator[str]:
        """In a steady order: figures that are looked at seldom are spread over the seconds by it."""
        slices = {str(each.settings.slice) for each in self._records.targets()}
        thresholds = {keys.parts(item.key)[0] for item in self._state.items(keys.ALERT_THRESHOLDS)}
        nodes = self._records.nodes()
        yield "cluster"
        yield from (f"node:{each.node}" for each in nodes)
        yield from (f"store:{each.node}" for each in nodes if each.role == "core")
        yield from (f"slice:{each}" for each in sorted(slices | thresholds))

    def _rules(self) -> RuleBook:
        items = (*self._state.items(keys.ALERT_RULES), *self._state.items(keys.ALERT_THRESHOLDS))
        stand = tuple((item.key, int(item.mod_revision)) for item in items)
        if self._book is None or self._book[0] != stand:
            self._book = (stand, rule_book(self._state))
        return self._book[1]

    def _note_hosted(self) -> None:
        """What each node hosts while it lives: once its lease has ended, its instances are soon placed elsewhere."""
        live = {each.node for each in self._records.live_nodes()}
        for node in {*live, *(each.node for each in self._records.nodes() if each.node not in self._hosted)}:
            self._hosted[node] = ",".join(sorted({name for name, _ in self._records.assignments(NodeId(node))}))

    # -- one rule of one subject ---------------------------------------------------------------------------------------

    async def _judge(
        self,
        place: Place,
        rule: NamedRule,
        severity: Severity,
        values: Sequence[float | None],
        found: kept.Kept | None,
        fence: Revision,
    ) -> None:
        now = self._clock.unix_ms()
        firing = found is not None
        streak = self._streaks[place] = streak_of(
            self._streaks.get(place), rule.rule, severity, values, firing=firing, now_unix_ms=now
        )
        match decide(streak, rule.rule, firing=firing, now_unix_ms=now):
            case "fire":
                assert values[0] is not None, "only what is known is beyond"
                alert = alert_of(
                    rule, severity, place.subject, values[0], since_unix_ms=streak.since_unix_ms, now_unix_ms=now
                )
                await self._begin(alert, fence)
            case "end":
                assert found is not None, "only what fires ends"
                await self._end(found, fence)
            case _ if found is not None and kept.is_legacy(found.item):
                await self._put(found.alert, [found.item], fence)

    def _value(self, subject: str, metric: str) -> float | None:
        known = METRICS.get(kind_of(subject), {}).get(metric)  # type: ignore[call-overload]
        place, each_s = (subject, metric), known.each_s if known is not None else 1
        if each_s == 1:
            return self._figures.figure(subject, metric)
        if place not in self._values or self._looks % each_s == sum(subject.encode()) % each_s:
            self._values[place] = self._figures.figure(subject, metric)
        return self._values[place]

    async def _begin(self, alert: Alert, fence: Revision) -> None:
        if alert.labels["alertname"] == NODE_UNRESPONSIVE:
            hosted = self._hosted.get(name_of(alert.subject), "")
            alert = _with_annotation(alert, SLICES, hosted)
        item = self._state.get(keys.alert(alert.fingerprint))
        await self._put(alert, [item] if item is not None else [], fence)

    async def _end(self, found: kept.Kept, fence: Revision) -> None:
        await self._put(_ended(found.alert, self._clock.unix_ms()), [found.item], fence)

    async def _put(self, alert: Alert, before: list[KeyValue], fence: Revision) -> None:
        key = keys.alert(alert.fingerprint)
        compares: list[Compare] = [led_by(fence), *(unchanged(item.key, item.mod_revision) for item in before)]
        if all(item.key != key for item in before):
            compares.append(absent(key))
        gone: list[Operation] = [Delete(key=item.key) for item in before if item.key != key]
        await self._store.txn(compares, [Put(key=key, value=encode(alert)), *gone])

    # -- what is over --------------------------------------------------------------------------------------------------

    async def _sweep(self, known: list[kept.Kept], fence: Revision) -> None:
        now = self._clock.unix_ms()
        for each in known:
            heard = max(each.alert.heard_unix_ms, each.alert.starts_unix_ms)
            if each.alert.lasts and each.alert.origin == "external" and now - heard > EXTERNAL_MS_MAX:
                await self._end(each, fence)
        for item in over(known, awaited(kept.told(self._state)), now):
            await self._store.txn([led_by(fence), unchanged(item.key, item.mod_revision)], [Delete(key=item.key)])
        for name, silence in kept.silences(self._state).items():
            if silence.until_unix_ms <= now:
                item_of = self._state.get(keys.alert_silence(name))
                if item_of is not None:
                    change = [led_by(fence), unchanged(item_of.key, item_of.mod_revision)]
                    await self._store.txn(change, [Delete(key=item_of.key)])


def over(known: list[kept.Kept], waits: frozenset[tuple[str, int]], now_unix_ms: int) -> list[KeyValue]:
    """Of alerts that have ended, those that need not be kept: long over, or more than there is room for; never one
    whose end somebody has yet to hear of."""
    ended = sorted((each for each in known if not each.alert.lasts), key=lambda each: -each.alert.ends_unix_ms)
    return [
        each.item
        for at, each in enumerate(ended)
        if (each.alert.fingerprint, each.alert.starts_unix_ms) not in waits
        and (at >= ENDED_KEPT or now_unix_ms - each.alert.ends_unix_ms > ENDED_KEPT_MS)
    ]


def _ended(alert: Alert, now_unix_ms: int) -> Alert:
    return msgspec.structs.replace(alert, ends_unix_ms=now_unix_ms)


def _with_annotation(alert: Alert, name: str, value: str) -> Alert:
    return msgspec.structs.replace(alert, annotations={**alert.annotations, name: value})
