"""Requests for a Forge's applications: those of the command line, or a mix made for the two examples."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from evals.forge.errors import ForgeFault
from evals.forge.forge import Forge
from evals.forge.load.scenario import Mix, Request, Scenario

LINKS: Final = 8
LINK_READS: Final = 40  # of fifty requests; each write is a few transactions in consensus
JSON: Final = (("content-type", "application/json"),)


class RequestInvalid(ForgeFault):
    code = "request_invalid"
    remedy = "Write it as --request 'GET /path', once or more."


async def scenario_for(forge: Forge, asked: Sequence[str]) -> Scenario:
    """What was asked for; else the examples' mix, whose links are made first. Raises RequestInvalid."""
    if asked:
        return Mix(tuple(parsed(text) for text in asked))
    blueprints = {app.blueprint for app in forge.apps}
    row: list[Request] = []
    if "url-shortener" in blueprints:
        row += await links_mix(forge)
    if "order-domain" in blueprints:
        row += orders_mix()
    if not row:
        raise RequestInvalid("no requests are known for these applications")
    return Mix(tuple(row))


def parsed(text: str) -> Request:
    """ "GET /path" or "POST /path {json}"."""
    method, _, rest = text.strip().partition(" ")
    path, _, body = rest.strip().partition(" ")
    if method not in ("GET", "POST", "PUT", "PATCH", "DELETE") or not path.startswith("/"):
        raise RequestInvalid(f"{text!r} is no request")
    return Request(name=f"{method} {path}", method=method, path=path, body=body.encode())


async def links_mix(forge: Forge) -> list[Request]:
    """Mostly redirects; the links exist when this returns."""
    client = forge.http(forge.running()[0])
    codes = []
    for number in range(LINKS):
        wish = json.dumps({"url": f"https://example.com/page/{number}", "alias": f"page-{number}"}).encode()
        await client.checked("POST", "/links", wish, headers=JSON)
        codes.append(f"page-{number}")
    reads = [
        Request(
            name="follow",
            method="GET",
            path=f"/s/{codes[number % LINKS]}",
            headers=(("referer", "https://a.example/"),),
        )
        for number in range(LINK_READS)
    ]
    shown = [Request(name="show link", method="GET", path=f"/links/{code}") for code in codes]
    shorten = Request(
        name="shorten", method="POST", path="/links", body=b'{"url": "https://example.com/"}', headers=JSON
    )
    return [*reads, *shown, shorten]


def orders_mix() -> list[Request]:
    """One order, and the shop window. An order may find the shelf empty."""
    body = json.dumps({"customer": "ada", "lines": [{"sku": "mug", "quantity": 1}], "card": "card-1"}).encode()
    window = [Request(name="price", method="GET", path=f"/prices/{sku}") for sku in ("mug", "teapot")]
    place = Request(
        name="place order", method="POST", path="/orders", body=body, headers=JSON, expected=frozenset((201, 409))
    )
    return [*window, place]
