// What a change would do, before anybody has asked for it: the same everywhere.
import { html } from "../lib/html.js";
import { reach, sentence } from "../lib/proposals.js";
import { Diff } from "./diff.js";

/** @param {{plan: PlanView}} props */
export function Plan({ plan }) {
  return html`<p><b>${plan.summary}</b></p>
    <p class="muted">${plan.decision === "act" ? "This happens at once." : plan.decision === "propose" ? `This waits for ${plan.approvers}.` : "The gate refuses this."} Because: ${plan.rule}.</p>
    <${Diff} rows=${plan.diff} label="What would change" />
    <ul>${reach(plan.blast).map((line) => html`<li key=${line}>${line}</li>`)}</ul>
    <p>${plan.inverse ? `Undone by: ${sentence(plan.inverse)}.` : "It cannot be undone by one change."}</p>`;
}
