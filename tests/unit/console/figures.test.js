// Health, events, traces and figures: pure functions, asked directly.
import assert from "node:assert/strict";
import { test } from "node:test";
import { line, tone } from "../../../agent_api/console/lib/facts.js";
import { health } from "../../../agent_api/console/lib/health.js";
import { figure, size, slowest, summary, timesUntil, took } from "../../../agent_api/console/lib/numbers.js";
import { minutes } from "../../../agent_api/console/lib/forecast.js";
import { PAGES, pageOfKey } from "../../../agent_api/console/lib/pages.js";
import { traces, waterfall } from "../../../agent_api/console/lib/traces.js";

const status = (given = {}) => ({
  leader: "n1",
  nodes: [{ node: "n1", state: "up", cordoned: false }, { node: "n2", state: "up", cordoned: false }],
  slices: [{ slice: "orders", wanted: 3, serving: 3, reasons: [] }],
  ...given,
});

test("a cluster is well only where nodes, slices, the lead and alerts are", () => {
  assert.deepEqual(health(status(), []), { sentence: "All is well: 2 of 2 nodes up, 3 of 3 wanted instances of 1 slice serving.", tone: "good", troubles: [] });
  const down = health(status({ nodes: [{ node: "n1", state: "up", cordoned: true }, { node: "n2", state: "down", cordoned: false }] }), []);
  assert.equal(down.tone, "bad");
  assert.deepEqual(down.troubles.map((each) => each.says), ["Node n1 takes no new instances.", "Node n2 is down."]);
  const short = health(status({ slices: [{ slice: "orders", wanted: 3, serving: 2, reasons: ["no room"] }] }), []);
  assert.match(short.sentence, /^1 thing needs attention; 2 of 2 nodes up, 2 of 3/);
  assert.deepEqual(short.troubles, [{ says: "orders serves 2 of 3 wanted instances: no room.", href: "slices/orders", tone: "warn" }]);
  assert.equal(health(status({ leader: "" }), []).tone, "bad");
  const alert = { name: "A", state: "firing", severity: "critical", annotations: {} };
  assert.equal(health(status(), [alert]).tone, "bad");
  assert.equal(health(status(), [{ ...alert, state: "muted" }]).tone, "good");
});

test("events that nobody gave words to are told by their names and members", () => {
  assert.equal(line({ id: "1.0", event: "SliceScaled", data: { slice: "orders", version: "1", before: 3, wanted: 4 } }), "orders 1: 3 → 4 instances");
  assert.equal(line({ id: "1.0", event: "AlertFired", data: { labels: { alertname: "A" }, annotations: { summary: "p99 is 4" } } }), "alert: p99 is 4");
  assert.equal(line({ id: "1.0", event: "SomethingNewHappened", data: { node: "n1", count: 4, why: "" } }), "something new happened · n1");
  assert.deepEqual(["NodeLeft", "ProposalCreated", "NodeJoined"].map((event) => tone({ id: "", event, data: {} })), ["bad", "wait", "off"]);
});

const span = (span_id, parent_id, at_ms, duration_us, more = {}) => ({
  span_id, parent_id, at_ms, duration_us, trace_id: "t", request_id: "", name: span_id, node: "n1", process: "gateway", failed: false, detail: "", ...more,
});

test("failed traces stand first, then the slowest, each named by its root", () => {
  const found = traces([
    span("fast", "0", 1, 10, { trace_id: "a" }), span("slow", "0", 1, 900, { trace_id: "b" }),
    span("root", "0", 1, 50, { trace_id: "c" }), span("child", "root", 1, 90, { trace_id: "c", failed: true }),
  ]);
  assert.deepEqual(found.map((each) => [each.id, each.name, each.duration_us, each.spans]), [["c", "root", 50, 2], ["b", "slow", 900, 1], ["a", "fast", 10, 1]]);
});

test("a waterfall has parents before children, and the path that made it long", () => {
  const { bars, whole_us } = waterfall([span("late", "root", 3, 4_000), span("root", "0", 0, 8_000), span("early", "root", 1, 1_000), span("leaf", "late", 4, 2_000)]);
  assert.deepEqual(bars.map((bar) => [bar.span.span_id, bar.depth, bar.start_us]), [["root", 0, 0], ["early", 1, 1_000], ["late", 1, 3_000], ["leaf", 2, 4_000]]);
  assert.deepEqual(bars.filter((bar) => bar.critical).map((bar) => bar.span.span_id), ["root", "late", "leaf"]);
  assert.equal(whole_us, 8_000);
  assert.deepEqual(waterfall([]), { bars: [], whole_us: 0 });
});

test("spans that name each other as parents are not followed without end", () => {
  assert.ok(waterfall([span("a", "b", 0, 1), span("b", "a", 0, 1), span("c", "0", 0, 1)]).bars.length >= 1);
});

test("figures have three places at most, and what is not known is said", () => {
  assert.deepEqual([0, 0.0012, 0.084, 4.126, 12.34, 128.4, 12_400, null].map(figure), ["0", "0.001", "0.08", "4.13", "12.3", "128", "12 400", "–"]);
  assert.deepEqual([900, 1_500, 2_000_000].map(took), ["900 µs", "1.50 ms", "2 s"]);
  assert.equal(size(1_500_000), "1.50 MB");
  assert.equal(summary([null, 2, 5, 3], "calls/s"), "3 calls/s now, between 2 and 5");
  assert.equal(summary([0, null, 0], "a second"), "0 a second throughout");
  assert.equal(summary([null], "ms"), "nothing known yet");
  assert.deepEqual(timesUntil(3, 10, 65_999), [40, 50, 60]);
});

test("of methods the slowest and those that fail are named, and none that nobody calls", () => {
  const quick = { method: "resolve", calls: 9, errors: 0, p99_ms: 2 };
  const late = { method: "create", calls: 1, errors: 1, p99_ms: 800 };
  const idle = { method: "forget", calls: 0, errors: 0, p99_ms: null };
  assert.equal(slowest([quick, late, idle]), "The slowest is create: p99 800 ms. Calls of create failed.");
  assert.equal(slowest([quick, idle]), "The slowest is resolve: p99 2 ms. No call failed.");
  assert.equal(slowest([idle]), "No method was called.");
});

test("a forecast has each minute once, and measures none before it is over", () => {
  const said = (minute, rate = null) => ({ minute, p10: 1, p50: 2, p90: 3, rate });
  const row = { past: [said(654, 25), said(655, 24), said(656)], now: said(656, 24), ahead: [said(656), said(657), said(658)] };
  assert.deepEqual(minutes(row).map((each) => [each.minute, each.rate]), [[654, 25], [655, 24], [656, null], [657, null], [658, null]]);
});

test("each page has an address and a letter of its own", () => {
  assert.equal(new Set(PAGES.map((each) => each.key)).size, PAGES.length);
  assert.equal(new Set(PAGES.map((each) => each.path)).size, PAGES.length);
  for (const page of PAGES) assert.equal(pageOfKey(page.key), page);
});
