// What is deployed: blueprints with their slices as they were applied and as they stand, and the artifacts they run.
import { html } from "../lib/html.js";
import { size } from "../lib/numbers.js";
import { at } from "../lib/router.js";
import { useAnswer } from "../lib/store.js";
import { Ago, Empty, Loaded, Mark, PageHead } from "../ui/parts.js";
import { Table } from "../ui/table.js";

export function Deployments() {
  const answer = useAnswer("/v1/blueprints");
  const slices = useAnswer("/v1/slices?limit=500");
  const blueprints = /** @type {{blueprints: BlueprintRow[]} | null} */ (answer.data)?.blueprints ?? [];
  const rows = /** @type {{slices: SliceRow[]} | null} */ (slices.data)?.slices ?? [];
  return html`<${PageHead} title="Deployments" lead="What is wanted, by blueprint, and what serves of it." />
    <${Loaded} answer=${answer} what="blueprints">${blueprints.length === 0
      ? html`<${Empty} title="Nothing is deployed.">A blueprint says which slices run, in which version and how many: <code>aether blueprint apply shop.toml</code><//>`
      : blueprints.map((each) => html`<${Blueprint} key=${each.blueprint} blueprint=${each} rows=${rows} />`)}<//>
    <${Artifacts} />`;
}

/** @param {{blueprint: BlueprintRow, rows: SliceRow[]}} props */
function Blueprint({ blueprint, rows }) {
  const now = new Map(rows.map((row) => [`${row.slice} ${row.version}`, row]));
  const joined = blueprint.slices.map((each) => ({ ...each, now: now.get(`${each.slice} ${each.version}`) }));
  const shares = joined.reduce((sum, each) => ({ ...sum, [each.slice]: (sum[each.slice] ?? 0) + (each.now?.weight ?? 0) }), /** @type {Record<string, number>} */ ({}));
  const isOut = joined.filter((each) => (each.now?.serving ?? 0) < (each.now?.wanted ?? each.instances)).length;
  const columns = [
    { name: "slice", cell: (/** @type {any} */ row) => html`<a data-row href=${at("slices", row.slice)}>${row.slice}</a>` },
    { name: "version", cell: (/** @type {any} */ row) => row.version },
    { name: "artifact", cell: (/** @type {any} */ row) => html`<code>${row.artifact}</code>` },
    { name: "applied as", num: true, cell: (/** @type {any} */ row) => row.instances },
    { name: "wanted now", num: true, cell: (/** @type {any} */ row) => row.now?.wanted ?? "–" },
    { name: "serving", cell: (/** @type {any} */ row) => html`<${Mark} tone=${(row.now?.serving ?? 0) >= (row.now?.wanted ?? row.instances) ? "good" : "warn"}>${row.now?.serving ?? 0}<//>` },
    { name: "share of calls", num: true, cell: (/** @type {any} */ row) => (shares[row.slice] ? `${Math.round((100 * (row.now?.weight ?? 0)) / shares[row.slice])} %` : "–") },
    { name: "runs in", cell: (/** @type {any} */ row) => row.isolation },
  ];
  return html`<section class="panel"><h2>${blueprint.blueprint} <${Mark} tone=${isOut ? "warn" : "good"}>${isOut ? `${isOut} of ${joined.length} slices below what is wanted` : "all of it serves"}<//></h2>
    <${Table} label=${`Slices of ${blueprint.blueprint}`} columns=${columns} rows=${joined} id=${(/** @type {any} */ row) => row.slice + row.version} />
    <p class="muted"><a href=${`${at("audit")}?subject=blueprint%3A${encodeURIComponent(blueprint.blueprint)}`}>Who changed it, and when</a></p></section>`;
}

function Artifacts() {
  const answer = useAnswer("/v1/artifacts");
  const rows = /** @type {{artifacts: ArtifactRow[]} | null} */ (answer.data)?.artifacts ?? [];
  const columns = [
    { name: "artifact", cell: (/** @type {ArtifactRow} */ row) => html`${row.name} ${row.version}` },
    { name: "slices", cell: (/** @type {ArtifactRow} */ row) => row.slices.join(", ") },
    { name: "size", num: true, cell: (/** @type {ArtifactRow} */ row) => size(row.size_bytes) },
    { name: "uploaded", cell: (/** @type {ArtifactRow} */ row) => html`<${Ago} ms=${row.uploaded_unix_ms} />` },
    { name: "SHA-256", cell: (/** @type {ArtifactRow} */ row) => html`<code title=${row.sha256}>${row.sha256.slice(0, 12)}</code>` },
  ];
  return html`<section class="panel"><h2>Artifacts</h2><${Loaded} answer=${answer} what="artifacts">${rows.length === 0
    ? html`<p class="muted">None is kept. <code>aether artifact upload</code> keeps one.</p>`
    : html`<${Table} label="Artifacts" columns=${columns} rows=${rows} id=${(/** @type {ArtifactRow} */ row) => row.sha256} />`}<//></section>`;
}
