// All slices, and one: what it does, why it is as it is, how it fares, and how many there are.
import { useSignal } from "@preact/signals";
import { html } from "../lib/html.js";
import { figure, slowest } from "../lib/numbers.js";
import { at, place } from "../lib/router.js";
import { useAnswer } from "../lib/store.js";
import { Act } from "../ui/act.js";
import { Fares } from "../ui/fares.js";
import { Ago, Empty, Loaded, Mark, PageHead } from "../ui/parts.js";
import { Table } from "../ui/table.js";

export function Slices() {
  const name = place.value.parts[1];
  return name ? html`<${OneSlice} key=${name} name=${name} />` : html`<${AllSlices} />`;
}

/** @param {{row: SliceRow}} props */
export function Serving({ row }) {
  const tone = row.serving >= row.wanted ? "good" : row.serving ? "warn" : "bad";
  return html`<${Mark} tone=${tone}>${row.serving} of ${row.wanted}<//>`;
}

function AllSlices() {
  const answer = useAnswer("/v1/slices?limit=500");
  const rows = /** @type {{slices: SliceRow[]} | null} */ (answer.data)?.slices ?? [];
  const columns = [
    { name: "slice", cell: (/** @type {SliceRow} */ row) => html`<a data-row href=${at("slices", row.slice)}>${row.slice}</a>` },
    { name: "version", cell: (/** @type {SliceRow} */ row) => row.version },
    { name: "serving", cell: (/** @type {SliceRow} */ row) => html`<${Serving} row=${row} />` },
    { name: "bounds", cell: (/** @type {SliceRow} */ row) => `${row.min} to ${row.max}` },
    { name: "share of calls", num: true, cell: (/** @type {SliceRow} */ row) => String(row.weight) },
    { name: "blueprint", cell: (/** @type {SliceRow} */ row) => row.blueprint },
    { name: "what it waits for", cell: (/** @type {SliceRow} */ row) => row.reasons.join("; ") || "–" },
  ];
  return html`<${PageHead} title="Slices" lead="What runs, and how much of it." />
    <${Loaded} answer=${answer} what="slices">${rows.length === 0
      ? html`<${Empty} title="No slice is deployed."><code>aether build</code> and <code>aether blueprint apply</code> deploy one; the guide to a first cluster shows how.<//>`
      : html`<section class="panel"><${Table} label="Slices" columns=${columns} rows=${rows} id=${(/** @type {SliceRow} */ row) => row.slice + row.version} /></section>`}<//>`;
}

/** @param {{name: string}} props */
function OneSlice({ name }) {
  const path = `/v1/slices/${encodeURIComponent(name)}`;
  const answer = useAnswer(path);
  const why = useAnswer(`${path}/explain`);
  const shown = /** @type {SliceShown | null} */ (answer.data);
  const sentences = /** @type {SliceExplained | null} */ (why.data)?.sentences ?? [];
  return html`<${PageHead} title=${name} lead=${html`<a href=${at("slices")}>All slices</a>`} />
    <${Loaded} answer=${answer} what=${`slice ${name}`}>${shown && html`
      <section class="panel"><h2>Why it is as it is</h2><ul>${sentences.map((each) => html`<li key=${each}>${each}</li>`)}</ul>
        ${why.problem && html`<p class="muted">${why.problem.detail}</p>`}</section>
      <section class="panel"><h2>How many</h2>${shown.versions.map((row) => html`<${Scale} key=${row.version} row=${row} several=${shown.versions.length > 1} />`)}</section>
      <section class="panel"><h2>How it fares</h2><${Fares} slice=${name} /></section>
      <section class="panel"><h2>Instances</h2><${Instances} rows=${shown.instances} /></section>
      <section class="panel"><h2>Methods</h2><${Methods} name=${name} rows=${shown.methods} /></section>
      <section class="panel"><h2>What it stands on</h2><${Needs} shown=${shown} /></section>
      <${Logs} name=${name} />`}<//>`;
}

/** @param {{row: SliceRow, several: boolean}} props */
function Scale({ row, several }) {
  const typed = useSignal(/** @type {string | null} */ (null));
  const given = typed.value ?? String(row.wanted);
  const isCount = /^\d+$/.test(given); // an empty field is no wish for none
  const instances = Number(given);
  const body = several ? { instances, version: row.version } : { instances };
  return html`<div class="scale"><p>${row.version}: <${Serving} row=${row} /> serve; bounds ${row.min} to ${row.max}; share of calls ${row.weight}.</p>
    <label>Instances <input type="number" min="0" max="1000" step="1" value=${given} onInput=${(/** @type {any} */ e) => (typed.value = e.target.value)} /></label>
    <${Act} label="Scale" subject=${`slice:${row.slice}`} disabled=${!isCount || instances === row.wanted} change=${{ method: "PUT", path: `/v1/slices/${encodeURIComponent(row.slice)}/scale`, body }} /></div>`;
}

/** @param {{rows: InstanceRow[]}} props */
function Instances({ rows }) {
  if (rows.length === 0) return html`<p class="muted">None is placed.</p>`;
  const columns = [
    { name: "instance", cell: (/** @type {InstanceRow} */ row) => `${row.slice}/${row.number}` },
    { name: "node", cell: (/** @type {InstanceRow} */ row) => html`<a href=${at("topology", row.node)}>${row.node}</a>` },
    { name: "version", cell: (/** @type {InstanceRow} */ row) => row.version },
    { name: "is", cell: (/** @type {InstanceRow} */ row) => html`<${Mark} tone=${row.serving ? "good" : row.phase === "failed" ? "bad" : "wait"}>${row.phase}<//> ${row.reason}` },
    { name: "since", cell: (/** @type {InstanceRow} */ row) => html`<${Ago} ms=${row.since_unix_ms} />` },
    { name: "restarts", num: true, cell: (/** @type {InstanceRow} */ row) => String(row.restarts) },
    { name: "last failure", cell: (/** @type {InstanceRow} */ row) => row.last_failure || "–" },
  ];
  return html`<${Table} label="Instances" columns=${columns} rows=${rows} id=${(/** @type {InstanceRow} */ row) => `${row.node}/${row.number}`} />`;
}

/** @param {{name: string, rows: SliceShown["methods"]}} props rows: what the newest version promises */
function Methods({ name, rows }) {
  const answer = useAnswer(`/v1/slices/${encodeURIComponent(name)}/methods`, { every: 5_000 });
  const shown = /** @type {MethodLoads | null} */ (answer.data);
  const loads = shown?.methods ?? [];
  const several = new Set(loads.map((each) => each.version)).size > 1;
  const promised = new Map(rows.map((each) => [each.name, each]));
  const columns = [
    { name: "method", cell: (/** @type {MethodLoad} */ row) => html`<code>${row.method}</code>${several && html` <span class="muted">${row.version}</span>`}` },
    { name: "calls/s", num: true, cell: (/** @type {MethodLoad} */ row) => figure(row.calls_per_s) },
    { name: "errors", num: true, cell: (/** @type {MethodLoad} */ row) => (row.errors ? html`<${Mark} tone="bad">${row.errors} (${figure((100 * row.errors) / row.calls)} %)<//>` : "0") },
    { name: "turned away", num: true, cell: (/** @type {MethodLoad} */ row) => (row.rejected + row.refused ? html`<${Mark} tone="warn">${row.rejected + row.refused}<//>` : "0") },
    ...(/** @type {const} */ (["p50_ms", "p95_ms", "p99_ms"])).map((each) => ({ name: each.replace("_", " "), num: true, cell: (/** @type {MethodLoad} */ row) => figure(row[each]) })),
    { name: "routes", cell: (/** @type {MethodLoad} */ row) => (promised.get(row.method)?.routes.length ? promised.get(row.method)?.routes.map((each) => html`<div key=${each}><code>${each}</code></div>`) : html`<span class="muted">from other slices only</span>`) },
    { name: "may be retried", cell: (/** @type {MethodLoad} */ row) => (promised.get(row.method)?.idempotent ? "yes" : "no") },
  ];
  return html`<${Loaded} answer=${answer} what="methods' figures">${shown && html`<p>${slowest(loads)} <span class="muted">Of the last ${shown.over_s} s, all instances together.</span></p>
    <${Table} label="Methods" columns=${columns} rows=${loads} id=${(/** @type {MethodLoad} */ row) => `${row.method} ${row.version}`} />
    ${shown.silent.length > 0 && html`<p class="aged"><${Mark} tone="warn">without ${shown.silent.join(", ")}<//> which did not answer.</p>`}`}<//>`;
}

/** @param {{shown: SliceShown}} props */
function Needs({ shown }) {
  const names = (/** @type {string[]} */ all) => all.map((each, index) => html`${index > 0 && ", "}<a key=${each} href=${at("slices", each)}>${each}</a>`);
  return html`<dl class="pairs"><div><dt>requires</dt><dd>${shown.requires.length ? names(shown.requires) : "nothing"}</dd></div>
    <div><dt>uses if there</dt><dd>${shown.optional.length ? names(shown.optional) : "nothing"}</dd></div>
    <div><dt>needed by</dt><dd>${shown.dependants.length ? names(shown.dependants) : "nobody"}</dd></div></dl>`;
}

/** @param {{name: string}} props */
function Logs({ name }) {
  const answer = useAnswer(`/v1/logs?instance=${encodeURIComponent(name)}`, { every: 5_000 });
  const rows = /** @type {{logs: Record<string, any>[]} | null} */ (answer.data)?.logs.slice(0, 50) ?? [];
  return html`<section class="panel"><h2>Last log lines</h2><${Loaded} answer=${answer} what="log lines">${rows.length === 0
    ? html`<p class="muted">Its instances have written nothing lately.</p>`
    : html`<div class="scroll lines" tabindex="0" role="region" aria-label="Log lines">${rows.map((row, index) => html`<div key=${`${row.at_ms}${index}`}><time class="muted">${new Date(row.at_ms).toLocaleTimeString("en-GB")}</time> <b>${row.level}</b> ${row.instance} ${row.node}: ${row.line ?? row.event}</div>`)}</div>`}<//></section>`;
}
