"""The approval queue with real people at a real cluster: what the card says is what happens."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.cluster import Cluster
from tests.browser.conftest import Meets
from tests.browser.person import Person

pytestmark = pytest.mark.slow


def decide(page: Page, verb: str, reason: str) -> None:
    page.get_by_label("Reason").fill(reason)
    page.get_by_role("button", name=verb).click()


def test_a_wrong_key_is_answered_in_the_servers_own_words(browser: Browser, cluster: Cluster) -> None:
    stranger = Person(browser, cluster.api)
    page = stranger.page
    page.goto(f"http://{cluster.api}/")
    expect(page).to_have_url(f"http://{cluster.api}/console/")
    page.get_by_label("API key").fill("ae_no-such-key")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("that key is not known, or not valid any more")
    stranger.leave()
    assert (stranger.troubles, stranger.strays) == ([], [])


def test_a_session_outlasts_a_reload_and_ends_where_it_is_ended(meet: Meets, cluster: Cluster) -> None:
    anna = meet("anna")
    page = anna.page
    page.reload()
    anna.is_live()
    assert page.evaluate("document.cookie") == "", "scripts could read the session"
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in to Aether")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="Sign in to Aether")).to_be_visible()


def test_two_people_approve_what_evidence_from_outside_asks_for(meet: Meets, cluster: Cluster) -> None:
    """One at a desk, one at a phone. Who reads only the card knows what will happen and how it is undone."""
    anna = meet("anna").page
    proposal = cluster.propose_scale(
        "ci", "shortener", 4, propose="false", tainted="true", reason="links+grow", evidence="https://status.example/42"
    )
    anna.get_by_role("link", name=re.compile("shortener.*3 -> 4")).click()  # it came by itself
    expect(anna).to_have_url(re.compile(proposal))
    article = anna.get_by_role("article")
    expect(article.get_by_role("heading", level=2)).to_have_text("Run 4 instances of shortener instead of 3")
    for says in ("links grow", "https://status.example/42", "Run 3 instances of shortener", "0 of 2 approvals"):
        expect(article).to_contain_text(says)
    anna.get_by_role("button", name="Approve").press("Enter")
    expect(anna.get_by_label("Reason")).to_be_focused()  # without a reason nothing was sent
    decide(anna, "Approve", "saw the queue")
    expect(article).to_contain_text("1 of 2 approvals")
    expect(article).to_contain_text("Each person has one vote")

    at_phone = meet("cleo", f"approvals/{proposal}", phone=True, dark=True)
    cleo = at_phone.page
    expect(cleo.get_by_role("article")).to_contain_text("saw the queue")
    assert cleo.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it scrolls sideways on a phone"
    at_phone.picture("card", "phone")
    decide(cleo, "Approve", "fine with me")
    for page in (cleo, anna):
        expect(page.get_by_role("article")).to_have_attribute("data-state", "applied")
        expect(page.get_by_role("article")).to_contain_text("it has taken hold", timeout=20_000)
    assert cluster.wanted("shortener") == 4

    anna.get_by_role("button", name="Roll back").click()
    expect(anna.get_by_role("article")).to_have_attribute("data-state", "rolled_back")
    assert cluster.wanted("shortener") == 3


def test_what_is_decided_stays_in_view_and_nothing_takes_its_place(meet: Meets, cluster: Cluster) -> None:
    """Whoever opens the page, and no card of their own, sees what becomes of the one that they decide."""
    wish = {"kind": "person", "role": "viewer", "owns": []}
    cluster.ask("admin", "PUT", "/v1/principals/dora?propose=true&reason=the+first", wish)
    page = meet("cleo", "approvals").page
    article = page.get_by_role("article")
    expect(article).to_contain_text("the first")
    page.get_by_label("Reason").fill("half a reas")
    cluster.propose_scale(
        "ci", "shortener", 4, propose="false", tainted="true", reason="riskier", evidence="https://status.example/1"
    )
    expect(page.get_by_role("list", name="Waiting proposals").get_by_role("link").first).to_contain_text("riskier")
    expect(page.get_by_label("Reason")).to_have_value("half a reas")
    decide(page, "Approve", "seen through")
    expect(article).to_have_attribute("data-state", "applied")
    expect(article).to_contain_text("the first")
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Approvals").click()
    expect(article).to_contain_text("riskier")
    decide(page, "Reject", "only looked at")
    expect(article).to_have_attribute("data-state", "rejected")
    expect(article).to_contain_text("riskier")


def test_one_person_rejects_by_keyboard_alone(meet: Meets, cluster: Cluster) -> None:
    proposal = cluster.propose_scale("ci", "shortener", 5, reason="more")
    page = meet("ben", f"approvals/{proposal}").page
    expect(page.get_by_role("article")).to_be_visible()
    page.keyboard.press("r")
    expect(page.get_by_label("Reason")).to_be_focused()
    page.keyboard.type("xa is not enough")  # letters in a field are letters
    page.keyboard.press("Escape")
    page.keyboard.press("x")
    expect(page.get_by_role("button", name="Reject")).to_be_focused()
    expect(page.get_by_role("article")).to_have_attribute("data-state", "pending")
    page.keyboard.press("Enter")
    expect(page.get_by_role("article")).to_have_attribute("data-state", "rejected")
    expect(page.get_by_role("article")).to_contain_text("xa is not enough")
    assert cluster.wanted("shortener") == 3


def test_what_one_may_not_do_is_explained(meet: Meets, cluster: Cluster) -> None:
    proposal = cluster.propose_scale("anna", "shortener", 4, reason="mine")
    anna = meet("anna", f"approvals/{proposal}").page
    expect(anna.get_by_role("article")).to_contain_text("You asked for this, so somebody else decides")
    vic = meet("vic", f"approvals/{proposal}").page
    expect(vic.get_by_role("article")).to_contain_text("needs the role operator; you are viewer")
    expect(vic.get_by_role("button", name="Approve")).to_have_attribute("aria-disabled", "true")
    anna.get_by_role("button", name="Withdraw").click()
    for page in (anna, vic):
        expect(page.get_by_role("article")).to_have_attribute("data-state", "withdrawn")


def test_an_approval_does_not_outlive_what_it_was_given_for(meet: Meets, cluster: Cluster) -> None:
    """Somebody else scales meanwhile: the card says so before anybody approves, and approving makes it stale."""
    proposal = cluster.propose_scale("ci", "shortener", 5, reason="from+three")
    page = meet("ben", f"approvals/{proposal}").page
    expect(page.get_by_role("article")).to_contain_text("3 -> 5")
    cluster.ask("admin", "PUT", "/v1/slices/shortener/scale", {"instances": 4})
    expect(page.get_by_role("article")).to_contain_text("changed since")
    if page.get_by_role("article").get_attribute("data-state") == "pending":
        decide(page, "Approve", "as it was")
    expect(page.get_by_role("article")).to_have_attribute("data-state", "stale")
    assert cluster.wanted("shortener") == 4
    cluster.ask("admin", "PUT", "/v1/slices/shortener/scale", {"instances": 3})


def test_identical_plans_are_decided_alike_and_no_others(meet: Meets, cluster: Cluster) -> None:
    alike = [cluster.propose_scale(who, "shortener", 6, reason=f"asked+by+{who}") for who in ("ci", "anna", "ci")]
    other = cluster.propose_scale("ci", "shortener", 5, reason="five")
    page = meet("ben", f"approvals/{alike[0]}").page
    page.get_by_label("Decide all 3 identical plans alike").check()
    decide(page, "Reject", "not six")
    expect(page.get_by_role("article")).to_have_attribute("data-state", "rejected")
    ended = {each: cluster.ask("ben", "GET", f"/v1/proposals/{each}")["proposal"]["state"] for each in (*alike, other)}
    assert ended == {**dict.fromkeys(alike, "rejected"), other: "pending"}
    cluster.ask("ben", "POST", f"/v1/proposals/{other}/reject", {"reason": "tidy"})


def test_words_of_users_are_words(meet: Meets, cluster: Cluster) -> None:
    """Canaries wherever somebody may write: each would leave its mark on the page if it were taken for HTML."""
    canary = "<img src=x onerror=window.hit=1><script>window.hit=1</script>javascript:window.hit=1"
    quoted = canary.replace("<", "%3C").replace(">", "%3E").replace("=", "%3D").replace(" ", "+")
    proposal = cluster.propose_scale("ci", "shortener", 4, reason=quoted, evidence=quoted)
    page = meet("ben", f"approvals/{proposal}").page
    expect(page.get_by_role("article")).to_contain_text("<img src=x onerror")
    decide(page, "Reject", canary)
    expect(page.get_by_role("article")).to_have_attribute("data-state", "rejected")
    assert page.evaluate("window.hit") is None
    assert page.locator("article img, article script, article a[href^='javascript']").count() == 0
