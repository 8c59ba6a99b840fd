// A conversation with the cluster: questions, answers with what they stand on, and changes as cards that only people make.
import { useEffect, useRef } from "preact/hooks";
import { useSignal } from "@preact/signals";
import { send } from "../lib/api.js";
import { answeredBy, writtenOf } from "../lib/answered.js";
import { completions, evidenceOf, keepUp, noteMade, open, say, talk } from "../lib/chat.js";
import { html } from "../lib/html.js";
import { summary as summed, timesUntil } from "../lib/numbers.js";
import { counted, shown as valued } from "../lib/proposals.js";
import { at, go, place } from "../lib/router.js";
import { useAnswer } from "../lib/store.js";
import { Act } from "../ui/act.js";
import { Chart } from "../ui/chart.js";
import { Ago, Empty, Loaded, Mark, PageHead, ProblemNote } from "../ui/parts.js";
import { Plan } from "../ui/plan.js";
import { ProposalCard } from "../ui/proposal-card.js";
import { Table } from "../ui/table.js";

/** @param {string} text */
const saySo = (text) => void say(text, (id) => go(at("chat", id), { replace: true }));

export function Chat() {
  const id = place.value.parts[1] ?? "";
  const { turns, problem } = talk.value;
  useEffect(() => void open(id), [id]);
  const busy = turns.at(-1)?.state === "begun";
  return html`<${PageHead} title="Chat" lead="Ask, or say what is to change. Nothing changes by being said: a card shows it first." />
    <div class="talk"><section aria-label="Conversation">
      <div role="log" aria-label="What was said and answered" class="turns">${turns.map((turn) => html`<${OneTurn} key=${`${id}/${turn.number}`} turn=${turn} />`)}
        ${turns.length === 0 && !problem && html`<${Empty} title="What do you want to know?">For instance: <${Sayable} text="why is shortener slow?" />, <${Sayable} text="scale shortener to 4" />, or <code>/</code> for commands.<//>`}</div>
      <${ProblemNote} problem=${problem} />
      <${Saying} busy=${busy} /></section>
      <${Stored} here=${id} /></div>`;
}

/** @param {{text: string}} props */
const Sayable = ({ text }) => html`<button class="say" onClick=${() => saySo(text)}>${text}</button>`;

/** @param {{busy: boolean}} props */
function Saying({ busy }) {
  const text = useSignal("");
  const field = useRef(/** @type {HTMLInputElement | null} */ (null));
  const operations = useAnswer(text.value.startsWith("/") ? "/v1/operations?limit=1000" : "");
  const known = /** @type {{operations?: OperationRow[], items?: OperationRow[]} | null} */ (operations.data);
  useEffect(() => field.current?.focus(), []);

  /** @param {Event} event */
  function submit(event) {
    event.preventDefault();
    if (busy || !text.value.trim()) return;
    saySo(text.value.trim());
    text.value = "";
  }
  /** @param {KeyboardEvent} event the last thing said, to say it otherwise */
  function recall(event) {
    if (event.key === "ArrowUp" && text.value === "") text.value = talk.value.turns.at(-1)?.text ?? "";
  }
  return html`<form class="saying" onSubmit=${submit}><label class="sr" for="say">Say something</label>
    <input id="say" ref=${field} data-key="/" list="commands" autocomplete="off" maxlength="8000" placeholder="A question, a wish, or /command" value=${text.value} onKeyDown=${recall} onInput=${(/** @type {any} */ e) => (text.value = e.target.value)} />
    <datalist id="commands">${completions(text.value, known?.operations ?? known?.items ?? []).map((each) => html`<option key=${each.say} value=${each.say}>${each.summary}</option>`)}</datalist>
    <button class="primary" aria-disabled=${busy}>Say</button></form>`;
}

/** @param {{here: string}} props conversations that are kept */
function Stored({ here }) {
  const answer = useAnswer("/v1/conversations?limit=50", { every: 5_000 });
  const rows = /** @type {Page<ConversationRow> | null} */ (answer.data)?.items ?? [];
  useEffect(() => keepUp(rows.find((each) => each.id === here)), [answer.data]);
  return html`<aside aria-label="Your conversations"><p><a href=${at("chat")}>Begin a new one</a></p><${Loaded} answer=${answer} what="conversations">${rows.length === 0
    ? html`<p class="muted">None is kept yet.</p>`
    : html`<ul class="list">${rows.map((row) => html`<li key=${row.id}><a data-row href=${at("chat", row.id)} aria-current=${row.id === here ? "true" : null}><span>${row.title}</span><span class="muted">${counted(row.turns, "turn")} · <${Ago} ms=${row.last_unix_ms} />${row.tainted && html` · <${Mark} tone="warn">read logs<//>`}</span></a></li>`)}</ul>`}<//>
    ${here && html`<${Act} key=${here} label="Delete this one" subject=${`conversation:${here}`} least="viewer" change=${{ method: "DELETE", path: `/v1/conversations/${encodeURIComponent(here)}`, body: undefined }} />`}</aside>`;
}

/** @param {{turn: import("../lib/chat.js").Turn}} props */
function OneTurn({ turn }) {
  const { events } = turn;
  const done = /** @type {Extract<TurnEvent, {type: "done"}> | undefined} */ (events.find((each) => each.type === "done"));
  const looked = evidenceOf(events);
  return html`<article class="turn" data-state=${turn.state}><p class="said"><span class="sr">You said: </span>${turn.text}</p>
    ${looked.length > 0 && html`<details><summary>${counted(looked.length, "question")} asked of the cluster</summary><ol>${looked.map((each) => html`<li key=${each}><code>${each}</code></li>`)}</ol></details>`}
    ${events.map((event, index) => html`<${Told} key=${index} event=${event} turn=${turn} />`)}
    ${turn.state === "begun" && writtenOf(events).map((claim, index) => html`<p key=${`written ${index}`} aria-busy="true">${claim}</p>`)}
    ${turn.state === "begun" && html`<p class="muted" role="status">is being answered…</p>`}
    ${turn.state === "broken" && html`<p><${Mark} tone="warn">the answer broke off<//></p>`}
    ${done && html`<p class="muted answered">${answeredBy(done)}</p>`}</article>`;
}

/** @param {{event: TurnEvent, turn: import("../lib/chat.js").Turn}} props */
function Told({ event, turn }) {
  switch (event.type) {
    case "text":
      return html`<p>${event.text}${event.evidence?.length ? html` <span class="muted">[${event.evidence.join(", ")}]</span>` : ""}</p>`;
    case "table":
      return html`<${Table} label="Answer" rows=${event.rows} id=${JSON.stringify} columns=${event.columns.map((name, at) => ({ name: name.replaceAll(/[._]/g, " "), num: typeof event.rows[0]?.[at] === "number", cell: (/** @type {unknown[]} */ row) => valued(row[at]) }))} />
        ${event.more ? html`<p class="muted">and ${event.more} more</p>` : null}`;
    case "plot":
      return html`<${Chart} title=${event.name} unit=${event.unit} times=${timesUntil(event.values.length, event.step_s, turn.at)} says=${`${summed(event.values, event.unit)}.`} lines=${[{ name: event.name, values: event.values, colour: "--accent" }]} height=${140} />`;
    case "diagnosed":
      return html`<${Diagnosis} found=${event.diagnosis} />`;
    case "card":
      return html`<${Card} card=${event} turn=${turn} />`;
    case "checked":
      return event.doubts?.length
        ? html`${event.doubts.map((each) => html`<p key=${each.claim}><${Mark} tone="warn">doubted<//> ${each.claim} <span class="muted">${each.says} (by ${event.by})</span></p>`)}`
        : html`<p class="muted">${event.by} compared ${counted(event.claims, "claim")} with the evidence: no doubts</p>`;
    case "concluded":
      return html`<p><${Mark} tone=${event.roots.length ? "warn" : "wait"}>cause<//> ${event.roots.join(", ") || "nothing"}: ${event.mechanism.replaceAll("_", " ")} <span class="muted">(${Math.round(event.confidence * 100)} % sure, by ${event.by})</span></p>`;
    case "proposal":
      return html`<div>${event.tainted && html`<p><${Mark} tone="warn">proposed after reading words from logs, which anybody may have written<//></p>`}<${ProposalCard} id=${event.id} rows=${[]} /><p class="muted">way back: ${event.rollback}</p></div>`;
    case "choices":
      return html`<${Choices} event=${event} />`;
    case "failed":
      return html`<${ProblemNote} problem=${{ status: 0, instance: "", retryable: false, remedy: "", ...event }} />`;
    default:
      return null;
  }
}

/** @param {{found: DiagnosisFound}} props */
function Diagnosis({ found }) {
  if (found.findings.length === 0) return null;
  return html`<details><summary>Diagnosis of ${found.slice}: ${counted(found.findings.length, "finding")}</summary>${found.tainted && html`<p><${Mark} tone="warn">words from logs were read, which anybody may have written<//></p>`}
    <ul>${found.findings.map((each) => html`<li key=${each.says}>${each.says} <span class="muted">${Math.round(each.weight * 100)} % · ${each.root} · ${each.evidence.join(", ")}</span></li>`)}</ul></details>`;
}

/** @param {{event: Extract<TurnEvent, {type: "choices"}>}} props */
function Choices({ event }) {
  const chosen = useSignal(/** @type {TurnOption | null} */ (null));
  const teach = useSignal(false);
  const problem = useSignal(/** @type {Problem | null} */ (null));

  /** @param {TurnOption} option @param {string} more members that it lacked */
  async function choose(option, more = "") {
    if (teach.value) problem.value = (await send("POST", "/v1/phrases", { sentence: event.teachable, operation: option.operation })).problem;
    chosen.value = null;
    saySo(option.say + more);
  }
  /** @param {any} submitted */
  function fill(submitted) {
    submitted.preventDefault();
    const given = [...new FormData(submitted.target)].map(([name, value]) => ` ${name}=${JSON.stringify(String(value))}`);
    if (chosen.value) void choose(chosen.value, given.join(""));
  }
  return html`<div role="group" aria-label="Which of these is meant?" class="choices"><p>Which of these is meant?${event.why && ` (${event.why})`}</p>
    ${event.options.map((option) => html`<button key=${option.say} onClick=${() => (option.missing?.length ? (chosen.value = option) : void choose(option))}><code>${option.say}</code> ${option.summary} <span class="muted">${option.changes ? "changes, by a card" : "asks"}</span></button>`)}
    ${event.teachable && html`<label class="check"><input type="checkbox" checked=${teach.value} onChange=${(/** @type {any} */ e) => (teach.value = e.target.checked)} /> Remember that this is what it means</label>`}
    ${chosen.value && html`<form onSubmit=${fill} class="plan">${(chosen.value.missing ?? []).map((name) => html`<label key=${name}>${name}<input name=${name} required /></label>`)}<p><button class="primary">Go on</button></p></form>`}
    <${ProblemNote} problem=${problem.value} says="Not remembered:" /></div>`;
}

/**
 * A change as it was planned: made only by who confirms it, as that person; then what the cluster made of it.
 * @param {{card: TurnCard, turn: import("../lib/chat.js").Turn}} props
 */
function Card({ card, turn }) {
  const reason = useSignal("");
  const busy = useSignal(false);
  const problem = useSignal(/** @type {Problem | null} */ (null));
  const fate = talk.value.made.find((each) => each.id === card.id);
  if (fate?.proposal && fate.state) return html`<${ProposalCard} id=${fate.proposal} rows=${[]} />`;

  /** @param {boolean} propose */
  async function make(propose) {
    if (!reason.value.trim()) return;
    busy.value = true;
    const words = new URLSearchParams({ reason: reason.value.trim(), propose: String(propose), tainted: String(!!card.tainted), conversation: talk.value.id, card: card.id });
    for (const each of [`conversation ${talk.value.id}, turn ${turn.number}`, ...evidenceOf(turn.events)].slice(0, 20)) words.append("evidence", each.slice(0, 2_000));
    const { method, path, body } = card.submit;
    const reply = await send(/** @type {any} */ (method), `${path}?${words}`, body, card.plan?.revision ? { "if-match": `"${card.plan.revision}"` } : {});
    busy.value = false;
    problem.value = reply.problem;
    const came = /** @type {any} */ (reply.data);
    if (came) noteMade({ id: card.id, outcome: came.outcome, summary: came.summary ?? card.summary, proposal: came.proposal ?? "", state: came.outcome });
  }
  return html`<article class="card" aria-label=${card.summary} data-card=${card.id}><p class="card-marks"><${Mark} tone="wait">${fate ? "made" : "not made"}<//> <code>${card.command}</code>
      ${card.near && html`<${Mark} tone="warn">${card.near[1]} is taken for ${card.near[0]}<//>`} ${card.tainted && html`<${Mark} tone="warn">made after reading words from outside<//>`}</p>
    ${card.plan ? html`<${Plan} plan=${card.plan} />` : html`<p><b>${card.summary}</b></p>`}
    ${card.refused && html`<p><${Mark} tone="bad">it would be refused<//> ${card.refused}</p>`}
    ${fate && html`<p role="status"><${Mark} tone=${fate.proposal ? "off" : "good"}>${fate.outcome}<//> ${fate.summary}${fate.proposal && html` <span class="muted">What became of the proposal is kept no more; the <a href=${at("audit")}>audit</a> has it.</span>`}</p>`}
    ${!fate && !card.refused && html`<form class="decision" onSubmit=${(/** @type {Event} */ e) => (e.preventDefault(), void make(false))}>
      <label>Reason <span class="muted">kept in the audit</span><input required maxlength="1000" data-key="r" value=${reason.value} onInput=${(/** @type {any} */ e) => (reason.value = e.target.value)} /></label>
      <div class="buttons"><button class="primary" disabled=${busy.value}>${card.plan?.decision === "propose" ? "Propose it" : "Make it"}</button>
        ${card.plan?.decision === "act" && html`<button type="button" disabled=${busy.value} onClick=${() => make(true)}>Propose it to others</button>`}</div></form>`}
    <${ProblemNote} problem=${problem.value} says="Not made:" /></article>`;
}
