"""The web console's files, before the API: a page for every path below /console, and what that page loads."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cached_property
from pathlib import Path
from typing import Final, NamedTuple

from fastapi import Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from agent_api.control_api.conditional import is_known
from agent_api.control_api.problems import MethodNotAllowed, NotFound, problem

FOLDER: Final = Path(__file__).resolve().parents[1] / "console"
PAGE: Final = "/console/"
FILES: Final = "/console/static/"
MEDIA: Final = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
"""What is served, by the end of its name. Nothing else in the folder is."""
VENDORED: Final = "vendor"
_COMMENT_LINE: Final = re.compile(rb"^ *(?://|/\*\*|\*/|\* ).*$", re.MULTILINE)
_INDENT: Final = re.compile(rb"^ +", re.MULTILINE)
_TYPE: Final = re.compile(rb"/\*\* @type \{[^*\n]*\} \*/ ")
CACHING: Final = "no-cache"
"""A browser keeps files and asks each time whether they are still the same: a node that was upgraded is seen at once,
and what has not changed costs 304 and no body."""


class Kept(NamedTuple):
    """Where a file lies, and what it is. Contents stay on the disk: nodes have little memory to spare."""

    path: Path
    media: str
    etag: str


class ConsoleFiles:
    """An ASGI layer: answers below /console and at /, and hands on everything else.

    Which files there are is found at the first request. A path is looked up among them, never made of what was asked.
    """

    def __init__(self, app: ASGIApp, *, folder: Path = FOLDER) -> None:
        self._app = app
        self._folder = folder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        if path != "/" and path != PAGE.rstrip("/") and not path.startswith(PAGE):
            await self._app(scope, receive, send)
            return
        await self._answer(Request(scope))(scope, receive, send)

    def _answer(self, request: Request) -> Response:
        path = request.url.path
        if request.method not in ("GET", "HEAD"):
            refused = problem(MethodNotAllowed(f"{path[:200]} is read only"))
            refused.headers["allow"] = "GET, HEAD"
            return refused
        if not path.startswith(PAGE):
            return Response(status_code=307, headers={"location": PAGE, "cache-control": CACHING})
        if not path.startswith(FILES):
            return self._told(request, self._page)
        found = self._files.get(path.removeprefix(FILES))
        return self._told(request, found) if found is not None else problem(NotFound(f"there is no GET {path[:200]}"))

    def _told(self, request: Request, kept: Kept) -> Response:
        headers = {"etag": kept.etag, "cache-control": CACHING, "referrer-policy": "no-referrer"}
        if kept is self._page:
            headers["content-security-policy"] = self._policy
        if is_known(request, kept.etag):
            return Response(status_code=304, headers=headers)
        return Response(_content(kept.path), headers=headers, media_type=kept.media)

    @cached_property
    def _page(self) -> Kept:
        return _kept(self._folder / "index.html", "text/html")

    @cached_property
    def _files(self) -> dict[str, Kept]:
        found = sorted(path for path in self._folder.rglob("*") if path.suffix in MEDIA)
        return {path.relative_to(self._folder).as_posix(): _kept(path, MEDIA[path.suffix]) for path in found}

    @cached_property
    def _policy(self) -> str:
        """Nothing but this node's own files runs, and nothing is asked of anybody else. The import map is part of the
        page, and so is named by its hash."""
        inline = self._page.path.read_text().partition('<script type="importmap">')[2].partition("</script>")[0]
        digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
        return (
            f"default-src 'none'; script-src 'self' 'sha256-{digest}'; style-src 'self'; img-src 'self'; "
            "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )


def _kept(path: Path, media: str) -> Kept:
    return Kept(path, media, f'"{hashlib.sha256(_content(path)).hexdigest()[:32]}"')


def _content(path: Path) -> bytes:
    """As it is sent: our own scripts without indents and comments, which the console's types are, a third of what is
    written. Lines keep their numbers."""
    content = path.read_bytes()
    if path.suffix != ".js" or path.parent.name == VENDORED:
        return content
    return _INDENT.sub(b"", _TYPE.sub(b"", _COMMENT_LINE.sub(b"", content)))
