// What fires, since when and how badly; what ended lately; and taking one on.
import { useSignal } from "@preact/signals";
import { send } from "../lib/api.js";
import { html } from "../lib/html.js";
import { figure } from "../lib/numbers.js";
import { atLeast } from "../lib/proposals.js";
import { at, place } from "../lib/router.js";
import { session, useAnswer } from "../lib/store.js";
import { Ago, Empty, Loaded, Mark, PageHead, ProblemNote, Tabs } from "../ui/parts.js";

/** @type {Record<AlertRow["state"], {word: string, tone: string}>} */
const STATES = {
  firing: { word: "fires", tone: "bad" },
  acknowledged: { word: "taken on", tone: "warn" },
  muted: { word: "muted", tone: "off" },
  ended: { word: "ended", tone: "off" },
};

export function Alerts() {
  const fingerprint = place.value.parts[1];
  return fingerprint ? html`<${ThisAlert} key=${fingerprint} fingerprint=${fingerprint} />` : html`<${AllAlerts} />`;
}

/** @param {{fingerprint: string}} props */
function ThisAlert({ fingerprint }) {
  const answer = useAnswer(`/v1/alerts/${encodeURIComponent(fingerprint)}`);
  const shown = /** @type {AlertShown | null} */ (answer.data);
  return html`<${PageHead} title=${shown?.alert.name ?? "Alert"} lead=${html`<a href=${at("alerts")}>All alerts</a>`} />
    <${Loaded} answer=${answer} what="this alert">${shown && html`<section class="panel alert"><${OneAlert} row=${shown.alert} />
      ${shown.told.length > 0 && html`<p class="muted">Told to ${shown.told.join(", ")}.</p>`}</section>`}<//>`;
}

function AllAlerts() {
  const ended = place.value.words.get("show") === "ended";
  const answer = useAnswer(`/v1/alerts?state=${ended ? "ended" : "lasting"}`);
  const rows = /** @type {Page<AlertRow> | null} */ (answer.data)?.items ?? [];
  return html`<${PageHead} title="Alerts" lead="Symptoms that last, gravest first.">
      <${Tabs} label="Which alerts" items=${[
        { name: "Lasting", href: at("alerts"), here: !ended },
        { name: "Ended", href: `${at("alerts")}?show=ended`, here: ended },
      ]} /><//>
    <${Loaded} answer=${answer} what="alerts">${rows.length === 0
      ? html`<${Empty} title=${ended ? "None has ended lately." : "Nothing fires."}>An alert begins when a rule's bound is passed for long enough. One of your own: <code>aether alert set-threshold orders p99_ms 250</code><//>`
      : html`<ul class="list" aria-label="Alerts">${[...rows].sort(graver).map((row) => html`<li key=${row.fingerprint + row.starts_unix_ms} class="alert"><${OneAlert} row=${row} /></li>`)}</ul>`}<//>`;
}

/** @param {AlertRow} one @param {AlertRow} other */
const graver = (one, other) => Number(other.severity === "critical") - Number(one.severity === "critical") || one.starts_unix_ms - other.starts_unix_ms;

/** @param {{row: AlertRow}} props */
function OneAlert({ row }) {
  const { word, tone } = STATES[row.state];
  const slice = row.labels.slice ?? "";
  return html`<p><${Mark} tone=${row.state === "firing" && row.severity !== "critical" ? "warn" : tone}>${word}<//> <a data-row href=${at("alerts", row.fingerprint)}><b>${row.annotations.summary ?? row.name}</b></a></p>
    <p class="muted">${row.severity} · ${row.name} · <code>${row.subject}</code> · began <${Ago} ms=${row.starts_unix_ms} /> at ${figure(row.value)} against ${figure(row.bound)}${row.ends_unix_ms ? html` · ended <${Ago} ms=${row.ends_unix_ms} />` : ""}
      ${slice && html` · <a href=${at("slices", slice)}>see ${slice}</a>`}</p>
    ${row.muted_by && html`<p class="muted">Nobody is told, because of ${row.muted_by}.</p>`}
    ${row.acknowledged_by && html`<p class="muted">${row.acknowledged_by} took it on${row.acknowledged_why ? `: ${row.acknowledged_why}` : "."}</p>`}
    ${row.state === "firing" && html`<${TakeOn} row=${row} />`}`;
}

/** @param {{row: AlertRow}} props */
function TakeOn({ row }) {
  const why = useSignal("");
  const sent = useSignal(false);
  const problem = useSignal(/** @type {Problem | null} */ (null));
  const who = session.value;
  if (!who || !atLeast(who.role, "operator")) return html`<p class="muted">Taking it on needs the role operator; you are ${who?.role}.</p>`;

  /** @param {Event} event */
  async function take(event) {
    event.preventDefault();
    sent.value = true;
    problem.value = (await send("PUT", `/v1/alert-acknowledgements/${row.fingerprint}`, { why: why.value.trim() })).problem;
    if (problem.value) sent.value = false;
  }
  return html`<form class="inline" onSubmit=${take}><label class="sr" for=${`why-${row.fingerprint}`}>What you do about ${row.name} of ${row.subject}</label>
      <input id=${`why-${row.fingerprint}`} required maxlength="500" placeholder="What you do about it" value=${why.value} onInput=${(/** @type {any} */ e) => (why.value = e.target.value)} />
      <button disabled=${sent.value}>${sent.value ? "Sent…" : "Take it on"}</button></form>
    <${ProblemNote} problem=${problem.value} says="Not taken on:" />`;
}
