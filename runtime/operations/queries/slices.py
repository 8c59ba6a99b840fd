"""What can be asked about slices, their instances and their routes."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from runtime.operations.fields import NodeField, SliceField
from runtime.operations.operation import Request, Result
from runtime.operations.queries.page import Page, PageRequest, Row, Series, read
from runtime.telemetry.methods import MethodLoad

UnixMs = Annotated[int, Meta(description="Milliseconds since 1970; 0 is unknown.")]


class SliceListRequest(PageRequest, frozen=True, kw_only=True):
    pass


class SliceRow(Row, frozen=True, kw_only=True):
    """One version of one slice."""

    slice: str
    version: str
    blueprint: str
    wanted: Annotated[int, Meta(description="Instances that there should be.")]
    min: int
    max: int
    serving: Annotated[int, Meta(description="Instances that take calls now.")]
    failed: int
    reasons: Annotated[tuple[str, ...], Meta(description="Why instances fail or wait, in words.")]
    weight: Annotated[int, Meta(description="Its share of the calls among the versions of the slice.")]


class SlicePage(Page, frozen=True, kw_only=True):
    items: tuple[SliceRow, ...] = msgspec.field(name="slices")


class SliceRequest(Request, frozen=True, kw_only=True):
    slice: SliceField


class InstanceListRequest(PageRequest, frozen=True, kw_only=True):
    slice: Annotated[SliceField, Meta(description="Only of this slice.")] = ""
    node: Annotated[NodeField, Meta(description="Only on this node.")] = ""


class InstanceRow(Row, frozen=True, kw_only=True):
    """`phase` is "assigned" until its node has reported."""

    slice: str
    node: str
    number: int
    version: str
    phase: str
    reason: str = ""
    restarts: int = 0
    worker: str = ""
    last_failure: str = ""
    serving: bool
    since_unix_ms: UnixMs = 0
    generation: int = 0


class InstancePage(Page, frozen=True, kw_only=True):
    items: tuple[InstanceRow, ...] = msgspec.field(name="instances")


class MethodRow(Row, frozen=True, kw_only=True):
    name: str
    idempotent: bool
    routes: tuple[str, ...] = ()


class SliceShown(Result, frozen=True, kw_only=True):
    """`requires` must serve before an instance of it may; `dependants` cannot do without it."""

    slice: str
    versions: tuple[SliceRow, ...]
    instances: tuple[InstanceRow, ...]
    methods: tuple[MethodRow, ...]
    requires: tuple[str, ...]
    optional: tuple[str, ...]
    dependants: tuple[str, ...]


class RouteListRequest(PageRequest, frozen=True, kw_only=True):
    pass


class RouteRow(Row, frozen=True, kw_only=True):
    method: str
    path: str
    slice: str
    version: str
    handler: str
    idempotent: bool


class RoutePage(Page, frozen=True, kw_only=True):
    items: tuple[RouteRow, ...] = msgspec.field(name="routes")


class ChangeRow(Row, frozen=True, kw_only=True):
    """One entry of the audit that is about the slice, or about the blueprint that deploys it."""

    audit: str
    kind: str
    at_unix_ms: UnixMs
    actor: str
    operation: str
    summary: str
    reason: str
    rule: str
    touched: Annotated[
        tuple[str, ...] | None, Meta(description="Of a blueprint's, what it changed; null is not known.")
    ] = None


class NeedRow(Row, frozen=True, kw_only=True):
    """A slice that this one cannot do without."""

    slice: str
    serving: int


class SliceExplained(Result, frozen=True, kw_only=True):
    """`sentences` say it in order of weight; the other members are what they were made from."""

    slice: str
    sentences: tuple[str, ...]
    versions: tuple[SliceRow, ...]
    instances: Annotated[tuple[InstanceRow, ...], Meta(description="Those that do not serve.")]
    requires: tuple[NeedRow, ...]
    changes: Annotated[tuple[ChangeRow, ...], Meta(description="The newest changes, newest first.")]
    alerts: tuple[str, ...]
    incident: str
    freeze: str


class MetricRequest(Request, frozen=True, kw_only=True):
    slice: SliceField


class MetricShown(Result, frozen=True, kw_only=True):
    """Oldest first; null is missing."""

    slice: str
    silent: Annotated[tuple[str, ...], Meta(description="Nodes whose figures are not in it.")]
    seconds: Annotated[Series, Meta(description="Each second for ten minutes, by name.")]
    ten_seconds: Annotated[Series, Meta(description="Each ten seconds for two hours, by name.")]
    nodes: Annotated[
        dict[str, Series], Meta(description="By node, each second of the last minute: calls, errors, p95_ms.")
    ] = msgspec.field(default_factory=dict)


class MethodLoadRequest(Request, frozen=True, kw_only=True):
    slice: SliceField


class MethodLoadShown(Result, frozen=True, kw_only=True):
    """Of all instances together; methods that nobody called are told, too."""

    slice: str
    over_s: Annotated[int, Meta(description="Seconds that it is of, up to now: 41 to 60, and fewer at first.")]
    silent: Annotated[tuple[str, ...], Meta(description="Nodes whose figures are not in it.")]
    methods: tuple[MethodLoad, ...]


QUERIES: Final = (
    read("slice.list", "Slices: wanted and serving instances.", SliceListRequest, SlicePage, "/v1/slices"),
    read(
        "slice.show",
        "One slice: versions, instances, methods, and what it stands on.",
        SliceRequest,
        SliceShown,
        "/v1/slices/{slice}",
        errors=("slice_not_found",),
    ),
    read(
        "slice.explain",
        "Why a slice is as it is: what was changed, what it waits for, what fails.",
        SliceRequest,
        SliceExplained,
        "/v1/slices/{slice}/explain",
        errors=("slice_not_found",),
    ),
    read(
        "instance.list",
        "Instances, and why they wait or fail.",
        InstanceListRequest,
        InstancePage,
        "/v1/instances",
        errors=("slice_not_found", "node_not_found"),
    ),
    read("route.list", "HTTP routes that are served now.", RouteListRequest, RoutePage, "/v1/routes"),
    read(
        "metric.show",
        "A slice's calls, errors and latencies over the last two hours.",
        MetricRequest,
        MetricShown,
        "/v1/slices/{slice}/window",
        errors=("not_found",),
    ),
    read(
        "metric.show-methods",
        "Calls, errors and latencies of each method of a slice, over the last minute.",
        MethodLoadRequest,
        MethodLoadShown,
        "/v1/slices/{slice}/methods",
        errors=("slice_not_found",),
    ),
)
