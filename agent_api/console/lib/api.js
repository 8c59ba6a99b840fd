// Every request but the stream: answers as they came, problems as the server worded them.
import { signal } from "@preact/signals";

/** Milliseconds to add to this computer's clock to get the cluster's: countdowns must not depend on a laptop's. */
export const skew = signal(0);
const SKEW_HEEDED_MS = 2_000; // the Date header has whole seconds

/** @type {{csrf: string, onSignedOut: (problem: Problem) => void}} */
export const credentials = { csrf: "", onSignedOut() {} };

/** @template T @typedef {{data: T, etag: string, problem: null} | {data: null, etag: string, problem: Problem | null}} Reply */

/**
 * @template T
 * @param {string} path @param {{etag?: string, signal?: AbortSignal}} given
 * @returns {Promise<Reply<T>>} without data and problem where it is as it was
 */
export function ask(path, { etag = "", signal } = {}) {
  return exchanged(path, { headers: etag ? { "if-none-match": etag } : {}, signal });
}

/**
 * A change, or a question with a body, with the session's token against forged requests.
 * @template T
 * @param {"POST" | "PUT" | "DELETE"} method @param {string} path @param {unknown} [body] @param {Record<string, string>} [more]
 * @returns {Promise<Reply<T>>}
 */
export function send(method, path, body, more = {}) {
  const headers = { "x-csrf-token": credentials.csrf, ...(body === undefined ? {} : { "content-type": "application/json" }), ...more };
  return exchanged(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
}

/** @template T @param {string} path @param {RequestInit} given @returns {Promise<Reply<T>>} */
async function exchanged(path, given) {
  try {
    const reply = await fetch(path, { cache: "no-store", ...given });
    noteClock(reply.headers.get("date"));
    const etag = reply.headers.get("etag") ?? "";
    if (reply.status === 304) return { data: null, etag, problem: null };
    const data = reply.status === 204 ? {} : await reply.json();
    if (reply.ok) return { data, etag, problem: null };
    if (reply.status === 401) credentials.onSignedOut(data);
    return { data: null, etag: "", problem: data };
  } catch (error) {
    if (given.signal?.aborted) return { data: null, etag: "", problem: null };
    return { data: null, etag: "", problem: unreachable(error) };
  }
}

/** @param {unknown} error @returns {Problem} */
function unreachable(error) {
  const detail = error instanceof SyntaxError ? "the answer could not be read" : "this node does not answer";
  return { status: 0, code: "unreachable", detail, remedy: "The console tries again by itself.", retryable: true, instance: "" };
}

/** @param {string | null} date */
function noteClock(date) {
  if (date === null) return;
  const apart = Date.parse(date) - Date.now();
  skew.value = Math.abs(apart) > SKEW_HEEDED_MS ? apart : 0;
}

/** @param {Record<string, string | number | undefined>} words @returns {string} "?a=b", or nothing */
export function query(words) {
  const given = Object.entries(words).filter(([, value]) => value !== undefined && value !== "");
  const text = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
  return text ? `?${text}` : "";
}
