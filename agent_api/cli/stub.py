"""The types of the client's generated methods, as the stub agent_api/client/operations.pyi."""

from __future__ import annotations

import keyword
from collections.abc import Iterable
from itertools import groupby
from typing import Final

import msgspec

from agent_api.cli.kinds import in_python
from agent_api.client.uploads import UPLOADS
from runtime.operations.catalogue import Catalogue
from runtime.operations.operation import AnyOperation, Change

HEAD: Final = """\
# Written by `aether docs` from the catalogue of operations; not by hand.
from collections.abc import Mapping, Sequence
from typing import Literal, TypedDict, Unpack

{imports}

class Options(TypedDict, total=False):
    dry_run: bool
    propose: bool
    reason: str
    break_glass: bool
    evidence: tuple[str, ...]
    tainted: bool
    guard: str
    if_match: int
    idempotency_key: str
    wait_s: float
"""
SYNC: Final = "AppliedChange | Planned | PendingChange"
ASYNC: Final = "AppliedChange | Planned | AsyncPendingChange"


class Stub:
    """Collects the classes that annotations name, to import them."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._imports: dict[str, set[str]] = {
            "agent_api.client.answers": {"AppliedChange"},
            "agent_api.client.asynchronous": {"AsyncPendingChange"},
            "agent_api.client.client": {"PendingChange"},
            "runtime.operations.dispatch": {"Planned"},
        }

    def text(self) -> str:
        nouns = [
            (noun, list(each)) for noun, each in groupby(self._catalogue, key=lambda each: each.name.partition(".")[0])
        ]
        bodies = [self._class(noun, operations, asynchronous=False) for noun, operations in nouns]
        bodies += [self._class(noun, operations, asynchronous=True) for noun, operations in nouns]
        bodies += [_client("Operations", "", nouns), _client("AsyncOperations", "Async", nouns)]
        found = sorted(self._imports.items())
        imports = [f"from {module} import {', '.join(sorted(names))}" for module, names in found]
        return "\n".join((HEAD.format(imports="\n".join(imports)), *bodies))

    def _class(self, noun: str, operations: Iterable[AnyOperation], *, asynchronous: bool) -> str:
        methods = [self._method(each, asynchronous=asynchronous) for each in operations if each.name not in UPLOADS]
        return f"class {'Async' if asynchronous else ''}{_camel(noun)}:\n" + "".join(methods)

    def _method(self, operation: AnyOperation, *, asynchronous: bool) -> str:
        name = operation.name.partition(".")[2].replace("-", "_").replace(".", "_")
        info = msgspec.inspect.type_info(operation.request)
        assert isinstance(info, msgspec.inspect.StructType)
        members = [
            f"{_word(field.encode_name)}: {self._annotation(field.type)}{'' if field.required else ' = ...'}"
            for field in info.fields
        ]
        if isinstance(operation, Change):
            returned = ASYNC if asynchronous else SYNC
            members.append("**options: Unpack[Options]")
            ignored = "  # type: ignore[misc]" if any(f.encode_name == "reason" for f in info.fields) else ""
        else:
            returned, ignored = self._named(operation.result), ""
        star = "*, " if any(not each.startswith("**") for each in members) else ""
        arguments = ", ".join(("self", star + ", ".join(members))) if members else "self"
        word = "async def" if asynchronous else "def"
        return f"    {word} {_word(name)}({arguments}) -> {returned}: ...{ignored}\n"

    def _annotation(self, kind: msgspec.inspect.Type) -> str:
        return in_python(kind, self._named)

    def _named(self, kind: type) -> str:
        self._imports.setdefault(kind.__module__, set()).add(kind.__name__)
        return kind.__name__


def _client(name: str, prefix: str, nouns: Iterable[tuple[str, object]]) -> str:
    rows = [f"    {_word(noun.replace('-', '_'))}: {prefix}{_camel(noun)}\n" for noun, _ in nouns]
    return f"class {name}:\n" + "".join(rows)


def _camel(noun: str) -> str:
    return "".join(part.capitalize() for part in noun.split("-")) + "Verbs"


def _word(name: str) -> str:
    return f"{name}_" if keyword.iskeyword(name) else name
