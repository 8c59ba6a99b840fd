"""Talking to a cluster from the console: what is said is answered, and what is to change passes cards and people."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.cluster import CANARY, Cluster, hostile_alert
from tests.browser.conftest import Meets

pytestmark = pytest.mark.slow

DONE = {"type": "done", "answered_by": "rules", "kind": "answer", "asked": 0, "taken_ms": 1}


@pytest.fixture(scope="module", autouse=True)
def awake(cluster: Cluster) -> None:
    cluster.wake_reasoner()


def say(page: Page, text: str) -> None:
    page.get_by_label("Say something").fill(text)
    page.get_by_label("Say something").press("Enter")
    expect(page.locator(".turn").last.locator(".answered")).to_contain_text("answered by", timeout=40_000)


def test_a_wish_becomes_a_card_and_the_card_what_two_people_make_of_it(meet: Meets, cluster: Cluster, axe: str) -> None:
    """From a sentence to the cluster: confirmed by who said it, agreed to by another, seen to have taken hold."""
    before = cluster.wanted("shortener")
    after, person = before + 1, meet("anna", "chat")
    anna = person.page
    say(anna, "/slice show shortener")
    turn = anna.locator(".turn").last
    turn.get_by_text("1 question asked of the cluster").click()
    expect(turn).to_contain_text('slice.show {"slice":"shortener"} at revision')
    expect(turn).to_contain_text("no model, no cost")
    expect(anna).to_have_url(re.compile("/chat/[0-9a-z]+"))

    say(anna, f"/slice scale shortener {after}")
    card = anna.locator("[data-card]")
    for says in (f"shortener 1.0.0: {before} -> {after} instances", f"Undone by: Run {before} instance", "not made"):
        expect(card).to_contain_text(says)
    assert cluster.wanted("shortener") == before
    person.picture("chat", "light")
    assert person.axe(axe) == []
    card.get_by_label("Reason").fill("links grow")
    card.get_by_role("button", name="Propose it to others").click()
    proposal = anna.locator("article.card[data-state]")
    expect(proposal).to_have_attribute("data-state", "pending")
    expect(proposal).to_contain_text("You asked for this, so somebody else decides")
    assert cluster.wanted("shortener") == before

    card_id = (proposal.get_attribute("aria-labelledby") or "").removeprefix("card-")
    ben = meet("ben", f"approvals/{card_id}").page
    expect(ben.get_by_role("article")).to_contain_text("conversation ")  # what was asked before stands as evidence
    ben.get_by_label("Reason").fill("fine")
    ben.get_by_role("button", name="Approve").click()
    expect(proposal).to_have_attribute("data-state", "applied")
    expect(proposal).to_contain_text("it has taken hold", timeout=20_000)
    assert cluster.wanted("shortener") == after
    cluster.ask("admin", "PUT", "/v1/slices/shortener/scale", {"instances": before})


def test_what_became_of_a_card_is_told_after_a_reload_and_two_agree_where_the_gate_asks_for_two(
    meet: Meets, cluster: Cluster
) -> None:
    """A card that was made and reads as if it were not would be made twice."""
    before = cluster.wanted("analytics")
    person = meet("anna", "chat")
    anna = person.page
    say(anna, f"/slice scale analytics {before + 1}")
    card = anna.locator("[data-card]").first
    card.get_by_label("Reason").fill("to be seen again")
    card.get_by_role("button", name="Make it").click()
    expect(card).to_contain_text("applied")
    cluster.ask("admin", "PUT", "/v1/freezes/slice:analytics", {"why": CANARY})
    say(anna, f"/slice scale analytics {before}")
    frozen = anna.locator("[data-card]").last
    frozen.get_by_label("Reason").fill("back, although it is frozen")
    frozen.get_by_role("button", name="Propose it").click()
    proposal = anna.locator("article.card[data-state]")
    expect(proposal).to_contain_text("0 of 2 approvals; one of them from the owner or an admin")

    anna.reload()
    person.is_live()
    expect(card).to_contain_text("applied")
    expect(card).not_to_contain_text("not made")
    expect(proposal).to_contain_text("0 of 2 approvals")
    expect(anna.locator(".card", has_text="not made")).to_have_count(0)
    identity = (proposal.get_attribute("aria-labelledby") or "").removeprefix("card-")
    for number, name in enumerate(("ben", "cleo"), start=1):
        page = meet(name, f"approvals/{identity}").page
        page.get_by_label("Reason").fill("seen in the conversation")
        page.get_by_role("button", name="Approve").click()
        expect(proposal).to_contain_text(f"{number} of 2 approvals")
    expect(proposal).to_have_attribute("data-state", "applied")
    assert cluster.wanted("analytics") == before
    cluster.ask("admin", "DELETE", "/v1/freezes/slice:analytics")
    assert (anna.evaluate("window.hit"), anna.locator("main img").count()) == (None, 0)


def test_what_others_wrote_is_text_in_answers(meet: Meets, cluster: Cluster) -> None:
    """Answers quote reasons, alerts and playbooks, which anybody may have written."""
    for kind in ("freezes", "incidents"):
        cluster.ask("admin", "PUT", f"/v1/{kind}/slice:shortener", {"why": CANARY})
    cluster.ask("ci", "POST", "/v1/alerts/alertmanager", hostile_alert())
    page = meet("anna", "chat").page
    for asked in (
        "/freeze list",
        "/incident list",
        "/alert list",
        "/slice explain shortener",
        "why is shortener slow?",
    ):
        say(page, asked)
    say(page, f"/freeze set slice:analytics {json.dumps(CANARY)}")
    card = page.locator("[data-card]")
    expect(card).to_contain_text("onerror")
    expect(card).to_contain_text("made after reading words from outside")
    card.get_by_label("Reason").fill(CANARY)
    card.get_by_role("button", name="Propose it").click()
    proposal = page.locator("article.card[data-state]")
    expect(proposal).to_contain_text("onerror")
    identity = (proposal.get_attribute("aria-labelledby") or "").removeprefix("card-")
    cluster.ask("anna", "POST", f"/v1/proposals/{identity}/withdraw", {})
    for turn in range(3):
        expect(page.locator(".turn").nth(turn)).to_contain_text("onerror")
    assert (page.evaluate("window.hit"), page.locator("main img").count()) == (None, 0)
    cluster.ask("ci", "POST", "/v1/alerts/alertmanager", hostile_alert("resolved"))
    for kind in ("freezes", "incidents"):
        cluster.ask("admin", "DELETE", f"/v1/{kind}/slice:shortener")


def test_a_conversation_is_gone_on_with_by_its_address_and_by_nobody_else(meet: Meets, cluster: Cluster) -> None:
    person = meet("vic", "chat")
    page = person.page
    page.keyboard.type("/slice li")  # the field has the focus
    expect(page.locator("#commands option[value='/slice list']")).to_be_attached()
    say(page, '/slice list <img src=x onerror="window.hit=1">')
    page.keyboard.type("/slice list")
    page.keyboard.press("Enter")
    table = page.get_by_role("region", name="Answer")
    expect(table).to_contain_text("shortener")
    own = page.url.partition("/console/")[2]
    page.reload()
    person.is_live()
    expect(page.locator(".turn")).to_have_count(2)
    expect(table).to_contain_text("shortener")
    expect(page.locator(".said").first).to_contain_text("onerror")
    assert (page.evaluate("window.hit"), page.locator("main img").count()) == (None, 0)
    elsewhere = {"text": "/node list", "conversation": own.rpartition("/")[2]}
    cluster.ask("vic", "POST", "/v1/chat", elsewhere)
    expect(page.locator(".turn")).to_have_count(3, timeout=20_000)  # as of a model that is back
    say(page, "/slice scale shortener 4")
    expect(page.locator(".turn").last).to_contain_text("needs the role")

    stranger = meet("ben", own).page
    expect(stranger.get_by_role("alert").first).to_contain_text("you have no conversation")
    page.get_by_role("button", name="Delete this one").click()
    page.get_by_label("Reason").fill("tidy")
    page.get_by_role("button", name="Do it").click()
    expect(page.get_by_role("complementary").locator(f"a[href='/console/{own}']")).to_have_count(0)


def test_an_answer_goes_to_its_own_conversation_and_goes_with_whoever_asked(meet: Meets, cluster: Cluster) -> None:
    """Another one may be opened before it is whole, and another person may sign in on the same page."""
    person = meet("anna", "chat")
    page = person.page
    say(page, "/slice list")
    expect(page.get_by_role("region", name="Answer")).to_contain_text("shortener")
    first = page.url.partition("/console/")[2]
    person.go("chat")
    expect(page.locator(".turn")).to_have_count(0)
    answers: list[Route] = []

    def keep(route: Route) -> None:
        answers.append(route)

    page.route("**/v1/chat", keep)
    page.get_by_label("Say something").fill("/node list")
    page.keyboard.press("Enter")
    expect(page.locator(".turn")).to_have_attribute("data-state", "begun")
    person.go(first)
    expect(page.locator(".turn")).to_contain_text("/slice list")
    events = ({"type": "begun", "conversation": "late", "turn": 1}, {"type": "text", "text": "too late"}, DONE)
    body = "".join(f"data: {json.dumps(each)}\n\n" for each in events)
    with page.expect_response("**/v1/chat"):
        answers[0].fulfill(body=body, content_type="text/event-stream")
    page.unroute("**/v1/chat")
    say(page, "/slice list")
    expect(page).to_have_url(re.compile(first))
    expect(page.locator(".turns")).not_to_contain_text("too late")

    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("API key").fill(cluster.keys["ben"])
    page.get_by_role("button", name="Sign in").click()
    person.is_live()
    expect(page.get_by_role("alert").first).to_contain_text("you have no conversation")
    expect(page.locator(".turn")).to_have_count(0)


def test_what_another_model_doubts_is_marked(meet: Meets) -> None:
    """The cluster has no model here: what it would tell is put into its answer."""
    page = meet("vic", "chat").page
    doubt = {"claim": CANARY, "why": "overstated", "says": "it says more than what it cites"}
    checked = {"type": "checked", "by": "x cheap-1", "claims": 2}
    told = (checked, {**checked, "doubts": [doubt]}, DONE)
    body = "".join(f"data: {json.dumps(each)}\n\n" for each in told)
    page.route("**/v1/chat", lambda route: route.fulfill(body=body, content_type="text/event-stream"))
    say(page, "how many serve")
    turn = page.locator(".turn")
    expect(turn).to_contain_text("x cheap-1 compared 2 claims with the evidence: no doubts")
    doubted = turn.locator("p", has_text="doubted")
    expect(doubted).to_contain_text("it says more than what it cites (by x cheap-1)")
    expect(doubted).to_contain_text("onerror")
    assert (page.evaluate("window.hit"), page.locator("main img").count()) == (None, 0)


def test_what_may_be_meant_is_offered_and_chosen(meet: Meets) -> None:
    page = meet("anna", "chat").page
    say(page, "please make the shortener bigger or so")
    choices = page.get_by_role("group", name="Which of these is meant?")
    expect(choices.get_by_role("button").first).to_be_visible()
    choices.get_by_role("button").first.click()
    expect(page.locator(".turn, .choices form").nth(1)).to_be_visible()


def test_why_is_answered_with_what_was_looked_at(meet: Meets) -> None:
    page = meet("vic", "chat").page
    page.get_by_role("button", name="why is shortener slow?").click()
    expect(page.locator(".answered")).to_contain_text("answered by", timeout=40_000)
    expect(page.locator(".turn")).to_contain_text("questions asked of the cluster")
    expect(page.locator(".turn > p").nth(1)).not_to_be_empty()
