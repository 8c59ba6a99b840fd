// Playbooks: what starts each, what holds it back, whether it has proved itself; and starting one, planned first.
import { useSignal } from "@preact/signals";
import { query, send } from "../lib/api.js";
import { html } from "../lib/html.js";
import { took } from "../lib/numbers.js";
import { counted, mayChange } from "../lib/proposals.js";
import { at, go, place } from "../lib/router.js";
import { limitsSay, params, triggerSays } from "../lib/runs.js";
import { session, useAnswer } from "../lib/store.js";
import { Diff } from "../ui/diff.js";
import { Ago, Loaded, Mark, PageHead, ProblemNote } from "../ui/parts.js";
import { Table } from "../ui/table.js";
import { RunTable } from "./runs.js";

export function Playbooks() {
  const name = place.value.parts[1];
  const version = place.value.words.get("version") ?? "";
  return name ? html`<${OnePlaybook} key=${name + version} name=${name} version=${version} />` : html`<${AllPlaybooks} />`;
}

function AllPlaybooks() {
  const answer = useAnswer("/v1/playbooks?limit=500");
  const rows = /** @type {{playbooks: PlaybookRow[]} | null} */ (answer.data)?.playbooks ?? [];
  const columns = [
    { name: "playbook", cell: (/** @type {PlaybookRow} */ row) => html`<a data-row href=${at("playbooks", row.playbook) + query({ version: row.version })}>${row.playbook}</a> <span class="muted">${row.version}</span><div class="says">${row.summary}</div>` },
    { name: "risk", cell: (/** @type {PlaybookRow} */ row) => row.risk },
    { name: "rehearsal", cell: (/** @type {PlaybookRow} */ row) => html`<${Rehearsed} row=${row} />` },
    { name: "what starts it", cell: (/** @type {PlaybookRow} */ row) => html`<${Starts} row=${row} />` },
    { name: "own limits", cell: (/** @type {PlaybookRow} */ row) => limitsSay(row.limits).map((each) => html`<div class="brief" key=${each}>${each}</div>`) },
    { name: "last started", cell: (/** @type {PlaybookRow} */ row) => (row.last_started_unix_ms ? html`<${Ago} ms=${row.last_started_unix_ms} />` : "never") },
  ];
  return html`<${PageHead} title="Playbooks" lead=${html`What can be done by plan, and what does it by itself. <a href=${at("runs")}>See the runs</a>`} />
    <${Loaded} answer=${answer} what="playbooks"><section class="panel"><${Table} label="Playbooks" columns=${columns} rows=${rows} id=${(/** @type {PlaybookRow} */ row) => row.playbook + row.version} /></section><//>`;
}

/** @param {{row: {rehearsed: string, rehearsed_unix_ms?: number, rehearsal_ms?: number}}} props */
function Rehearsed({ row }) {
  const tone = row.rehearsed === "passed" ? "good" : row.rehearsed ? "bad" : "off";
  return html`<${Mark} tone=${tone}>${row.rehearsed || "never, as it is"}<//>${row.rehearsed_unix_ms ? html` <span class="muted"><${Ago} ms=${row.rehearsed_unix_ms} />, in ${took(1_000 * (row.rehearsal_ms ?? 0))}</span>` : ""}`;
}

/** @param {{row: {triggers: Trigger[], offline: boolean}}} props */
function Starts({ row }) {
  if (row.offline) return "somebody at the node, where quorum is gone";
  return html`<div>people</div>${row.triggers.map((each) => html`<div class="says" key=${each.kind + each.on}>${triggerSays(each)}</div>`)}`;
}

/** @param {{name: string, version: string}} props */
function OnePlaybook({ name, version }) {
  const answer = useAnswer(`/v1/playbooks/${encodeURIComponent(name)}${query({ version })}`);
  const runs = useAnswer("/v1/runs?kind=playbook&limit=200");
  const shown = /** @type {PlaybookShown | null} */ (answer.data);
  const own = (/** @type {Page<RunRow> | null} */ (runs.data)?.items ?? []).filter((row) => row.title.startsWith(`${name} `)).slice(0, 10);
  return html`<${PageHead} title=${name} lead=${html`<a href=${at("playbooks")}>All playbooks</a>${shown && ` · ${shown.version} · ${shown.kind} · risk ${shown.risk} · by ${shown.origin}`}`} />
    <${Loaded} answer=${answer} what=${`playbook ${name}`}>${shown && html`
      <section class="panel"><p><b>${shown.summary}</b></p>
        <dl class="pairs"><div><dt>rehearsal</dt><dd><${Rehearsed} row=${shown} /></dd></div>
          <div><dt>started by</dt><dd><${Starts} row=${shown} /></dd></div>
          <div><dt>limits</dt><dd>${limitsSay(shown.limits).join("; ") || "as for all"}</dd></div>
          <div><dt>locks</dt><dd>${[...(shown.locks.exclusive ?? []), ...(shown.locks.shared ?? []).map((each) => `${each} (shared)`)].join(", ") || "none"}; if taken: ${shown.locks.on_conflict ?? "queue"}</dd></div></dl></section>
      <${Start} key=${shown.sha256} shown=${shown} />
      <section class="panel"><h2>Steps</h2><${Steps} rows=${shown.steps} /></section>
      <section class="panel"><h2>Its last runs</h2>${own.length ? html`<${RunTable} rows=${own} />` : html`<p class="muted">None is known.</p>`}</section>
      <details class="panel"><summary>Source, as it was uploaded</summary><pre class="lines scroll" tabindex="0">${shown.source}</pre></details>`}<//>`;
}

/** @param {{rows: PlaybookStep[]}} props */
function Steps({ rows }) {
  const columns = [
    { name: "step", cell: (/** @type {PlaybookStep} */ row) => row.step },
    { name: "uses", cell: (/** @type {PlaybookStep} */ row) => html`<code>${row.uses}</code>` },
    { name: "effect", cell: (/** @type {PlaybookStep} */ row) => row.effect },
    { name: "undone by", cell: (/** @type {PlaybookStep} */ row) => row.undo || "–" },
    { name: "if it fails", cell: (/** @type {PlaybookStep} */ row) => row.on_failure },
    { name: "verified by", cell: (/** @type {PlaybookStep} */ row) => (row.verify ? html`<code class="says">${row.verify}</code>` : "–") },
  ];
  return html`<${Table} label="Steps" columns=${columns} rows=${rows} id=${(/** @type {PlaybookStep} */ row) => row.step} />`;
}

/**
 * Parameters, then the plan for exactly these, then the start.
 * @param {{shown: PlaybookShown}} props
 */
function Start({ shown }) {
  const typed = useSignal(/** @type {Record<string, string | boolean>} */ ({}));
  const plan = useSignal(/** @type {PlaybookPlanned | null} */ (null));
  const problem = useSignal(/** @type {Problem | null} */ (null));
  const busy = useSignal(false);
  const reason = useSignal("");
  const waiting = useSignal("");
  const path = `/v1/playbooks/${encodeURIComponent(shown.playbook)}`;
  const body = { version: shown.version, params: params(shown.params, typed.value) };
  const may = mayChange(session.value, `playbook:${shown.playbook}`);
  if (shown.offline) return html`<section class="panel"><h2>Start it</h2><p>It is for where quorum is gone, at the node itself: <code>aether playbook offline ${shown.playbook} --data DIR</code></p></section>`;

  /** @param {Event} event */
  async function look(event) {
    event.preventDefault();
    const reply = await send("POST", `${path}/plan`, body);
    problem.value = reply.problem;
    plan.value = /** @type {PlaybookPlanned | null} */ (reply.data);
  }

  /** @param {Event} event */
  async function start(event) {
    event.preventDefault();
    busy.value = true;
    const reply = await send("POST", `${path}/run${query({ reason: reason.value.trim() })}`, body);
    busy.value = false;
    problem.value = reply.problem;
    const came = /** @type {{run?: string, proposal?: string} | null} */ (reply.data);
    if (came?.run) go(`${at("runs", came.run)}?asked=now`);
    if (came?.proposal) waiting.value = came.proposal;
  }

  return html`<section class="panel"><h2>Start it</h2>
    <form class="params" aria-label="Parameters" onSubmit=${look}>${Object.entries(shown.params).map(([name, param]) => html`<${Field} key=${name} name=${name} param=${param}
        onValue=${(/** @type {string | boolean} */ value) => ((typed.value = { ...typed.value, [name]: value }), (plan.value = null))} />`)}
      <p><button>See what it would do</button> <span class="muted">Nothing is changed by that.</span></p></form>
    <${ProblemNote} problem=${problem.value} />
    ${plan.value && html`<div class="plan"><${Planned} plan=${plan.value} />
      ${!may && html`<p class="muted">Starting it needs the role operator; you are ${session.value?.role}.</p>`}
      ${may && html`<form onSubmit=${start}><label>Reason <span class="muted">kept in the audit</span><input required maxlength="1000" value=${reason.value} onInput=${(/** @type {any} */ e) => (reason.value = e.target.value)} /></label>
        <div class="buttons"><button class="primary" disabled=${busy.value}>Start it</button><span class="muted">It acts for you: each of its changes passes the gate, and waits where people must agree.</span></div></form>`}</div>`}
    ${waiting.value && html`<p><${Mark} tone="wait">the start waits for approval<//> <a href=${at("approvals", waiting.value)}>see the card</a></p>`}</section>`;
}

/** @type {Record<string, [string, (status: Status) => string[]]>} */
const KNOWN = {
  node: ["known-nodes", (status) => status.nodes.map((each) => each.node)],
  slice: ["known-slices", (status) => status.slices.map((each) => each.slice)],
  blueprint: ["known-blueprints", (status) => status.blueprints],
};

/** @param {{name: string, param: Param, onValue: (value: string | boolean) => void}} props */
function Field({ name, param, onValue }) {
  const known = KNOWN[param.type];
  const status = /** @type {Status | null} */ (useAnswer(known ? "/v1/status" : "").data);
  const shared = { name, required: param.required && param.type !== "boolean", onInput: (/** @type {any} */ e) => onValue(e.target.type === "checkbox" ? e.target.checked : e.target.value) };
  const usual = param.default === undefined || param.default === null ? "" : String(param.default);
  const hint = html`<span class="muted">${param.type}${param.summary && `; ${param.summary}`}</span>`;
  if (param.type === "boolean") return html`<label class="check"><input type="checkbox" defaultChecked=${param.default === true} ...${shared} /> ${name} ${hint}</label>`;
  if (param.choices?.length) return html`<label>${name} ${hint}<select defaultValue=${usual} ...${shared}>${!usual && html`<option value=""></option>`}${param.choices.map((each) => html`<option key=${each} value=${each} selected=${each === usual}>${each}</option>`)}</select></label>`;
  const numeric = param.type === "integer" || param.type === "number";
  return html`<label>${name} ${hint}<input type=${numeric ? "number" : "text"} step=${param.type === "number" ? "any" : null} min=${param.min} max=${param.max} list=${known?.[0]} placeholder=${usual} autocomplete="off" ...${shared} />
    ${known && status && html`<datalist id=${known[0]}>${known[1](status).map((each) => html`<option key=${each} value=${each} />`)}</datalist>`}</label>`;
}

const PLANNED = { predicted: "good", opaque: "warn", reads: "off", skipped: "off", refused: "bad" };

/** @param {{plan: PlaybookPlanned}} props */
function Planned({ plan }) {
  return html`<p><${Mark} tone=${plan.startable ? "good" : "bad"}>${plan.startable ? "it can be started" : "it would not get through"}<//> ${plan.predicted} steps with an effect are predicted${plan.approvals ? `; ${counted(plan.approvals, "step")} would wait for people` : ""}. ${plan.locks.length ? `It takes ${plan.locks.join(", ")}.` : ""}</p>
    ${[...plan.pre, ...(plan.verify ? [plan.verify] : [])].map((each) => html`<p key=${each.cel}><${Mark} tone=${each.value === true ? "good" : "off"}>${each.value === true ? "holds" : "does not hold"}<//> <code>${each.cel}</code> ${each === plan.verify && html`<span class="muted">the last verification, as things are now</span>`} ${each.error}</p>`)}
    <ol class="stages">${plan.steps.map((step) => html`<li key=${step.step}><b>${step.step}</b> <code>${step.uses}</code> <${Mark} tone=${PLANNED[step.state]}>${step.state}<//> ${step.why || step.summary} ${step.decision === "propose" && html`<${Mark} tone="wait">waits for people<//>`}
      ${step.diff?.length ? html`<${Diff} rows=${step.diff} label=${`What ${step.step} would change`} />` : null}</li>`)}</ol>`;
}
