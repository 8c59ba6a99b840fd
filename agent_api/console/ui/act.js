// Asking for a change: first what it would do and what the gate says, then a reason, then it is sent.
import { useSignal } from "@preact/signals";
import { query, send } from "../lib/api.js";
import { html } from "../lib/html.js";
import { mayChange } from "../lib/proposals.js";
import { at } from "../lib/router.js";
import { refreshAll, session } from "../lib/store.js";
import { Mark, ProblemNote } from "./parts.js";
import { Plan } from "./plan.js";

const WHY_CHARS_MAX = 500;

/** @typedef {{method: "PUT" | "POST" | "DELETE", path: string, body: Record<string, unknown> | undefined}} Change */

/** @param {Change} one @param {Change} other */
const isSame = (one, other) => JSON.stringify(one) === JSON.stringify(other);

/**
 * `why`: the member of the body that takes the reason too, where the operation has one.
 * @param {{label: string, change: Change, subject: string, tone?: string, disabled?: boolean, why?: string, least?: Role}} props
 */
export function Act({ label, change, subject, tone = "", disabled = false, why = "", least = "operator" }) {
  const planned = useSignal(/** @type {{plan: PlanView, change: Change} | null} */ (null));
  const problem = useSignal(/** @type {Problem | null} */ (null));
  const reason = useSignal("");
  const came = useSignal(/** @type {{outcome: string, proposal?: string} | null} */ (null));
  const who = session.value;
  const plan = planned.value && isSame(planned.value.change, change) ? planned.value.plan : null; // of what is asked for now, or none

  async function look() {
    came.value = null;
    const reply = await send(change.method, `${change.path}?dry_run=true`, change.body);
    problem.value = reply.problem;
    planned.value = reply.data && { plan: /** @type {PlanView} */ (reply.data), change };
  }

  async function act() {
    const given = reason.value.trim();
    const body = why ? { ...change.body, [why]: given.slice(0, WHY_CHARS_MAX) } : change.body;
    /** @type {Record<string, string>} */
    const asPlanned = plan?.revision ? { "if-match": `"${plan.revision}"` } : {}; // what was changed since is looked at anew
    const reply = await send(change.method, change.path + query({ reason: given }), body, asPlanned);
    problem.value = reply.problem;
    if (reply.problem) return;
    came.value = { outcome: "sent", .../** @type {any} */ (reply.data) };
    planned.value = null;
    reason.value = "";
    refreshAll(); // of conversations, for one, no event tells
  }

  if (!mayChange(who, subject, least)) return html`<span class="act"><button aria-disabled="true" title=${`${label} needs the role ${least}; you are ${who?.role}.`}>${label}</button> <span class="muted">needs the role ${least}; you are ${who?.role}</span></span>`;
  return html`<span class="act"><button class=${tone} aria-expanded=${plan !== null} disabled=${disabled} onClick=${look}>${label}</button>
    ${came.value && (came.value.proposal
      ? html` <${Mark} tone="wait">waits for approval<//> <a href=${at("approvals", came.value.proposal)}>see the card</a>`
      : html` <${Mark} tone="wait">sent; shown once the cluster has it<//>`)}
    <${ProblemNote} problem=${problem.value} />
    ${plan && html`<form class="plan" aria-label=${label} onSubmit=${(/** @type {Event} */ e) => (e.preventDefault(), void act())}>
      <${Plan} plan=${plan} />
      <label>Reason <span class="muted">kept in the audit</span><input required maxlength="1000" value=${reason.value} onInput=${(/** @type {any} */ e) => (reason.value = e.target.value)} /></label>
      <div class="buttons"><button class="primary">${plan.decision === "propose" ? "Propose it" : "Do it"}</button>
        <button type="button" onClick=${() => (planned.value = null)}>Leave it</button></div>
    </form>`}</span>`;
}
