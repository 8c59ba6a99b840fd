"""What can be asked about the node level."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from controllers.nodes.records import NodeDecisionRecord, NodeRequest
from runtime.operations.operation import Request, Result
from runtime.operations.plan import Json
from runtime.operations.queries.page import read

DECISIONS_SHOWN: Final = 20


class NodeLevelRequest(Request, frozen=True, kw_only=True):
    pass


class NodeLevelShown(Result, frozen=True, kw_only=True):
    provider: Annotated[str, Meta(description="Where the provider listens; empty: nobody provides nodes.")]
    config: Annotated[dict[str, Json], Meta(description="Members that are not the default.")]
    trouble: Annotated[str, Meta(description="What keeps nodes from coming or going.")]
    nodes: Annotated[
        tuple[NodeRequest, ...], Meta(description="Those that the provider makes, has made or takes back.")
    ]
    decisions: Annotated[tuple[NodeDecisionRecord, ...], Meta(description="Newest first, 20 at most.")]


QUERIES: Final = (
    read(
        "controller.nodes",
        "Which nodes are provided, and what was decided about nodes and why.",
        NodeLevelRequest,
        NodeLevelShown,
        "/v1/controller/nodes",
    ),
)
