// Follows the cluster's events and goes on where it was: at this node again, or at whichever answers at its address.
import { taken } from "./sse.js";

export const SILENT_MS = 25_000; // heartbeats come every 10 s: two were missed
export const WAITS_MS = [250, 500, 1_000, 2_000, 4_000]; // between attempts; the last one for all later ones

/** @typedef {import("./sse.js").Message} Message */
/** @typedef {"connecting" | "live" | "lost" | "refused"} LinkState */

/**
 * Runs until stopped. Each attempt asks for what came behind the last id that was told.
 * @param {{
 *   from: string,
 *   onMessage: (message: Message) => void,
 *   onState: (state: LinkState, problem: string) => void,
 *   fetch?: typeof fetch,
 *   wait?: (ms: number) => Promise<void>,
 *   retry?: {now: () => void},
 * }} given `from` is an id; `retry.now` is filled in and ends the present wait
 * @returns {() => void} stops it
 */
export function follow({ from, onMessage, onState, fetch: ask = fetch.bind(globalThis), wait, retry = { now() {} } }) {
  const stop = new AbortController();
  let last = from;
  let tries = 0;

  /** @param {number} ms @returns {Promise<void>} */
  const pause = (ms) =>
    new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      retry.now = () => (clearTimeout(timer), resolve());
    });

  async function attempt() {
    const cut = new AbortController();
    const end = () => cut.abort();
    stop.signal.addEventListener("abort", end);
    let silent = setTimeout(end, SILENT_MS);
    try {
      const headers = { accept: "text/event-stream", "last-event-id": last };
      const reply = await ask("/v1/events", { headers, signal: cut.signal, cache: "no-store" });
      if (reply.status === 401) return "refused";
      if (!reply.ok || reply.body === null) return "lost";
      onState("live", "");
      tries = 0;
      const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let buffer = ""; ; ) {
        const { value, done } = await reader.read();
        if (done) return "lost";
        clearTimeout(silent);
        silent = setTimeout(end, SILENT_MS);
        const { messages, rest } = taken(buffer + value);
        buffer = rest;
        for (const message of messages) {
          if (message.id !== "") last = message.id;
          onMessage(message);
        }
      }
    } catch {
      return "lost"; // the node went, or nothing came for too long: the next attempt says which
    } finally {
      clearTimeout(silent);
      stop.signal.removeEventListener("abort", end);
      end();
    }
  }

  async function run() {
    onState("connecting", "");
    while (!stop.signal.aborted) {
      const ended = await attempt();
      if (stop.signal.aborted) return;
      onState(ended === "refused" ? "refused" : "lost", "");
      if (ended === "refused") return;
      await (wait ?? pause)(WAITS_MS[Math.min(tries, WAITS_MS.length - 1)]);
      tries += 1;
    }
  }

  void run();
  return () => stop.abort();
}
