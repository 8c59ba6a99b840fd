// What waits for a decision, riskiest and oldest first, and the one that is looked at; or what was decided.
import { useRef } from "preact/hooks";
import { html } from "../lib/html.js";
import { STATES, classOf, history, queue, risk } from "../lib/proposals.js";
import { at, place } from "../lib/router.js";
import { useAnswer } from "../lib/store.js";
import { clock, now } from "../lib/time.js";
import { Ago, Empty, Loaded, Mark, PageHead, Tabs } from "../ui/parts.js";
import { ProposalCard } from "../ui/proposal-card.js";

export function Approvals() {
  const answer = useAnswer("/v1/proposals?limit=200");
  const rows = /** @type {Page<ProposalRow> | null} */ (answer.data)?.items ?? [];
  const chosen = place.value.parts[1] ?? "";
  const past = place.value.words.get("show") === "history";
  const listed = past ? history(rows) : queue(rows);
  const looked = useLooked(past ? [] : listed);
  const id = chosen || looked;
  return html`<${PageHead} title="Approvals" lead=${lead(queue(rows).length)}>
      <${Tabs} label="Which proposals" items=${[
        { name: `Waiting (${queue(rows).length})`, href: at("approvals"), here: !past },
        { name: "History", href: `${at("approvals")}?show=history`, here: past },
      ]} /><//>
    <${Loaded} answer=${answer} what="proposals">
      ${listed.length === 0 && !id
        ? html`<${Nothing} past=${past} />`
        : html`<div class="split" data-open=${chosen !== ""}>
            <ul class="list" aria-label=${past ? "Ended proposals" : "Waiting proposals"}>
              ${listed.map((row) => html`<${Row} key=${row.id} row=${row} here=${row.id === id} past=${past} />`)}
              ${listed.length === 0 && html`<li class="muted pad">Nothing else ${past ? "has ended" : "waits"}.</li>`}
            </ul>
            <div class="detail">${chosen && html`<a class="back" href=${at("approvals") + (past ? "?show=history" : "")}>← All proposals</a>`}
              ${id ? html`<${ProposalCard} key=${id} id=${id} rows=${rows} />` : html`<p class="muted pad">Choose a proposal to see all of it.</p>`}</div>
          </div>`}
    <//>`;
}

/**
 * Which is looked at where the address names none: the first, until one goes elsewhere. Whoever decides it sees what becomes
 * of it, and none that comes meanwhile takes its place under their hands.
 * @param {ProposalRow[]} listed @returns {string} its id
 */
function useLooked(listed) {
  const looked = useRef({ place: place.value, id: "" });
  if (looked.current.place !== place.value) looked.current = { place: place.value, id: "" };
  looked.current.id ||= listed[0]?.id ?? "";
  return looked.current.id;
}

/** @param {number} count */
const lead = (count) => (count === 0 ? "Nothing waits for a decision." : `${count === 1 ? "One change waits" : `${count} changes wait`} for a decision; the riskiest stands first.`);

/** @param {{row: ProposalRow, here: boolean, past: boolean}} props */
function Row({ row, here, past }) {
  const state = STATES[row.state];
  return html`<li><a data-row href=${at("approvals", row.id) + (past ? "?show=history" : "")} aria-current=${here ? "true" : null}>
    <b>${row.summary}</b>
    <span class="muted">${row.actor} · <${Ago} ms=${row.created_unix_ms} />${row.reason && html` · ${row.reason}`}</span>
    <span>${past
      ? html`<${Mark} tone=${state.tone}>${state.word}<//>`
      : html`<${Mark} tone=${risk(classOf(row.gate_class)).tone}>${risk(classOf(row.gate_class)).word}<//> <span class="muted">${row.approvals} for · ${clock(row.expires_unix_ms - now.value)} left</span>`}</span>
  </a></li>`;
}

/** @param {{past: boolean}} props */
function Nothing({ past }) {
  if (past) return html`<${Empty} title="Nothing was decided yet.">Proposals that were approved, rejected or ran out are kept here.<//>`;
  return html`<${Empty} title="Nothing waits for you.">A change comes here when the gate's policy asks for people: agents, pipelines with evidence from outside,
    risky changes, or anybody who proposes one. Try it: <code>aether slice scale orders 4 --propose --reason "to see an approval"</code><//>`;
}
