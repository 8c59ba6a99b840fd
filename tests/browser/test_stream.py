"""The leader dies while the page is open: the page says so, comes back by itself, and has missed nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.browser.cluster import Cluster
from tests.browser.conftest import Meets
from tests.browser.relay import Relay

pytestmark = pytest.mark.slow


@pytest.fixture
def relay(cluster: Cluster) -> Iterator[Relay]:
    """Before the leader, as a load balancer would stand."""
    leader = cluster.run(cluster.forge.until_leader)
    found = Relay(cluster.address(leader))
    serving, _ = cluster.portal.start_task(found.run)
    yield found
    serving.cancel()


def test_nothing_is_lost_when_the_leader_dies(meet: Meets, cluster: Cluster, relay: Relay) -> None:
    leader = cluster.run(cluster.forge.until_leader)
    other = next(name for name in cluster.forge.names if name != leader)
    anna = meet("anna", "overview", address=relay.address)
    page = anna.page
    anna.loses_node = True
    resets = anna.module("lib/store.js", "m.link.value.resets")
    before = str(anna.module("lib/store.js", "m.link.value.lastId"))
    cluster.run(cluster.forge.nodes[leader].kill)
    expect(page.get_by_text("not connected")).to_be_visible()
    expect(page.get_by_text("Shown as of")).to_be_visible()

    cluster.run(cluster.forge.until_leader, other_than=leader)  # all of this the page cannot see
    proposal = cluster.propose_scale("ci", "shortener", 5, node=other, reason="while+you+were+away")
    cluster.ask("ben", "POST", f"/v1/proposals/{proposal}/reject", {"reason": "not now"}, node=other)
    relay.target = cluster.address(other)
    page.get_by_role("button", name="Try now").click()
    anna.is_live()
    expect(page.get_by_text("asked for: shortener 1.0.0: 3 -> 5 instances").first).to_be_visible()
    expect(page.get_by_text("Shown as of")).to_have_count(0)

    cluster.run(cluster.forge.start_node, leader)
    cluster.run(cluster.forge.until_ready)
    told = [
        each["id"] for each in cluster.ask("vic", "GET", f"/v1/events?after={before}&limit=1000", node=other)["events"]
    ]
    anna.page.wait_for_function(
        "async id => (await import('/console/static/lib/store.js')).facts.value.some(fact => fact.id === id)",
        arg=told[-1],
    )
    seen: list[str] = anna.module("lib/store.js", "m.facts.value.map(fact => fact.id)")
    assert len(seen) == len(set(seen)), "something was told twice"
    assert [each for each in reversed(seen) if each in set(told)] == told
    assert anna.module("lib/store.js", "m.link.value.resets") == resets, "it was replayed, not begun anew"
