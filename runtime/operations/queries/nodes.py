"""What can be asked about nodes."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from runtime.operations.fields import NodeField
from runtime.operations.operation import Request, Result
from runtime.operations.queries.page import Page, PageRequest, Row, Series, read
from runtime.state.values import Addresses


class NodeListRequest(PageRequest, frozen=True, kw_only=True):
    pass


class NodeRow(Row, frozen=True, kw_only=True):
    node: str
    role: str
    zone: str
    addresses: Addresses
    cordoned: Annotated[bool, Meta(description="It takes no new instances.")] = False
    shutdown: Annotated[bool, Meta(description="It ends once its instances are gone.")] = False
    leaving: Annotated[bool, Meta(description="Its instances are moved away.")] = False
    state: Literal["up", "down", "leaving"]
    instances: Annotated[int, Meta(description="Instances that are assigned to it.")]


class NodePage(Page, frozen=True, kw_only=True):
    items: tuple[NodeRow, ...] = msgspec.field(name="nodes")


class NodeMetricRequest(Request, frozen=True, kw_only=True):
    node: NodeField


class NodeMetricShown(Result, frozen=True, kw_only=True):
    """As the node that was asked knows it. Oldest first; null is missing."""

    node: str
    seconds: Annotated[Series, Meta(description="Each second for ten minutes, by name.")]
    ten_seconds: Annotated[Series, Meta(description="Each ten seconds for two hours, by name.")]


QUERIES: Final = (
    read("node.list", "Nodes, and whether they are up.", NodeListRequest, NodePage, "/v1/nodes"),
    read(
        "metric.show-node",
        "A node's CPU, memory, lags and requests over the last two hours.",
        NodeMetricRequest,
        NodeMetricShown,
        "/v1/nodes/{node}/window",
        errors=("not_found",),
    ),
)
