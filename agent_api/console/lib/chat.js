// The conversation that is shown: what was said, and what was answered, event by event as it comes.
import { signal } from "@preact/signals";
import { ask, credentials } from "./api.js";
import { taken } from "./sse.js";

/** @typedef {{number: number, text: string, at: number, state: "begun" | "ended" | "broken", events: TurnEvent[]}} Turn */

export const talk = signal(/** @type {{id: string, turns: Turn[], made: CardMade[], problem: Problem | null}} */ ({ id: "", turns: [], made: [], problem: null }));

/** @param {Partial<typeof talk.value>} members */
const set = (members) => (talk.value = { ...talk.peek(), ...members });

/** @param {(turn: Turn) => Turn} change of the last one */
const setLast = (change) => set({ turns: talk.peek().turns.map((turn, at, all) => (at === all.length - 1 ? change(turn) : turn)) });

/** @param {string} id of a stored one, or "" to begin anew */
export async function open(id) {
  if (id === talk.peek().id) return;
  talk.value = { id, turns: [], made: [], problem: null };
  if (id !== "") await load(id);
}

const AGAIN_MS = 1_000;
const TURNS_MAX = 200; // of one answer: the newest are asked for by resuming behind those

/** @param {string} id */
async function load(id) {
  const reply = await ask(`/v1/conversations/${encodeURIComponent(id)}?limit=${TURNS_MAX}`);
  if (talk.peek().id !== id) return; // another one was opened meanwhile
  if (reply.data === null) {
    set({ problem: reply.problem });
    return;
  }
  const { turns, cards } = /** @type {ConversationShown} */ (reply.data);
  set({ problem: null, made: cards, turns: turns.map((each) => ({ ...each, at: each.ended_unix_ms || each.began_unix_ms })) });
  if (turns.at(-1)?.state === "begun") setTimeout(() => talk.peek().id === id && void load(id), AGAIN_MS); // somebody else's page hears it
}

/**
 * @param {string} text @param {(id: string) => void} onBegun told the conversation's id
 * @returns {Promise<void>}
 */
export async function say(text, onBegun) {
  const { id, turns } = talk.peek();
  set({ problem: null, turns: [...turns, { number: turns.length + 1, text, at: Date.now(), state: "begun", events: [] }] });
  try {
    const headers = { accept: "text/event-stream", "content-type": "application/json", "x-csrf-token": credentials.csrf };
    const reply = await fetch("/v1/chat", { method: "POST", headers, body: JSON.stringify(id ? { text, conversation: id } : { text }) });
    if (!reply.ok || reply.body === null) fail(await reply.json());
    else await hear(reply.body, onBegun);
  } catch {
    fail({ status: 0, code: "unreachable", detail: "the answer broke off", remedy: "What was said is kept: open the conversation again.", retryable: true, instance: "" });
  }
}

/** @param {Problem} problem */
const fail = (problem) => (setLast((turn) => ({ ...turn, state: "broken" })), set({ problem }));

/** @param {ReadableStream<Uint8Array>} body @param {(id: string) => void} onBegun */
async function hear(body, onBegun) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  for (let buffer = ""; ; ) {
    const { value, done } = await reader.read();
    if (done) return void setLast((turn) => ({ ...turn, at: Date.now(), state: turn.events.at(-1)?.type === "done" ? "ended" : "broken" }));
    const { messages, rest } = taken(buffer + value);
    buffer = rest;
    for (const message of messages) {
      const event = /** @type {TurnEvent} */ (JSON.parse(message.data));
      if (event.type === "begun" && talk.peek().id === "") set({ id: event.conversation }), onBegun(event.conversation);
      setLast((turn) => ({ ...turn, events: [...turn.events, event] }));
    }
  }
}

/** @param {CardMade} fate noted until the conversation itself tells it */
export const noteMade = (fate) => set({ made: [...talk.peek().made.filter((each) => each.id !== fate.id), fate] });

const COMPLETIONS_MAX = 20;

/**
 * The /commands that begin so.
 * @param {string} text @param {{name: string, summary: string}[]} operations
 * @returns {{say: string, summary: string}[]}
 */
export function completions(text, operations) {
  if (!text.startsWith("/")) return [];
  return operations.map(({ name, summary }) => ({ say: `/${name.replace(".", " ")}`, summary })).filter((each) => each.say.startsWith(text)).slice(0, COMPLETIONS_MAX);
}

/** @param {TurnEvent[]} events @returns {string[]} what was looked at, as a card's evidence */
export function evidenceOf(events) {
  return events.flatMap((each) => (each.type === "looked" ? [`${each.evidence.operation} ${JSON.stringify(each.evidence.request)} at revision ${each.evidence.revision}`] : []));
}
