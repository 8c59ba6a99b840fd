"""The console's files as a node serves them, and that they are what they should be."""

from __future__ import annotations

import json
import re
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from agent_api.control_api.console_files import FOLDER, ConsoleFiles
from tests.unit.api_parts import api_on_hand
from tests.vendor_console import differing

pytestmark = pytest.mark.anyio
JS_BYTES_MAX = 250_000
IMPORT = re.compile(r"""^(?:import|export)\b[^"';]*?["']([^"']+)["'];""", re.MULTILINE)


async def _beyond(scope: object, receive: object, send: object) -> None:
    raise AssertionError("the API was asked")


async def _get(path: str, *, method: str = "GET", folder: Path = FOLDER, **headers: str) -> httpx.Response:
    app = ConsoleFiles(_beyond, folder=folder)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://node") as client:
        return await client.request(method, path, headers=headers)


async def test_every_address_of_the_console_is_its_page() -> None:
    page = await _get("/console/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    deep = await _get("/console/approvals/1m8cy6h82vn251w?show=history")
    assert (deep.status_code, deep.content) == (200, page.content)
    for path in ("/", "/console"):
        sent_on = await _get(path)
        assert (sent_on.status_code, sent_on.headers["location"]) == (307, "/console/")


async def test_nothing_but_the_nodes_own_files_may_run() -> None:
    policy = (await _get("/console/")).headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert re.search(r"script-src 'self' 'sha256-[A-Za-z0-9+/=]{44}';", policy)


async def test_browsers_keep_files_and_ask_whether_they_are_still_the_same() -> None:
    script = await _get("/console/static/app.js")
    assert script.headers["content-type"] == "text/javascript; charset=utf-8"
    assert script.headers["cache-control"] == "no-cache"
    again = await _get("/console/static/app.js", **{"if-none-match": script.headers["etag"]})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", script.headers["etag"])


@pytest.mark.parametrize(
    "path",
    [
        "/console/static/../../pyproject.toml",
        "/console/static/../control_api/app.py",
        "/console/static/jsconfig.json",
        "/console/static/vendor/lock.json",
        "/console/static//etc/passwd",
        "/console/static/",
    ],
)
async def test_only_what_is_listed_is_served(path: str) -> None:
    """The path as it comes from the wire: a client would have tidied it."""
    sent: list[dict[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(dict(message))

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    head = {"method": "GET", "headers": [], "query_string": b"", "server": ("node", 80), "scheme": "http"}
    await ConsoleFiles(_beyond)({"type": "http", "path": path, **head}, receive, send)
    assert sent[0]["status"] == 404
    assert json.loads(sent[1]["body"])["code"] == "not_found"


async def test_the_console_is_read_only_and_the_api_beside_it_as_it_was() -> None:
    refused = await _get("/console/", method="POST")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")
    async with api_on_hand() as on_hand:
        assert (await on_hand.ask("", "GET", "/console/")).headers["x-frame-options"] == "DENY"
        assert (await on_hand.ask("", "GET", "/consoles")).status_code == 404
        assert (await on_hand.ask("anna", "GET", "/v1/session")).status_code == 200


async def test_all_its_script_is_small() -> None:
    paths = [path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.js")]
    sent = [await _get(f"/console/static/{path}") for path in paths]
    assert all(each.status_code == 200 for each in sent)
    assert sum(len(each.content) for each in sent) <= JS_BYTES_MAX


async def test_scripts_are_sent_without_indents_and_comments_and_otherwise_as_they_are(tmp_path: Path) -> None:
    """Addresses and strings stay, templates but for indents, which no page shows; lines keep their numbers."""
    source = """// says what it is
/** @param {string} a */
/**
 * more
 */
const f = (/** @type {any} */ a) => `https://x.example/${a} * b`; // stays: it ends a line
const two = "/* no */" + /** @type {string} */ (f(1));
function three() {
  return `a
    b  c`;
}
"""
    sent = """




const f = (a) => `https://x.example/${a} * b`; // stays: it ends a line
const two = "/* no */" + (f(1));
function three() {
return `a
b  c`;
}
"""
    (tmp_path / "vendor").mkdir()
    for name in ("index.html", "own.js", "vendor/theirs.js"):
        (tmp_path / name).write_text(source)
    assert (await _get("/console/static/own.js", folder=tmp_path)).text == sent
    assert (await _get("/console/static/vendor/theirs.js", folder=tmp_path)).text == source


def test_what_others_made_is_as_it_was_fetched() -> None:
    assert differing() == []


def test_every_module_is_loaded_by_another() -> None:
    """Also that each import leads somewhere: no build would have found that it does not."""
    imported = {FOLDER / "app.js"}
    mapped = set(re.findall(r'"/console/static/([^"]+)"', (FOLDER / "index.html").read_text()))
    for path in FOLDER.rglob("*.js"):
        if "vendor" not in path.parts:
            imported |= {
                (path.parent / name).resolve() for name in IMPORT.findall(path.read_text()) if name.startswith(".")
            }
    ours = {path for path in FOLDER.rglob("*.js") if "vendor" not in path.parts}
    assert {path for path in imported if path.suffix == ".js" and not path.exists()} == set()
    assert ours - imported == set()
    assert {name for name in mapped if not (FOLDER / name).exists()} == set()
