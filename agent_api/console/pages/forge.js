// The Forge around this cluster: its nodes as processes, the load it sends, and what it breaks. Only where there is one.
import { useSignal } from "@preact/signals";
import { send } from "../lib/api.js";
import { html } from "../lib/html.js";
import { figure } from "../lib/numbers.js";
import { atLeast } from "../lib/proposals.js";
import { at } from "../lib/router.js";
import { session, useAnswer } from "../lib/store.js";
import { Empty, Loaded, Mark, PageHead, ProblemNote } from "../ui/parts.js";
import { Table } from "../ui/table.js";

const FIGURES_MS = 2_000;

export function ForgePage() {
  const answer = useAnswer("/v1/forge", { every: FIGURES_MS });
  const shown = /** @type {{present: boolean, forge: ForgeStatus | null} | null} */ (answer.data);
  return html`<div class="forge"><${PageHead} title="Forge" lead="A cluster that is there to be broken. Nothing here exists in any other." />
    <${Loaded} answer=${answer} what="the Forge">${shown && (shown.forge ? html`<${Whole} forge=${shown.forge} />` : html`<${Empty} title="This cluster runs in no Forge.">Start one: <code>aether forge</code><//>`)}<//></div>`;
}

/** @param {{forge: ForgeStatus}} props */
function Whole({ forge }) {
  const may = !!session.value && atLeast(session.value.role, "admin");
  return html`${!may && html`<p class="muted">Breaking things and sending load needs the role admin; you are ${session.value?.role}.</p>`}
    <${Load} load=${forge.load} may=${may} />
    <${Chaos} forge=${forge} may=${may} />`;
}

/**
 * Sends a wish; what it came to is told as it was said.
 * @returns {{said: string, problem: Problem | null, busy: boolean, wish: (method: "PUT" | "POST", path: string, body: unknown) => Promise<void>}}
 */
function useWish() {
  const said = useSignal("");
  const problem = useSignal(/** @type {Problem | null} */ (null));
  const busy = useSignal(false);
  return {
    said: said.value,
    problem: problem.value,
    busy: busy.value,
    async wish(method, path, body) {
      busy.value = true;
      said.value = "";
      const reply = await send(method, path, body);
      busy.value = false;
      problem.value = reply.problem;
      said.value = /** @type {{said?: string} | null} */ (reply.data)?.said ?? "";
    },
  };
}

/** @param {{came: ReturnType<typeof useWish>, waits: string}} props */
const Came = ({ came, waits }) => html`<span role="status">${came.busy ? html`<${Mark} tone="wait">${waits}<//>` : came.said && html`<${Mark} tone="good">${came.said}<//>`}</span><${ProblemNote} problem=${came.problem} />`;

/** @param {{load: ForgeStatus["load"], may: boolean}} props */
function Load({ load, may }) {
  const came = useWish();
  const shape = useSignal("constant");
  const rps = useSignal("50");
  const wish = (/** @type {number} */ most) => void came.wish("PUT", "/v1/forge/load", { shape: shape.value, rps: most });
  return html`<section class="panel" aria-label="Load"><h2>Load</h2>
    <p>${load.shape ? html`<${Mark} tone="good">${load.shape}, up to ${figure(load.rps_wanted)} a second<//> ${figure(load.rps)} requests/s now, p99 ${figure(load.p99_ms)} ms; ${figure(load.sent)} sent, ${load.failed ? html`<${Mark} tone="bad">${figure(load.failed)} failed<//>` : "none failed"}.` : html`<${Mark} tone="off">none is sent<//>`}</p>
    <form class="filters" onSubmit=${(/** @type {Event} */ e) => (e.preventDefault(), wish(Number(rps.value)))}>
      <label>profile<select value=${shape.value} onChange=${(/** @type {any} */ e) => (shape.value = e.target.value)}>${["constant", "ramp", "spike"].map((each) => html`<option key=${each}>${each}</option>`)}</select></label>
      <label>requests a second at most<input type="number" min="1" max="50000" required value=${rps.value} onInput=${(/** @type {any} */ e) => (rps.value = e.target.value)} /></label>
      <button disabled=${!may || came.busy}>Send it</button><button type="button" disabled=${!may || came.busy || !load.shape} onClick=${() => wish(0)}>End it</button></form>
    <${Came} came=${came} waits="asked for" /></section>`;
}

/** @type {Record<string, string>} */
const STATES = { running: "good", paused: "warn", joining: "wait", down: "bad" };
const KINDS = ["node", "store", "control", "gateway", "worker"];

/** @param {{forge: ForgeStatus, may: boolean}} props */
function Chaos({ forge, may }) {
  const came = useWish();
  const kind = useSignal("node");
  const cut = useSignal(/** @type {string[]} */ ([]));
  const breakIt = (/** @type {string} */ verb, /** @type {Record<string, unknown>} */ request) => void came.wish("POST", "/v1/forge/chaos", { operation: `chaos.${verb}`, request });
  const act = (/** @type {ForgeStatus["nodes"][0]} */ row, /** @type {string} */ verb, /** @type {boolean} */ fits) =>
    html`<button key=${verb} disabled=${!may || !fits || came.busy} onClick=${() => breakIt(verb, verb === "kill" ? { node: row.node, kind: kind.value } : { node: row.node })}>${verb}<span class="sr"> ${row.node}</span></button> `;
  const columns = [
    { name: "node", cell: (/** @type {ForgeStatus["nodes"][0]} */ row) => html`<a data-row href=${at("topology", row.node)}>${row.node}</a> ${row.leads && html`<span class="muted">leads</span>`}` },
    { name: "processes", cell: (/** @type {ForgeStatus["nodes"][0]} */ row) => html`<${Mark} tone=${STATES[row.state] ?? "off"}>${row.state}<//>` },
    { name: "serving", num: true, cell: (/** @type {ForgeStatus["nodes"][0]} */ row) => String(row.active) },
    { name: "load/s", num: true, cell: (/** @type {ForgeStatus["nodes"][0]} */ row) => figure(row.rps) },
    { name: "do", cell: (/** @type {ForgeStatus["nodes"][0]} */ row) => html`${act(row, "kill", row.state !== "down")}${act(row, "pause", row.state === "running")}${act(row, "resume", row.state === "paused")}${act(row, "stop", row.state === "running")}${act(row, "start", row.state === "down")}` },
    ...(forge.partitions ? [{ name: "cut off", cell: (/** @type {ForgeStatus["nodes"][0]} */ row) => html`<input type="checkbox" aria-label=${`cut off ${row.node}`} checked=${cut.value.includes(row.node)} onChange=${() => (cut.value = cut.value.includes(row.node) ? cut.value.filter((each) => each !== row.node) : [...cut.value, row.node])} />` }] : []),
  ];
  return html`<section class="panel" aria-label="Chaos"><h2>Nodes, and what may happen to them</h2>
    <p><label>kill means <select value=${kind.value} onChange=${(/** @type {any} */ e) => (kind.value = e.target.value)}>${KINDS.map((each) => html`<option key=${each} value=${each}>${each === "node" ? "the whole node" : `its ${each}`}</option>`)}</select></label></p>
    <${Table} label="Nodes of the Forge" columns=${columns} rows=${forge.nodes} id=${(/** @type {ForgeStatus["nodes"][0]} */ row) => row.node} />
    <p class="buttons">${forge.partitions ? html`<button disabled=${!may || cut.value.length === 0} onClick=${() => breakIt("partition", { nodes: cut.value })}>Cut these off</button><button disabled=${!may} onClick=${() => breakIt("heal", {})}>Mend all cuts</button>` : html`<span class="muted">Links are cut in a Forge that was started with <code>--partitions</code>.</span>`}</p>
    <${Came} came=${came} waits="is being done" /></section>`;
}
