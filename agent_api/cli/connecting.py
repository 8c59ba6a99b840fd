"""How commands find the API: options first, then the environment, then a node's directory, then the context in use."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agent_api.cli.contexts import CONTEXT_VARIABLE, read_contexts
from agent_api.client.errors import ClientFault
from runtime.cluster.identity import read_identity
from runtime.cluster.layout import NodeLayout
from runtime.cluster.ports import addresses_of

if TYPE_CHECKING:
    from agent_api.client.client import Client

ADDRESS_VARIABLE: Final = "AETHER_API"
KEY_VARIABLES: Final = ("AETHER_KEY", "AETHER_ADMIN_KEY")


class ClusterUnknown(ClientFault):
    """Nothing says which cluster is meant."""

    code = "cluster_unknown"
    remedy = f"Name it: --api HOST:PORT, --data DIR or {ADDRESS_VARIABLE}; or keep it: aether context add NAME."


class KeyUnreadable(ClientFault):
    code = "key_unreadable"
    remedy = "Name a file that holds an API key and that you may read, or give the key by AETHER_KEY."


@dataclass(frozen=True, slots=True)
class Located:
    """Where the API is, and with which key it is spoken to."""

    addresses: tuple[str, ...]
    key: str


def add_api_arguments(parser: argparse.ArgumentParser) -> None:
    """The options with which every command finds the API."""
    group = parser.add_argument_group("which cluster")
    group.add_argument(
        "--api",
        metavar="HOST:PORT",
        help=f"API address, or several with commas (default: {ADDRESS_VARIABLE}, else of --data, else of the context)",
    )
    group.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help=f"a node's directory or a Forge's, for API addresses and the admin key (key also {KEY_VARIABLES[0]})",
    )
    group.add_argument(
        "--context", metavar="NAME", help=f"a context (default: {CONTEXT_VARIABLE}, else the one in use)"
    )


def client_of(arguments: argparse.Namespace) -> Client:
    """Raises ClusterUnknown when nothing names an API."""
    from agent_api.client.client import Client

    found = located(arguments.api, arguments.data, arguments.context)
    return Client(*found.addresses, key=found.key)


def located(api: str | None = None, data: Path | None = None, context: str | None = None) -> Located:
    """Raises ClusterUnknown when nothing names an API, ContextUnusable for a context that is not there."""
    environment = next((key for name in KEY_VARIABLES if (key := os.environ.get(name))), "")
    if api:
        addresses = _split(api)
        return Located(addresses, _context_key(context) or environment or (_key(data) if data else _own(addresses)))
    if data is not None:
        return Located(_addresses(data), environment or _key(data))
    if context is None and (address := os.environ.get(ADDRESS_VARIABLE)):
        addresses = _split(address)
        return Located(addresses, environment or _own(addresses))
    if context is None and (addresses := tuple(_found(Path()))):
        return Located(addresses, environment or _key(Path()))
    contexts = read_contexts()
    name = context or os.environ.get(CONTEXT_VARIABLE) or contexts.current
    if not name:
        raise ClusterUnknown("no cluster is named here")
    chosen = contexts.find(name)
    nearest_first = (chosen.key, environment) if context else (environment, chosen.key)
    return Located(chosen.addresses, nearest_first[0] or nearest_first[1])


def _split(text: str) -> tuple[str, ...]:
    return tuple(each.strip() for each in text.split(",") if each.strip())


def _context_key(context: str | None) -> str:
    return read_contexts().find(context).key if context else ""


def _addresses(data: Path) -> tuple[str, ...]:
    found = tuple(_found(data))
    if not found:
        raise ClusterUnknown(f"{data} holds no node and no Forge")
    return found


def _found(data: Path) -> Iterator[str]:
    """Of the node in a directory; or below it, as a Forge keeps them, of all nodes."""
    for layout in _layouts(data):
        yield addresses_of(read_identity(layout.identity).listen).api


def _key(data: Path) -> str:
    """The admin key, which only the first node's directory has."""
    kept = (layout.admin_key for layout in _layouts(data))
    return next((key_in(path) for path in kept if path.exists()), "")


def _own(addresses: tuple[str, ...]) -> str:
    """The key of the present directory, for its own nodes alone: another cluster's must not be told it."""
    named = {each.removeprefix("http://").rstrip("/") for each in addresses}
    return _key(Path()) if named <= set(_found(Path())) else ""


def key_in(path: Path) -> str:
    """Raises KeyUnreadable."""
    try:
        return path.read_bytes().decode("ascii").strip()
    except UnicodeDecodeError as error:
        raise KeyUnreadable(f"{path} holds no key") from error
    except OSError as error:
        raise KeyUnreadable(f"{path} cannot be read: {error.strerror}") from error


def _layouts(data: Path) -> list[NodeLayout]:
    own = NodeLayout(data)
    if own.identity.exists():
        return [own]
    below = sorted(path.parent for path in data.glob("*/node.json")) if data.is_dir() else []
    return [NodeLayout(each) for each in below]
