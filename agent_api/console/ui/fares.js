// How one slice fares, second by second: rate, errors, duration.
import { html } from "../lib/html.js";
import { summary, timesUntil } from "../lib/numbers.js";
import { useAnswer } from "../lib/store.js";
import { Chart } from "./chart.js";
import { Loaded, Mark } from "./parts.js";

const SECONDS_SHOWN = 300;

/** @param {{slice: string, height?: number}} props */
export function Fares({ slice, height }) {
  const answer = useAnswer(`/v1/slices/${encodeURIComponent(slice)}/window`, { every: 2_000 });
  const shown = /** @type {Window_ | null} */ (answer.data);
  if (!shown) return html`<${Loaded} answer=${answer} what=${`figures of ${slice}`} />`;
  const { calls, errors, p50_ms, p95_ms } = shown.seconds;
  const last = (/** @type {Series} */ values) => values.slice(-SECONDS_SHOWN);
  const times = timesUntil(last(calls).length, 1, answer.at);
  const charts = [
    { title: "Calls", unit: "a second", says: summary(last(calls), "calls/s"), lines: [{ name: "calls", values: last(calls), colour: "--accent" }] },
    { title: "Errors", unit: "a second", says: summary(last(errors), "errors/s"), lines: [{ name: "errors", values: last(errors), colour: "--bad" }] },
    { title: "Duration", unit: "ms", says: `p95 ${summary(last(p95_ms), "ms")}`, lines: [{ name: "p50", values: last(p50_ms), colour: "--soft", dash: true }, { name: "p95", values: last(p95_ms), colour: "--accent" }] },
  ];
  return html`<${Loaded} answer=${answer} what="figures"><div class="columns three">
      ${charts.map((each) => html`<${Chart} key=${each.title} title=${each.title} unit=${`${each.unit}, last 5 minutes`} says=${`${each.says}.`} times=${times} lines=${each.lines} height=${height} />`)}</div>
    ${shown.silent.length > 0 && html`<p class="aged"><${Mark} tone="warn">without ${shown.silent.join(", ")}<//> which did not answer.</p>`}<//>`;
}
