"""A proposal that nobody looks at. The last of these tests: its minute passes during the others."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.cluster import Cluster
from tests.browser.conftest import Meets

pytestmark = pytest.mark.slow


def test_what_nobody_decides_in_time_ends(meet: Meets, cluster: Cluster) -> None:
    page = meet("ben", f"approvals/{cluster.expiring}").page
    expect(page.get_by_role("article")).to_have_attribute("data-state", "expired", timeout=70_000)
    expect(page.get_by_role("article")).to_contain_text("nobody decided in time")
    expect(page.get_by_role("button", name="Approve")).to_have_count(0)
    assert cluster.wanted("analytics") == 2, "it was carried out all the same"
