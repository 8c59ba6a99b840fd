"""Answers about alerts, their rules, and who is told of them."""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterable

from agent_api.control_api.answers.known import check_slice
from agent_api.control_api.ports import ApiParts
from agent_api.control_api.problems import NotFound
from runtime.operations.actor import Actor
from runtime.operations.queries.alerts import (
    AlertListRequest,
    AlertPage,
    AlertRequest,
    AlertRoutePage,
    AlertRouteRow,
    AlertRow,
    AlertShown,
    AlertState,
    ReceiverListRequest,
    ReceiverPage,
    ReceiverRow,
    RouteListRequest,
    RuleListRequest,
    RulePage,
    RuleRow,
    SilenceListRequest,
    SilencePage,
    SilenceRow,
)
from runtime.operations.queries.page import page_of
from runtime.spelling import nearest
from runtime.state import keys
from runtime.telemetry.alerts import kept
from runtime.telemetry.alerts.builtin import THRESHOLD
from runtime.telemetry.alerts.labels import fits
from runtime.telemetry.alerts.muting import muted
from runtime.telemetry.alerts.records import Alert, Receiver, ReceiverTest, ReceiverTrouble
from runtime.telemetry.alerts.references import is_reference
from runtime.telemetry.alerts.rules import ANY, NamedRule, rule_book


class AlertNotFound(NotFound):
    code = "alert_not_found"
    remedy = "List them: aether alert list --state all."


class AlertAnswers:
    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts
        self._cache = parts.view.cache

    async def alerts(self, request: AlertListRequest, _actor: Actor) -> AlertPage:
        if request.slice:
            check_slice(self._parts.view, request.slice)
        found = [
            each
            for each in self._rows()
            if (request.state == "all" or (each.state == "ended") == (request.state == "ended"))
            and request.slice in ("", each.labels.get("slice", ""))
            and request.severity in ("", each.severity)
        ]
        page, cursor = page_of(found, lambda each: (each.starts_unix_ms, each.fingerprint), request, newest_first=True)
        return AlertPage(items=tuple(page), next=cursor)

    async def alert(self, request: AlertRequest, _actor: Actor) -> AlertShown:
        """Raises AlertNotFound."""
        rows = {each.fingerprint: each for each in self._rows()}
        row = rows.get(request.fingerprint)
        if row is None:
            raise AlertNotFound(f"there is no alert {request.fingerprint}{nearest(request.fingerprint, rows)}")
        told = {
            each.receiver
            for each in kept.told(self._cache).values()
            if each.firing.get(row.fingerprint) == row.starts_unix_ms
        }
        return AlertShown(alert=row, told=tuple(sorted(told)))

    def _rows(self) -> list[AlertRow]:
        alerts = [each.alert for each in kept.alerts(self._cache)]
        reasons = muted(alerts, kept.silences(self._cache), self._parts.clock.unix_ms())
        return [_row(each, reasons.get(each.fingerprint, "")) for each in alerts]

    async def rules(self, request: RuleListRequest, _actor: Actor) -> RulePage:
        lasting = [each.alert for each in kept.alerts(self._cache) if each.alert.lasts]
        set_here = {keys.parts(item.key) for item in self._cache.items(keys.ALERT_RULES)}
        rows = [_rule_row(each, set_here, lasting) for each in rule_book(self._cache).rules]
        page, cursor = page_of(rows, lambda each: (each.name, each.subject, each.metric), request)
        return RulePage(items=tuple(page), next=cursor)

    async def silences(self, request: SilenceListRequest, _actor: Actor) -> SilencePage:
        lasting = [each.alert for each in kept.alerts(self._cache) if each.alert.lasts]
        rows = [
            SilenceRow(
                name=name,
                matchers=each.matchers,
                until_unix_ms=each.until_unix_ms,
                created_unix_ms=each.created_unix_ms,
                by=each.by,
                why=each.why,
                alerts=sum(fits(each.matchers, alert.labels) for alert in lasting),
            )
            for name, each in kept.silences(self._cache).items()
        ]
        page, cursor = page_of(rows, lambda each: (each.name,), request)
        return SilencePage(items=tuple(page), next=cursor)

    async def receivers(self, request: ReceiverListRequest, _actor: Actor) -> ReceiverPage:
        troubles, tests = kept.troubles(self._cache), kept.tests(self._cache)
        rows = [
            _receiver_row(name, each, troubles.get(name), tests.get(name))
            for name, each in kept.receivers(self._cache).items()
        ]
        page, cursor = page_of(rows, lambda each: (each.name,), request)
        return ReceiverPage(items=tuple(page), next=cursor)

    async def routes(self, request: RouteListRequest, _actor: Actor) -> AlertRoutePage:
        rows = [
            AlertRouteRow(
                name=name,
                order=each.order,
                matchers=each.matchers,
                receivers=each.receivers,
                group_by=each.group_by,
                group_wait_s=each.group_wait_s,
                group_interval_s=each.group_interval_s,
                repeat_s=each.repeat_s,
                goes_on=each.goes_on,
            )
            for name, each in kept.routes(self._cache).items()
        ]
        page, cursor = page_of(rows, lambda each: (each.order, each.name), request)
        return AlertRoutePage(items=tuple(page), next=cursor)


def _row(alert: Alert, muted_by: str) -> AlertRow:
    taken = alert.acknowledged
    return AlertRow(
        fingerprint=alert.fingerprint,
        group_key=alert.group_key,
        name=alert.labels.get("alertname", ""),
        severity=alert.severity,
        subject=alert.subject,
        state=_state(alert, muted_by),
        origin=alert.origin,
        labels=alert.labels,
        annotations=alert.annotations,
        value=alert.value,
        bound=alert.bound,
        starts_unix_ms=alert.starts_unix_ms,
        ends_unix_ms=alert.ends_unix_ms,
        muted_by=muted_by,
        acknowledged_by=taken.by if taken is not None else "",
        acknowledged_why=taken.why if taken is not None else "",
    )


def _state(alert: Alert, muted_by: str) -> AlertState:
    if not alert.lasts:
        return "ended"
    if alert.acknowledged is not None:
        return "acknowledged"
    return "muted" if muted_by else "firing"


def _rule_row(named: NamedRule, set_here: set[tuple[str, ...]], lasting: Iterable[Alert]) -> RuleRow:
    rule = named.rule
    is_set = (named.name, named.subject or ANY) in set_here
    return RuleRow(
        name=named.name,
        subject=named.subject,
        kind=rule.kind,
        metric=rule.metric,
        also=rule.also,
        direction=rule.direction,
        warning=rule.warning,
        critical=rule.critical,
        warning_ends=rule.warning_ends,
        critical_ends=rule.critical_ends,
        for_s=rule.for_s,
        ends_after_s=rule.ends_after_s,
        enabled=rule.enabled,
        source="threshold" if named.name == THRESHOLD else "set" if is_set else "builtin",
        lasting=sum(_is_of(each, named) for each in lasting),
        summary=rule.summary,
    )


def _is_of(alert: Alert, named: NamedRule) -> bool:
    fits_labels = all(alert.labels.get(name) == value for name, value in named.rule.labels.items())
    return alert.labels.get("alertname") == named.name and named.subject in ("", alert.subject) and fits_labels


def _receiver_row(
    name: str, receiver: Receiver, trouble: ReceiverTrouble | None, test: ReceiverTest | None
) -> ReceiverRow:
    mails = receiver.kind == "email"
    host = receiver.url if is_reference(receiver.url) else urllib.parse.urlsplit(receiver.url).netloc
    return ReceiverRow(
        name=name,
        kind=receiver.kind,
        enabled=receiver.enabled,
        where=f"{', '.join(receiver.to)} by {receiver.server}" if mails else host,
        format="text" if mails else receiver.format,
        auth=("password" if receiver.password else "none") if mails else receiver.auth,
        secret=receiver.password if mails else receiver.secret,
        trouble=trouble.error if trouble is not None else "",
        trouble_unix_ms=trouble.since_unix_ms if trouble is not None else 0,
        tested=(test.error or test.state) if test is not None else "",
    )
