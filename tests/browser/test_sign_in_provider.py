"""Signing in at an identity provider with a real browser: there, back at another node, and to work."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from anyio.from_thread import start_blocking_portal
from playwright.sync_api import Browser, Page, expect

from evals.forge.forge import Forge
from tests.browser.cluster import Cluster
from tests.browser.conftest import ROOT
from tests.browser.person import PHONE, Person
from tests.browser.relay import Relay
from tests.identity_provider import CLIENT, SECRET, IdentityProvider, identity_provider

pytestmark = pytest.mark.slow
ROLES = {"olga": "operator", "vera": "viewer"}


@dataclass
class World:
    """Two nodes behind one address, and a provider that knows olga, vera, and a stranger to the cluster."""

    cluster: Cluster
    relay: Relay
    provider: IdentityProvider

    def lead_to(self, node: str) -> None:
        """New connections of browsers; those that stand end."""
        self.relay.target = self.cluster.address(node)
        self.cluster.run(self.relay.cut)


def set_up(cluster: Cluster, provider: IdentityProvider, address: str) -> None:
    """As somebody who holds the nodes would: their files, and a new control process."""
    settings = {
        "oidc_issuer": provider.issuer,
        "oidc_client": CLIENT,
        "oidc_name": "Acme",
        "console_address": f"http://{address}",
    }
    forge = cluster.forge
    for name, node in forge.nodes.items():
        with (node.data / "config.toml").open("a") as file:
            file.writelines(f'{each} = "{value}"\n' for each, value in settings.items())
        secret = node.data / "oidc-client-secret"
        secret.touch(mode=0o600)
        secret.write_text(SECRET)
        cluster.run(node.stop, drain=False)
        cluster.run(forge.start_node, name)
    cluster.run(forge.until_well)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with start_blocking_portal() as portal, identity_provider(people=("u-olga", "u-vera", "u-stranger")) as provider:
        forge = Forge(nodes=2, apps=[ROOT / "examples" / "url_shortener"])
        with portal.wrap_async_context_manager(forge):
            cluster = Cluster(forge, portal)
            relay = Relay(cluster.api)
            serving, _ = portal.start_task(relay.run)
            cluster.admit()
            for name, role in ROLES.items():
                body = {"kind": "person", "role": role, "oidc_subject": f"u-{name}"}
                cluster.ask("admin", "PUT", f"/v1/principals/{name}", body)
            set_up(cluster, provider, relay.address)
            yield World(cluster, relay, provider)
            serving.cancel()
            cluster.close()


@pytest.fixture
def person(world: World, browser: Browser) -> Iterator[Person]:
    """Of whom the provider alone is asked beside the cluster's own address."""
    found = Person(browser, world.relay.address)
    yield found
    found.leave()
    assert found.troubles == []
    assert [each for each in found.strays if not each.startswith(world.provider.issuer)] == []


def go_to_provider(page: Page) -> None:
    page.get_by_role("link", name="Sign in with Acme").click()
    expect(page.get_by_role("heading", name="Who are you?")).to_be_visible()


def come_back_as(page: Page, subject: str) -> None:
    page.get_by_role("link", name=subject).click()
    expect(page).to_have_url(re.compile("/console/"))


def test_somebody_signs_in_at_the_provider_and_decides_under_their_own_name(
    world: World, person: Person, axe: str
) -> None:
    """From the button to a change that took hold; what began at one node goes on at the other."""
    cluster, page = world.cluster, person.page
    first, second = cluster.forge.names
    world.lead_to(first)
    page.goto(f"http://{world.relay.address}/console/approvals")
    expect(page.get_by_role("link", name="Sign in with Acme")).to_be_visible()
    assert person.axe(axe) == []
    person.picture("sign-in", "desk")
    go_to_provider(page)
    world.lead_to(second)
    come_back_as(page, "u-olga")
    person.is_live()
    expect(page).to_have_url(f"http://{world.relay.address}/console/approvals")
    expect(page.locator(".account")).to_contain_text("olga operator")
    assert page.evaluate("document.cookie") == "", "scripts could read the session"

    proposal = cluster.propose_scale("ci", "shortener", 4, reason="links+grow")
    person.go(f"approvals/{proposal}")
    page.get_by_label("Reason").fill("saw the queue")
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_role("article")).to_have_attribute("data-state", "applied")
    expect(page.get_by_role("article")).to_contain_text("it has taken hold", timeout=20_000)
    votes = cluster.ask("admin", "GET", f"/v1/proposals/{proposal}")["proposal"]["votes"]
    assert [(each["voter"]["id"], each["voter"]["role"], each["reason"]) for each in votes] == [
        ("olga", "operator", "saw the queue")
    ]
    assert cluster.wanted("shortener") == 4

    page.reload()
    person.is_live()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("link", name="Sign in with Acme")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="Sign in to Aether")).to_be_visible()


def test_a_viewer_of_the_provider_is_a_viewer_here(world: World, person: Person) -> None:
    page = person.page
    proposal = world.cluster.propose_scale("ci", "analytics", 3, reason="just+asking")
    page.goto(f"http://{world.relay.address}/console/approvals/{proposal}")
    go_to_provider(page)
    come_back_as(page, "u-vera")
    person.is_live()
    expect(page).to_have_url(re.compile(proposal))
    expect(page.get_by_role("article")).to_contain_text("needs the role operator; you are viewer")
    expect(page.get_by_role("button", name="Approve")).to_have_attribute("aria-disabled", "true")


def test_what_went_wrong_stands_on_the_page_in_the_servers_words(world: World, person: Person, axe: str) -> None:
    page = person.page
    page.goto(f"http://{world.relay.address}/console/slices")

    go_to_provider(page)
    come_back_as(page, "u-stranger")
    told = page.get_by_role("region", name="Identity provider").get_by_role("alert")
    expect(told).to_contain_text(
        "the identity provider knows you as 'u-stranger', and nobody who may come in here has that"
    )
    expect(told).to_contain_text("aether principal set YOUR_NAME person ROLE --oidc-subject u-stranger")
    person.picture("sign-in-refused", "desk")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert person.axe(axe) == [], scheme
    page.set_viewport_size(PHONE)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it scrolls sideways on a phone"

    go_to_provider(page)
    come_back_as(page, "nobody")
    expect(told).to_contain_text("the identity provider signed nobody in: access_denied")

    go_to_provider(page)
    world.provider.answers["/token"] = (503, b"")
    come_back_as(page, "u-vera")
    expect(told).to_contain_text("the identity provider answers 503")
    expect(told).to_contain_text("API keys go on working")
    world.provider.answers.clear()

    page.reload()
    expect(told).to_have_count(0)
    page.goto(world.provider.sent_back("u-vera"))
    expect(told).to_contain_text("this browser began no sign-in, or finished it already")
    page.get_by_label("API key").fill(world.cluster.keys["vic"])
    page.get_by_role("button", name="Sign in").click()
    person.is_live()
