// Is it well? What waits? What happened? In this order.
import { useRef } from "preact/hooks";
import { html } from "../lib/html.js";
import { line, tone } from "../lib/facts.js";
import { health } from "../lib/health.js";
import { figure } from "../lib/numbers.js";
import { counted, queue } from "../lib/proposals.js";
import { at, place } from "../lib/router.js";
import { facts, useAnswer } from "../lib/store.js";
import { clock, now } from "../lib/time.js";
import { Band } from "../ui/band.js";
import { Fares } from "../ui/fares.js";
import { Empty, Loaded, Mark, PageHead } from "../ui/parts.js";
import { Table } from "../ui/table.js";

const FIGURES_MS = 2_000;
const FACTS_SHOWN = 20;

export function Overview() {
  const status = useAnswer("/v1/status", { every: FIGURES_MS });
  const alerts = useAnswer("/v1/alerts?state=lasting");
  const shown = /** @type {Status | null} */ (status.data);
  const lasting = /** @type {Page<AlertRow> | null} */ (alerts.data)?.items ?? [];
  const well = shown && health(shown, lasting);
  return html`<${PageHead} title="Overview" lead=${shown ? `Seen from ${shown.node}; ${shown.leader ? `${shown.leader} leads` : "nobody leads"}.` : ""} />
    <${Loaded} answer=${status} what="the cluster's state">
      ${shown && well && html`<section class="panel health" aria-label="Health"><p class="health-says"><${Mark} tone=${well.tone}>${well.sentence}<//></p>
          ${well.troubles.length > 0 && html`<ul>${well.troubles.map((each) => html`<li key=${each.says}><a href=${`/console/${each.href}`}>${each.says}</a></li>`)}</ul>`}</section>
        <div class="columns"><${Waiting} /><${Nodes} status=${shown} /></div>
        <${NamedEvent} />
        <${Load} status=${shown} />
        <${LastEvents} />`}<//>`;
}

function Waiting() {
  const answer = useAnswer("/v1/proposals?limit=200");
  const rows = queue(/** @type {Page<ProposalRow> | null} */ (answer.data)?.items ?? []);
  return html`<section class="panel"><h2>What waits for a decision</h2>
    ${rows.length === 0
      ? html`<p class="muted">Nothing does.</p>`
      : html`<ul class="plain">${rows.slice(0, 5).map((row) => html`<li key=${row.id}><a data-row href=${at("approvals", row.id)}>${row.summary}</a> <span class="muted">${row.actor} · ${clock(row.expires_unix_ms - now.value)} left</span></li>`)}</ul>
          ${rows.length > 5 && html`<p><a href=${at("approvals")}>and ${rows.length - 5} more</a></p>`}`}</section>`;
}

/** @param {{status: Status}} props */
function Nodes({ status }) {
  const loads = new Map(status.load.nodes.map((each) => [each.node, each]));
  return html`<section class="panel"><h2><a href=${at("topology")}>Nodes</a></h2><ul class="strip">
    ${status.nodes.map((node) => {
      const load = loads.get(node.node);
      return html`<li key=${node.node}><b>${node.node}</b> <${Mark} tone=${node.state === "up" ? "good" : node.state === "down" ? "bad" : "warn"}>${node.state}<//>
        <span class="muted">${counted(node.instances, "instance")}${load ? ` · ${figure(load.cpu_cores)} cores · ${figure(load.rss_mb)} MB · ${figure(load.requests_per_s)} requests/s` : ""}</span></li>`;
    })}</ul></section>`;
}

/** @param {{status: Status}} props */
function Load({ status }) {
  const own = new Set(status.slices.map((each) => each.slice));
  const rows = status.load.slices.filter((each) => own.has(each.slice)).sort((one, other) => other.calls - one.calls);
  const busiest = useSteady(rows);
  return html`<section class="panel"><h2>Load of the last second: ${figure(status.load.requests_per_s)} requests/s</h2>
    ${rows.length === 0
      ? html`<p class="muted">No slice is deployed. <code>aether blueprint apply</code> deploys one.</p>`
      : html`<${SliceTable} rows=${rows} />
        ${busiest && html`<p class="busiest"><a href=${at("slices", busiest)}>${busiest}</a>, of the busiest:</p>
          <${Fares} key=${busiest} slice=${busiest} height=${140} />
          <${Band} key=${`band-${busiest}`} slice=${busiest} quiet />`}`}</section>`;
}

/**
 * The busiest slice; the one that is shown stays while none has twice as much to do.
 * @param {SliceLoad[]} rows the busiest first
 */
function useSteady(rows) {
  const before = useRef("");
  const shown = rows.find((each) => each.slice === before.current);
  if (!shown || 2 * shown.calls < rows[0].calls) before.current = rows[0]?.slice ?? "";
  return before.current;
}

/** @param {{rows: SliceLoad[]}} props */
function SliceTable({ rows }) {
  const columns = [
    { name: "slice", cell: (/** @type {SliceLoad} */ row) => html`<a data-row href=${at("slices", row.slice)}>${row.slice}</a>` },
    { name: "calls/s", num: true, cell: (/** @type {SliceLoad} */ row) => figure(row.calls) },
    { name: "errors", num: true, cell: (/** @type {SliceLoad} */ row) => (row.errors ? html`<${Mark} tone="bad">${figure(row.errors)}<//>` : "0") },
    { name: "rejected", num: true, cell: (/** @type {SliceLoad} */ row) => figure(row.rejected) },
    { name: "p50 ms", num: true, cell: (/** @type {SliceLoad} */ row) => (row.calls ? figure(row.p50_ms) : "–") },
    { name: "p95 ms", num: true, cell: (/** @type {SliceLoad} */ row) => (row.calls ? figure(row.p95_ms) : "–") },
  ];
  return html`<${Table} label="Load of slices" columns=${columns} rows=${rows} id=${(/** @type {SliceLoad} */ row) => row.slice} />`;
}

/** The event that the address names, as evidence does. */
function NamedEvent() {
  const id = place.value.words.get("event") ?? "";
  const before = /^(\d+)\.(\d+)$/.exec(id);
  const after = before && (Number(before[2]) > 0 ? `${before[1]}.${Number(before[2]) - 1}` : `${Math.max(1, Number(before[1]) - 1)}.9999`);
  const answer = useAnswer(after ? `/v1/events?after=${after}&limit=1` : "");
  if (!id) return null;
  const fact = /** @type {{events: Fact[]} | null} */ (answer.data)?.events.find((each) => each.id === id);
  return html`<section class="panel" aria-label=${`Event ${id}`}><h2>Event ${id}</h2>${!after || (answer.data && !fact)
    ? html`<p class="muted">This node knows it no more: only the newest events are kept here, all changes are in the <a href=${at("audit")}>audit</a>.</p>`
    : html`<${Loaded} answer=${answer} what="event">${fact && html`<p><${Mark} tone=${tone(fact)}>${line(fact)}<//></p><p class="muted">${fact.event} <code>${JSON.stringify(fact.data)}</code></p>`}<//>`}</section>`;
}

function LastEvents() {
  const shown = facts.value.slice(0, FACTS_SHOWN);
  return html`<section class="panel"><h2>What happened last</h2>
    ${shown.length === 0
      ? html`<${Empty} title="Nothing has happened lately.">Events of nodes, slices and decisions come here as they happen.<//>`
      : html`<ol class="events">${shown.map((fact) => html`<li key=${fact.id} data-event=${fact.id}><code class="muted">${fact.id}</code> <${Mark} tone=${tone(fact)}><span class="event-line">${line(fact)}</span><//></li>`)}</ol>`}</section>`;
}
