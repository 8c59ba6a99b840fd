// The part of a card where a person decides: a reason, two buttons, and what came of it.
import { useSignal } from "@preact/signals";
import { send } from "../lib/api.js";
import { html } from "../lib/html.js";
import { waits, whyNotVote } from "../lib/proposals.js";
import { session } from "../lib/store.js";
import { Mark, ProblemNote } from "./parts.js";

/** @typedef {{verb: string, id: string, problem: Problem}} Failed */

/** @param {{proposal: Proposal, alike: Proposal[]}} props alike: others that would do exactly the same */
export function Decision({ proposal, alike }) {
  const reason = useSignal("");
  const all = useSignal(false);
  const sent = useSignal("");
  const failed = useSignal(/** @type {Failed[]} */ ([]));
  const who = session.value;
  if (!who || !waits(proposal.state)) return null;

  const mine = proposal.actor.id === who.principal;
  const barred = whyNotVote(who, proposal);
  const missing = barred === "" && reason.value.trim() === "" ? "Say why: the reason is kept in the audit." : "";
  const why = barred || missing;
  const isPending = sent.value !== "" && sent.value === proposal.id && barred === "";

  /** @param {"approve" | "reject" | "withdraw"} verb */
  async function decide(verb) {
    if (verb !== "withdraw" && why !== "") {
      document.getElementById(`reason-${proposal.id}`)?.focus();
      return;
    }
    const given = reason.value.trim();
    const chosen = verb !== "withdraw" && all.value ? [...alike, proposal] : [proposal]; // the one that is shown ends last
    sent.value = proposal.id;
    failed.value = [];
    for (const each of chosen) {
      const reply = await send("POST", `/v1/proposals/${each.id}/${verb}`, { reason: given });
      if (reply.problem !== null) failed.value = [...failed.value, { verb, id: each.id, problem: reply.problem }];
    }
    if (failed.value.length > 0) sent.value = "";
    else reason.value = "";
  }

  return html`<section class="decision" aria-label="Your decision">
    <form onSubmit=${(/** @type {Event} */ e) => e.preventDefault()}>
      <label for=${`reason-${proposal.id}`}>Reason <span class="muted">kept in the audit</span></label>
      <textarea id=${`reason-${proposal.id}`} rows="2" maxlength="1000" data-key="r" disabled=${barred !== "" && !mine} value=${reason.value}
        onInput=${(/** @type {any} */ e) => (reason.value = e.target.value)}></textarea>
      ${alike.length > 0 && barred === "" && html`<label class="check"><input type="checkbox" checked=${all.value}
        onChange=${(/** @type {any} */ e) => (all.value = e.target.checked)} /> Decide all ${alike.length + 1} identical plans alike</label>`}
      <div class="buttons">
        ${mine
          ? html`<button type="button" data-key="x" onClick=${() => decide("withdraw")}>Withdraw <kbd aria-hidden="true">x</kbd></button>`
          : html`<button type="button" class="primary" data-key="a" aria-disabled=${why !== "" || isPending} aria-describedby=${`why-not-${proposal.id}`}
                onClick=${() => decide("approve")}>Approve <kbd aria-hidden="true">a</kbd></button>
              <button type="button" class="danger" data-key="x" aria-disabled=${why !== "" || isPending} aria-describedby=${`why-not-${proposal.id}`}
                onClick=${() => decide("reject")}>Reject <kbd aria-hidden="true">x</kbd></button>`}
        <span id=${`why-not-${proposal.id}`} class="muted" role="status">${isPending ? html`<${Mark} tone="wait">Sent; shown once the cluster has it<//>` : why}</span>
      </div>
    </form>
    ${failed.value.map((each) => html`<${ProblemNote} key=${each.id} problem=${each.problem} says=${`Could not ${each.verb} ${each.id}:`} />`)}
  </section>`;
}
