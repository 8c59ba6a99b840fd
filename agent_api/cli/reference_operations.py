"""docs/reference/operations.md, from the catalogue."""

from __future__ import annotations

from itertools import groupby
from typing import Final

import msgspec

from agent_api.cli.kinds import in_words
from agent_api.cli.members import description_of
from agent_api.client.uploads import MODEL, UPLOADS
from runtime.operations.catalogue import Catalogue
from runtime.operations.operation import AnyOperation, Change

HEAD: Final = """\
# Operations

Everything that can be changed or asked, over HTTP, on the [command line](cli.md), by the Python client and as tools
of agents. Written by `aether docs` from the catalogue; `GET /v1/operations/{name}` has the JSON Schemas.

A change takes the query words `dry_run`, `propose`, `reason`, `break_glass`, `evidence`, `tainted`, `conversation`,
`card` and `guard`, and the headers `Idempotency-Key`, `If-Match` and `Prefer: wait=SECONDS`. It answers 200 when it
was made (or planned, for a dry run), 202 with a proposal when people must approve it, and a problem with `code`,
`retryable` and `remedy` otherwise. A question takes its members as query words, and answers with the `revision` that
it is as of. Lists take `cursor` and `limit`.

Risk is what a change can do at most; the gate's [policy](../../controllers/gate/default_policy.toml) makes classes
of it.
"""
PAGING: Final = ("cursor", "limit")


def operations_page(catalogue: Catalogue) -> str:
    parts = [HEAD]
    for noun, operations in groupby(catalogue, key=lambda each: each.name.partition(".")[0]):
        parts.append(f"\n## {noun}\n")
        parts += [_section(each) for each in operations]
    return "".join(parts)


def _section(operation: AnyOperation) -> str:
    facts = [f"`{operation.route.method} {operation.route.path}`", f"role {operation.role}"]
    if isinstance(operation, Change):
        facts += [f"risk {operation.risk}", f"effect {operation.effect}"]
    else:
        facts.append("read" + (", paged" if operation.paged else ""))
    text = f"\n### {operation.name}\n{operation.summary}\n\n{' · '.join(facts)}\n"
    rows = [] if operation.name in UPLOADS else _members(operation)
    if operation.name in UPLOADS:
        what = "MessagePack with the bytes `graph` and `card`" if operation.name == MODEL else "the wheel"
        text += f"\nThe body is {what}; `?sha256=` is checked if given.\n"
    if rows:
        text += "\n| member | type | |\n|---|---|---|\n" + "".join(rows)
    if operation.errors:
        text += f"\nErrors of its own: {', '.join(f'`{each}`' for each in operation.errors)}.\n"
    return text


def _members(operation: AnyOperation) -> list[str]:
    info = msgspec.inspect.type_info(operation.request)
    assert isinstance(info, msgspec.inspect.StructType)
    return [
        f"| `{field.encode_name}` | {in_words(field.type)} | {_meaning(field)} |\n"
        for field in info.fields
        if field.encode_name not in PAGING
    ]


def _meaning(field: msgspec.inspect.Field) -> str:
    text = description_of(field.type).replace("|", "\\|")
    return f"**required** {text}".strip() if field.required else text
