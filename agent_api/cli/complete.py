"""What could stand next on the command line. It never hangs, and says nothing when something is wrong."""

from __future__ import annotations

import argparse
import dataclasses
import os
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from agent_api.cli.grammar import COMMANDS, NOUNS, VERBS, operations_of, singular, verbs_of

if TYPE_CHECKING:
    from runtime.operations.operation import AnyOperation

LIMIT_S: Final = 1.5  # of everything; then there are no candidates
ASK_S: Final = 0.5  # of one question to the cluster

LISTS: Final = {  # what a member names: who lists these, and which member of a row is the name
    "slice": ("slice.list", "slice"),
    "node": ("node.list", "node"),
    "blueprint": ("blueprint.list", "blueprint"),
    "principal": ("principal.list", "id"),
    "proposal.id": ("proposal.list", "id"),
    "principal.id": ("principal.list", "id"),
    "key.id": ("key.list", "id"),
    "config.name": ("config.list", "name"),
}
WAITING: Final = ("approve", "reject", "withdraw")

Candidates = dict[str, str]
"""Words, and what each means."""


def print_candidates(words: Sequence[str]) -> int:
    """Words of the line so far, the last of them unfinished: one candidate a line, with a tab before its meaning."""
    signal.signal(signal.SIGALRM, lambda *_: os._exit(0))
    signal.setitimer(signal.ITIMER_REAL, LIMIT_S)
    try:
        found = candidates(words)
    except Exception:
        found = {}
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)  # an interpreter that ends takes its handlers back, and would be killed
    sys.stdout.write("".join(f"{word}\t{meaning}\n" if meaning else f"{word}\n" for word, meaning in found.items()))
    sys.stdout.flush()
    return 0


def candidates(words: Sequence[str]) -> Candidates:
    *before, last = words or [""]
    option, given, value = last.partition("=")
    if given and option.startswith("--"):
        return {f"{option}={word}": meaning for word, meaning in candidates([*before, option, value]).items()}
    return {word: meaning for word, meaning in _next(before, last).items() if word.startswith(last)}


def _next(before: Sequence[str], last: str) -> Candidates:
    if not before:
        return {**NOUNS, **COMMANDS}
    word = singular(before[0])
    if word in COMMANDS:
        return _of_module(word, before[1:], last)
    if word not in NOUNS:
        return {}
    if len(before) == 1:
        return verbs_of(word)
    if before[1] in VERBS.get(word, {}):
        return _of_module(word, before[1:], last)
    operation = operations_of(word).get(before[1])
    return _of_operation(operation, before[2:], last) if operation is not None else {}


def _of_operation(operation: AnyOperation, before: Sequence[str], last: str) -> Candidates:
    from agent_api.catalogue import make_catalogue
    from agent_api.cli.members import members_of
    from agent_api.cli.operation import parser_of

    parser = parser_of(operation)
    option = _open_option(parser, before)
    if option is None and last.startswith("-"):
        return _options(parser)
    members = members_of(operation)
    if option is not None:
        member = next((each for each in members if each.destination == option.dest), None)
    else:
        positional = [each for each in members if each.positional]
        at = len(_positionals(parser, before))
        member = positional[min(at, len(positional) - 1)] if positional else None
        if member is not None and at >= len(positional) and not member.takes_many:
            return {}
    if member is None:
        return _contexts() if option is not None and option.dest == "context" else {}
    if member.choices:
        return dict.fromkeys(member.choices, "")
    if "operation" in (member.name, operation.name.partition(".")[0]):
        return {each.name: each.summary for each in make_catalogue()}
    noun = operation.name.partition(".")[0]
    return _live(member.name if member.name in LISTS else f"{noun}.{member.name}", before)


def _of_module(name: str, before: Sequence[str], last: str) -> Candidates:
    """Of a command that stands in a module of its own: its actions and options; ids of proposals where it takes one."""
    from agent_api.cli.main import module_parser

    parser, _ = module_parser(name, name)
    for word in before:
        parser = _actions(parser).get(word, parser)
    option = _open_option(parser, before)
    if option is not None:
        return dict.fromkeys(map(str, option.choices or ()), "") or (_contexts() if option.dest == "context" else {})
    if last.startswith("-"):
        return _options(parser)
    if actions := _actions(parser):
        return {word: each.description or "" for word, each in actions.items()}
    if name in (*WAITING, "why", "rollback"):
        return _live("proposal.id", before, waiting=name in WAITING)
    if name == "artifact" and before and before[0] == "delete":
        return {f"{row['name']}=={row['version']}": "" for row in _asked("artifact.list", before)}
    if name == "context" and before and before[0] in ("use", "remove"):
        return _contexts()
    return next((dict.fromkeys(map(str, each.choices), "") for each in parser._actions if each.choices), {})


def _live(member: str, before: Sequence[str], *, waiting: bool = False) -> Candidates:
    """Names that the cluster has."""
    if member not in LISTS:
        return {}
    operation, name = LISTS[member]
    rows = _asked(operation, before)
    if waiting:
        rows = [row for row in rows if row.get("state") in ("pending", "approved")]
    return {str(row[name]): str(row.get("summary", "")) for row in rows}


def _asked(operation: str, before: Sequence[str]) -> list[dict[str, object]]:
    """The rows of a list's first page, from the first node that answers at once."""
    import msgspec

    from agent_api.cli.connecting import add_api_arguments, located
    from agent_api.cli.query import items_name
    from agent_api.client.message import HttpReply
    from agent_api.client.requests import query_request
    from agent_api.client.sync_wire import SyncWire
    from agent_api.client.talks import Talks

    parser = argparse.ArgumentParser(exit_on_error=False)
    add_api_arguments(parser)
    given, _ = parser.parse_known_args([*before])
    where = located(given.api, given.data, given.context)
    talks = Talks(where.addresses, key=where.key)
    query = talks.query(operation)
    request = dataclasses.replace(talks.with_key(query_request(query, {})), timeout_s=ASK_S)
    wire = SyncWire()
    for address in where.addresses:
        reply = wire.send(address, request)
        wire.close()
        if isinstance(reply, HttpReply):
            rows: list[dict[str, object]] = msgspec.json.decode(reply.body).get(items_name(query), [])
            return rows
    return []


def _contexts() -> Candidates:
    from agent_api.cli.contexts import read_contexts

    return {name: ", ".join(each.addresses) for name, each in read_contexts().contexts.items()}


def _options(parser: argparse.ArgumentParser) -> Candidates:
    return {
        word: (each.help or "").replace("%%", "%")
        for each in parser._actions
        for word in each.option_strings
        if word.startswith("--") and each.help is not argparse.SUPPRESS
    }


def _open_option(parser: argparse.ArgumentParser, before: Sequence[str]) -> argparse.Action | None:
    """The option whose value stands next."""
    found = parser._option_string_actions.get(before[-1]) if before else None
    return found if found is not None and found.nargs not in (0, "?") else None


def _positionals(parser: argparse.ArgumentParser, before: Sequence[str]) -> list[str]:
    found, skip = [], False
    for word in before:
        if skip:
            skip = False
        elif word.startswith("-"):
            action = parser._option_string_actions.get(word)
            skip = action is not None and action.nargs is None
        else:
            found.append(word)
    return found


def _actions(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for each in parser._actions:
        if isinstance(each, argparse._SubParsersAction):
            return dict(each.choices)
    return {}
