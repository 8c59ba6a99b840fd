"""What can be asked about alerts."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta

from runtime.operations.fields import END, SliceField
from runtime.operations.operation import Request, Result
from runtime.operations.queries.page import Page, PageRequest, Row, read
from runtime.operations.queries.slices import UnixMs

FingerprintField = Annotated[str, Meta(pattern=rf"^[0-9a-f]{{16}}{END}", description="Of an alert.")]
AlertState = Literal["firing", "acknowledged", "muted", "ended"]


class AlertListRequest(PageRequest, frozen=True, kw_only=True):
    slice: Annotated[SliceField, Meta(description="Only of this slice.")] = ""
    state: Annotated[
        Literal["lasting", "ended", "all"], Meta(description="Those that last, those that ended lately, or both.")
    ] = "lasting"
    severity: Annotated[Literal["", "warning", "critical"], Meta(description="Only these.")] = ""


class AlertRow(Row, frozen=True, kw_only=True):
    """`fingerprint` stays the same for the same labels; with `starts_unix_ms` it names one alert from its beginning to
    its end, and `group_key` those that began for one reason. `muted_by` says why nobody is told: "silence:NAME", or
    "alert:FINGERPRINT" of a graver one."""

    fingerprint: str
    group_key: str
    name: str
    severity: str
    subject: str
    state: AlertState
    origin: Literal["rule", "external"]
    labels: dict[str, str]
    annotations: dict[str, str]
    value: Annotated[float, Meta(description="When it began.")]
    bound: float
    starts_unix_ms: UnixMs
    ends_unix_ms: UnixMs = 0
    muted_by: str = ""
    acknowledged_by: str = ""
    acknowledged_why: str = ""


class AlertPage(Page, frozen=True, kw_only=True):
    items: tuple[AlertRow, ...]


class AlertRequest(Request, frozen=True, kw_only=True):
    fingerprint: FingerprintField


class AlertShown(Result, frozen=True, kw_only=True):
    alert: AlertRow
    told: Annotated[tuple[str, ...], Meta(description="Receivers that were told that it lasts.")]


class RuleListRequest(PageRequest, frozen=True, kw_only=True):
    pass


class RuleRow(Row, frozen=True, kw_only=True):
    """`source` is what it comes from; a rule with a `subject` goes before the one of that name for all."""

    name: str
    subject: str
    kind: str
    metric: str
    also: tuple[str, ...]
    direction: Literal["above", "below"]
    warning: float | None
    critical: float | None
    warning_ends: float | None
    critical_ends: float | None
    for_s: int
    ends_after_s: int
    enabled: bool
    source: Literal["builtin", "set", "threshold"]
    lasting: Annotated[int, Meta(description="Alerts of it that last.")]
    summary: str


class RulePage(Page, frozen=True, kw_only=True):
    items: tuple[RuleRow, ...]


class SilenceListRequest(PageRequest, frozen=True, kw_only=True):
    pass


class SilenceRow(Row, frozen=True, kw_only=True):
    name: str
    matchers: tuple[str, ...]
    until_unix_ms: UnixMs
    created_unix_ms: UnixMs
    by: str
    why: str
    alerts: Annotated[int, Meta(description="How many that last it fits.")]


class SilencePage(Page, frozen=True, kw_only=True):
    items: tuple[SilenceRow, ...]


class ReceiverListRequest(PageRequest, frozen=True, kw_only=True):
    pass


class ReceiverRow(Row, frozen=True, kw_only=True):
    """`trouble` says why it takes nothing, since `trouble_unix_ms`; empty while it does."""

    name: str
    kind: Literal["webhook", "email"]
    enabled: bool
    where: Annotated[str, Meta(description="Host of a webhook, or addresses; never a path: it may be a secret.")]
    format: str
    auth: str
    secret: Annotated[str, Meta(description="The file or variable that holds the secret.")]
    trouble: str = ""
    trouble_unix_ms: UnixMs = 0
    tested: Annotated[
        str, Meta(description='What came of the newest test: "taken", or why not; empty without one.')
    ] = ""


class ReceiverPage(Page, frozen=True, kw_only=True):
    items: tuple[ReceiverRow, ...]


class RouteListRequest(PageRequest, frozen=True, kw_only=True):
    pass


class AlertRouteRow(Row, frozen=True, kw_only=True):
    name: str
    order: int
    matchers: tuple[str, ...]
    receivers: Annotated[tuple[str, ...], Meta(description="All, if none is named.")]
    group_by: tuple[str, ...]
    group_wait_s: int
    group_interval_s: int
    repeat_s: int
    goes_on: bool


class AlertRoutePage(Page, frozen=True, kw_only=True):
    items: tuple[AlertRouteRow, ...]


QUERIES: Final = (
    read(
        "alert.list",
        "Alerts that last, or ended lately.",
        AlertListRequest,
        AlertPage,
        "/v1/alerts",
        errors=("slice_not_found",),
    ),
    read("alert.show", "One alert.", AlertRequest, AlertShown, "/v1/alerts/{fingerprint}", errors=("alert_not_found",)),
    read("alert.rules", "Rules by which alerts begin and end.", RuleListRequest, RulePage, "/v1/alert-rules"),
    read("alert.silences", "Silences that are in force.", SilenceListRequest, SilencePage, "/v1/alert-silences"),
    read("alert.receivers", "Whom alerts are told to.", ReceiverListRequest, ReceiverPage, "/v1/alert-receivers"),
    read("alert.routes", "Which alerts go to whom.", RouteListRequest, AlertRoutePage, "/v1/alert-routes"),
)
