"""What can be asked about forecasts and the models that make them."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta

from runtime.operations.operation import Request, Result
from runtime.operations.queries.page import Page, PageRequest, Row, read
from runtime.operations.queries.slices import UnixMs

LossField = Annotated[float, Meta(description="Of the parent's loss on the same data: below 1 is better.")]


class TtmStatusRequest(Request, frozen=True, kw_only=True):
    pass


class TtmStatus(Result, frozen=True, kw_only=True):
    """As the leader last told; `unknown` until one has."""

    state: Literal["working", "degraded", "unknown"]
    code: Annotated[str, Meta(description="Of what keeps forecasts, or the chosen model, from being made.")]
    reason: str
    since_unix_ms: UnixMs
    model: Annotated[int, Meta(description="That forecasts; 0 is the one that is shipped.")]
    chosen: Annotated[int, Meta(description="That should; another than `model` when it cannot be used.")]
    probation: Annotated[bool, Meta(description="The model before is asked too, and comes back if it does better.")]
    why: str
    models: Annotated[int, Meta(description="Trained here and kept.")]
    training: Annotated[str, Meta(description="Why the newest challenger could not be trained; empty when it was.")]


class TtmModelsRequest(PageRequest, frozen=True, kw_only=True):
    """Newest first."""


class TtmModelRow(Row, frozen=True, kw_only=True):
    """`sha256` names its head in the content store, `base` the graph that it belongs to, `parent` the model that its
    fit began from."""

    number: int
    ruling: Annotated[str, Meta(description="Of its contest with the parent: crowned, or why not.")]
    recent: LossField
    longer: LossField
    older: LossField
    parent: int
    cause: str
    made_unix_ms: UnixMs
    samples: int
    slices: int
    sha256: str
    base: str
    in_force: bool


class TtmModelPage(Page, frozen=True, kw_only=True):
    items: tuple[TtmModelRow, ...]


QUERIES: Final = (
    read(
        "ttm.status", "Whether forecasts are made, by which model, or why not.", TtmStatusRequest, TtmStatus, "/v1/ttm"
    ),
    read("ttm.models", "Models that were trained on this cluster.", TtmModelsRequest, TtmModelPage, "/v1/ttm/models"),
)
