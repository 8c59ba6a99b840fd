"""`aether context add|use|list|remove`: several clusters, or one cluster as several principals."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import msgspec

from agent_api.cli.connecting import key_in, located
from agent_api.cli.contexts import Context, Contexts, contexts_file, read_contexts, write_contexts
from agent_api.cli.failure import report
from agent_api.cli.table import show_json, show_rows
from runtime.errors import RuntimeFault


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    add = actions.add_parser("add", help="name a cluster; the first one is used from then on")
    add.add_argument("name", metavar="NAME", type=_context_name)
    add.add_argument("--api", metavar="HOST:PORT", help="API address, or several with commas")
    add.add_argument("--data", type=Path, metavar="DIR", help="a node's or a Forge's: addresses and admin key")
    add.add_argument("--key-file", type=Path, metavar="FILE", help="holds the API key; - reads it from standard input")
    add.add_argument("--offline", action="store_true", help="do not ask the cluster for its other addresses")
    use = actions.add_parser("use", help="use that one from now on")
    use.add_argument("name", metavar="NAME")
    remove = actions.add_parser("remove", help="forget that one")
    remove.add_argument("name", metavar="NAME")
    listing = actions.add_parser("list", help="all of them, without their keys")
    for action in (add, use, remove, listing):
        action.add_argument("--json", action="store_true", help="print JSON")


def _context_name(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise argparse.ArgumentTypeError("a name is printable and not empty")
    return text


def run(arguments: argparse.Namespace) -> int:
    actions = {"add": _add, "use": _use, "remove": _remove, "list": _list}
    try:
        return actions[arguments.action](arguments)
    except RuntimeFault as fault:
        return report(f"context {arguments.action}", fault)


def _add(arguments: argparse.Namespace) -> int:
    found = located(arguments.api, arguments.data)
    key = _key(arguments.key_file) if arguments.key_file else found.key
    addresses = found.addresses if arguments.offline else _all_addresses(found.addresses, key)
    before = read_contexts()
    contexts = {**before.contexts, arguments.name: Context(addresses=addresses, key=key)}
    write_contexts(Contexts(current=before.current or arguments.name, contexts=contexts))
    known = f"context {arguments.name}: {', '.join(addresses)}{'' if key else ', without a key'}; in {contexts_file()}"
    return _told(arguments, known, addresses=addresses, key=bool(key))


def _told(arguments: argparse.Namespace, words: str, **members: object) -> int:
    if arguments.json:
        show_json({"context": arguments.name, "current": read_contexts().current, **members})
    else:
        print(words)
    return 0


def _all_addresses(addresses: tuple[str, ...], key: str) -> tuple[str, ...]:
    """Of all nodes, so that the context serves when the named one is down."""
    from agent_api.client.client import Client

    with Client(*addresses, key=key) as client:
        return client.learn()


def _key(path: Path) -> str:
    return sys.stdin.readline().strip() if str(path) == "-" else key_in(path)


def _use(arguments: argparse.Namespace) -> int:
    contexts = read_contexts()
    contexts.find(arguments.name)
    write_contexts(msgspec.structs.replace(contexts, current=arguments.name))
    return _told(arguments, f"using {arguments.name}")


def _remove(arguments: argparse.Namespace) -> int:
    before = read_contexts()
    before.find(arguments.name)
    rest = {name: each for name, each in before.contexts.items() if name != arguments.name}
    current = "" if before.current == arguments.name else before.current
    write_contexts(Contexts(current=current, contexts=rest))
    return _told(arguments, f"forgot {arguments.name}")


def _list(arguments: argparse.Namespace) -> int:
    contexts = read_contexts()
    rows: list[dict[str, object]] = [
        {"context": name, "in_use": name == contexts.current, "addresses": list(each.addresses), "key": bool(each.key)}
        for name, each in sorted(contexts.contexts.items())
    ]
    if arguments.json:
        show_json({"current": contexts.current, "contexts": rows})
    elif rows:
        show_rows(rows, ("context", "in_use", "addresses", "key"))
    else:
        print("no contexts; add one: aether context add NAME --api HOST:PORT --key-file FILE")
    return 0
