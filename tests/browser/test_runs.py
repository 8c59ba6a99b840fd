"""Playbooks from the console: planned, started, waited for, held, and taken back, as everybody who looks sees it."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.cluster import Cluster
from tests.browser.conftest import Meets
from tests.browser.person import Person

pytestmark = pytest.mark.slow
TALKATIVE = """
[playbook]
id = "talkative"
version = "1.0.0"
kind = "troubleshooting"
risk = "low"
summary = "Write more into the log, as two people agree"

[params]
level = { type = "string", default = "debug", choices = ["debug", "warning"], summary = "what is written" }
time = { type = "duration", default = "30m" }

[locks]
exclusive = ["config/log_level"]

[limits]
max_concurrent = 3
cooldown = "5m"

[[pre]]
cel = "cluster.quorum"
why = "nothing can be changed"

[[step]]
id = "raise"
uses = "log-level.set"
with = { level = "{level}" }
approval = "always"
verify = { cel = "config.log_level == params.level", within = "10s" }
undo = "inverse"

[[step]]
id = "meanwhile"
uses = "wait"
with = { for = "{time}" }

[[step]]
id = "restore"
uses = "log-level.unset"
verify = { cel = "config.log_level != params.level", within = "10s" }
undo = { none = "what is undone is the step before it" }

[verify]
cel = "steps.restore.state == 'done'"

[[trigger.alert]]
match = { alertname = "SliceSlow" }
for = "1m"
mode = "propose"
"""
DOUBTFUL = """
[playbook]
id = "doubtful"
version = "1.0.0"
kind = "troubleshooting"
risk = "read-only"
summary = "See that somebody has looked"

[[step]]
id = "look"
uses = "assert"
with = { that = { cel = "config.log_level == 'unheard-of'" }, why = "nobody has looked yet" }
on_failure = "ask"
"""


def do(page: Page, what: str, reason: str) -> None:
    """As a person does: look at the plan, give the reason, do it."""
    page.get_by_role("button", name=what, exact=True).click()
    plan = page.get_by_role("form", name=what)
    plan.get_by_label("Reason").fill(reason)
    plan.get_by_role("button", name="Do it").click()


def agree(person: Person, step: Locator) -> None:
    """To the card that the step leads to."""
    card = step.get_by_role("link", name="see the card").get_attribute("href") or ""
    person.go(card.removeprefix("/console/"))
    person.page.get_by_label("Reason").fill("agreed")
    person.page.get_by_role("button", name="Approve").click()


def start(page: Page) -> None:
    page.get_by_role("button", name="See what it would do").click()
    expect(page.get_by_text("it can be started")).to_be_visible()
    expect(page.locator(".plan li", has_text="raise")).to_contain_text("predicted")
    page.get_by_label("Reason").fill("a look at the log")
    page.get_by_role("button", name="Start it").click()


def test_a_run_is_seen_step_by_step_and_taken_back(meet: Meets, cluster: Cluster, axe: str) -> None:
    cluster.ask("admin", "POST", "/v1/playbooks", {"source": TALKATIVE})
    person = meet("cleo", "playbooks")
    cleo = person.page
    row = cleo.get_by_role("row", name=re.compile("talkative")).last
    for says in ("alert alertname=SliceSlow that lasts 1m: proposes it", "3 at once", "5m between", "never, as it is"):
        expect(row).to_contain_text(says)
    row.get_by_role("link", name="talkative").click()
    cleo.get_by_label("time").fill("soon")
    cleo.get_by_role("button", name="See what it would do").click()
    expect(cleo.get_by_role("alert").filter(has_text="time")).to_contain_text("'soon' is no duration")
    cleo.get_by_label("time").fill("20m")
    start(cleo)

    expect(cleo).to_have_url(re.compile("/runs/[a-z0-9]+"))
    raised, meanwhile = (cleo.locator(f"[data-step={name}]") for name in ("raise", "meanwhile"))
    expect(raised).to_contain_text("planned against the limits: ")
    expect(meanwhile).to_contain_text("not begun")
    ben = meet("ben")
    agree(ben, raised)
    expect(raised).to_contain_text("verified: ")
    expect(raised).to_contain_text("log_level")
    expect(meanwhile.locator(".mark").first).to_contain_text("done")

    first = cleo.url
    cluster.ask("ben", "POST", "/v1/playbooks/talkative/run", {"params": {}})
    person.go("runs")
    expect(cleo.get_by_role("table", name="Runs").get_by_role("row", name=re.compile("talkative"))).to_have_count(2)
    person.picture("runs-list", "light")
    person.go("runs?show=locks")
    lock = cleo.get_by_role("row", name=re.compile("config.log_level"))
    expect(lock.get_by_role("link")).to_have_count(2)  # who has it, who waits
    expect(lock).to_contain_text(re.compile(r"grant \d+"))
    person.picture("locks", "light")
    lock.get_by_role("link").nth(1).click()
    expect(cleo.locator("[data-state]")).to_contain_text("waits for its locks")
    do(cleo, "Cancel and undo", "one is enough")
    expect(cleo.locator("[data-state]")).to_have_attribute("data-state", "cancelled")

    person.go(first.partition("/console/")[2])
    expect(cleo.locator("[data-state]")).to_have_attribute("data-state", "waiting")
    do(cleo, "Pause", "lunch")
    expect(cleo.locator("[data-state]")).to_have_attribute("data-state", "paused")
    expect(cleo.locator("[data-state]")).to_contain_text("lunch")
    person.picture("run", "light")
    assert person.axe(axe) == []
    vic = meet("vic", first.partition("/console/")[2]).page
    expect(vic.get_by_text("needs the role operator; you are viewer").first).to_be_visible()
    do(cleo, "Let it go on", "back")
    for page in (cleo, vic):
        expect(page.locator("[data-state]")).to_have_attribute("data-state", "waiting")
    do(cleo, "Cancel and undo", "it says enough")
    for page in (cleo, vic):
        expect(page.locator("[data-state]")).to_have_attribute("data-state", "cancelled", timeout=20_000)
        expect(page.locator("[data-step=raise]")).to_contain_text("undo done")


def test_a_step_that_fails_waits_for_what_people_say(meet: Meets, cluster: Cluster) -> None:
    """What it asserts never holds and the playbook says ask: somebody takes it as done, and the run goes on."""
    cluster.ask("admin", "POST", "/v1/playbooks", {"source": DOUBTFUL})
    run = cluster.ask("anna", "POST", "/v1/playbooks/doubtful/run", {})["run"]
    page = meet("ben", f"runs/{run}").page
    expect(page.locator("[data-state]")).to_have_attribute("data-state", "needs_human")
    expect(page.locator("[data-step=look]")).to_contain_text("nobody has looked yet")
    do(page, "It took effect", "seen by hand")
    expect(page.locator("[data-state]")).to_have_attribute("data-state", "succeeded")
    expect(page.locator("[data-step=look]")).to_contain_text("settled by ben")
