// Who did what, for whom, why and by which rule; and whether the chain of records holds.
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { ask, query } from "../lib/api.js";
import { html } from "../lib/html.js";
import { chain, shown as valued } from "../lib/proposals.js";
import { at, go, place, withWords } from "../lib/router.js";
import { useAnswer } from "../lib/store.js";
import { Ago, Empty, Loaded, Mark, PageHead, ProblemNote } from "../ui/parts.js";

const FILTERS = /** @type {const} */ (["subject", "actor", "operation", "kind", "record"]);
const HINTS = { subject: "slice:orders", actor: "anna", operation: "slice.scale", kind: "applied", record: "its id" };

export function Audit() {
  const { words } = place.value;
  const given = Object.fromEntries(FILTERS.map((name) => [name, words.get(name) ?? ""]));
  const cursor = words.get("cursor") ?? "";
  const answer = useAnswer(`/v1/audit${query({ ...given, cursor, limit: 50 })}`);
  const page = /** @type {Page<Chained> | null} */ (answer.data);
  return html`<${PageHead} title="Audit" lead="Every attempt, vote and change, in one chain."><${Verified} /><//>
    <${Filters} key=${JSON.stringify(given)} given=${given} />
    <${Loaded} answer=${answer} what="the audit">${page && (page.items.length === 0
      ? html`<${Empty} title="No record is like that.">${FILTERS.some((name) => given[name]) && html`<a href=${at("audit")}>Show all records</a>`}<//>`
      : html`<ul class="list records" aria-label="Records">${page.items.map((each) => html`<li key=${each.number}><${OneRecord} row=${each} open=${given.record !== ""} /></li>`)}</ul>
        <p class="buttons">${cursor && html`<a href=${withWords({ cursor: "" })}>Newest</a>`}${page.next && html`<a href=${withWords({ cursor: page.next })}>Older</a>`}</p>`)}<//>`;
}

/** @param {{given: Record<string, string>}} props */
function Filters({ given }) {
  /** @param {any} event */
  function apply(event) {
    event.preventDefault();
    const form = new FormData(event.target);
    go(withWords({ ...Object.fromEntries(FILTERS.map((name) => [name, String(form.get(name) ?? "").trim()])), cursor: "" }));
  }
  return html`<form class="filters" role="search" onSubmit=${apply}>
    ${FILTERS.map((name, index) => html`<label key=${name}>${name}<input name=${name} defaultValue=${given[name]} placeholder=${HINTS[name]} data-key=${index === 0 ? "/" : null} /></label>`)}
    <button>Filter</button></form>`;
}

/** Asked once for each visit: it reads the whole chain. */
function Verified() {
  const found = useSignal(/** @type {{holds: boolean, records: number, hash: string, broken: string} | null} */ (null));
  const problem = useSignal(/** @type {Problem | null} */ (null));
  useEffect(() => {
    void ask("/v1/audit/verify").then((reply) => {
      found.value = /** @type {any} */ (reply.data);
      problem.value = reply.problem;
    });
  }, []);
  if (problem.value) return html`<${ProblemNote} problem=${problem.value} says="The chain was not checked:" />`;
  if (found.value === null) return html`<${Mark} tone="wait">checking the chain<//>`;
  if (!found.value.holds) return html`<${Mark} tone="bad">the chain is broken: ${found.value.broken}<//>`;
  return html`<span title=${`last hash ${found.value.hash}`}><${Mark} tone="good">chain verified, ${found.value.records} records<//></span>`;
}

const TONES = /** @type {Record<string, string>} */ ({ applied: "good", refused: "bad", rejected: "bad", proposed: "wait" });

/** @param {{row: Chained, open: boolean}} props */
function OneRecord({ row, open }) {
  const { record } = row;
  const pairs = { by: chain(record.actor), reason: record.reason, rule: record.rule, operation: record.operation, subject: record.subject };
  return html`<details open=${open}><summary data-row><${Mark} tone=${TONES[record.kind] ?? "off"}>${record.kind.replaceAll("_", " ")}<//> <b>${record.summary || record.operation}</b>${" "}
      <span class="muted">${record.actor.id} · <${Ago} ms=${record.at_unix_ms} />${record.reason && html` · ${record.reason}`}</span></summary>
    <dl class="pairs">${Object.entries(pairs).map(([name, value]) => value && html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}
      <div><dt>request</dt><dd><code>${valued(record.request)}</code></dd></div>
      ${Object.keys(record.detail).length > 0 && html`<div><dt>detail</dt><dd><code>${valued(record.detail)}</code></dd></div>`}
      ${record.proposal && html`<div><dt>proposal</dt><dd><a href=${at("approvals", record.proposal)}>${record.proposal}</a></dd></div>`}
      ${record.trace_id && html`<div><dt>trace</dt><dd><a href=${at("traces", record.trace_id)}>${record.trace_id}</a></dd></div>`}
      <div><dt>place</dt><dd>number ${row.number}, revision ${row.revision}, record <code>${record.id}</code></dd></div>
      <div><dt>hash</dt><dd><code>${row.hash}</code> follows <code>${row.previous}</code></dd></div></dl></details>`;
}
