"""What an application says of itself is text too: its configuration, its log lines, its errors and its traces."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect

from evals.forge.project import SliceWish, write_project
from tests.browser.cluster import CANARY, Cluster
from tests.browser.conftest import Meets

pytestmark = pytest.mark.slow
SOURCE = '''
"""Says what it is configured to say."""

import msgspec

from runtime.sdk import get, idempotent, slice_


class Config(msgspec.Struct, frozen=True, kw_only=True):
    words: str = ""


@slice_(name="crier", version="1.0.0")
class Crier:
    def __init__(self, config: Config) -> None:
        self._words = config.words

    async def start(self) -> None:
        print(f"I say {self._words}")

    @idempotent
    @get("/cries")
    async def cry(self) -> str:
        return self._words

    @idempotent
    @get("/sobs/{sob}")
    async def sob(self, sob: str) -> str:
        raise RuntimeError(sob + self._words)


@slice_(name="mute", version="1.0.0")
class Mute:
    def __init__(self, config: Config) -> None:
        self._words = config.words

    async def start(self) -> None:
        raise RuntimeError(self._words)

    async def nod(self) -> None:
        pass
'''


def configured(words: str) -> str:
    return f"config = {{ words = '''{words}''', '{words}' = 1 }}"


@pytest.fixture(scope="module")
def hostile(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One slice that serves and one that never starts, while this module's tests run."""
    says = configured(CANARY)
    wishes = [
        SliceWish(name="crier", class_name="Crier", extra=says),
        SliceWish(name="mute", class_name="Mute", extra=says),
    ]
    project = write_project(tmp_path_factory.mktemp("criers"), name="criers", source=SOURCE, slices=wishes)
    cluster.run(cluster.forge.deploy, project, wait=False)
    yield project
    cluster.run(cluster.forge.api.remove, "criers")


def is_only_text(page: Page) -> None:
    expect(page.locator("[aria-busy]")).to_have_count(0)
    expect(page.get_by_role("main").get_by_text("onerror").first).to_be_attached(timeout=20_000)
    assert (page.evaluate("window.hit"), page.locator("main img, main script").count()) == (None, 0), page.url


def test_log_lines_and_errors_of_a_slice_are_text(meet: Meets, cluster: Cluster, hostile: Path) -> None:
    person = meet("vic", "slices/crier")
    lines = person.page.get_by_role("region", name="Log lines")
    expect(lines).to_contain_text(f"I say {CANARY}", timeout=30_000)
    is_only_text(person.page)
    for path in ("slices/mute", "overview", "topology?as=table"):  # why it does not start, told in three ways
        person.go(path)
        is_only_text(person.page)


def test_a_real_failed_request_brings_no_words_of_its_own_into_its_trace(
    meet: Meets, cluster: Cluster, hostile: Path
) -> None:
    """Neither the caller's, in its path and its id, nor those of the error that the slice raised."""
    del hostile
    trace = cluster.fail("crier", f"/sobs/{quote(CANARY, safe='')}", request_id=CANARY)
    told = cluster.ask("vic", "GET", f"/v1/traces?trace_id={trace}")
    assert any(each["failed"] for each in told["traces"])
    assert "onerror" not in json.dumps(told)
    person = meet("vic", f"traces/{trace}")
    waterfall = person.page.get_by_role("region", name="Waterfall")
    expect(waterfall).to_contain_text("GET /sobs/{sob}")
    expect(waterfall).to_contain_text("failed")
    assert (person.page.evaluate("window.hit"), person.page.locator("main img").count()) == (None, 0)


def test_what_a_failed_request_left_is_text_whatever_a_node_puts_there(meet: Meets) -> None:
    """Nodes put no words of others into spans; the page must not count on that: this answer stands in."""
    span = {
        "at_ms": 1_795_783_321_847,
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
        "span_id": "00f067aa0ba902b7",
        "parent_id": "0" * 16,
        "request_id": CANARY,
        "name": f"GET {CANARY}",
        "node": CANARY,
        "process": CANARY,
        "duration_us": 900_000,
        "failed": True,
        "detail": f"failed: {CANARY}",
    }
    person = meet("vic", "overview")
    answer = {"revision": 1_000_000_000, "stale": False, "traces": [span], "silent": [CANARY]}
    person.page.route("**/v1/traces*", lambda route: route.fulfill(json=answer))
    for path in ("traces", f"traces/{span['trace_id']}"):
        person.go(path)
        expect(person.page.get_by_role("main")).to_contain_text(f"GET {CANARY}")
        is_only_text(person.page)


def test_configuration_of_a_blueprint_is_text_on_its_card_and_in_the_audit(
    meet: Meets, cluster: Cluster, hostile: Path
) -> None:
    changed = (hostile / "blueprint.toml").read_text().replace(CANARY, f"more {CANARY}")
    asked = cluster.ask("ci", "PUT", "/v1/blueprints/criers?propose=true&reason=words", {"source": changed})
    person = meet("vic", f"approvals/{asked['proposal']}")
    expect(person.page.get_by_role("article")).to_contain_text("settings.config.words")  # its value may be a secret
    expect(person.page.get_by_role("article")).to_contain_text("onerror")
    is_only_text(person.page)
    person.go("audit?subject=blueprint%3Acriers")
    expect(person.page.get_by_role("list", name="Records").get_by_role("listitem").first).to_be_attached()
    assert (person.page.evaluate("window.hit"), person.page.locator("main img").count()) == (None, 0)
    person.go("deployments")
    expect(person.page.get_by_role("heading", name="criers")).to_be_visible()
    assert (person.page.evaluate("window.hit"), person.page.locator("main img").count()) == (None, 0)
    cluster.ask("ci", "POST", f"/v1/proposals/{asked['proposal']}/withdraw", {})


def test_the_value_of_a_setting_is_text_on_its_card_and_in_the_audit(meet: Meets, cluster: Cluster) -> None:
    """That of one that is no secret is told in full, and may be nearly anything."""
    body = {"value": f"unix:/{CANARY}"}
    asked = cluster.ask("cleo", "PUT", "/v1/config/forge_door?propose=true&reason=words", body)
    person = meet("vic", f"approvals/{asked['proposal']}")
    expect(person.page.get_by_role("article")).to_contain_text(f"unix:/{CANARY}")
    is_only_text(person.page)
    person.go("audit?operation=config.set")
    records = person.page.get_by_role("list", name="Records")
    records.get_by_role("listitem").first.locator("summary").click()
    expect(records).to_contain_text("onerror")
    is_only_text(person.page)
    cluster.ask("cleo", "POST", f"/v1/proposals/{asked['proposal']}/withdraw", {})
