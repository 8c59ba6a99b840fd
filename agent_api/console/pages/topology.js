// Zones, nodes, slices, instances as stable columns; what requires what, and what is blocked and why.
import { html } from "../lib/html.js";
import { counted } from "../lib/proposals.js";
import { at, place } from "../lib/router.js";
import { useAnswer } from "../lib/store.js";
import { Act } from "../ui/act.js";
import { Empty, Loaded, Mark, PageHead, Tabs } from "../ui/parts.js";
import { Table } from "../ui/table.js";

export function TopologyPage() {
  const answer = useAnswer("/v1/topology");
  const shown = /** @type {Topology | null} */ (answer.data);
  const asTable = place.value.words.get("as") === "table";
  const chosen = place.value.parts[1] ?? "";
  const nodes = shown?.zones.flatMap((zone) => zone.nodes) ?? [];
  const node = nodes.find((each) => each.node === chosen);
  return html`<${PageHead} title="Topology" lead=${shown ? lead(shown) : ""}>
      <${Tabs} label="How it is shown" items=${[
        { name: "Columns", href: at("topology"), here: !asTable },
        { name: "Table", href: `${at("topology")}?as=table`, here: asTable },
      ]} /><//>
    <${Loaded} answer=${answer} what="the topology">${shown && html`
      <${BlockedSlices} rows=${shown.blocked} />
      ${chosen && (node ? html`<${NodePanel} node=${node} />` : html`<${Empty} title=${`There is no node ${chosen}.`}><a href=${at("topology")}>All nodes</a><//>`)}
      ${asTable ? html`<${AsTable} nodes=${shown.zones} />` : shown.zones.map((zone) => html`<${Zone} key=${zone.zone} zone=${zone} chosen=${chosen} />`)}
      <${Chains} edges=${shown.edges} />`}<//>`;
}

/** @param {Topology} shown */
function lead({ zones, blocked }) {
  const nodes = zones.reduce((sum, each) => sum + each.nodes.length, 0);
  return `${counted(nodes, "node")} in ${counted(zones.length, "zone")}; ${blocked.length ? `${counted(blocked.length, "slice")} below what is wanted` : "every slice has what it wants"}.`;
}

/** @param {PlacedNode} node @returns {{word: string, tone: string}} */
function standing(node) {
  if (node.state !== "up") return { word: node.state, tone: node.state === "down" ? "bad" : "warn" };
  return node.cordoned ? { word: "up, takes nothing new", tone: "warn" } : { word: "up", tone: "good" };
}

/** @param {{zone: {zone: string, nodes: PlacedNode[]}, chosen: string}} props */
function Zone({ zone, chosen }) {
  return html`<section aria-label=${`Zone ${zone.zone}`}><h2 class="zone">Zone ${zone.zone}</h2><div class="nodes">
    ${zone.nodes.map((node) => {
      const { word, tone } = standing(node);
      return html`<article key=${node.node} class="node" aria-current=${node.node === chosen ? "true" : null}>
        <header><a data-row href=${at("topology", node.node)}><b>${node.node}</b></a> <span class="muted">${node.role}</span> <${Mark} tone=${tone}>${word}<//></header>
        <ul>${node.slices.map((each) => html`<li key=${each.slice + each.version}><a href=${at("slices", each.slice)}>${each.slice}</a>
          <span class="cells">${each.instances.map((one) => html`<${Cell} key=${one.number} one=${one} />`)}</span></li>`)}
          ${node.slices.length === 0 && html`<li class="muted">no instances</li>`}</ul></article>`;
    })}</div></section>`;
}

/**
 * One instance: its number, with a shape for what it does.
 * @param {{one: PlacedInstance}} props
 */
function Cell({ one }) {
  const tone = one.serving ? "good" : one.phase === "failed" ? "bad" : "wait";
  return html`<span class=${`cell ${tone}`} title=${`instance ${one.number}: ${one.phase}${one.reason ? `, ${one.reason}` : ""}`}>${one.serving ? "" : html`<i aria-hidden="true">${tone === "bad" ? "■" : "◔"}</i>`}${one.number}<span class="sr"> ${one.phase}</span></span>`;
}

/** @param {{node: PlacedNode}} props */
function NodePanel({ node }) {
  const path = `/v1/nodes/${encodeURIComponent(node.node)}`;
  const subject = `node:${node.node}`;
  const { word, tone } = standing(node);
  const isOut = node.cordoned || node.state === "leaving";
  return html`<section class="panel" aria-label=${`Node ${node.node}`}><h2>Node ${node.node} <${Mark} tone=${tone}>${word}<//></h2>
    <p class="muted">${node.role} node with ${counted(node.slices.reduce((sum, each) => sum + each.instances.length, 0), "instance")}. <a href=${at("topology")}>Close</a></p>
    <div class="acts">
      ${isOut
        ? html`<${Act} key="activate" label="Take back into service" subject=${subject} change=${{ method: "POST", path: `${path}/activate`, body: {} }} />`
        : html`<${Act} key="cordon" label="Give no new instances" subject=${subject} change=${{ method: "POST", path: `${path}/cordon`, body: {} }} />`}
      <${Act} key="drain" label="Drain" tone="danger" subject=${subject} change=${{ method: "POST", path: `${path}/drain`, body: {} }} /></div></section>`;
}

/** @param {{rows: Topology["blocked"]}} props */
function BlockedSlices({ rows }) {
  if (rows.length === 0) return null;
  return html`<section class="notice" aria-label="Blocked slices"><h2>Below what is wanted</h2><ul>${rows.map(
    (row) => html`<li key=${row.slice + row.version}><a href=${at("slices", row.slice)}><b>${row.slice}</b></a> serves ${row.serving} of ${row.wanted}: ${row.why.join("; ") || "not known yet"}</li>`,
  )}</ul></section>`;
}

/** @param {{edges: Topology["edges"]}} props */
function Chains({ edges }) {
  if (edges.length === 0) return html`<section class="panel"><h2>What requires what</h2><p class="muted">No slice calls another.</p></section>`;
  const columns = [
    { name: "slice", cell: (/** @type {Topology["edges"][0]} */ row) => html`<a href=${at("slices", row.slice)}>${row.slice}</a>` },
    { name: "calls", cell: (/** @type {Topology["edges"][0]} */ row) => html`<a href=${at("slices", row.requires)}>${row.requires}</a>` },
    { name: "need", cell: (/** @type {Topology["edges"][0]} */ row) => (row.optional ? "may be missing" : "required") },
    { name: "now", cell: (/** @type {Topology["edges"][0]} */ row) => html`<${Mark} tone=${row.met ? "good" : row.optional ? "warn" : "bad"}>${row.met ? "serves" : "missing"}<//>` },
  ];
  return html`<section class="panel"><h2>What requires what</h2><${Table} label="What requires what" columns=${columns} rows=${edges} id=${(/** @type {Topology["edges"][0]} */ row) => `${row.slice}>${row.requires}`} /></section>`;
}

/** @param {{nodes: Topology["zones"]}} props */
function AsTable({ nodes }) {
  const rows = nodes.flatMap((zone) => zone.nodes.flatMap((node) => node.slices.flatMap((each) => each.instances.map((one) => ({ zone: zone.zone, node: node.node, state: standing(node), ...each, one })))));
  const columns = [
    { name: "zone", cell: (/** @type {any} */ row) => row.zone },
    { name: "node", cell: (/** @type {any} */ row) => html`<a href=${at("topology", row.node)}>${row.node}</a>` },
    { name: "node is", cell: (/** @type {any} */ row) => html`<${Mark} tone=${row.state.tone}>${row.state.word}<//>` },
    { name: "instance", cell: (/** @type {any} */ row) => html`<a href=${at("slices", row.slice)}>${row.slice}/${row.one.number}</a>` },
    { name: "version", cell: (/** @type {any} */ row) => row.version },
    { name: "instance is", cell: (/** @type {any} */ row) => html`<${Mark} tone=${row.one.serving ? "good" : row.one.phase === "failed" ? "bad" : "wait"}>${row.one.phase}<//> ${row.one.reason}` },
  ];
  return html`<section class="panel"><${Table} label="Instances by node" columns=${columns} rows=${rows} id=${(/** @type {any} */ row) => `${row.node}/${row.slice}/${row.one.number}`} /></section>`;
}
