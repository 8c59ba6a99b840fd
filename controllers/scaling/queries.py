"""What can be asked about scaling: where it stands, what it decided and why, by which rules."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from controllers.nodes.records import NodeDecisionRecord
from controllers.scaling.model import Pin
from controllers.scaling.records import DecisionRecord
from controllers.scaling.replaying import Replayed, Summary
from runtime.operations.fields import InstancesField, SliceField
from runtime.operations.operation import Request, Result
from runtime.operations.plan import Json
from runtime.operations.queries.page import Page, PageRequest, Row, read

PageLimit = Annotated[int, Meta(ge=1, le=1_000, description="Most items of one page.")]


class ControllerStatusRequest(PageRequest, frozen=True, kw_only=True):
    slice: Annotated[SliceField, Meta(description="Only of this slice.")] = ""


class ControllerRow(Row, frozen=True, kw_only=True):
    """One slice, as the node that was asked sees it."""

    slice: str
    version: Annotated[str, Meta(description="Which is scaled: that with the largest share of the calls.")]
    state: Annotated[str, Meta(description="scaling, or why not.")]
    wanted: int
    serving: int
    min: int
    max: int
    rate: Annotated[float | None, Meta(description="Calls a second, smoothed; null is not known.")]
    rate_per_instance: Annotated[float, Meta(description="That one instance carries at most; 0 is not known yet.")]
    latency_p95_ms: float | None
    decision: Annotated[int, Meta(description="Instances that would be decided now.")]
    because: tuple[str, ...]
    path: Annotated[tuple[str, ...], Meta(description="The rules' questions and answers.")]
    trouble: Annotated[str, Meta(description="Why its figures cannot be used.")]
    pin: Pin | None
    config: Annotated[dict[str, Json], Meta(description="Members that are not the default.")]


class ControllerPage(Page, frozen=True, kw_only=True):
    """`leader` decides; the others see the same load, and do not remember what was needed lately."""

    items: tuple[ControllerRow, ...]
    leader: str


class ForecastRequest(PageRequest, frozen=True, kw_only=True):
    slice: Annotated[SliceField, Meta(description="Only of this slice.")] = ""


class BandAhead(msgspec.Struct, frozen=True, kw_only=True):
    """Calls a second in one minute. `minute` counts since 1970."""

    minute: int
    p10: float
    p50: float
    p90: float
    rate: Annotated[float | None, Meta(description="That was measured; null is not known, or not yet.")] = None


class ForecastRow(Row, frozen=True, kw_only=True):
    slice: str
    now: Annotated[BandAhead, Meta(description="Said of the minute that is not over; `rate` is of the one before.")]
    past: Annotated[tuple[BandAhead, ...], Meta(description="What was said just before each minute, oldest first.")]
    ahead: Annotated[tuple[BandAhead, ...], Meta(description="The next ten minutes.")]
    chart: Annotated[str, Meta(description="Loads measured, then `|` and the medians ahead, as bars.")]
    wanted: int
    serving: int


class ForecastPage(Page, frozen=True, kw_only=True):
    """As the leader tells it: it forecasts, and any node asks it."""

    items: tuple[ForecastRow, ...]
    leader: str
    trouble: Annotated[str, Meta(description="Why it could not be asked; empty where it answered.")] = ""


class DecisionListRequest(PageRequest, frozen=True, kw_only=True):
    """Newest first."""

    limit: PageLimit = 100
    slice: Annotated[SliceField, Meta(description="Only about this slice.")] = ""
    id: Annotated[str, Meta(max_length=40, description="Only this one.")] = ""


class DecisionPage(Page, frozen=True, kw_only=True):
    items: tuple[DecisionRecord, ...]
    nodes: Annotated[
        tuple[NodeDecisionRecord, ...],
        Meta(description="About the nodes, newest first; with the first page, and not where one slice is asked about."),
    ]


class WhatIfRequest(Request, frozen=True, kw_only=True):
    """What is not given is as it was recorded with each decision."""

    slice: Annotated[SliceField, Meta(description="Only decisions about this slice.")] = ""
    set: Annotated[
        dict[str, Json],
        Meta(max_length=30, description="Members of the policy that shall be others, as for configure."),
    ] = msgspec.field(default_factory=dict)
    min: Annotated[InstancesField | None, Meta(description="The lower bound; the upper one moves along.")] = None
    max: Annotated[InstancesField | None, Meta(description="The upper bound; the lower one moves along.")] = None
    without_forecast: Annotated[bool, Meta(description="As if there had been no forecasts.")] = False
    without_own_rules: Annotated[bool, Meta(description="As if nobody had written rules beside the tree.")] = False
    limit: PageLimit = 1_000


class WhatIfShown(Result, frozen=True, kw_only=True):
    """Each decision alone, newest first: what would have followed from another one was never seen."""

    rules: Annotated[str, Meta(description="The tree that decides it again.")]
    summary: Summary
    refused: Annotated[
        str, Meta(description="Why `controller.configure` would not take this policy; empty where it would.")
    ]
    items: tuple[Replayed, ...]


class RulesRequest(Request, frozen=True, kw_only=True):
    pass


class OwnRulesShown(msgspec.Struct, frozen=True, kw_only=True):
    slice: Annotated[str, Meta(description="Empty: of all slices that have none of their own.")]
    source: Annotated[str, Meta(description="TOML, as it was set.")]


class RulesShown(Result, frozen=True, kw_only=True):
    name: str
    features: tuple[str, ...]
    rules: Annotated[str, Meta(description="Indented questions and answers.")]
    own: Annotated[tuple[OwnRulesShown, ...], Meta(description="That operators wrote.")] = ()


QUERIES: Final = (
    read(
        "controller.status",
        "How each slice is scaled, and what would be decided now.",
        ControllerStatusRequest,
        ControllerPage,
        "/v1/controller",
    ),
    read(
        "controller.forecast",
        "The load that is expected, beside the load that came.",
        ForecastRequest,
        ForecastPage,
        "/v1/controller/forecast",
    ),
    read(
        "controller.decisions",
        "What was decided about scaling, and what came of it; newest first.",
        DecisionListRequest,
        DecisionPage,
        "/v1/controller/decisions",
    ),
    read(
        "controller.what-if",
        "What would have been decided with another policy or other bounds, from the decisions that were recorded.",
        WhatIfRequest,
        WhatIfShown,
        "/v1/controller/what-if",
        post=True,
        errors=("scaling_policy_invalid",),
    ),
    read("controller.rules", "The rules that are in force.", RulesRequest, RulesShown, "/v1/controller/rules"),
)
