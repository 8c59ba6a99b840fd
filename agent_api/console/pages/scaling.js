// Actual load against what was forecast, what was decided and why, and whether a model forecasts at all.
import { useEffect } from "preact/hooks";
import { useSignal } from "@preact/signals";
import { send } from "../lib/api.js";
import { html } from "../lib/html.js";
import { figure } from "../lib/numbers.js";
import { counted } from "../lib/proposals.js";
import { at, go, place, withWords } from "../lib/router.js";
import { useAnswer } from "../lib/store.js";
import { moment } from "../lib/time.js";
import { Band } from "../ui/band.js";
import { Ago, Empty, Loaded, Mark, PageHead, ProblemNote, Tabs } from "../ui/parts.js";
import { Table } from "../ui/table.js";

export function Scaling() {
  const answer = useAnswer("/v1/controller?limit=500", { every: 5_000 });
  const shown = /** @type {(Page<ControllerRow> & {leader: string}) | null} */ (answer.data);
  const rows = shown?.items ?? [];
  const chosen = place.value.parts[1] || rows[0]?.slice || "";
  return html`<${PageHead} title="Scaling" lead="What load was expected, what came, and what was decided." />
    <${ModelState} />
    <${NamedDecision} />
    <${Loaded} answer=${answer} what="scaling">${rows.length === 0
      ? html`<${Empty} title="No slice is scaled.">Slices whose bounds leave a choice are; see the blueprint's <code>min</code> and <code>max</code>.<//>`
      : html`<${Tabs} label="Slices" items=${rows.map((row) => ({ name: row.slice, href: at("scaling", row.slice), here: row.slice === chosen }))} />
        ${rows.filter((row) => row.slice === chosen).map((row) => html`<${Now} key=${row.version} row=${row} />`)}
        <${Band} key=${chosen} slice=${chosen} />
        <${Decisions} key=${`d-${chosen}`} slice=${chosen} />
        <${WhatIf} key=${`w-${chosen}-${place.value.words}`} slice=${chosen} />`}<//>`;
}

/** The decision that the address names, as evidence does: about a slice, or about the nodes. */
function NamedDecision() {
  const id = place.value.words.get("decision") ?? "";
  const answer = useAnswer(id ? `/v1/controller/decisions?id=${encodeURIComponent(id)}` : "");
  if (!id) return null;
  const shown = /** @type {(Page<DecisionRecord> & {nodes: NodeDecisionRecord[]}) | null} */ (answer.data);
  const [row] = shown?.items ?? [];
  const [nodes] = shown?.nodes ?? [];
  return html`<section class="panel" aria-label=${`Decision ${id}`}><h2>Decision <code>${id}</code></h2><${Loaded} answer=${answer} what="decision">${row
    ? html`<p>About <a href=${at("scaling", row.slice)}>${row.slice}</a></p><${OneDecision} row=${row} open />`
    : nodes
      ? html`<p>About the nodes, <${Ago} ms=${nodes.at_unix_ms} />: ${nodes.decision.add ? `${counted(nodes.decision.add, "node")} more` : `without ${nodes.decision.remove}`}, because: ${nodes.decision.because.join(", ")}</p>`
      : html`<p class="muted">It is kept no more: of each slice the newest twenty are. The <a href=${at("audit")}>audit</a> has all of them.</p>`}<//></section>`;
}

function ModelState() {
  const answer = useAnswer("/v1/ttm", { every: 10_000 });
  const shown = /** @type {ModelStatus | null} */ (answer.data);
  return html`<${Loaded} answer=${answer} what="the model's state">${shown && html`<p><${Mark} tone=${shown.state === "working" ? "good" : "off"}>forecasts: ${shown.state}<//>
    ${" "}<span class="muted">model ${shown.model || "as shipped"}${shown.probation ? ", on probation" : ""}${shown.reason ? `; ${shown.reason}` : ""}${shown.why ? `; ${shown.why}` : ""}${shown.training ? `; no challenger was trained: ${shown.training}` : ""}</span></p>`}<//>`;
}

/** @param {{row: ControllerRow}} props */
function Now({ row }) {
  return html`<section class="panel"><h2>${row.slice} ${row.version} now</h2>
    <dl class="pairs"><div><dt>instances</dt><dd>${row.serving} serve, ${row.wanted} wanted, bounds ${row.min} to ${row.max}</dd></div>
      <div><dt>load</dt><dd>${figure(row.rate)} calls/s; one instance carries ${row.rate_per_instance ? `${figure(row.rate_per_instance)} calls/s` : "an amount not known yet"}; p95 ${figure(row.latency_p95_ms)} ms</dd></div>
      <div><dt>would decide</dt><dd>${row.decision === null ? "nothing" : `${row.decision} instances`}${row.because.length ? `, because: ${row.because.join(", ")}` : ""}</dd></div>
      ${row.trouble && html`<div><dt>held</dt><dd><${Mark} tone="warn">${row.trouble}<//></dd></div>`}
      ${row.pin && html`<div><dt>pinned</dt><dd>to ${row.pin.instances} by ${row.pin.by || "somebody"} until ${moment(row.pin.until_unix_ms)}${row.pin.why ? `: ${row.pin.why}` : ""}</dd></div>`}</dl></section>`;
}

/** @param {{slice: string}} props */
function Decisions({ slice }) {
  const answer = useAnswer(slice ? `/v1/controller/decisions?slice=${encodeURIComponent(slice)}` : "");
  const rows = /** @type {Page<DecisionRecord> | null} */ (answer.data)?.items ?? [];
  return html`<section class="panel"><h2>Decisions about ${slice}</h2><${Loaded} answer=${answer} what="decisions">${rows.length === 0
    ? html`<p class="muted">None was kept: nothing had to change, and nothing nearly did.</p>`
    : html`<ul class="plain">${rows.map((row) => html`<li key=${row.id}><${OneDecision} row=${row} /></li>`)}</ul>`}<//></section>`;
}

/** @param {{row: DecisionRecord, open?: boolean}} props */
function OneDecision({ row, open = false }) {
  const current = row.seen.serving + (row.seen.starting ?? 0);
  const tone = row.gate.outcome === "applied" ? "good" : row.gate.outcome === "proposed" ? "wait" : "off";
  return html`<details open=${open}><summary><${Mark} tone=${tone}>${row.kind.replace("_", " ")}<//> <b>${current} → ${row.decision.wanted}</b> <${Ago} ms=${row.at_unix_ms} /> <span class="muted">${row.decision.because.join(", ")}</span></summary>
    <dl class="pairs"><div><dt>why</dt><dd>${row.decision.layer} asked for ${row.decision.asked}; ${row.decision.because.join(", ")}</dd></div>
      <div><dt>seen</dt><dd>${figure(row.seen.rate)} calls/s; one instance carries ${figure(row.seen.rate_per_instance)}; p95 ${figure(row.seen.latency_p95_ms)} ms</dd></div>
      ${row.decision.path?.length ? html`<div><dt>rules</dt><dd>${row.decision.path.join(" · ")}</dd></div>` : null}
      ${row.trouble && html`<div><dt>trouble</dt><dd>${row.trouble}</dd></div>`}
      <div><dt>gate</dt><dd>${row.gate.outcome}${row.gate.rule ? `: ${row.gate.rule}` : ""} ${row.gate.proposal && html`<a href=${at("approvals", row.gate.proposal)}>see the card</a>`}</dd></div>
      <div><dt>decision</dt><dd><code>aether why ${row.id}</code></dd></div></dl>
    ${row.options.length > 0 && html`<h3>Options; the lowest score is the best</h3><${Loose} label="Options" rows=${row.options} />`}
    ${row.outcomes.length > 0 && html`<h3>What came of it</h3><${Loose} label="Outcomes" rows=${row.outcomes} />`}</details>`;
}

/**
 * Rows as they are, one column a member.
 * @param {{label: string, rows: Record<string, unknown>[]}} props
 */
function Loose({ label, rows }) {
  const names = [...new Set(rows.flatMap(Object.keys))];
  const columns = names.map((name) => ({
    name: name.replaceAll("_", " "),
    num: typeof rows[0][name] === "number",
    cell: (/** @type {Record<string, unknown>} */ row) => (typeof row[name] === "number" ? figure(/** @type {number} */ (row[name])) : String(row[name] ?? "–")),
  }));
  return html`<${Table} label=${label} columns=${columns} rows=${rows} id=${(/** @type {Record<string, unknown>} */ row) => JSON.stringify(row)} />`;
}

const MEMBERS = /** @type {const} */ ([
  ["utilisation", "busy part of an instance, by the rules", "0.01"],
  ["plan_utilisation", "the same at a forecast load", "0.01"],
  ["shortage_cost", "what a missing instance costs, in idle ones", "any"],
  ["hold_s", "seconds for which a need is remembered", "1"],
  ["slo_p95_ms", "p95 that shall hold, ms", "any"],
]);
const BOUNDS = ["min", "max"];
const WITHOUT = /** @type {const} */ ([["without_forecast", "without forecasts"], ["without_own_rules", "without own rules"]]);

/** @param {string} slice @param {URLSearchParams} words @returns {Record<string, unknown> | null} what is asked; null where nothing would be other */
function variant(slice, words) {
  const given = (/** @type {readonly string[]} */ names) => Object.fromEntries(names.filter((name) => words.get(name)).map((name) => [name, Number(words.get(name))]));
  const flags = Object.fromEntries(WITHOUT.filter(([name]) => words.get(name)).map(([name]) => [name, true]));
  const set = given(MEMBERS.map(([name]) => name));
  const body = { ...(Object.keys(set).length ? { set } : {}), ...given(BOUNDS), ...flags };
  return Object.keys(body).length ? { slice, ...body } : null;
}

/**
 * The decisions that are kept, decided again as the address says.
 * @param {{slice: string}} props
 */
function WhatIf({ slice }) {
  const { words } = place.value;
  const body = variant(slice, words);
  const found = useSignal(/** @type {WhatIfShown | null} */ (null));
  const problem = useSignal(/** @type {Problem | null} */ (null));
  useEffect(() => {
    if (body) void send("POST", "/v1/controller/what-if", body).then(({ data, problem: said }) => ((found.value = /** @type {any} */ (data)), (problem.value = said)));
  }, []);
  const names = [...MEMBERS.map(([name]) => name), ...BOUNDS, ...WITHOUT.map(([name]) => name)];
  /** @param {any} event */
  function decide(event) {
    event.preventDefault();
    const form = new FormData(event.target);
    go(withWords(Object.fromEntries(names.map((name) => [name, String(form.get(name) ?? "")]))));
  }
  const field = (/** @type {string} */ name, /** @type {string} */ says, step = "1") => html`<label key=${name}>${says}<input type="number" name=${name} min="0" step=${step} placeholder="as it was" defaultValue=${words.get(name) ?? ""} /></label>`;
  return html`<section class="panel" aria-label="What if"><h2>What if</h2>
    <p class="muted">The decisions that are kept, decided again, each alone from what was seen then. Nothing is changed.</p>
    <form class="filters" onSubmit=${decide}>${field("min", "at least, instances")}${field("max", "at most, instances")}${MEMBERS.map(([name, says, step]) => field(name, says, step))}
      ${WITHOUT.map(([name, says]) => html`<label key=${name} class="check"><input type="checkbox" name=${name} value="yes" defaultChecked=${!!words.get(name)} /> ${says}</label>`)}
      <button class="primary">Decide again</button>${body && html` <a href=${withWords(Object.fromEntries(names.map((name) => [name, ""])))}>As it was</a>`}</form>
    <${ProblemNote} problem=${problem.value} says="Not decided again:" />
    ${found.value && html`<${Others} found=${found.value} />`}</section>`;
}

/** @param {{found: WhatIfShown}} props */
function Others({ found }) {
  const { summary, items } = found;
  const columns = [
    { name: "when", cell: (/** @type {Replayed} */ row) => html`<${Ago} ms=${row.at_unix_ms} />` },
    { name: "there were", num: true, cell: (/** @type {Replayed} */ row) => String(row.current) },
    { name: "was decided", num: true, cell: (/** @type {Replayed} */ row) => String(row.recorded) },
    { name: "would be", num: true, cell: (/** @type {Replayed} */ row) => (row.other === row.again ? String(row.other) : html`<${Mark} tone="warn">${row.other}<//>`) },
    { name: "because", cell: (/** @type {Replayed} */ row) => row.because.join(", ") },
  ];
  return html`<p role="status">${summary.records === 0
      ? "No decision about it is kept: there is nothing to decide again."
      : `${summary.changed} of ${counted(summary.records, "decision")} would have come out otherwise: ${counted(summary.more, "instance")} more, ${summary.fewer} fewer; ${summary.reproduced} came out again as recorded.`}</p>
    ${found.refused && html`<p><${Mark} tone="warn">such a policy would be refused<//> ${found.refused}</p>`}
    ${items.length > 0 && html`<${Table} label="Decided again" columns=${columns} rows=${items} id=${(/** @type {Replayed} */ row) => row.id} />`}`;
}
