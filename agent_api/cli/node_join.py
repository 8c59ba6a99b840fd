"""Preparing a data directory for `aether node start`: it holds a node already, or joins a cluster first."""

from __future__ import annotations

import argparse
import os
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from agent_api.cli.listening import chosen, differs
from agent_api.client.client import Client
from agent_api.client.errors import ApiUnreachable
from agent_api.client.message import HttpRequest
from runtime.clock import SystemClock
from runtime.cluster.founding import (
    DirectoryUnusable,
    NodePlan,
    begin_join,
    check_empty,
    check_plan_names,
    finish_join,
)
from runtime.cluster.identity import NodeIdentity, read_identity
from runtime.cluster.layout import NodeLayout
from runtime.cluster.ports import check_free, ports_of, split_address
from runtime.config.settings import read_settings
from runtime.errors import RuntimeFault
from runtime.names import NodeId
from runtime.security.errors import JoinRefused, NoAuthority
from runtime.security.join import refusal
from runtime.security.tls import server_context
from runtime.security.token import read_token

SERVICE_UNAVAILABLE: Final = 503
RETRY_S: Final = 0.2
DYING_S: Final = 1.0
ANSWERS_S: Final = 5.0  # to say that it lives
JOIN_TIMEOUT_S: Final = 30.0  # adding a core node waits for a change of the store's group


class NobodyAdmits(RuntimeFault):
    code, retryable = "join_unreachable", True
    remedy = (
        "Join through a core node that answers and holds tls/ca.key, or name several: --join TOKEN@HOST:PORT,HOST:PORT."
        " Where only the one that hangs holds it, copy the file (mode 0600) from a safe place to another core node."
    )


class LifelineInvalid(RuntimeFault):
    code = "lifeline_invalid"
    remedy = "Pass the number of a pipe's read end that the command inherits."


def prepared(arguments: argparse.Namespace) -> NodeIdentity:
    """The node that is to run from this directory, with its ports free. Raises RuntimeFault with the remedy."""
    layout = NodeLayout(arguments.data)
    if arguments.lifeline_fd is not None:
        _check_lifeline(arguments.lifeline_fd)
    read_settings(layout.data)
    if layout.identity.exists():
        identity = _existing(layout, arguments)
    elif arguments.join:
        identity = join(arguments)
    else:
        check_empty(arguments.data)
        raise DirectoryUnusable(
            f"{arguments.data} holds no node",
            f"Begin a cluster: aether cluster init {arguments.data}; or join one: "
            f"aether node start --data {arguments.data} --join TOKEN@HOST:PORT",
        )
    return identity


def join(arguments: argparse.Namespace) -> NodeIdentity:
    """Asks the cluster, and makes the directory from its answer."""
    text, separator, where = arguments.join.rpartition("@")
    if not separator:
        raise JoinRefused("--join needs TOKEN@HOST:PORT", "Write the token, then @, then the API address of a node.")
    token, addresses = read_token(text), where.split(",")
    for address in addresses:
        split_address(address)
    node = NodeId(arguments.name or f"n-{secrets.token_hex(3)}")
    check_plan_names(node, arguments.zone)
    check_empty(arguments.data)
    plan = NodePlan(
        node=node,
        role=arguments.role,
        zone=arguments.zone,
        listen=chosen(arguments, with_store=arguments.role == "core"),
    )
    clock = SystemClock()
    attempt = begin_join(plan, token, now_unix_ms=clock.unix_ms())
    answer = admitted_by(addresses, attempt.request())
    return finish_join(arguments.data, plan, attempt, attempt.accept(answer, now_unix_ms=clock.unix_ms()))


def admitted_by(addresses: Sequence[str], body: bytes) -> bytes:
    """The answer of the first node that may sign. The same request goes on to the next one where a node hangs or holds
    no ca.key, and again while the cluster elects a leader or admits another node. Raises RuntimeFault."""
    several = len(addresses) > 1
    request = HttpRequest(method="POST", path="/v1/join", body=body, timeout_s=JOIN_TIMEOUT_S, repeatable=several)
    give_up_at_s = time.monotonic() + JOIN_TIMEOUT_S
    unable = 0
    with Client(*addresses) as api:
        _check_answers(api)
        while True:
            reply = api.request(request)
            if reply.status < 400:
                return reply.body
            fault = reply.fault()
            if fault is not None and fault.code == NoAuthority.code and unable + 1 < len(addresses):
                unable += 1
                api.talks.book.rotate()
                continue
            if reply.status != SERVICE_UNAVAILABLE or time.monotonic() > give_up_at_s:
                raise refusal(reply.body)
            time.sleep(RETRY_S)


def _check_answers(api: Client) -> None:
    """A node that hangs takes the request, and says nothing for as long as that may take."""
    try:
        api.request(HttpRequest(method="GET", path="/health/live", timeout_s=ANSWERS_S))
    except ApiUnreachable as error:
        raise NobodyAdmits(str(error)) from error


def _existing(layout: NodeLayout, arguments: argparse.Namespace) -> NodeIdentity:
    identity = identity_of(layout.data)
    server_context(layout.tls)
    if differs(arguments, identity.listen) or (arguments.name and arguments.name != identity.node):
        raise DirectoryUnusable(
            f"{layout.data} already holds node {identity.node} with other addresses or another name",
            "Start it without --name and address options, or use an empty directory.",
        )
    _check_room(layout, identity)
    return identity


def _check_room(layout: NodeLayout, identity: NodeIdentity) -> None:
    """A node that was just killed needs a moment until the kernel has ended its processes."""
    give_up_at_s = time.monotonic() + DYING_S
    while True:
        try:
            _check_not_running(layout)
            check_free(identity.listen.host, ports_of(identity.listen))
        except RuntimeFault:
            if time.monotonic() > give_up_at_s:
                raise
            time.sleep(RETRY_S / 4)
        else:
            return


def identity_of(data: Path) -> NodeIdentity:
    """The node in a directory. Raises DirectoryUnusable."""
    layout = NodeLayout(data)
    try:
        return read_identity(layout.identity)
    except FileNotFoundError:
        raise DirectoryUnusable(f"{data.absolute()} holds no node", "Name its directory: --data DIR.") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DirectoryUnusable(
            f"{layout.identity} is damaged: {error}", "Restore the file, or join again with an empty directory."
        ) from None


def _check_not_running(layout: NodeLayout) -> None:
    import fcntl

    try:
        with (layout.data / "supervisor.lock").open("r") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return
    except BlockingIOError:
        raise DirectoryUnusable(
            f"a node already runs on {layout.data}", f"Stop it first: aether node stop --data {layout.data}"
        ) from None


def _check_lifeline(descriptor: int) -> None:
    try:
        os.fstat(descriptor)
    except OSError:
        raise LifelineInvalid(f"file descriptor {descriptor} is not open") from None
