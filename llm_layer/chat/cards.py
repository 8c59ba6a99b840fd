"""Cards and choices: a change as a person is shown it, before anything is made of it."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

import msgspec

from llm_layer.chat.events import Card, Option, Submit
from llm_layer.desk import Desk, DeskRefused, Plain
from llm_layer.diagnosis.advice import Advice
from llm_layer.router.routing import Choice
from runtime.operations.catalogue import Catalogue
from runtime.operations.operation import AnyOperation

_PATH_MEMBER: Final = re.compile(r"\{(\w+)\}")


async def planned_card(
    operation: AnyOperation,
    request: Mapping[str, object],
    desk: Desk,
    *,
    near: tuple[str, str] | None = None,
    tainted: bool = False,
) -> Card:
    """With what the change would do now and what the gate says of it, or why it would be refused."""
    plan: Plain | None = None
    refused = ""
    try:
        plan = await desk.plan(operation.name, request)
    except DeskRefused as fault:
        refused = " ".join(each for each in (str(fault), fault.remedy) if each)
    summary = plan.get("summary") if plan is not None else None
    return Card(
        id=hashlib.sha256(msgspec.json.encode((operation.name, sorted(request.items())))).hexdigest()[:12],
        operation=operation.name,
        request=dict(request),
        summary=str(summary or operation.summary),
        command=slash_of(operation, request),
        submit=_submit(operation, request),
        plan=plan,
        refused=refused,
        near=near,
        tainted=tainted,
    )


def option(choice: Choice, catalogue: Catalogue) -> Option:
    operation = catalogue.find(choice.operation)
    return Option(
        operation=choice.operation,
        summary=operation.summary,
        say=slash_of(operation, choice.params),
        changes=choice.changes,
        missing=choice.missing,
        share=round(choice.share, 3),
    )


def advised(advice: Advice, catalogue: Catalogue) -> Option:
    """What may help, to be chosen: it becomes a card only then."""
    operation = catalogue.find(advice.operation)
    return Option(
        operation=advice.operation,
        summary=f"{operation.summary} ({advice.why})",
        say=slash_of(operation, advice.request),
        changes=True,
    )


def slash_of(operation: AnyOperation, request: Mapping[str, object]) -> str:
    """As it can be typed: `/slice scale slice=orders instances=5`."""
    words = [f"{name}={_text(value)}" for name, value in request.items()]
    return f"/{operation.name.replace('.', ' ', 1)} {shlex.join(words)}".rstrip()


def _text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _submit(operation: AnyOperation, request: Mapping[str, object]) -> Submit:
    names = _PATH_MEMBER.findall(operation.route.path)
    path = operation.route.path
    for name in names:
        path = path.replace(f"{{{name}}}", quote(str(request.get(name, "")), safe=""))
    body = {name: value for name, value in request.items() if name not in names}
    return Submit(method=operation.route.method, path=path, body=body)
