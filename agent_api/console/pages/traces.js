// Requests that failed or took long, and one of them as a waterfall with its critical path.
import { html } from "../lib/html.js";
import { took } from "../lib/numbers.js";
import { counted } from "../lib/proposals.js";
import { at, go, place, withWords } from "../lib/router.js";
import { useAnswer } from "../lib/store.js";
import { moment } from "../lib/time.js";
import { traces, waterfall } from "../lib/traces.js";
import { query } from "../lib/api.js";
import { Ago, Empty, Loaded, Mark, PageHead } from "../ui/parts.js";
import { Table } from "../ui/table.js";

export function Traces() {
  const id = place.value.parts[1];
  return id ? html`<${OneTrace} key=${id} id=${id} />` : html`<${AllTraces} />`;
}

/** @typedef {import("../lib/traces.js").Trace} Trace */
/** @typedef {import("../lib/traces.js").Bar} Bar */

function AllTraces() {
  const text = place.value.words.get("text") ?? "";
  const answer = useAnswer(`/v1/traces${query({ text })}`, { every: 5_000 });
  const shown = /** @type {{traces: Span[], silent: string[]} | null} */ (answer.data);
  const rows = traces(shown?.traces ?? []);
  const columns = [
    { name: "request", cell: (/** @type {Trace} */ row) => html`<a data-row href=${at("traces", row.id)}>${row.name}</a>` },
    { name: "outcome", cell: (/** @type {Trace} */ row) => html`<${Mark} tone=${row.failed ? "bad" : "good"}>${row.failed ? "failed" : "answered"}<//>` },
    { name: "took", num: true, cell: (/** @type {Trace} */ row) => took(row.duration_us) },
    { name: "spans", num: true, cell: (/** @type {Trace} */ row) => String(row.spans) },
    { name: "node", cell: (/** @type {Trace} */ row) => row.node },
    { name: "when", cell: (/** @type {Trace} */ row) => html`<${Ago} ms=${row.at_ms} />` },
  ];
  /** @param {any} event */
  function find(event) {
    event.preventDefault();
    go(withWords({ text: String(new FormData(event.target).get("text") ?? "").trim() }));
  }
  return html`<${PageHead} title="Traces" lead="Of the newest spans: what failed first, then what took longest." />
    <form class="filters" role="search" key=${text} onSubmit=${find}><label>stands anywhere in a span<input name="text" data-key="/" defaultValue=${text} placeholder="orders" /></label><button>Filter</button></form>
    <${Loaded} answer=${answer} what="traces">${rows.length === 0
      ? html`<${Empty} title="No request was traced lately.">${text ? html`<a href=${at("traces")}>Show all of them</a>` : "Each request to an application leaves one here."}<//>`
      : html`<section class="panel"><${Table} label="Traces" columns=${columns} rows=${rows} id=${(/** @type {Trace} */ row) => row.id} /></section>`}
      ${shown && shown.silent.length > 0 && html`<p><${Mark} tone="warn">without ${shown.silent.join(", ")}<//> which did not answer.</p>`}<//>`;
}

/** @param {{id: string}} props */
function OneTrace({ id }) {
  const answer = useAnswer(`/v1/traces?trace_id=${encodeURIComponent(id)}`);
  const spans = /** @type {{traces: Span[]} | null} */ (answer.data)?.traces ?? [];
  const { bars, whole_us } = waterfall(spans);
  const failed = spans.filter((each) => each.failed).length;
  return html`<${PageHead} title=${bars[0]?.span.name ?? "Trace"} lead=${html`<a href=${at("traces")}>All traces</a> · <code>${id}</code>`} />
    <${Loaded} answer=${answer} what="the trace">${bars.length === 0
      ? html`<${Empty} title="Nothing is known of this trace any more.">Nodes keep the newest spans only.<//>`
      : html`<section class="panel"><p>${counted(spans.length, "span")} in ${took(whole_us)}, begun ${moment(bars[0].span.at_ms)}; ${failed ? `${failed} failed` : "none failed"}. What stands on the critical path is marked: only that makes the whole faster. Places are exact to a millisecond.</p>
        <div class="scroll" tabindex="0" role="region" aria-label="Waterfall"><table class="waterfall"><caption class="sr">Spans in the order in which they began, below what called them</caption>
          <thead><tr><th scope="col">span</th><th scope="col">node</th><th scope="col" class="num">took</th><th scope="col" class="track">when</th></tr></thead>
          <tbody>${bars.map((bar) => html`<${Row} key=${bar.span.span_id} bar=${bar} whole_us=${whole_us} />`)}</tbody></table></div></section>`}<//>`;
}

/** @param {{bar: Bar, whole_us: number}} props */
function Row({ bar, whole_us }) {
  const { span, depth, start_us, critical } = bar;
  const left = (100 * start_us) / whole_us;
  const width = Math.max(0.4, (100 * span.duration_us) / whole_us);
  return html`<tr><td style=${{ paddingLeft: `${8 + 14 * Math.min(depth, 12)}px` }}>${critical ? html`<${Mark} tone="wait">${span.name}<span class="sr"> (critical)</span><//>` : span.name}${span.failed && html` <${Mark} tone="bad">failed<//>`}${span.detail && html` <span class="muted">${span.detail}</span>`}</td>
    <td>${span.node} <span class="muted">${span.process.split("-")[0]}</span></td><td class="num">${took(span.duration_us)}</td>
    <td class="track"><div class=${`bar ${span.failed ? "failed" : ""} ${critical ? "critical" : ""}`} style=${{ marginLeft: `${Math.min(left, 99.6)}%`, width: `${Math.min(width, 100 - left)}%` }}></div></td></tr>`;
}
