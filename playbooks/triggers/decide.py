"""Which playbooks are to be started now, and why: pure, from alerts, events and the time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from playbooks.document.duration import milliseconds
from playbooks.document.model import AlertTrigger, EventTrigger, Mode, ScheduleTrigger
from playbooks.document.parameters import checked
from playbooks.document.reading import Source
from playbooks.errors import ExpressionFailed, ExpressionInvalid, ParametersInvalid
from playbooks.expressions import cel
from runtime.operations.plan import Json

STORM_SHARE: Final = 0.3  # of the nodes: more with the same trouble have a cause that no playbook for one node mends
STORM_NODES: Final = 2  # one node alone is no storm, however few there are


class SeenAlert(msgspec.Struct, frozen=True, kw_only=True):
    """An alert that lasts. `key` stays the same while it does; `node` is empty where it is about none."""

    key: str
    group_key: str
    since_unix_ms: int
    labels: dict[str, str]
    annotations: dict[str, str] = {}
    value: float = 0.0
    bound: float = 0.0
    silenced: bool = False

    @property
    def node(self) -> str:
        return self.labels.get("node", "")


class SeenEvent(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    event: str
    data: dict[str, Json]

    @property
    def revision(self) -> int:
        return int(self.id.partition(".")[0])


class Active(msgspec.Struct, frozen=True, kw_only=True):
    """A playbook whose triggers are heeded. `since`: the revision that it was uploaded at; what happened before starts
    nothing of it."""

    source: Source
    proven: bool
    since: int = 0


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """`dedupe`: started once for each value. `problem`: why it cannot be started at all; it is told, and not tried."""

    playbook: str
    version: str
    params: dict[str, Json]
    dedupe: str
    mode: Mode
    trigger: dict[str, Json]
    why: str
    problem: str = ""

    @property
    def evidence(self) -> tuple[str, ...]:
        """What it was started by, where that is something to look at."""
        return tuple(f"{kind}:{self.trigger[kind]}" for kind in ("alert", "event") if kind in self.trigger)

    @property
    def key(self) -> str:
        """Of its submission: whichever leader makes it, and however often, it is one."""
        text = f"{self.playbook}\n{self.version}\n{self.trigger['kind']}\n{self.dedupe}"
        return f"trigger/{hashlib.sha256(text.encode()).hexdigest()}"


def for_alerts(
    active: Sequence[Active], alerts: Sequence[SeenAlert], *, nodes: int, now_unix_ms: int
) -> tuple[Start, ...]:
    found: list[Start] = []
    for playbook in active:
        for trigger in playbook.source.document.trigger.alert:
            fitting = [each for each in alerts if _fits(trigger, each, now_unix_ms)]
            storm = _is_storm(fitting, nodes)
            found += [_of_alert(playbook, trigger, each, storm=storm) for each in fitting]
    return tuple(found)


def _fits(trigger: AlertTrigger, alert: SeenAlert, now_unix_ms: int) -> bool:
    lasted_ms = now_unix_ms - alert.since_unix_ms
    same = all(alert.labels.get(name, "") == value for name, value in trigger.match.items())
    return same and not alert.silenced and lasted_ms >= milliseconds(trigger.for_)


def _is_storm(alerts: Sequence[SeenAlert], nodes: int) -> bool:
    touched = len({each.node for each in alerts} - {""})
    return touched >= STORM_NODES and touched > STORM_SHARE * nodes


def _of_alert(playbook: Active, trigger: AlertTrigger, alert: SeenAlert, *, storm: bool) -> Start:
    variables: dict[str, Json] = {
        "alert": {
            "key": alert.key,
            "group_key": alert.group_key,
            "since_unix_ms": alert.since_unix_ms,
            "value": alert.value,
            "bound": alert.bound,
        },
        "labels": dict(alert.labels),
        "annotations": dict(alert.annotations),
    }
    name = alert.labels.get("alertname", alert.key)
    more = "; many nodes have it, so people decide" if storm else ""
    return _start(
        playbook,
        _wanted(trigger.mode, playbook, storm=storm),
        {"kind": "alert", "by": name, "alert": alert.key, "labels": dict(alert.labels)},
        f"alert {name}{more}",
        trigger.params,
        trigger.dedupe,
        variables,
        "alert",
    )


def _wanted(mode: Mode, playbook: Active, *, storm: bool = False) -> Mode:
    """People decide about what nobody has rehearsed, also where it only looks: what it looks at may not be there."""
    return "run" if mode == "run" and playbook.proven and not storm else "propose"


def for_event(active: Sequence[Active], event: SeenEvent) -> tuple[Start, ...]:
    return tuple(
        start
        for playbook in active
        for trigger in playbook.source.document.trigger.event
        if trigger.event == event.event and event.revision > playbook.since
        for start in _of_event(playbook, trigger, event)
    )


def _of_event(playbook: Active, trigger: EventTrigger, event: SeenEvent) -> Iterator[Start]:
    variables: dict[str, Json] = {"event": {"id": event.id, "event": event.event, **event.data}}
    told: dict[str, Json] = {"kind": "event", "by": event.event, "event": event.id}
    mode, why = _wanted(trigger.mode, playbook), f"event {event.event}"
    try:
        if not cel.holds(trigger.when, variables, "event"):
            return
    except (ExpressionFailed, ExpressionInvalid) as error:
        yield _failed(playbook, mode, told, why, event.id, error)
        return
    yield _start(playbook, mode, told, why, trigger.params, trigger.dedupe, variables, "event")


def ticks_of(active: Sequence[Active], now_unix_ms: int) -> dict[str, int]:
    """The number of each schedule's last time, by playbook and how often it is."""
    return {
        _schedule(playbook, trigger): now_unix_ms // milliseconds(trigger.every)
        for playbook in active
        for trigger in playbook.source.document.trigger.schedule
    }


def _schedule(playbook: Active, trigger: ScheduleTrigger) -> str:
    return f"{playbook.source.document.playbook.id}/{trigger.every}"


def for_time(active: Sequence[Active], *, marks: Mapping[str, int], now_unix_ms: int) -> tuple[Start, ...]:
    """Of schedules whose time came behind the one in `marks`; of several missed times of one the last. A schedule that
    was never seen waits for its next time."""
    found: list[Start] = []
    ticks = ticks_of(active, now_unix_ms)
    for playbook in active:
        for trigger in playbook.source.document.trigger.schedule:
            name = _schedule(playbook, trigger)
            tick, every_ms = ticks[name], milliseconds(trigger.every)
            if tick <= marks.get(name, tick):
                continue
            told: dict[str, Json] = {"kind": "schedule", "by": trigger.every, "at_unix_ms": tick * every_ms}
            found.append(
                _checked(
                    playbook,
                    trigger.mode,
                    told,
                    f"every {trigger.every}",
                    dict(trigger.params),
                    f"{trigger.every}/{tick}",
                )
            )
    return tuple(found)


def _start(
    playbook: Active,
    mode: Mode,
    trigger: dict[str, Json],
    why: str,
    params: Mapping[str, str],
    dedupe: str,
    variables: dict[str, Json],
    scope: cel.Scope,
) -> Start:
    try:
        given = {name: cel.evaluate(text, variables, scope) for name, text in params.items()}
        reason = str(cel.evaluate(dedupe, variables, scope))
    except (ExpressionFailed, ExpressionInvalid) as error:
        return _failed(playbook, mode, trigger, why, why, error)
    return _checked(playbook, mode, trigger, why, given, reason)


def _checked(
    playbook: Active, mode: Mode, trigger: dict[str, Json], why: str, given: dict[str, Json], dedupe: str
) -> Start:
    header = playbook.source.document.playbook
    problem = ""
    try:
        checked(playbook.source.document.params, given)
    except ParametersInvalid as error:
        problem = str(error)
    return Start(
        playbook=header.id,
        version=header.version,
        params=given,
        dedupe=dedupe[:200],
        mode=mode,
        trigger={**trigger, "mode": mode},
        why=why,
        problem=problem,
    )


def _failed(playbook: Active, mode: Mode, trigger: dict[str, Json], why: str, dedupe: str, error: Exception) -> Start:
    header = playbook.source.document.playbook
    return Start(
        playbook=header.id,
        version=header.version,
        params={},
        dedupe=dedupe[:200],
        mode=mode,
        trigger={**trigger, "mode": mode},
        why=why,
        problem=str(error),
    )
