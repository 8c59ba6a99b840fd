// One proposal, whole: what will happen, why, how risky, how it is undone, who has said what, and the decision.
import { useEffect } from "preact/hooks";
import { useSignal } from "@preact/signals";
import { ask, send } from "../lib/api.js";
import { placeOf } from "../lib/evidence.js";
import { html } from "../lib/html.js";
import { STATES, chain, identical, isHidden, mayChange, reach, risk, sameDiff, sentence, tally, title, undo, waits } from "../lib/proposals.js";
import { at } from "../lib/router.js";
import { session, useAnswer } from "../lib/store.js";
import { clock, moment, now, span } from "../lib/time.js";
import { Decision } from "./decision.js";
import { Diff } from "./diff.js";
import { Ago, Loaded, Mark, ProblemNote } from "./parts.js";

/** @param {{id: string, rows: ProposalRow[]}} props rows: all that are known, to find identical ones among */
export function ProposalCard({ id, rows }) {
  const answer = useAnswer(`/v1/proposals/${encodeURIComponent(id)}`);
  const shownAs = /** @type {ProposalShown | null} */ (answer.data);
  return html`<${Loaded} answer=${answer} what="proposal">
    ${shownAs && html`<${Card} shown=${shownAs} rows=${rows} />`}<//>`;
}

/** @param {{shown: ProposalShown, rows: ProposalRow[]}} props */
function Card({ shown, rows }) {
  const { proposal } = shown;
  const alike = useAlike(proposal, rows);
  const state = STATES[proposal.state];
  return html`<article class="card" data-state=${proposal.state} aria-labelledby=${`card-${proposal.id}`}>
    <header>
      <p class="card-marks"><${Mark} tone=${state.tone}>${state.word}<//> <${Mark} tone=${risk(proposal.gate_class).tone}>${risk(proposal.gate_class).word}<//>
        ${proposal.tainted && html`<${Mark} tone="warn">evidence from outside<//>`}
        <${Expiry} proposal=${proposal} /></p>
      <h2 id=${`card-${proposal.id}`}>${title(proposal)}</h2>
      <p class="muted">${proposal.summary} · asked for by <b>${chain(proposal.actor)}</b> <${Ago} ms=${proposal.created_unix_ms} /> · <code>${proposal.id}</code></p>
      ${proposal.ended && html`<p class="ended">${proposal.ended}</p>`}
    </header>
    <${ChangedSince} proposal=${proposal} />
    <${Outcome} shown=${shown} />
    <div class="card-columns">
      <section><h3>Why</h3>
        <p>${proposal.reason || html`<span class="muted">No reason was given.</span>`}</p>
        <${Evidence} items=${proposal.evidence} />
        <p class="muted">It waits for people because: ${proposal.rule}.</p></section>
      <section><h3>What can go wrong</h3>
        <ul>${reach(proposal.blast).map((line) => html`<li key=${line}>${line}</li>`)}</ul>
        <h3>How it is undone</h3><p>${undo(proposal)}</p>
        ${proposal.guard && html`<p>By itself, if <b>${proposal.guard.metric}</b> of ${proposal.guard.slice} passes ${proposal.guard.bound} within ${span(proposal.guard.window_s * 1_000)}.</p>`}</section>
    </div>
    <section><h3>${proposal.state === "applied" ? "What changed" : "What changes"}</h3>
      <${Diff} rows=${proposal.diff} label="What changes, member by member" />
      ${!proposal.diff_is_whole && html`<${WholeDiff} id=${proposal.id} />`}</section>
    <${Votes} proposal=${proposal} />
    <${Decision} key=${proposal.id} proposal=${proposal} alike=${alike} />
  </article>`;
}

/** @param {{proposal: Proposal}} props */
function Expiry({ proposal }) {
  if (!waits(proposal.state)) return null;
  const left = proposal.expires_unix_ms - now.value;
  const words = left > 0 ? `${clock(left)} left` : "time is over";
  return html`<span class="expiry" title=${`until ${moment(proposal.expires_unix_ms)}`}><${Mark} tone=${left < 120_000 ? "warn" : "off"}>${words}<//></span>`;
}

/**
 * What names something of the cluster leads to its page, what leads out by http there; all else is text.
 * @param {{items: string[]}} props
 */
function Evidence({ items }) {
  if (items.length === 0) return html`<p class="muted">No evidence was named.</p>`;
  return html`<ul>${items.map((each) => html`<li key=${each}><${Piece} text=${each} /></li>`)}</ul>`;
}

/** @param {{text: string}} props */
function Piece({ text }) {
  if (/^https?:\/\//.test(text)) return html`<a href=${text} target="_blank" rel="noreferrer noopener">${text}</a>`;
  const found = placeOf(text);
  return found ? html`<a href=${at(...found.parts) + (found.words ?? "")}>${text}</a>` : html`${text}`;
}

/** @param {{proposal: Proposal}} props */
function Votes({ proposal }) {
  return html`<section><h3>Votes: ${tally(proposal)}</h3>
    <ol class="votes">${proposal.votes.map(
      (vote) => html`<li key=${vote.voter.id}><${Mark} tone=${vote.approve ? "good" : "bad"}>${vote.approve ? "for" : "against"}<//> <b>${vote.voter.id}</b> <${Ago} ms=${vote.at_unix_ms} />${vote.reason && html`: ${vote.reason}`}</li>`,
    )}${proposal.votes.length === 0 && html`<li class="muted">Nobody has voted. Each vote is another person's; who asked has none.</li>`}</ol></section>`;
}

/** @param {{id: string}} props */
function WholeDiff({ id }) {
  const asked = useSignal(false);
  const answer = useAnswer(asked.value ? `/v1/proposals/${encodeURIComponent(id)}/diff?limit=1000` : "");
  if (!asked.value) return html`<p><${Mark} tone="warn">shortened<//> <button onClick=${() => (asked.value = true)}>Show all of it</button></p>`;
  return html`<${Loaded} answer=${answer} what="diff"><${Diff} rows=${answer.data?.items ?? []} label="All that changes" /><//>`;
}

/**
 * What the same request would do now, where that is not what was asked about.
 * @param {{proposal: Proposal}} props
 */
function ChangedSince({ proposal }) {
  const found = useSignal(/** @type {{diff: FieldChange[] | null, says: string}} */ ({ diff: null, says: "" }));
  const isOpen = proposal.state === "pending" && !isHidden(proposal.call);
  const seen = useAnswer(isOpen ? "/v1/slices?limit=1" : "").at; // renewed with every event, which is when to look again
  useEffect(() => {
    let isCurrent = true;
    if (isOpen) void planned(proposal).then((now) => isCurrent && (found.value = now));
    return () => void (isCurrent = false);
  }, [proposal.id, isOpen, seen]);
  const diff = proposal.state === "stale" ? proposal.changed_since : isOpen ? found.value.diff : null;
  if (isOpen && found.value.says) return html`<div class="notice" role="status"><${Mark} tone="warn">changed since<//> The same request would be refused now: <b>${found.value.says}</b></div>`;
  if (diff === null || sameDiff(diff, proposal.diff)) return null;
  return html`<div class="notice" role="status"><${Mark} tone="warn">changed since<//> What it is about was changed after it was asked for. The same request would now do this; an approval holds only for what stands under “What changes”.
    <${Diff} rows=${diff} label="What the same request would change now" /></div>`;
}

/** @param {Proposal} proposal @returns {Promise<{diff: FieldChange[] | null, says: string}>} */
async function planned(proposal) {
  const reply = await send("POST", "/v1/gate/explain", proposal.call);
  if (reply.data !== null) return { diff: /** @type {any} */ (reply.data).plan.diff, says: "" };
  return { diff: null, says: reply.problem && !reply.problem.retryable && reply.problem.status !== 403 ? reply.problem.detail : "" };
}

/**
 * After the decision: whether it took hold, and the way back.
 * @param {{shown: ProposalShown}} props
 */
function Outcome({ shown }) {
  const { proposal } = shown;
  const problem = useSignal(/** @type {Problem | null} */ (null));
  const asked = useSignal(false);
  if (proposal.state !== "applied") return null;
  const who = session.value;
  const may = mayChange(who, proposal.subject);

  async function rollBack() {
    asked.value = true;
    problem.value = (await send("POST", `/v1/proposals/${proposal.id}/rollback`, { reason: `rolled back from the console` })).problem;
    if (problem.value) asked.value = false;
  }

  return html`<div class="notice ok">
    <p>${shown.converged === false
      ? html`<${Mark} tone="wait">taking hold<//> ${shown.waits_for}`
      : html`<${Mark} tone="good">${shown.converged ? "it has taken hold" : "applied"}<//>`}
      ${proposal.inverse && html`<button disabled=${!may || asked.value} onClick=${rollBack}>${asked.value ? "Rolling back…" : "Roll back"}</button>
        <span class="muted">${may ? sentence(proposal.inverse) : `Rolling back needs the role operator; you are ${who?.role}.`}</span>`}</p>
    <${ProblemNote} problem=${problem.value} says="Could not roll back:" /></div>`;
}

/**
 * Others that wait and would do exactly the same.
 * @param {Proposal} proposal @param {ProposalRow[]} rows @returns {Proposal[]}
 */
function useAlike(proposal, rows) {
  const maybe = rows.filter((row) => row.id !== proposal.id && row.state === "pending" && row.summary === proposal.summary && row.operation === proposal.call.operation);
  const ids = maybe.slice(0, 20).map((row) => row.id).join(",");
  const found = useSignal(/** @type {Proposal[]} */ ([]));
  useEffect(() => {
    let isCurrent = true;
    void wholes(ids ? ids.split(",") : []).then((all) => isCurrent && (found.value = all));
    return () => void (isCurrent = false);
  }, [ids, proposal.id]);
  return found.value.filter((each) => ids.includes(each.id) && identical(each, proposal));
}

/** @param {string[]} ids @returns {Promise<Proposal[]>} */
async function wholes(ids) {
  const replies = await Promise.all(ids.map((id) => ask(`/v1/proposals/${id}`)));
  return replies.flatMap((reply) => (reply.data === null ? [] : [/** @type {ProposalShown} */ (reply.data).proposal]));
}
