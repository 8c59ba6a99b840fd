"""One Forge and one browser for all of these tests; everybody in them has a context of their own."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import axe_playwright_python
import pytest
from anyio.from_thread import start_blocking_portal
from playwright.sync_api import Browser, sync_playwright

from evals.forge.forge import Forge
from tests.browser.cluster import Cluster
from tests.browser.person import Person

ROOT = Path(__file__).resolve().parents[2]
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
]

SHORT_POLICY = ("expires_min = 15", "expires_min = 1")

Meets = Callable[..., Person]


def propose_for_a_minute(cluster: Cluster) -> str:
    """Made before all else, so that its test need not wait for long."""
    policy = cluster.ask("admin", "GET", "/v1/policy")["policy"].replace(*SHORT_POLICY)
    override = "?break_glass=true&reason=a+minute+is+enough"
    cluster.ask("admin", "PUT", f"/v1/policy{override}", {"source": policy})
    proposal = cluster.propose_scale("ci", "analytics", 3, reason="nobody+will+look")
    cluster.ask("admin", "DELETE", f"/v1/policy{override}")
    return proposal


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with start_blocking_portal() as portal:
        forge = Forge(nodes=3, apps=[ROOT / "examples" / "url_shortener"])
        with portal.wrap_async_context_manager(forge):
            found = Cluster(forge, portal)
            found.admit()
            found.leave_alone("shortener")
            found.expiring = propose_for_a_minute(found)
            using, _ = portal.start_task(found.use)
            opened, _ = portal.start_task(found.open_forge)
            yield found
            using.cancel()
            opened.cancel()
            found.close()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        yield found
        found.close()


@pytest.fixture
def meet(browser: Browser, cluster: Cluster) -> Iterator[Meets]:
    """Signs somebody in. Afterwards nobody's page may have had an error, or asked anything of another origin."""
    people: list[Person] = []

    def signed_in(name: str, path: str = "approvals", *, address: str = "", **how: bool) -> Person:
        person = Person(browser, address or cluster.api, **how)
        people.append(person)
        return person.sign_in(cluster.keys[name], path)

    yield signed_in
    for person in people:
        person.leave()
    assert [trouble for person in people for trouble in person.troubles] == []
    assert [stray for person in people for stray in person.strays] == []


@pytest.fixture(scope="session")
def axe() -> str:
    return (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()
