"""What can be asked about the operations themselves."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import UNSET, Meta, UnsetType

from runtime.operations.operation import Request, Result
from runtime.operations.plan import Json
from runtime.operations.queries.page import Page, PageRequest, Row, read

OperationField = Annotated[str, Meta(min_length=1, max_length=80, description="Name of an operation.")]


class OperationListRequest(PageRequest, frozen=True, kw_only=True):
    schemas: Annotated[bool, Meta(description="With the schemas of each request and answer.")] = False


class OperationRow(Row, frozen=True, kw_only=True):
    """`risk` is empty for what only reads. The schemas are JSON Schema 2020-12, and there where they are asked for."""

    name: str
    kind: Literal["change", "read"]
    summary: str
    method: str
    path: str
    role: str
    risk: str = ""
    effect: str
    paged: bool = False
    errors: tuple[str, ...] = ()
    request_schema: dict[str, Json] | UnsetType = UNSET
    result_schema: dict[str, Json] | UnsetType = UNSET


class OperationPage(Page, frozen=True, kw_only=True):
    items: tuple[OperationRow, ...]


class OperationRequest(Request, frozen=True, kw_only=True):
    name: OperationField


class OperationShown(Result, frozen=True, kw_only=True):
    """The schemas are JSON Schema 2020-12."""

    operation: OperationRow
    request_schema: dict[str, Json]
    result_schema: Annotated[
        dict[str, Json], Meta(description="Of a query's answer, or of what a change answers once it is made.")
    ]


QUERIES: Final = (
    read(
        "operation.list",
        "Everything that can be changed or asked.",
        OperationListRequest,
        OperationPage,
        "/v1/operations",
    ),
    read(
        "operation.show",
        "One operation with the schemas of its request and answer.",
        OperationRequest,
        OperationShown,
        "/v1/operations/{name}",
        errors=("operation_unknown",),
    ),
)
