"""Every page at a real cluster: readable for all, in both themes and on a phone, by keyboard, and from nobody else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from urllib.parse import quote, urlencode

import pytest
from playwright.sync_api import Page, expect

from tests.browser.cluster import CANARY, Cluster, hostile_alert
from tests.browser.conftest import Meets
from tests.browser.person import DESK, PHONE

pytestmark = pytest.mark.slow
PAGES = {
    "overview": "Overview",
    "approvals": "Approvals",
    "topology": "Topology",
    "topology/n2": "Topology",
    "topology?as=table": "Topology",
    "slices": "Slices",
    "slices/shortener": "shortener",
    "deployments": "Deployments",
    "scaling/shortener": "Scaling",
    "alerts": "Alerts",
    "playbooks": "Playbooks",
    "playbooks/latency-high": "latency-high",
    "runs": "Runs",
    "runs?show=locks": "Runs",
    "chat": "Chat",
    "traces": "Traces",
    "audit": "Audit",
    "forge": "Forge",
}


HOSTILE = f"""
[playbook]
id = "hostile"
version = "1.0.0"
kind = "troubleshooting"
risk = "read-only"
summary = '''Wait, {CANARY}'''

[params]
words = {{ type = "string", default = '''{CANARY}''', summary = '''{CANARY}''' }}

[locks]
exclusive = ["hostile"]

[[pre]]
cel = "params.words != ''"
why = '''{CANARY}'''

[[step]]
id = "still"
uses = "wait"
with = {{ for = "1h" }}
"""


@pytest.fixture(scope="module", autouse=True)
def lived_in(cluster: Cluster) -> Iterator[None]:
    """Something on every page: a waiting change, an alert, traces, records."""
    cluster.ask("admin", "PUT", "/v1/alerts/shortener/p99_ms", {"bound": 0.001, "for_s": 1})
    cluster.ask("admin", "POST", "/v1/playbooks", {"source": HOSTILE})
    run = cluster.ask("anna", "POST", "/v1/playbooks/hostile/run", {"params": {"words": CANARY}})["run"]
    waiting = cluster.propose_scale("ci", "shortener", 4, reason="links+grow", evidence="https://status.example/42")
    yield
    cluster.ask("ci", "POST", f"/v1/proposals/{waiting}/withdraw", {})
    cluster.ask("admin", "POST", f"/v1/runs/{run}/cancel", {"why": CANARY})


def test_every_page_is_there_for_everybody(meet: Meets, axe: str) -> None:
    """In light and dark, at a desk and on a phone."""
    person = meet("anna", "overview")
    page = person.page
    wrong: dict[str, list[str]] = {}
    for path, title in PAGES.items():
        person.go(path)
        expect(page.get_by_role("heading", level=1)).to_have_text(title)
        expect(page.locator("[aria-busy]")).to_have_count(0)
        if path == "overview":
            expect(page.locator("[data-event]").nth(19)).to_be_attached()  # what happened before it was opened
        found = [f"light: {each}" for each in person.axe(axe)]
        person.picture(path, "light")
        page.emulate_media(color_scheme="dark")
        found += [f"dark: {each}" for each in person.axe(axe)]
        person.picture(path, "dark")
        page.set_viewport_size(PHONE)  # type: ignore[arg-type]
        person.picture(path, "phone")
        if not page.evaluate("document.documentElement.scrollWidth <= innerWidth"):
            found.append("scrolls sideways on a phone")
        page.emulate_media(color_scheme="light")
        page.set_viewport_size(DESK)  # type: ignore[arg-type]
        if found:
            wrong[path] = found
    assert wrong == {}


def test_signing_in_is_there_for_everybody(meet: Meets, axe: str) -> None:
    person = meet("anna")
    person.page.get_by_role("button", name="Sign out").click()
    expect(person.page.get_by_role("heading", name="Sign in to Aether")).to_be_visible()
    assert person.axe(axe) == []


def test_keys_lead_everywhere_and_back(meet: Meets) -> None:
    page = meet("vic", "overview").page
    page.keyboard.press("?")
    sheet = page.get_by_role("dialog")
    letters: list[str] = sheet.locator("dt kbd:nth-child(2)").all_inner_texts()
    assert len(letters) == len(set(letters)) >= 9
    page.keyboard.press("Escape")
    expect(sheet).to_be_hidden()
    titles = []
    for letter in letters:
        page.keyboard.press("g")
        page.keyboard.press(letter)
        expect(page.locator("nav.pages a[aria-current]")).to_have_attribute("title", re.compile(rf"g {letter}\)"))
        titles.append(page.get_by_role("heading", level=1).inner_text())
    assert len(set(titles)) == len(letters)
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text(titles[-2])


def test_outside_a_forge_no_key_leads_to_its_page(meet: Meets) -> None:
    """As the page of any cluster that people use: it must not offer what is not there."""
    person = meet("vic", "overview")
    page = person.page
    expect(page.get_by_role("link", name="Forge", exact=True)).to_be_visible()
    page.route("**/v1/forge", lambda route: route.fulfill(json={"present": False, "forge": None}))
    person.open("alerts")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog").get_by_text("Audit")).to_be_visible()
    expect(page.get_by_role("dialog").get_by_text("Forge")).to_have_count(0)
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.press("f")
    page.keyboard.press("g")
    page.keyboard.press("u")
    expect(page.get_by_role("heading", level=1)).to_have_text("Audit")
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text("Alerts")


def test_a_scale_from_the_slices_page_says_first_what_it_does(meet: Meets, cluster: Cluster) -> None:
    page = meet("anna", "slices/analytics").page
    page.get_by_role("spinbutton", name="Instances").fill("3")
    page.get_by_role("button", name="Scale").click()
    plan = page.get_by_role("form", name="Scale")
    expect(plan).to_contain_text("analytics 1.0.0: 2 -> 3 instances")
    expect(plan).to_contain_text("Undone by: Run 2 instances of analytics 1.0.0.")
    plan.get_by_label("Reason").fill("seen in the console")
    plan.get_by_role("button", name="Do it").click()
    count = page.locator(".scale > p .mark")
    expect(count).to_contain_text("3 of 3", timeout=20_000)
    cluster.ask("admin", "PUT", "/v1/slices/analytics/scale", {"instances": 2})
    expect(count).to_contain_text("2 of 2", timeout=20_000)


def test_nothing_is_sent_but_what_was_planned(meet: Meets, cluster: Cluster) -> None:
    """Neither another number under the plan of the first, nor what somebody else made meaningless meanwhile."""
    page = meet("anna", "slices/analytics").page
    count, plan = page.get_by_role("spinbutton", name="Instances"), page.get_by_role("form", name="Scale")
    scale = page.get_by_role("button", name="Scale", exact=True)
    for no_count in ("", "2.5", "-3"):
        count.fill(no_count)
        expect(scale).to_be_disabled()
    count.fill("3")
    scale.click()
    expect(plan).to_contain_text("2 -> 3 instances")
    count.fill("4")
    expect(plan).to_have_count(0)
    scale.click()
    expect(plan).to_contain_text("2 -> 4 instances")
    cluster.ask("admin", "PUT", "/v1/slices/analytics/scale", {"instances": 3})
    plan.get_by_label("Reason").fill("from two to four")
    plan.get_by_role("button", name="Do it").click()
    expect(page.get_by_role("alert").filter(has_text="changed at revision")).to_be_visible()
    assert cluster.wanted("analytics") == 3
    cluster.ask("admin", "PUT", "/v1/slices/analytics/scale", {"instances": 2})


@pytest.mark.parametrize("address", ["%E0%A4", "%zz", "nonsense"])
def test_an_address_that_leads_nowhere_says_so(meet: Meets, address: str) -> None:
    person = meet("vic", "overview")
    person.open(address)
    expect(person.page.get_by_role("heading", level=1)).to_have_text("There is no such page")


def test_on_a_phone_the_pages_name_is_in_view_and_its_top_first(meet: Meets) -> None:
    person = meet("vic", "playbooks", phone=True)
    page = person.page
    page.locator("main table a[data-row]").last.click()
    expect(page.get_by_role("heading", level=1)).to_be_in_viewport()
    for name in ("audit", "runs", "overview"):
        person.go(name)
        expect(page.locator("nav.pages a[aria-current]")).to_be_in_viewport(ratio=1)


def test_each_method_of_a_slice_has_its_figures(meet: Meets) -> None:
    person = meet("vic", "slices/shortener")
    page = person.page
    methods = page.get_by_role("region", name="Methods")
    expect(methods.get_by_role("row", name=re.compile("^follow"))).to_contain_text("GET /s/{code}")
    expect(methods.get_by_role("row", name=re.compile("^follow")).get_by_role("cell").nth(4)).to_have_text(
        re.compile(r"^\d"), timeout=20_000
    )
    expect(page.get_by_text(re.compile(r"^The slowest is (follow|shorten|show): p99 "))).to_be_visible()
    methods.scroll_into_view_if_needed()
    person.picture("slice-methods", "light")


def test_evidence_on_a_card_leads_to_what_it_names(meet: Meets, cluster: Cluster) -> None:
    """Whoever decides must be able to look at what led to it, and is led nowhere by words alone."""
    person = meet("vic", "alerts")
    page = person.page
    page.get_by_role("list", name="Alerts").get_by_role("link", name=re.compile("p99_ms of slice")).first.click(
        timeout=20_000
    )
    expect(page).to_have_url(re.compile("/alerts/[0-9a-f]{16}$"))
    cluster.trace()
    trace = cluster.ask("vic", "GET", "/v1/traces?text=shortener")["traces"][0]["trace_id"]
    event = cluster.ask("vic", "GET", "/v1/events?limit=1")["events"][0]["id"]
    record = cluster.ask("vic", "GET", "/v1/audit?limit=1")["items"][0]["record"]["id"]
    leads = {
        f"alert:{page.url.rpartition('/')[2]}": "p99_ms of slice:shortener",
        f"trace:{trace}": "in the order in which they began",
        f"event:{event}": f"Event {event}",
        f"audit:{record}": f"record {record}",
        f"decision:{cluster.near_miss('analytics')}": "About analytics",
        "decision:1m8d17s1tjfzg1j": "It is kept no more",
        'slice.show {"slice":"analytics"} at revision 1': "serve; bounds",
    }
    named = urlencode([("evidence", each) for each in (*leads, "javascript:window.hit=1", CANARY)])
    path = f"/v1/slices/shortener/scale?propose=true&{named}"
    proposal = cluster.ask("ci", "PUT", path, {"instances": 5})["proposal"]
    for text, says in leads.items():
        person.go(f"approvals/{proposal}")
        page.get_by_role("article").get_by_role("link", name=text, exact=True).click()
        expect(page.get_by_role("main")).to_contain_text(says)
    person.go(f"approvals/{proposal}")
    expect(page.get_by_role("article")).to_contain_text("javascript:window.hit=1")
    assert page.get_by_role("article").get_by_role("link").count() == len(leads)
    assert (page.evaluate("window.hit"), page.locator("main img").count()) == (None, 0)
    cluster.ask("ci", "POST", f"/v1/proposals/{proposal}/withdraw", {})


def test_an_alert_is_taken_on_with_what_is_done_about_it(meet: Meets, cluster: Cluster) -> None:
    page = meet("ben", "alerts").page
    expect(page.get_by_text("fires", exact=False).first).to_be_visible(timeout=20_000)
    page.get_by_placeholder("What you do about it").first.fill("a test made it <b>fire</b>")
    page.get_by_role("button", name="Take it on").first.click()
    expect(page.get_by_text("ben took it on: a test made it <b>fire</b>")).to_be_visible()
    cluster.ask("admin", "DELETE", "/v1/alerts/shortener/p99_ms")


def test_the_audit_is_filtered_by_its_address_and_its_chain_is_checked(meet: Meets) -> None:
    page = meet("vic", "audit?kind=proposed").page
    records = page.get_by_role("list", name="Records").get_by_role("listitem")
    expect(records.first).to_contain_text("proposed")
    expect(page.get_by_text("chain verified")).to_be_visible()
    page.keyboard.press("/")
    expect(page.get_by_label("subject")).to_be_focused()
    page.keyboard.type("slice:none-of-these")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("subject=slice%3Anone-of-these"))
    expect(page.get_by_text("No record is like that.")).to_be_visible()


def test_a_request_is_found_again_as_a_waterfall(cluster: Cluster, meet: Meets) -> None:
    cluster.trace()
    page = meet("vic", "traces?text=shortener").page
    page.get_by_role("table").get_by_role("link").first.click()
    expect(page.get_by_role("region", name="Waterfall")).to_contain_text("shortener/")
    expect(page.get_by_role("region", name="Waterfall").locator(".bar.critical").first).to_be_attached()


def test_a_forecast_is_a_band_a_sentence_and_a_table(meet: Meets, axe: str) -> None:
    """A model needs more minutes than a test has: these answers stand in for its own."""
    minute = 29_928_000
    bands = [{"minute": minute + at, "p10": 80.0, "p50": 100.0, "p90": 130.0, "rate": 97.0} for at in range(-15, 0)]
    ahead = [{"minute": minute + at, "p10": 160.0, "p50": 200.0, "p90": 260.0, "rate": None} for at in range(11)]
    row = {"slice": "shortener", "past": bands, "now": ahead[0], "ahead": ahead[1:], "wanted": 3, "serving": 3}
    decision = {
        "id": "1m8d17s1tjfzg1j",
        "at_unix_ms": (minute - 5) * 60_000,
        "kind": "change",
        "slice": "shortener",
        "trouble": "",
        "seen": {"serving": 3, "rate": 97.0, "rate_per_instance": 40.0, "latency_p95_ms": 8.0},
        "decision": {"wanted": 5, "asked": 6, "layer": "forecast", "because": ["forecast", "step"]},
        "gate": {"outcome": "applied", "gate_class": "G0", "rule": "inside bounds", "audit": "", "proposal": ""},
        "options": [{"instances": 5, "score": 0.2}, {"instances": 6, "score": 0.4}],
        "outcomes": [],
    }
    person = meet("vic", "overview")
    page = person.page
    as_of = {"revision": 1_000_000_000, "stale": False, "next": ""}
    told = as_of | {"items": [row], "leader": "n1", "trouble": ""}
    page.route("**/v1/controller/forecast*", lambda route: route.fulfill(json=told))
    page.route("**/v1/controller/decisions*", lambda route: route.fulfill(json=as_of | {"items": [decision]}))
    person.go("scaling/shortener")
    figure = page.get_by_role("figure")
    expect(figure).to_contain_text("In ten minutes between 160 and 260 are expected. 1 decision marked.")
    figure.get_by_text("As a table").click()
    expect(figure.get_by_role("row")).to_have_count(1 + 15 + 11)
    expect(figure.get_by_role("columnheader")).to_have_text(["time", "p10", "p90", "p50", "measured"])
    expect(figure).to_contain_text("change: 3 → 5 instances")
    person.picture("forecast", "light")
    page.get_by_role("main").get_by_text("3 → 5", exact=True).click()
    expect(page.get_by_role("main")).to_contain_text("forecast asked for 6; forecast, step")
    expect(page.get_by_role("region", name="Options").get_by_role("row")).to_have_count(3)
    person.go("scaling?decision=1m8d17s1tjfzg1j")
    expect(page.get_by_role("region", name="Decision 1m8d17s1tjfzg1j")).to_contain_text("forecast asked for 6")
    assert person.axe(axe) == []


def test_a_recorded_decision_is_decided_again_as_its_address_says(meet: Meets, cluster: Cluster, axe: str) -> None:
    """What if: read alone, from what was seen then, by whoever may look."""
    cluster.near_miss("analytics")
    person = meet("vic", "scaling/analytics")
    page = person.page
    panel = page.get_by_role("region", name="What if")
    panel.get_by_label("busy part of an instance, by the rules").fill("0.5")
    panel.get_by_label("at most, instances").fill("2")
    panel.get_by_role("button", name="Decide again").click()
    expect(page).to_have_url(re.compile(r"scaling/analytics\?.*utilisation=0\.5"))
    expect(panel.get_by_role("status")).to_contain_text(re.compile("of [1-9].* would have come out otherwise"))
    expect(panel.get_by_role("region", name="Decided again").get_by_role("row")).not_to_have_count(0)
    person.picture("what-if", "light")
    assert person.axe(axe) == []
    panel.get_by_label("busy part of an instance, by the rules").fill("7")
    panel.get_by_label("at most, instances").press("Enter")
    expect(panel.get_by_role("alert")).to_contain_text("utilisation")
    panel.get_by_role("link", name="As it was").click()
    expect(page).to_have_url(re.compile("scaling/analytics$"))


def test_a_viewer_is_told_what_a_node_needs(meet: Meets) -> None:
    page = meet("vic", "topology/n3").page
    panel = page.get_by_role("region", name="Node n3")
    expect(panel).to_contain_text("needs the role operator; you are viewer")
    expect(panel.get_by_role("button", name="Drain")).to_have_attribute("aria-disabled", "true")


def test_what_nodes_say_is_text_wherever_it_stands(meet: Meets, cluster: Cluster) -> None:
    """Users' words come back in events, records, alerts and votes; none of them may become part of a page."""
    cluster.ask("admin", "PUT", "/v1/freezes/slice:shortener", {"why": CANARY})
    cluster.ask("admin", "PUT", "/v1/incidents/slice:shortener", {"why": CANARY})
    cluster.ask("ci", "POST", "/v1/alerts/alertmanager", hostile_alert())
    sent = next(each for each in cluster.ask("vic", "GET", "/v1/alerts")["items"] if each["origin"] == "external")
    cluster.ask("ben", "PUT", f"/v1/alert-acknowledgements/{sent['fingerprint']}", {"why": CANARY})
    proposal = cluster.propose_scale("ci", "analytics", 4, reason=quote(CANARY), evidence=quote(CANARY))
    cluster.ask("ben", "POST", f"/v1/proposals/{proposal}/reject", {"reason": CANARY})
    person = meet("vic", "overview")
    hostile = (f"alerts/{sent['fingerprint']}", f"approvals/{proposal}", "audit?kind=rejected")
    for path in (*PAGES, *hostile):
        person.go(path)
        expect(person.page.locator("[aria-busy]")).to_have_count(0)
        if path in hostile:
            expect(person.page.get_by_role("main")).to_contain_text("onerror")
        assert person.page.evaluate("window.hit") is None, path
        assert person.page.locator("main img").count() == 0, path
    person.go("slices/shortener")
    expect(person.page.get_by_text("onerror").first).to_be_visible()
    person.go("runs")
    person.page.get_by_role("link", name=re.compile("hostile")).first.click()
    expect(person.page.locator("[data-step=still]")).to_be_visible()
    expect(person.page.get_by_text("onerror").first).to_be_visible()
    person.go("playbooks/hostile")
    expect(person.page.get_by_role("button", name="See what it would do")).to_be_visible()
    assert (person.page.evaluate("window.hit"), person.page.locator("main img").count()) == (None, 0)
    cluster.ask("ci", "POST", "/v1/alerts/alertmanager", hostile_alert("resolved"))
    for kind in ("freezes", "incidents"):
        cluster.ask("admin", "DELETE", f"/v1/{kind}/slice:shortener")


def test_the_page_says_how_much_it_loads(meet: Meets) -> None:
    """By the browser's own account, not by ours: the script that one visit takes."""
    page: Page = meet("vic", "overview").page
    sizes = page.evaluate(
        "JSON.stringify(performance.getEntriesByType('resource').filter(e => e.name.endsWith('.js'))"
        ".map(e => e.decodedBodySize))"
    )
    assert 0 < sum(json.loads(sizes)) <= 250_000
