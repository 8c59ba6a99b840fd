// The console's one copy of the cluster. Answers are kept by path; the event stream says when they are old. Views read,
// nothing but the stream and the answers writes.
import { batch, signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { ask, credentials, send } from "./api.js";
import { inOrder } from "./sse.js";
import { follow } from "./stream.js";

export const FACTS_MAX = 500;
const TOLD_BEFORE = 100; // events that happened before the page was opened and are shown, however long ago
const FIRST_TOLD = 2; // revision 1 begins every history: who asks for what came before it is told to begin anew
const GAP_MS = 150; // at least so long between two questions for the same answer
const RESUME_MS = 1_000;
const BEHIND_MS = 300; // the stream told of a revision that the answer does not know yet: asked again then

/** Who is signed in: undefined while that is not known, null for nobody. */
export const session = signal(/** @type {Session | null | undefined} */ (undefined));
/** Why somebody who was signed in is so no more, where they did not end it themselves. */
export const ended = signal(/** @type {Problem | null} */ (null));
export const facts = signal(/** @type {Fact[]} */ ([])); // newest first
export const link = signal({
  state: /** @type {import("./stream.js").LinkState} */ ("connecting"),
  since: Date.now(),
  lastId: "",
  resets: 0,
});
const retry = { now() {} };

/**
 * One answer, kept while something shows it. `at` is when it was last known to be current, 0 before the first answer.
 * @template T
 */
class Kept {
  /** @param {string} path */
  constructor(path) {
    this.path = path;
    this.data = signal(/** @type {T | null} */ (null));
    this.problem = signal(/** @type {Problem | null} */ (null));
    this.at = signal(0);
    this.users = 0;
    this.etag = "";
    this.asking = false;
    this.again = false;
    this.askedAt = 0;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
  }

  /** Asks anew, now or when the present question is answered. */
  refresh() {
    if (this.asking) this.again = true;
    else if (this.timer === undefined) {
      const wait = Math.max(0, this.askedAt + GAP_MS - Date.now());
      this.timer = setTimeout(() => void this.load(), wait);
    }
  }

  async load() {
    this.timer = undefined;
    this.asking = true;
    this.askedAt = Date.now();
    const reply = await ask(this.path, { etag: this.etag });
    this.asking = false;
    batch(() => {
      if (reply.problem === null) {
        this.at.value = Date.now();
        this.problem.value = null;
        this.etag = reply.etag;
        if (reply.data !== null) this.data.value = /** @type {T} */ (reply.data);
      } else {
        this.problem.value = reply.problem;
        this.etag = "";
        if (reply.problem.status === 404) this.data.value = null;
      }
    });
    if (this.users === 0) return;
    const known = /** @type {Answered | null} */ (this.data.value)?.revision ?? Infinity;
    if (this.again) this.refresh();
    else if (reply.problem === null && known < revisionOf(link.peek().lastId)) this.later(BEHIND_MS);
    else if (reply.problem?.retryable) this.later(1_000);
    this.again = false;
  }

  /** @param {number} ms */
  later(ms) {
    if (this.timer === undefined) this.timer = setTimeout(() => void this.load(), ms);
  }
}

/** @type {Map<string, Kept<any>>} */
const kept = new Map();

/** @param {string} id @returns {number} */
const revisionOf = (id) => Number(id.split(".")[0] || 0);

/**
 * The answer at a path, while the calling view stands; "" asks nothing.
 * @template T
 * @param {string} path
 * @param {{every?: number}} given every: milliseconds between questions, for figures that no event tells of
 * @returns {{data: T | null, problem: Problem | null, at: number, refresh: () => void}}
 */
export function useAnswer(path, { every = 0 } = {}) {
  const found = keptAt(path);
  useEffect(() => {
    if (path === "") return undefined;
    found.users += 1;
    found.refresh();
    const timer = every ? setInterval(() => document.hidden || found.refresh(), every) : undefined;
    return () => {
      clearInterval(timer);
      found.users -= 1;
      if (found.users === 0) forgetLater(found);
    };
  }, [path, every]);
  return { data: found.data.value, problem: found.problem.value, at: found.at.value, refresh: () => found.refresh() };
}

/** @param {string} path @returns {Kept<any>} */
function keptAt(path) {
  const found = kept.get(path) ?? new Kept(path);
  kept.set(path, found);
  return found;
}

const UNUSED_MAX = 24; // answers kept for going back to a page

/** @param {Kept<any>} unused */
function forgetLater(unused) {
  clearTimeout(unused.timer);
  unused.timer = undefined;
  const idle = [...kept.values()].filter((each) => each.users === 0);
  for (const each of idle.slice(0, Math.max(0, idle.length - UNUSED_MAX))) kept.delete(each.path);
}

/** All that is shown is asked for again. */
export function refreshAll() {
  for (const each of kept.values()) if (each.users > 0) each.refresh();
}

/** Tries to connect now instead of after the wait. */
export const reconnect = () => retry.now();

/** @param {import("./sse.js").Message} message */
export function take(message) {
  batch(() => {
    const resets = link.peek().resets + (message.event === "reset" ? 1 : 0);
    link.value = { ...link.peek(), lastId: message.id || link.peek().lastId, resets };
    if (message.event !== "reset") facts.value = withFact(facts.peek(), JSON.parse(message.data));
  });
  refreshAll();
}

/**
 * Facts with one more, newest first, each once: what is replayed may be known already.
 * @param {Fact[]} known @param {Fact} fact @returns {Fact[]}
 */
export function withFact(known, fact) {
  if (known.some((each) => each.id === fact.id)) return known;
  const place = known.findIndex((each) => inOrder(each.id, fact.id) < 0);
  const at = place < 0 ? known.length : place;
  return [...known.slice(0, at), fact, ...known.slice(at)].slice(0, FACTS_MAX);
}

let stop = () => {};

/** Follows from the last event that is known: what happened last is there at once, though it be an hour ago. */
async function begin() {
  const [health, told] = await Promise.all([ask("/health/live"), ask(`/v1/events?limit=${TOLD_BEFORE}`)]);
  const revision = /** @type {Answered | null} */ (health.data)?.revision ?? 0;
  const known = /** @type {{events: Fact[]} | null} */ (told.data)?.events ?? [];
  const from = known.at(-1)?.id ?? `${Math.max(FIRST_TOLD, revision)}.0`;
  batch(() => {
    facts.value = [...known].reverse();
    link.value = { ...link.peek(), lastId: from };
  });
  go(from);
}

/** @param {string} from */
function go(from) {
  stop();
  if (document.hidden) return; // until it is seen again
  stop = follow({
    from,
    onMessage: take,
    retry,
    onState(state) {
      if (state === "refused") return signedOut();
      const before = link.peek();
      if (before.state !== state) link.value = { ...before, state, since: Date.now() };
      if (state === "live") refreshAll();
      return undefined;
    },
  });
}

// Browsers open some six connections to one address: pages that nobody sees must not hold them, or one more waits without end.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) stop();
  else if (session.peek() && link.peek().lastId) go(link.peek().lastId);
});

/** @param {null | undefined} known null where nobody is signed in, undefined where that is to be found out */
function forget(known) {
  stop();
  kept.clear();
  batch(() => {
    session.value = known;
    facts.value = [];
    link.value = { ...link.peek(), lastId: "" };
  });
}

function signedOut() {
  localStorage.removeItem(BEGUN);
  forget(null);
}

credentials.onSignedOut = (problem) => {
  if (session.peek()) ended.value = problem;
  signedOut();
};

// Windows of one browser share the session: where another ended or began one, this one must not go on under an old name.
addEventListener("storage", (event) => {
  if (event.key !== BEGUN) return;
  forget(event.newValue === null ? null : undefined);
  if (event.newValue !== null) void resume();
});

/** @param {Session} found */
function signedIn(found) {
  credentials.csrf = found.csrf;
  ended.value = null;
  session.value = found;
  void begin();
}

const BEGUN = "aether-session"; // when one was begun, if one was: the cookie itself is out of scripts' reach
const noteBegun = () => localStorage.setItem(BEGUN, String(Date.now()));

const SIGNED_IN = "#signed-in"; // the server's word behind the page that somebody comes back to from the provider

/** Finds out whether a session stands from before, or was begun on the way back from the identity provider. */
export async function resume() {
  if (location.hash === SIGNED_IN) {
    noteBegun();
    history.replaceState(null, "", location.pathname + location.search);
  }
  if (localStorage.getItem(BEGUN) === null) {
    session.value = null;
    return;
  }
  const reply = await ask("/v1/session");
  if (reply.data !== null) signedIn(/** @type {Session} */ (reply.data));
  else if (reply.problem?.status !== 401) setTimeout(resume, RESUME_MS); // the node, or what it asks, is not there yet
}

/**
 * @param {string} secret an API key, or a token of the identity provider
 * @returns {Promise<Problem | null>}
 */
export async function signIn(secret) {
  const reply = await send("POST", "/v1/session", undefined, { authorization: `Bearer ${secret}` });
  if (reply.problem !== null || reply.data === null) return reply.problem;
  noteBegun();
  signedIn(/** @type {Session} */ (reply.data));
  return null;
}

export async function signOut() {
  const reply = await send("DELETE", "/v1/session");
  if (reply.problem === null) signedOut();
  return reply.problem;
}
