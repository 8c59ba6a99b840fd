"""The address options that `cluster init` and `node start` share, and how addresses are printed."""

from __future__ import annotations

import argparse

import msgspec

from runtime.cluster.identity import Listen
from runtime.cluster.ports import (
    BASE,
    OFFSETS,
    PURPOSES,
    AddressInvalid,
    addresses_of,
    choose,
    ports_of,
    split_address,
)


def add_listen_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--listen",
        metavar="HOST[:PORT]",
        default="127.0.0.1",
        help=f"address to bind and advertise; PORT is the first of five in a row (default 127.0.0.1:{BASE}, "
        "or the next free ones)",
    )
    parser.add_argument("--host", help="as --listen HOST")
    for name in OFFSETS:
        parser.add_argument(f"--{name}", type=port_of, metavar="PORT", default=0, help=f"{PURPOSES[name]} port")
    parser.add_argument(
        "--advertise",
        action="append",
        type=_advertised,
        default=[],
        metavar="PURPOSE=HOST:PORT",
        help=f"address by which others reach one of {', '.join(OFFSETS)}, where it is not the bound one",
    )


def chosen(arguments: argparse.Namespace, *, with_store: bool) -> Listen:
    """Raises AddressInvalid or PortTaken."""
    host, base = split_address(arguments.listen)
    wanted = {name: int(getattr(arguments, name)) for name in OFFSETS if getattr(arguments, name)}
    bound = choose(arguments.host or host, base, wanted, with_store=with_store)
    return msgspec.structs.replace(bound, advertised=dict(arguments.advertise))


def differs(arguments: argparse.Namespace, listen: Listen) -> bool:
    """Whether the options ask for other addresses than the node has."""
    host, base = split_address(arguments.listen)
    named = {name: int(getattr(arguments, name)) for name in OFFSETS if getattr(arguments, name)}
    if base:
        named = {**{name: base + offset for name, offset in OFFSETS.items()}, **named}
    host_named = bool(base or arguments.host or arguments.listen != "127.0.0.1")
    if host_named and (arguments.host or host) != listen.host:
        return True
    ports = ports_of(listen)
    if any(listen.advertised.get(name) != address for name, address in arguments.advertise):
        return True
    return any(ports.get(name, port) != port for name, port in named.items())


def address_lines(listen: Listen) -> str:
    """One line for each port; those of people as URLs, and where others know it by another address, that as well."""
    bound = addresses_of(msgspec.structs.replace(listen, advertised={}))
    rows = []
    for name in ports_of(listen):
        url = "http://" if name in ("http", "api") else ""
        advertised = f", for others {url}{listen.advertised[name]}" if name in listen.advertised else ""
        rows.append(f"  {PURPOSES[name]:<17} {url}{getattr(bound, name)}{advertised}")
    return "\n".join(rows)


def port_of(text: str) -> int:
    """For argparse."""
    if not text.isdigit() or not 1 <= int(text) <= 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port (1 to 65535)")
    return int(text)


def _advertised(text: str) -> tuple[str, str]:
    purpose, _, address = text.partition("=")
    try:
        _, port = split_address(address)
    except AddressInvalid:
        port = 0
    if purpose not in OFFSETS or not port:
        raise argparse.ArgumentTypeError(f"{text!r} is not PURPOSE=HOST:PORT with one of {', '.join(OFFSETS)}")
    return purpose, address
