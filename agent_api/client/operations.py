"""Every operation of the catalogue as a method: `client.slice.scale(…)`. Their types stand in operations.pyi, which
`aether docs` writes from the catalogue."""

from __future__ import annotations

from typing import Any

import msgspec

from agent_api.client.errors import RequestInvalid
from agent_api.client.requests import ChangeOptions
from runtime.operations.operation import Change
from runtime.spelling import nearest

_OPTIONS = frozenset(ChangeOptions.__dataclass_fields__)


class Operations:
    """Base of the clients: the nouns of the catalogue are their attributes."""

    def __getattr__(self, noun: str) -> Verbs:
        word = noun.replace("_", "-")
        nouns = {each.name.partition(".")[0] for each in self.talks.catalogue} if noun != "talks" else set()
        if word not in nouns:
            raise AttributeError(f"the catalogue has no {noun!r}{nearest(word, nouns)}")
        return Verbs(self, word)


class AsyncOperations(Operations):
    """The same; every call is awaited."""


class Verbs:
    """The operations of one noun."""

    def __init__(self, client: Any, noun: str) -> None:
        self._client = client
        self._noun = noun

    def __getattr__(self, verb: str) -> Any:
        """Raises OperationUnknown with the nearest names."""
        operation = self._client.talks.catalogue.find(f"{self._noun}.{verb.replace('_', '-')}")

        def call(**members: Any) -> Any:
            given = {name.rstrip("_"): value for name, value in members.items()}  # `as_` for what Python reserves
            if not isinstance(operation, Change):
                return self._client.ask(operation.name, given)
            own = {field.encode_name for field in msgspec.structs.fields(operation.request)}
            options = {name: given.pop(name) for name in _OPTIONS & given.keys() - own}
            unknown = given.keys() - own
            if unknown:
                raise RequestInvalid(f"{operation.name} has no `{min(unknown)}`{nearest(min(unknown), own | _OPTIONS)}")
            return self._client.submit(operation.name, given, ChangeOptions(**options))

        return call
