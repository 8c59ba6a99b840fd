"""What the store keeps of alerts: rules, what lasts, silences, receivers, routes, and who was told what."""

from __future__ import annotations

from typing import Literal

import msgspec

from runtime.state.values import Value
from runtime.telemetry.alerts.metrics import SubjectKind

Severity = Literal["warning", "critical"]
Direction = Literal["above", "below"]
Labels = dict[str, str]


class AlertRule(Value, frozen=True, kw_only=True):
    """An alert begins when `metric`, and each of `also`, was beyond a level's bound for `for_s` seconds, and ends when
    one of them was back behind the level's `…_ends` (the bound itself where None) for `ends_after_s`."""

    kind: SubjectKind
    metric: str
    also: tuple[str, ...] = ()
    """Metrics of the same kind that must be beyond the same bound too: the other window of a burn rate."""
    direction: Direction = "above"
    warning: float | None = None
    critical: float | None = None
    warning_ends: float | None = None
    critical_ends: float | None = None
    for_s: int = 10
    ends_after_s: int = 10
    enabled: bool = True
    summary: str = ""
    """What it means, in a sentence; {subject}, {value} and {bound} are filled in."""
    labels: Labels = msgspec.field(default_factory=dict)

    def bound(self, severity: Severity) -> float | None:
        return self.warning if severity == "warning" else self.critical

    def bound_of_end(self, severity: Severity) -> float | None:
        apart = self.warning_ends if severity == "warning" else self.critical_ends
        return self.bound(severity) if apart is None else apart


class Acknowledgement(Value, frozen=True, kw_only=True):
    """Somebody has taken it on: it is told no more until it ends."""

    by: str
    why: str
    at_unix_ms: int


class Alert(Value, frozen=True, kw_only=True):
    """One alert, from its beginning until some time after its end. The same one that begins again later has the same
    fingerprint and another `starts_unix_ms`."""

    fingerprint: str
    group_key: str
    labels: Labels
    annotations: Labels = msgspec.field(default_factory=dict)
    origin: Literal["rule", "external"] = "rule"
    starts_unix_ms: int
    """Since when it is beyond its bound; `fired_unix_ms` is `for_s` later."""
    fired_unix_ms: int
    ends_unix_ms: int = 0  # 0 while it lasts
    heard_unix_ms: int = 0  # of an external one: when its sender last told of it
    value: float = 0.0
    bound: float = 0.0
    acknowledged: Acknowledgement | None = None

    @property
    def lasts(self) -> bool:
        return self.ends_unix_ms == 0

    @property
    def subject(self) -> str:
        return self.labels.get("subject", "")

    @property
    def severity(self) -> str:
        return self.labels.get("severity", "")


class Silence(Value, frozen=True, kw_only=True):
    """Alerts that all `matchers` fit are told to nobody until then."""

    matchers: tuple[str, ...]
    until_unix_ms: int
    created_unix_ms: int
    by: str = ""
    why: str = ""


class Receiver(Value, frozen=True, kw_only=True):
    """Whom to tell, and how. `secret` and `password` name where the secret is, never the secret itself: "file:NAME" in
    the node's directory of secrets, or "env:NAME"."""

    kind: Literal["webhook", "email"]
    enabled: bool = True
    tells_ends: bool = True
    url: str = ""
    format: Literal["aether", "alertmanager"] = "aether"
    auth: Literal["none", "bearer", "hmac"] = "none"
    secret: str = ""
    server: str = ""  # host:port of the mail server
    tls: Literal["starttls", "tls", "none"] = "starttls"
    username: str = ""
    password: str = ""
    sender: str = ""
    to: tuple[str, ...] = ()
    authority: str = ""  # "file:NAME" of a CA to trust instead of the system's


class Route(Value, frozen=True, kw_only=True):
    """Alerts that all `matchers` fit go to `receivers` (all of them where empty), in groups by the labels `group_by`.
    Routes are tried in the order of `order`; the first that fits is the last, unless it `goes_on`."""

    order: int = 100
    matchers: tuple[str, ...] = ()
    receivers: tuple[str, ...] = ()
    group_by: tuple[str, ...] = ("alertname",)
    group_wait_s: int = 10
    group_interval_s: int = 60
    repeat_s: int = 14_400
    goes_on: bool = False


class Told(Value, frozen=True, kw_only=True):
    """What one receiver was last told of one group. `firing` holds when each alert of it began, by fingerprint."""

    group_key: str
    receiver: str
    number: int
    at_unix_ms: int
    firing: dict[str, int]


class ReceiverTest(Value, frozen=True, kw_only=True):
    """Somebody wants a receiver tried; then, what came of it."""

    at_unix_ms: int
    by: str = ""
    state: Literal["wanted", "taken", "failed"] = "wanted"
    error: str = ""


class ReceiverTrouble(Value, frozen=True, kw_only=True):
    """A receiver that takes nothing, since when and why."""

    since_unix_ms: int
    attempts: int
    error: str
