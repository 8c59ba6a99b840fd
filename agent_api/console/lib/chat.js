// The conversation that is shown: what was said, and what was answered, event by event as it comes.
import { effect, signal } from "@preact/signals";
import { ask, credentials } from "./api.js";
import { taken } from "./sse.js";
import { session } from "./store.js";

/** `said` is of those that were said on this page, which is told their answer word by word. */
/** @typedef {{number: number, text: string, at: number, state: "begun" | "ended" | "broken", events: TurnEvent[], said?: symbol}} Turn */

/** @param {string} id @returns {{id: string, turns: Turn[], made: CardMade[], problem: Problem | null}} */
const blank = (id) => ({ id, turns: [], made: [], problem: null });

export const talk = signal(blank(""));

effect(() => {
  if (!session.value) talk.value = blank(""); // whoever signs in next has conversations of their own
});

/** @param {Partial<typeof talk.value>} members */
const set = (members) => (talk.value = { ...talk.peek(), ...members });

/** @param {symbol} said @param {(turn: Turn) => Turn} change where it is still shown: another conversation may have been opened */
const change = (said, change) => set({ turns: talk.peek().turns.map((turn) => (turn.said === said ? change(turn) : turn)) });

/** @param {symbol} said */
const isShown = (said) => talk.peek().turns.some((turn) => turn.said === said);

/** @param {string} id of a stored one, or "" to begin anew */
export async function open(id) {
  if (id === talk.peek().id) return;
  talk.value = blank(id);
  if (id !== "") await load(id);
}

/** @param {ConversationRow | undefined} row of what is shown: it may have turns that nobody said here, as of a model that is back */
export function keepUp(row) {
  const { id, turns } = talk.peek();
  if (row?.id === id && row.turns > turns.length && turns.at(-1)?.state !== "begun") void load(id);
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
  const said = Symbol(text);
  set({ problem: null, turns: [...turns, { number: turns.length + 1, text, at: Date.now(), state: "begun", events: [], said }] });
  try {
    const headers = { accept: "text/event-stream", "content-type": "application/json", "x-csrf-token": credentials.csrf };
    const reply = await fetch("/v1/chat", { method: "POST", headers, body: JSON.stringify(id ? { text, conversation: id } : { text }) });
    if (!reply.ok || reply.body === null) fail(said, await reply.json());
    else await hear(said, reply.body, onBegun);
  } catch {
    fail(said, { status: 0, code: "unreachable", detail: "the answer broke off", remedy: "What was said is kept: open the conversation again.", retryable: true, instance: "" });
  }
}

/** @param {symbol} said @param {Problem} problem */
function fail(said, problem) {
  if (!isShown(said)) return;
  change(said, (turn) => ({ ...turn, state: "broken" }));
  set({ problem });
}

/** @param {symbol} said @param {ReadableStream<Uint8Array>} body @param {(id: string) => void} onBegun */
async function hear(said, body, onBegun) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  for (let buffer = ""; ; ) {
    const { value, done } = await reader.read();
    if (done) return void change(said, (turn) => ({ ...turn, at: Date.now(), state: turn.events.at(-1)?.type === "done" ? "ended" : "broken" }));
    const { messages, rest } = taken(buffer + value);
    buffer = rest;
    for (const message of messages) {
      const event = /** @type {TurnEvent} */ (JSON.parse(message.data));
      if (event.type === "begun" && talk.peek().id === "" && isShown(said)) set({ id: event.conversation }), onBegun(event.conversation);
      change(said, (turn) => ({ ...turn, events: [...turn.events, event] }));
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
