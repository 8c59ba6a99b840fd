"""Questions of the catalogue as commands: a table for people, JSON for programs."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from typing import Final, cast

import msgspec

from agent_api.cli.chat_history import show_shown
from agent_api.cli.decision_view import show_all_decisions, show_forecast, show_node_level, show_rules
from agent_api.cli.members import as_request, read_members
from agent_api.cli.model_view import show_model_status
from agent_api.cli.paint import plain
from agent_api.cli.plan_view import show_diff, show_explained
from agent_api.cli.playbook_view import show_planned, show_playbook
from agent_api.cli.proposal_view import show_audit, show_proposal
from agent_api.cli.table import Row, show_json, show_members, show_rows
from agent_api.cli.telemetry_view import show_figures, show_lines, show_node_figures
from agent_api.client.client import Client
from agent_api.client.errors import ApiUnreachable
from agent_api.client.talks import cursor_behind
from runtime.operations.operation import AnyQuery

WATCH_S: Final = 2.0
CLEAR: Final = "\033[H\033[J"

COLUMNS: Final[dict[str, tuple[str, ...]]] = {  # of lists whose rows are wider than a terminal
    "alert.list": (
        "severity",
        "name",
        "subject",
        "state",
        "value",
        "starts_unix_ms",
        "acknowledged_by",
        "muted_by",
        "fingerprint",
    ),
    "alert.rules": (
        "name",
        "subject",
        "metric",
        "also",
        "direction",
        "warning",
        "critical",
        "for_s",
        "enabled",
        "source",
        "lasting",
    ),
    "artifact.list": ("name", "version", "size_bytes", "slices", "uploaded_unix_ms"),
    "blueprint.list": ("blueprint", "slices"),
    "conversation.list": ("last_unix_ms", "turns", "title", "owner", "id"),
    "node.list": ("node", "state", "role", "zone", "instances", "cordoned", "addresses.http", "addresses.api"),
    "proposal.list": (
        "id",
        "state",
        "summary",
        "actor",
        "reason",
        "approvers",
        "approvals",
        "expires_unix_ms",
        "ended",
    ),
    "operation.list": ("name", "kind", "role", "risk", "summary"),
    "playbook.list": ("playbook", "version", "kind", "risk", "rehearsed", "origin", "last_started_unix_ms", "summary"),
}
SPECIAL: Final[dict[str, Callable[[Row], None]]] = {
    "proposal.show": show_proposal,
    "proposal.diff": lambda answer: show_diff(cast(list[Row], answer["items"])),
    "audit.list": show_audit,
    "gate.explain": show_explained,
    "log.list": show_lines,
    "trace.list": show_lines,
    "metric.show": show_figures,
    "metric.show-node": show_node_figures,
    "model.status": show_model_status,
    "policy.show": lambda answer: print(plain(str(answer["policy"])), end=""),
    "controller.decisions": show_all_decisions,
    "controller.forecast": show_forecast,
    "controller.rules": show_rules,
    "controller.nodes": show_node_level,
    "conversation.show": show_shown,
    "conversation.export": lambda answer: print(plain(str(answer["markdown"])), end=""),
    "playbook.show": show_playbook,
    "playbook.plan": show_planned,
    "slice.explain": lambda answer: print(plain("\n".join(cast(list[str], answer["sentences"])))),
}


def run_query(client: Client, operation: AnyQuery, arguments: argparse.Namespace) -> int:
    members = read_members(operation, arguments)
    if operation.name == "gate.explain":
        members["request"] = _as_asked(client, members)
    members = as_request(operation, members)
    while True:
        try:
            answer = answered(client, operation, members)
        except ApiUnreachable as fault:
            if not arguments.watch:
                raise
            print(f"{fault}; asking again", file=sys.stderr)
        else:
            _show(operation, answer, arguments)
        if not arguments.watch:
            return 0
        time.sleep(WATCH_S)


def answered(client: Client, operation: AnyQuery, members: dict[str, object]) -> dict[str, object]:
    """The whole answer; of a list all pages, unless some were asked for."""
    answer = _decoded(client.perform(client.talks.answer(operation.name, members)))
    if not operation.paged or "limit" in members or "cursor" in members:
        return answer
    name = items_name(operation)
    items, first = list(cast(list[object], answer[name])), answer
    while cursor := cursor_behind(members, answer.get("next")):
        members = {**members, "cursor": cursor}
        answer = _decoded(client.perform(client.talks.answer(operation.name, members)))
        items += cast(list[object], answer[name])
    return {**first, name: items, "next": ""}


def items_name(operation: AnyQuery) -> str:
    """What the list of a paged answer is called."""
    return next(field.encode_name for field in msgspec.structs.fields(operation.result) if field.name == "items")


def _show(operation: AnyQuery, answer: Row, arguments: argparse.Namespace) -> None:
    if arguments.watch and sys.stdout.isatty() and not arguments.json:
        print(CLEAR, end="")
    if arguments.json:
        show_json(answer)
        return
    if answer.get("stale"):
        print("aether: no leader is known; this may be old", file=sys.stderr)
    if operation.name in SPECIAL:
        SPECIAL[operation.name](answer)
    elif operation.paged:
        show_rows(cast(list[Row], answer[items_name(operation)]), COLUMNS.get(operation.name, ()))
        if answer.get("next"):
            print(f"go on with --cursor {answer['next']}", file=sys.stderr)
    else:
        show_members({name: value for name, value in answer.items() if name not in ("revision", "stale")})


def _as_asked(client: Client, members: dict[str, object]) -> dict[str, object]:
    """The explained operation's request, with numbers where it wants numbers."""
    change = client.talks.catalogue.change(str(members["operation"]))
    return as_request(change, cast(dict[str, object], members.get("request", {})))


def _decoded(raw: bytes) -> dict[str, object]:
    return msgspec.json.decode(raw, type=dict[str, object])
