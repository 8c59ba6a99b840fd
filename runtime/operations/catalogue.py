"""The catalogue: every operation by its name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import cast

from runtime.errors import RuntimeFault
from runtime.operations.operation import AnyChange, AnyOperation, AnyQuery, Change, Query
from runtime.spelling import nearest


class OperationUnknown(RuntimeFault):
    """No operation has that name; the sentence names the nearest."""

    code = "operation_unknown"
    remedy = "List what there is: aether operations, or GET /v1/operations."


class Catalogue:
    """Operations of all layers: each registers its own when the process is put together."""

    def __init__(self, *groups: Iterable[object]) -> None:
        """groups: the operations of one layer or service each. Two of one name, or of one route, are a mistake."""
        self._by_name: dict[str, AnyOperation] = {}
        routes: set[tuple[str, str]] = set()
        for group in groups:
            for each in group:
                operation = cast(AnyOperation, each)  # Change and Query are invariant in their request
                route = (operation.route.method, operation.route.path)
                assert operation.name not in self._by_name, f"{operation.name} is declared twice"
                assert route not in routes, f"{route} is taken twice"
                routes.add(route)
                self._by_name[operation.name] = operation

    def __iter__(self) -> Iterator[AnyOperation]:
        return iter(sorted(self._by_name.values(), key=lambda each: each.name))

    def find(self, name: str) -> AnyOperation:
        """Raises OperationUnknown."""
        found = self._by_name.get(name)
        if found is None:
            raise OperationUnknown(f"there is no operation {name[:80]!r}{nearest(name, self._by_name)}")
        return found

    def change(self, name: str) -> AnyChange:
        """Raises OperationUnknown, also for one that only reads."""
        found = self.find(name)
        if not isinstance(found, Change):
            raise OperationUnknown(f"{name} changes nothing")
        return found

    def changes(self) -> list[AnyChange]:
        return [each for each in self if isinstance(each, Change)]

    def queries(self) -> list[AnyQuery]:
        return [each for each in self if isinstance(each, Query)]
