"""What a person sees of a Forge: the welcome with its addresses, the live table, one line where it is no terminal."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from evals.forge.app import App
from evals.forge.cluster_api import ForecastRow, RouteRow
from evals.forge.forge import Forge
from evals.forge.status import Status
from runtime.cluster.identity import Listen
from runtime.cluster.ports import PURPOSES, addresses_of, ports_of

ROUTES_SHOWN_MAX: Final = 6
STYLES: Final = {"running": "green", "paused": "yellow", "joining": "yellow", "down": "red"}
_JSON: Final = "-H 'content-type: application/json'"
_CURLS: Final = {
    "url-shortener": (
        "curl -i http://{http}/links " + _JSON + """ -d '{{"url": "https://example.com/", "alias": "demo"}}'""",
        "curl -i http://{http}/s/demo",
    ),
    "order-domain": (
        "curl -i http://{http}/orders "
        + _JSON
        + """ -d '{{"customer": "ada", "lines": [{{"sku": "mug", "quantity": 2}}], "card": "card-1"}}'""",
        "curl -i http://{http}/inventory/mug",
    ),
}


def welcome(forge: Forge, ready_s: float, routes: Sequence[RouteRow]) -> str:
    """Where everything is, and what to try first."""
    rows = [f"\nready after {ready_s:.1f} s; nodes in {forge.state.path}\n"]
    rows += port_lines({name: node.listen for name, node in forge.nodes.items()})
    first = forge.nodes[forge.names[0]]
    rows.append(f"\n  console    http://{first.addresses.api}/console/")
    rows.append(f"  admin key  {first.admin_key_file}\n")
    rows += [f"  aether status --data {forge.state.path}", f"  aether context add forge --data {forge.state.path}\n"]
    http = first.addresses.http
    for app in forge.apps:
        known = _CURLS.get(app.blueprint)
        lines = [line.format(http=http) for line in known] if known else to_try(app, routes, http)
        rows += [f"  {line}" for line in lines]
    rows.append("\ntype `help` for what can be broken; Ctrl-C ends everything\n")
    return "\n".join(rows)


def port_lines(nodes: Mapping[str, Listen]) -> list[str]:
    """Every port of every node, one line a node; an arrow leads from a proxy's port to the one behind it."""
    table = [["node", *PURPOSES.values()]]
    for name, listen in nodes.items():
        bound, reached = ports_of(listen), addresses_of(listen)
        cells = [name]
        for purpose in PURPOSES:
            host, _, port = getattr(reached, purpose).rpartition(":")
            shown = f"http://{host}:{port}" if purpose in ("http", "api") else port or "–"
            cells.append(f"{shown} → {bound[purpose]}" if port and int(port) != bound[purpose] else shown)
        table.append(cells)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return ["  " + "   ".join(map(str.ljust, row, widths)).rstrip() for row in table]


def to_try(app: App, routes: Sequence[RouteRow], http: str) -> list[str]:
    """A project's first routes: as curl lines where a request needs no body. A parameter's name is its value."""
    names = {name for name, _ in app.slices}
    mine = sorted((route for route in routes if route.slice in names), key=lambda route: route.method != "GET")
    urls = [(route.method, f"http://{http}{re.sub(r'[{}]', '', route.path)}") for route in mine[:ROUTES_SHOWN_MAX]]
    return [f"curl -i {url}" if method == "GET" else f"{method} {url}" for method, url in urls]


def plain_line(status: Status) -> str:
    """One reading in one line."""
    up = [node.name for node in status.nodes if node.state == "running"]
    active = sum(row[1] for row in status.slices)
    line = f"nodes {','.join(up) or 'none'} · leader {status.leader or 'none'} · {active} instances active"
    if status.sent:
        line += f" · {status.rps:.0f} requests/s · p99 {status.p99_ms:.1f} ms · {status.failed} failed"
    return line


class View:
    """A table that is drawn over again, with the line being typed below it."""

    def __init__(self) -> None:
        self._live: Live | None = None
        self._typed = ""
        self._last: tuple[Status, list[str]] | None = None

    def show(self, status: Status, messages: list[str]) -> None:
        self._last = (status, messages)
        if self._live is None:
            self._live = Live(console=Console(), auto_refresh=False, transient=False)
            self._live.start()
        self._live.update(render(status, messages, self._typed), refresh=True)

    def typed(self, text: str) -> None:
        self._typed = text
        if self._last is not None:
            self.show(*self._last)

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None


def render(status: Status, messages: list[str], typed: str) -> Group:
    nodes = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("node", "state", "instances", "requests/s", "application"):
        nodes.add_column(heading, justify="right" if heading in ("instances", "requests/s") else "left")
    for node in status.nodes:
        nodes.add_row(
            f"{node.name}{' (leader)' if node.leads else ''}",
            Text(node.state, style=STYLES[node.state]),
            str(node.active),
            f"{node.rps:.0f}" if status.sent else "–",
            node.url,
        )
    slices = "   ".join(f"{name} {active}/{count}" for name, active, count in status.slices) or "no slices"
    parts: list[Table | Text] = [nodes, Text(slices)]
    if status.forecasts:
        parts.append(_forecasts(status.forecasts))
    if status.sent:
        failed = Text(f"{status.failed} failed", style="red" if status.failed else "green")
        load = Text(f"{status.rps:.0f} requests/s · p99 {status.p99_ms:.1f} ms · {status.sent} sent · ")
        parts.append(load.append_text(failed))
    parts += [Text(trouble, style="yellow") for trouble in status.troubles[:5]]
    parts += [Text(message, style="cyan") for message in messages]
    parts.append(Text(f"> {typed}"))
    return Group(*parts)


def _forecasts(rows: Sequence[ForecastRow]) -> Table:
    """The load of the last minute beside the band that is forecast for the one that runs."""
    found = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("slice", "requests/s", "forecast, 10 to 90 %", "last hour | ten minutes ahead"):
        found.add_column(heading, justify="right" if heading == "requests/s" else "left", no_wrap=True)
    for row in rows:
        rate = f"{row.now.rate:.1f}" if row.now.rate is not None else "–"
        found.add_row(row.slice, rate, f"{row.now.p10:.1f} to {row.now.p90:.1f}", row.chart)
    return found
