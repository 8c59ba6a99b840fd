"""The Forge from its cluster's console: load comes and goes, a process dies and is replaced; only admins do that."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Meets

pytestmark = pytest.mark.slow


def test_an_admin_sends_load_and_kills_a_process_and_nobody_else_does(meet: Meets) -> None:
    cleo = meet("cleo", "overview")
    page = cleo.page
    page.get_by_role("link", name="Forge", exact=True).click()
    load, chaos = page.get_by_role("region", name="Load"), page.get_by_role("region", name="Chaos")
    expect(load).to_contain_text("none is sent")
    load.get_by_label("requests a second at most").fill("7")
    load.get_by_role("button", name="Send it", exact=True).click()
    expect(load).to_contain_text("constant, up to 7 a second")
    expect(load).not_to_contain_text(re.compile(r"; 0 sent"))
    load.get_by_role("button", name="End it", exact=True).click()
    expect(load).to_contain_text("none is sent")
    page.get_by_label("kill means").select_option("gateway")
    row = chaos.get_by_role("row", name=re.compile("n2"))
    expect(row).to_contain_text("running")
    expect(row.get_by_role("button", name="start n2")).to_be_disabled()
    row.get_by_role("button", name="kill n2").click()
    expect(chaos.get_by_role("status")).to_contain_text(re.compile("gateway.* of n2"), timeout=20_000)
    cleo.go("audit?kind=forge")
    records = page.get_by_role("list", name="Records").get_by_role("listitem")
    expect(records).to_have_count(3)
    expect(records.first).to_contain_text("asked of the Forge: chaos.kill")
    expect(records.last).to_contain_text("asked of the Forge: forge.load")

    vic = meet("vic", "forge").page
    expect(vic.get_by_text("needs the role admin; you are viewer")).to_be_visible()
    expect(vic.get_by_role("button", name="kill n2")).to_be_disabled()
