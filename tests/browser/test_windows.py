"""Several windows of one browser: one session for all of them, and few connections."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.cluster import Cluster
from tests.browser.conftest import Meets

pytestmark = pytest.mark.slow

CONNECTIONS_MAX = 6  # that browsers open to one address with HTTP/1.1


def seen(page: Page, is_seen: bool) -> None:
    """As if somebody went to its tab, or away from it: a browser that is driven shows all of its pages at once."""
    page.evaluate(
        "(hidden) => { Object.defineProperty(document, 'hidden', { configurable: true, get: () => hidden });"
        " document.dispatchEvent(new Event('visibilitychange')); }",
        not is_seen,
    )


def is_live(page: Page) -> None:
    expect(page.locator("[data-link]")).to_have_attribute("data-link", "live", timeout=15_000)


def test_what_is_not_seen_holds_no_connection_and_catches_up(meet: Meets, cluster: Cluster) -> None:
    """Or the seventh window of a browser would wait without end."""
    anna = meet("anna", "overview")
    seen(anna.page, False)
    for _ in range(CONNECTIONS_MAX + 1):
        page = anna.window("overview")
        is_live(page)
        seen(page, False)
    proposal = cluster.propose_scale("ci", "shortener", 5, reason="while+nobody+looked")
    seen(anna.page, True)
    waits = anna.page.get_by_role("region").or_(anna.page.locator("section")).filter(has_text="What waits")
    expect(waits.first).to_contain_text("shortener")
    assert proposal in anna.module("lib/store.js", "JSON.stringify(m.facts.value)"), "the event was replayed"
    cluster.ask("ci", "POST", f"/v1/proposals/{proposal}/withdraw", {"reason": "seen"})


def test_where_another_window_signs_in_anew_none_goes_on_under_the_old_name(meet: Meets, cluster: Cluster) -> None:
    """The cookie is the browser's: what one window did as anna, another would do as ben."""
    anna = meet("anna", "approvals")
    other = anna.window("overview")
    is_live(other)
    other.get_by_role("button", name="Sign out").click()
    expect(anna.page.get_by_role("heading", name="Sign in to Aether")).to_be_visible()
    other.get_by_label("API key").fill(cluster.keys["ben"])
    other.get_by_role("button", name="Sign in").click()
    for page in (other, anna.page):
        is_live(page)
        expect(page.locator(".account")).to_contain_text("ben")
    proposal = cluster.propose_scale("ci", "shortener", 5, reason="to+be+turned+down")
    anna.go(f"approvals/{proposal}")
    anna.page.get_by_label("Reason").fill("as ben")
    anna.page.get_by_role("button", name="Reject").click()
    expect(anna.page.get_by_role("article")).to_have_attribute("data-state", "rejected")


def test_a_session_that_was_ended_for_somebody_says_why(meet: Meets, cluster: Cluster) -> None:
    vic = meet("vic", "slices").page
    role = {"kind": "person", "role": "viewer", "owns": []}
    cluster.ask("admin", "PUT", "/v1/principals/vic", role | {"disabled": True})
    expect(vic.get_by_role("alert").filter(has_text="Your session has ended")).to_be_visible(timeout=15_000)
    cluster.ask("admin", "PUT", "/v1/principals/vic", role)
    vic.get_by_label("API key").fill(cluster.keys["vic"])
    vic.get_by_role("button", name="Sign in").click()
    is_live(vic)
    expect(vic.get_by_role("heading", name="Slices", level=1)).to_be_visible()
