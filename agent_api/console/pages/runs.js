// Runs as they go on: step by step with tries, waits, verification and undoing; what people may do about one; locks.
import { html } from "../lib/html.js";
import { took } from "../lib/numbers.js";
import { query } from "../lib/api.js";
import { shown as valued } from "../lib/proposals.js";
import { at, place } from "../lib/router.js";
import { RUN_STATES, STEP_STATES, hasEnded, isUnsettled, orders, proposalOf, stages, undoProposalOf } from "../lib/runs.js";
import { useAnswer } from "../lib/store.js";
import { clock, now, span } from "../lib/time.js";
import { Act } from "../ui/act.js";
import { Ago, Empty, Loaded, Mark, PageHead, Tabs } from "../ui/parts.js";
import { Table } from "../ui/table.js";

export function Runs() {
  const id = place.value.parts[1];
  return id ? html`<${OneRun} key=${id} id=${id} />` : html`<${AllRuns} />`;
}

/** @param {{state: RunState}} props */
const State = ({ state }) => html`<${Mark} tone=${RUN_STATES[state].tone}>${RUN_STATES[state].word}<//>`;

/** @param {{id: string}} props */
const RunLink = ({ id }) => html`<a href=${at("runs", id)}>${id}</a>`;

/** @param {{rows: RunRow[]}} props */
export function RunTable({ rows }) {
  const columns = [
    { name: "run", cell: (/** @type {RunRow} */ row) => html`<a data-row href=${at("runs", row.id)}>${row.title || row.kind}</a>` },
    { name: "is", cell: (/** @type {RunRow} */ row) => html`<${State} state=${row.state} />` },
    { name: "because", cell: (/** @type {RunRow} */ row) => html`<span class="says">${row.reason || row.code || (hasEnded(row.state) ? "" : row.waits_for) || "–"}</span>` },
    { name: "for", cell: (/** @type {RunRow} */ row) => row.actor },
    { name: "steps", num: true, cell: (/** @type {RunRow} */ row) => String(row.steps) },
    { name: "took", num: true, cell: (/** @type {RunRow} */ row) => (row.ended_unix_ms && row.began_unix_ms ? took(1_000 * (row.ended_unix_ms - row.began_unix_ms)) : "–") },
    { name: "asked for", cell: (/** @type {RunRow} */ row) => html`<${Ago} ms=${row.created_unix_ms} />` },
  ];
  return html`<${Table} label="Runs" columns=${columns} rows=${rows} id=${(/** @type {RunRow} */ row) => row.id} />`;
}

function AllRuns() {
  const shows = place.value.words.get("show") ?? "";
  const answer = useAnswer("/v1/runs?limit=200");
  const rows = /** @type {Page<RunRow> | null} */ (answer.data)?.items ?? [];
  const going = rows.filter((row) => !hasEnded(row.state));
  const waiting = going.filter((row) => row.state === "needs_human").length;
  const listed = shows === "ended" ? rows.filter((row) => hasEnded(row.state)) : going;
  return html`<${PageHead} title="Runs" lead=${html`${waiting ? `${waiting} ${waiting === 1 ? "waits" : "wait"} for a person.` : "None waits for a person."} <a href=${at("playbooks")}>See the playbooks</a>`}>
      <${Tabs} label="Which runs" items=${[
        { name: `Going on (${going.length})`, href: at("runs"), here: shows === "" },
        { name: "Ended", href: at("runs") + query({ show: "ended" }), here: shows === "ended" },
        { name: "Locks", href: at("runs") + query({ show: "locks" }), here: shows === "locks" },
      ]} /><//>
    ${shows === "locks" ? html`<${AllLocks} />` : html`<${Loaded} answer=${answer} what="runs">${listed.length === 0
      ? html`<${Empty} title=${shows ? "None has ended lately." : "Nothing runs."}>Playbooks are started by people, alerts, events and the time: <a href=${at("playbooks")}>see which there are</a>.<//>`
      : html`<section class="panel"><${RunTable} rows=${listed} /></section>`}<//>`}`;
}

/** @param {{run?: string}} props only of one run */
function AllLocks({ run = "" }) {
  const answer = useAnswer(`/v1/locks${query({ run, limit: 200 })}`);
  const rows = /** @type {Page<LockRow> | null} */ (answer.data)?.items ?? [];
  const owners = (/** @type {LockOwner[]} */ all) => (all.length ? all.map((each) => html`<div key=${each.run}><${RunLink} id=${each.run} /> <span class="muted">${each.mode}, <${Ago} ms=${each.since_unix_ms} />${each.number ? `, grant ${each.number}` : ""}</span></div>`) : "nobody");
  const columns = [
    { name: "lock", cell: (/** @type {LockRow} */ row) => html`<code>${row.name}</code>` },
    { name: "is with", cell: (/** @type {LockRow} */ row) => owners(row.holders) },
    { name: "waiting, in their order", cell: (/** @type {LockRow} */ row) => owners(row.waiters) },
  ];
  return html`<${Loaded} answer=${answer} what="locks">${rows.length === 0
    ? run ? html`<p class="muted">It has none and waits for none.</p>` : html`<${Empty} title="No lock is taken.">A run takes those that its playbook names before its first step, all or none.<//>`
    : html`<section class=${run ? "" : "panel"}><${Table} label="Locks" columns=${columns} rows=${rows} id=${(/** @type {LockRow} */ row) => row.name} /></section>`}<//>`;
}

/** @param {{id: string}} props */
function OneRun({ id }) {
  const answer = useAnswer(`/v1/runs/${encodeURIComponent(id)}`);
  const shown = /** @type {RunShown | null} */ (answer.data);
  const asked = shown === null && place.value.words.has("asked");
  return html`<${PageHead} title=${shown?.run.title || "Run"} lead=${html`<a href=${at("runs")}>All runs</a> · <code>${id}</code>`} />
    ${asked ? html`<p role="status"><${Mark} tone="wait">asked for; shown once the cluster has it<//></p>` : html`<${Loaded} answer=${answer} what="run">${shown && html`<${Whole} shown=${shown} />`}<//>`}`;
}

/** @param {{shown: RunShown}} props */
function Whole({ shown }) {
  const { run, error } = shown;
  const { playbook = "", version = "" } = shown.input;
  const definition = useAnswer(playbook ? `/v1/playbooks/${encodeURIComponent(playbook)}${query({ version })}` : "");
  const known = /** @type {PlaybookShown | null} */ (definition.data);
  const planned = known?.sha256 === shown.definition ? known.steps : [];
  const trigger = shown.trigger;
  return html`<section class="panel" aria-label="Run" data-state=${run.state}><p role="status"><${State} state=${run.state} />${run.state === "waiting" && run.wake_unix_ms > now.value && html` <span class="muted">${run.waits_for ? "at most" : "goes on in"} ${clock(run.wake_unix_ms - now.value)}</span>`}${run.reason && html` <b>${run.reason}</b>`}${shown.order && html` <${Mark} tone="wait">${shown.order} is asked for<//>`}</p>
      ${error && html`<p><${Mark} tone="bad">${error.code}<//> ${error.detail}</p>`}
      ${shown.effects_left.length > 0 && html`<p><${Mark} tone="warn">not undone<//> ${shown.effects_left.join(", ")}: somebody gave that up.</p>`}
      <dl class="pairs"><div><dt>acts for</dt><dd>${[run.actor, ...shown.behind].join(", for ")}</dd></div>
        <div><dt>started by</dt><dd>${String(trigger.kind ?? "")} ${valued(trigger.by ?? trigger.alert ?? trigger.event ?? "")} <${Ago} ms=${run.created_unix_ms} /></dd></div>
        ${playbook && html`<div><dt>playbook</dt><dd><a href=${at("playbooks", playbook) + query({ version })}>${playbook} ${version}</a> with <code>${valued(shown.input.params)}</code></dd></div>`}
        ${run.began_unix_ms > 0 && html`<div><dt>took</dt><dd>${span((run.ended_unix_ms || now.value) - run.began_unix_ms)}${run.ended_unix_ms ? "" : " so far"}${shown.epoch > 1 ? `; ${shown.epoch} leaders have carried it` : ""}</dd></div>`}
        ${run.parent && html`<div><dt>part of</dt><dd><${RunLink} id=${run.parent} /></dd></div>`}
        ${shown.children.length > 0 && html`<div><dt>started</dt><dd>${shown.children.map((each) => html`<${RunLink} key=${each} id=${each} /> `)}</dd></div>`}</dl>
      <${Orders} run=${run} /></section>
    <section class="panel"><h2>Steps</h2><ol class="stages">${stages(shown.steps, planned).map((stage) => html`<${OneStage} key=${stage.name} stage=${stage} run=${run} />`)}</ol></section>
    ${shown.signals.length > 0 && html`<section class="panel"><h2>What it was told</h2><ul class="plain">${shown.signals.map((each) => html`<li key=${each.name}><b>${each.name}</b> by ${each.by} <${Ago} ms=${each.at_unix_ms} /> <code>${valued(each.data)}</code></li>`)}</ul></section>`}
    ${!hasEnded(run.state) && html`<section class="panel"><h2>Locks</h2><${AllLocks} run=${run.id} /></section>`}`;
}

/** @type {Record<string, {label: string, tone?: string}>} */
const ORDERS = { pause: { label: "Pause" }, resume: { label: "Let it go on" }, cancel: { label: "Cancel and undo", tone: "danger" } };

/** @param {{run: RunRow}} props */
function Orders({ run }) {
  const act = (/** @type {string} */ verb, /** @type {string} */ label, tone = "", body = {}) =>
    html`<${Act} key=${label} label=${label} tone=${tone} subject=${`run:${run.id}`} why="why" change=${{ method: "POST", path: `/v1/runs/${run.id}/${verb}`, body }} />`;
  const possible = orders(run.state);
  if (run.state === "compensating") return html`<p class="muted">What it did is being undone; that is not stopped.</p>`;
  return html`<div class="acts">${possible.map((verb) => act(verb, ORDERS[verb].label, ORDERS[verb].tone))}
    ${possible.includes("cancel") && act("cancel", "Cancel, undo nothing", "", { leave: true })}</div>`;
}

/** @param {{stage: import("../lib/runs.js").Stage, run: RunRow}} props */
function OneStage({ stage, run }) {
  const { row, checks } = stage;
  return html`<li data-step=${stage.name} class=${row || checks.length ? "" : "future"}><p><b>${stage.name}</b> <code>${stage.uses}</code> ${row ? html`<${Tried} row=${row} />` : html`<${Mark} tone="off">${stage.says || "not begun"}<//>`}</p>
    ${row && html`<${Came} row=${row} run=${run} />`}
    ${checks.length > 0 && html`<ul class="plain checks">${checks.map((each) => html`<li key=${each.says}>${each.says}: <${Tried} row=${each.row} /><${Came} row=${each.row} run=${run} /></li>`)}</ul>`}</li>`;
}

/** @param {{row: RunStep}} props state, tries and time of a step */
function Tried({ row }) {
  const { word, tone } = STEP_STATES[row.state] ?? { word: row.state, tone: "off" };
  const ran = row.ended_unix_ms ? took(1_000 * Math.max(0, row.ended_unix_ms - row.began_unix_ms)) : span(now.value - row.began_unix_ms);
  const left = row.wake_unix_ms - now.value;
  return html`<${Mark} tone=${row.unknown ? "bad" : tone}>${row.unknown ? "nobody knows whether it took effect" : word}<//> <span class="muted">${row.attempt > 1 ? `try ${row.attempt}, ` : ""}${ran}${left > 0 && row.state !== "done" ? `, ${row.waits_for ? "at most" : "next try in"} ${clock(left)}` : ""}${row.resolved_by ? `, settled by ${row.resolved_by}` : ""}</span>`;
}

/** @param {{row: RunStep, run: RunRow}} props what came of a step, and what people may say of it */
function Came({ row, run }) {
  const waits = row.state === "waiting" ? proposalOf(row.waits_for) : "";
  const made = String(row.result.proposal ?? "");
  const undone = undoProposalOf(row.undo_error);
  const say = (/** @type {string} */ label, /** @type {string} */ outcome) =>
    html`<${Act} label=${label} subject=${`run:${run.id}`} why="why" change=${{ method: "POST", path: `/v1/runs/${run.id}/retry-step`, body: { step: row.step, outcome } }} />`;
  return html`${waits && html`<p><${Mark} tone="wait">waits for approval<//> <a href=${at("approvals", waits)}>see the card</a></p>`}
    ${row.state === "waiting" && row.waits_for && !waits && html`<p class="muted">waits for ${row.waits_for}</p>`}
    ${row.error && row.state !== "done" && html`<p><${Mark} tone="bad">${row.error.code}<//> ${row.error.detail}</p>`}
    ${row.action === "perform" && row.result.summary !== undefined && html`<p class="muted">${String(row.result.summary)}${made && html` · <a href=${at("approvals", made)}>approved</a>`}</p>`}
    ${row.undo && row.undo !== "none" && row.undo !== "owed" && html`<p><${Mark} tone=${row.undo === "done" ? "warn" : row.undo === "failed" ? "bad" : "wait"}>undo ${row.undo}<//> ${row.undo_error?.detail} ${undone && html`<a href=${at("approvals", undone)}>see the card</a>`}</p>`}
    ${isUnsettled(run.state, row) && html`<div class="acts">${say("Try again", "again")}${say("It took effect", "done")}${say("Pass over", "skipped")}</div>`}`;
}
