"""Somebody who looks at the console, in a browser of their own."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect

PICTURES = os.environ.get("AETHER_CONSOLE_PICTURES", "")
PHONE = {"width": 390, "height": 844}
DESK = {"width": 1200, "height": 800}
EXPECTED_REFUSALS = (
    "status of 401",
    "status of 404",
    "status of 409",
    "status of 412",
    "status of 403",
    "status of 400",
    "status of 422",
)
"""Chromium reports each answer of these as an error of the page; those that a test asks for are none."""


class Person:
    """`troubles` are errors and warnings of the page, `strays` what it asked of any other origin."""

    def __init__(self, browser: Browser, address: str, *, phone: bool = False, dark: bool = False) -> None:
        self.address = address
        self.troubles: list[str] = []
        self.strays: list[str] = []
        self.loses_node = False  # then failed connections are what the test is about
        self._context = browser.new_context(
            viewport=PHONE if phone else DESK,  # type: ignore[arg-type]
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
        )
        self.page: Page = self._context.new_page()
        self.page.set_default_timeout(8_000)
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("request", self._asked)

    def sign_in(self, key: str, path: str = "approvals") -> Person:
        self.page.goto(f"http://{self.address}/console/{path}")
        self.page.get_by_label("API key").fill(key)
        self.page.get_by_role("button", name="Sign in").click()
        self.is_live()
        return self

    def open(self, path: str) -> None:
        self.page.goto(f"http://{self.address}/console/{path}")
        self.is_live()

    def is_live(self) -> None:
        expect(self.page.locator("[data-link]")).to_have_attribute("data-link", "live", timeout=15_000)

    def window(self, path: str) -> Page:
        """One more of the same browser: whoever is signed in here is so there."""
        page = self._context.new_page()
        page.set_default_timeout(8_000)
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.troubles.append(str(error)))
        page.goto(f"http://{self.address}/console/{path}")
        return page

    def module(self, name: str, expression: str) -> Any:
        """What an expression over a module of the page says, as `m.facts.value.length`."""
        return self.page.evaluate(
            f"async () => {{ const m = await import('/console/static/{name}'); return {expression}; }}"
        )

    def go(self, path: str) -> None:
        """As a link in the page would."""
        self.module("lib/router.js", f"m.go('/console/{path}')")

    def picture(self, name: str, how: str) -> None:
        """Into the directory that AETHER_CONSOLE_PICTURES names, where it names one."""
        if PICTURES:
            self.page.wait_for_timeout(300)  # a chart is drawn with the frame after its size is known
            self.page.screenshot(path=Path(PICTURES) / f"console-{re.sub('[^a-z0-9]+', '-', name)}-{how}.png")

    def axe(self, script: str) -> list[str]:
        """What axe finds wrong with the page, with what it is about."""
        found: list[dict[str, Any]] = self.page.evaluate(
            f"async () => {{ window.axe ?? (() => {{ {script} }})(); "
            f"return (await window.axe.run(document, {{resultTypes: ['violations']}})).violations; }}"
        )
        return [
            f"{each['id']}: {each['nodes'][0]['html'][:160]} {each['nodes'][0]['failureSummary'][:200]}"
            for each in found
        ]

    def leave(self) -> None:
        self._context.close()

    def _heard(self, message: ConsoleMessage) -> None:
        expected = any(text in message.text for text in EXPECTED_REFUSALS)
        expected = expected or (self.loses_node and "net::ERR_" in message.text)
        if message.type in ("error", "warning") and not expected:
            self.troubles.append(message.text)

    def _asked(self, request: Request) -> None:
        if urlsplit(request.url).netloc != self.address:
            self.strays.append(request.url)
