// Measured load over the band that was forecast, with decisions as marks.
import { minutes } from "../lib/forecast.js";
import { html } from "../lib/html.js";
import { figure, summary } from "../lib/numbers.js";
import { counted } from "../lib/proposals.js";
import { useAnswer } from "../lib/store.js";
import { Chart } from "./chart.js";
import { Loaded } from "./parts.js";

/** @param {{slice: string, quiet?: boolean}} props quiet: without a forecast nothing is said */
export function Band({ slice, quiet = false }) {
  const answer = useAnswer(slice ? `/v1/controller/forecast?slice=${encodeURIComponent(slice)}` : "", { every: 10_000 });
  const decided = useAnswer(slice ? `/v1/controller/decisions?slice=${encodeURIComponent(slice)}` : "");
  const shown = /** @type {(Page<ForecastRow> & {leader: string, trouble: string}) | null} */ (answer.data);
  const row = shown?.items.find((each) => each.slice === slice);
  if (quiet && !row) return null;
  return html`<section class="panel"><${Loaded} answer=${answer} what="forecasts">${row
    ? html`<${BandChart} row=${row} decisions=${/** @type {Page<DecisionRecord> | null} */ (decided.data)?.items ?? []} />`
    : html`<h2>Load against forecast</h2><p class="muted">${shown?.trouble
        ? `There is no forecast to show: ${shown.trouble}.`
        : "No forecast was made for it yet: the first needs some minutes of load."}</p>`}<//></section>`;
}

/** @param {{row: ForecastRow, decisions: DecisionRecord[]}} props */
function BandChart({ row, decisions }) {
  const bands = minutes(row);
  const rates = bands.map((each) => each.rate);
  const isShown = (/** @type {DecisionRecord} */ { at_unix_ms }) => at_unix_ms >= bands[0].minute * 60_000 && at_unix_ms <= (bands[bands.length - 1].minute + 1) * 60_000;
  const moments = decisions.filter(isShown).map((each) => ({ at: each.at_unix_ms / 1_000, says: `${each.kind.replace("_", " ")}: ${each.seen.serving} → ${each.decision.wanted} instances` }));
  const next = row.ahead.at(-1);
  return html`<${Chart} title="Load against forecast" unit="calls a second, by minute" times=${bands.map((each) => each.minute * 60)} moments=${moments}
    says=${`Measured ${summary(rates, "calls/s")}. ${next ? `In ten minutes between ${figure(next.p10)} and ${figure(next.p90)} are expected.` : ""} ${moments.length ? `${counted(moments.length, "decision")} marked.` : ""}`}
    lines=${[
      { name: "p10", values: bands.map((each) => each.p10), colour: "--band", edge: true },
      { name: "p90", values: bands.map((each) => each.p90), colour: "--band", edge: true, band: "p10 to p90" },
      { name: "p50", values: bands.map((each) => each.p50), colour: "--soft", dash: true },
      { name: "measured", values: rates, colour: "--accent" },
    ]} height=${260} />`;
}
