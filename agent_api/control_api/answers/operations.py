"""Answers about the operations themselves."""

from __future__ import annotations

from functools import cache

import msgspec

from agent_api.control_api.ports import ApiParts
from runtime.operations.actor import Actor
from runtime.operations.operation import AnyOperation, Change, Effect
from runtime.operations.plan import Json
from runtime.operations.queries.operations import (
    OperationListRequest,
    OperationPage,
    OperationRequest,
    OperationRow,
    OperationShown,
)
from runtime.operations.queries.page import page_of


class OperationAnswers:
    def __init__(self, parts: ApiParts) -> None:
        self._catalogue = parts.catalogue

    async def operations(self, request: OperationListRequest, _actor: Actor) -> OperationPage:
        page, cursor = page_of(self._catalogue, lambda each: (each.name,), request)
        rows = (_with_schemas(each) if request.schemas else _row(each) for each in page)
        return OperationPage(items=tuple(rows), next=cursor)

    async def show(self, request: OperationRequest, _actor: Actor) -> OperationShown:
        """Raises OperationUnknown."""
        operation = self._catalogue.find(request.name)
        asks, answers = _schemas(operation)
        return OperationShown(operation=_row(operation), request_schema=asks, result_schema=answers)


@cache
def _schemas(operation: AnyOperation) -> tuple[dict[str, Json], dict[str, Json]]:
    """Of the request, and of the answer."""
    return msgspec.json.schema(operation.request), msgspec.json.schema(operation.result)


def _with_schemas(operation: AnyOperation) -> OperationRow:
    asks, answers = _schemas(operation)
    return msgspec.structs.replace(_row(operation), request_schema=asks, result_schema=answers)


def _row(operation: AnyOperation) -> OperationRow:
    row = OperationRow(
        name=operation.name,
        kind=operation.kind,
        summary=operation.summary,
        method=operation.route.method,
        path=operation.route.path,
        role=operation.role,
        effect=Effect.READ,
        errors=operation.errors,
    )
    if isinstance(operation, Change):
        return msgspec.structs.replace(row, risk=operation.risk, effect=operation.effect)
    return msgspec.structs.replace(row, paged=operation.paged)
