// Every state of the console is an address: path and words. Links are real links; only plain clicks are taken over.
import { signal } from "@preact/signals";

export const ROOT = "/console";
export const place = signal(read());

/** @typedef {{parts: string[], words: URLSearchParams}} Place */

/** @returns {Place} */
function read() {
  const parts = location.pathname.slice(ROOT.length).split("/").filter(Boolean).map(plain);
  return { parts, words: new URLSearchParams(location.search) };
}

/** @param {string} part of an address @returns {string} as it is where its escapes stand for nothing: anybody may type one */
function plain(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** @param {string} target @param {{replace?: boolean}} given */
export function go(target, { replace = false } = {}) {
  const before = location.pathname;
  history[replace ? "replaceState" : "pushState"](null, "", target);
  place.value = read();
  if (!replace && location.pathname !== before) scrollTo(0, 0); // another page begins at its top
}

/** @param {...string} parts @returns {string} the address of a page */
export const at = (...parts) => `${ROOT}/${parts.map(encodeURIComponent).join("/")}`;

/**
 * The present address with other words; empty ones are left out.
 * @param {Record<string, string>} words @returns {string}
 */
export function withWords(words) {
  const next = new URLSearchParams(place.value.words);
  for (const [name, value] of Object.entries(words)) {
    if (value === "") next.delete(name);
    else next.set(name, value);
  }
  const text = next.toString();
  return location.pathname + (text ? `?${text}` : "");
}

addEventListener("popstate", () => (place.value = read()));
addEventListener("click", (event) => {
  const target = event.target instanceof Element ? event.target.closest("a") : null;
  if (target === null || event.defaultPrevented || event.button !== 0) return;
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  if (target.origin !== location.origin || !target.pathname.startsWith(`${ROOT}/`) || target.target) return;
  event.preventDefault();
  go(target.href);
});
