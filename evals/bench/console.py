"""The web console in a real browser at a real Forge: how soon a chart is there, how smooth a large topology is, what is
loaded."""

from __future__ import annotations

import json
import shutil
import statistics
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import msgspec
from playwright.async_api import BrowserContext, Page, Route, async_playwright

from evals.forge.errors import ForgeFault
from evals.forge.forge import Forge

NODES: Final = 100
SLICES_A_NODE: Final = 6
FRAMES_FOR_S: Final = 10
FLAGS: Final = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
FIRST_CHART: Final = """
new MutationObserver((_, watch) => {
  if (!document.querySelector('.plot canvas')) return;
  requestAnimationFrame(() => requestAnimationFrame(() => (window.firstChartMs = performance.now())));
  watch.disconnect();
}).observe(document, {childList: true, subtree: true});
"""
LOADED: Final = """
JSON.stringify(
  performance.getEntriesByType('resource')
    .filter(each => each.name.includes('/console/')).map(each => each.decodedBodySize)
)
"""
FRAMES: Final = """
async seconds => {
  const store = await import('/console/static/lib/store.js');
  const renew = setInterval(store.refreshAll, 1_000);
  const ends = performance.now() + seconds * 1_000;
  let frames = 0, last = performance.now(), longest = 0;
  await new Promise(done => {
    const frame = now => {
      frames += 1; longest = Math.max(longest, now - last); last = now;
      if (now < ends) requestAnimationFrame(frame); else done();
    };
    requestAnimationFrame(frame);
  });
  clearInterval(renew);
  return {frames, longest};
}
"""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """Medians over the rounds; frames are those of a topology of 100 nodes that changes each second."""

    first_chart_ms: float
    first_chart_worst_ms: float
    files: int
    bytes_loaded: int
    frames_per_s: float
    longest_frame_ms: float


async def measure(*, app: Path, rounds: int, progress: Callable[[str], None]) -> Result:
    """Raises ForgeFault where there is no Chromium, or the cluster does not come up."""
    chromium = shutil.which("chromium")
    if chromium is None:
        raise ForgeFault("there is no chromium here; on Debian: apt-get install chromium")
    progress("starting a Forge of three nodes")
    async with Forge(nodes=3, apps=[app]) as forge, async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=chromium, args=FLAGS)
        context = await browser.new_context(viewport={"width": 1280, "height": 900})
        address = f"http://{forge.nodes[forge.names[0]].addresses.api}/console"
        await _sign_in(context, address, forge.admin_key())
        progress(f"opening the overview {rounds} times")
        charts = [await _in_page(context, lambda page: _first_chart(page, address)) for _ in range(rounds)]
        progress(f"a topology of {NODES} nodes for {FRAMES_FOR_S} s, {rounds} times")
        smooth = [await _in_page(context, lambda page: _frames(page, address)) for _ in range(rounds)]
        await browser.close()
    return Result(
        first_chart_ms=statistics.median(each[0] for each in charts),
        first_chart_worst_ms=max(each[0] for each in charts),
        files=int(charts[0][1]),
        bytes_loaded=int(charts[0][2]),
        frames_per_s=statistics.median(each[0] for each in smooth),
        longest_frame_ms=statistics.median(each[1] for each in smooth),
    )


async def _in_page(context: BrowserContext, work: Callable[[Page], Awaitable[tuple[float, ...]]]) -> tuple[float, ...]:
    page = await context.new_page()
    try:
        return await work(page)
    finally:
        await page.close()


async def _sign_in(context: BrowserContext, address: str, key: str) -> None:
    page = await context.new_page()
    await page.goto(f"{address}/overview")
    await page.get_by_label("API key").fill(key)
    await page.get_by_role("button", name="Sign in").click()
    await page.locator("[data-link=live]").wait_for()
    await page.close()


async def _first_chart(page: Page, address: str) -> tuple[float, ...]:
    """Milliseconds from the navigation to the frame with the chart; files and bytes of the console until then."""
    await page.add_init_script(FIRST_CHART)
    await page.goto(f"{address}/overview")
    handle = await page.wait_for_function("() => window.firstChartMs")
    sizes = json.loads(await page.evaluate(LOADED))
    return float(await handle.json_value()), len(sizes), sum(sizes)


async def _frames(page: Page, address: str) -> tuple[float, ...]:
    turn = 0

    async def answer(route: Route) -> None:
        nonlocal turn
        turn += 1
        await route.fulfill(json=_topology(turn))

    await page.route("**/v1/topology", answer)
    await page.goto(f"{address}/topology")
    await page.locator(".node").nth(NODES - 1).wait_for()
    found = await page.evaluate(FRAMES, FRAMES_FOR_S)
    if turn < FRAMES_FOR_S // 2:
        raise ForgeFault(f"the topology was asked for {turn} times in {FRAMES_FOR_S} s: nothing was measured")
    return found["frames"] / FRAMES_FOR_S, found["longest"]


def _topology(turn: int) -> dict[str, object]:
    """A tenth of the instances changes with each turn."""
    zones = [
        {"zone": f"zone-{zone}", "nodes": [_node(node, turn) for node in range(zone, NODES, 4)]} for zone in range(4)
    ]
    return {"revision": 1_000_000_000 + turn, "stale": False, "zones": zones, "edges": [], "blocked": []}


def _node(node: int, turn: int) -> dict[str, object]:
    slices = [
        {
            "slice": f"slice-{(node + each) % 40}",
            "version": "1.0.0",
            "instances": [_instance(number, (node + each + number + turn) % 10) for number in range(3)],
        }
        for each in range(SLICES_A_NODE)
    ]
    return {"node": f"node-{node:03}", "role": "worker", "state": "up", "cordoned": False, "slices": slices}


def _instance(number: int, phase: int) -> dict[str, object]:
    serves = phase != 0
    return {"number": number, "phase": "active" if serves else "starting", "serving": serves, "reason": ""}
