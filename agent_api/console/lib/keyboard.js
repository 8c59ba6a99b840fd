// Keys: `g` and a letter goes to a page, `?` tells them all, j/k move through rows, single letters move focus to what
// is marked with data-key. No single key ever acts: Enter does, on what has the focus.
import { signal } from "@preact/signals";
import { pageOfKey } from "./pages.js";
import { at, go } from "./router.js";

export const sheetOpen = signal(false);
const CHORD_MS = 1_500;
let chordUntil = 0;

/** @param {EventTarget | null} target whether keys are typed into it */
const isTyped = (target) => target instanceof Element && target.closest("input, textarea, select, [contenteditable]") !== null;

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (event.key === "Escape" && isTyped(event.target)) /** @type {HTMLElement} */ (event.target).blur();
  if (isTyped(event.target) || document.querySelector("dialog[open]")) return;
  if (handled(event.key)) event.preventDefault();
});

/** @param {string} key @returns {boolean} */
function handled(key) {
  const isChord = Date.now() < chordUntil;
  chordUntil = 0;
  const page = isChord ? pageOfKey(key) : undefined;
  if (page) return lead(at(page.path));
  if (isChord) return false;
  if (key === "g") return (chordUntil = Date.now() + CHORD_MS), true;
  if (key === "?") return (sheetOpen.value = true), true;
  if (key === "j" || key === "k") return step(key === "j" ? 1 : -1);
  return focus(document.querySelector(`[data-key="${CSS.escape(key)}"]`));
}

/** @param {string} address where the navigation leads to it; to a page that is not there no letter does @returns {boolean} */
function lead(address) {
  const isThere = document.querySelector(`nav.pages a[href="${address}"]`) !== null;
  if (isThere) go(address);
  return isThere;
}

/** @param {number} by @returns {boolean} */
function step(by) {
  const rows = [...document.querySelectorAll("[data-row]")];
  const index = rows.findIndex((row) => row.contains(document.activeElement));
  return focus(rows[index < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.min(rows.length - 1, Math.max(0, index + by))]);
}

/** @param {Element | null | undefined} found @returns {boolean} */
function focus(found) {
  if (!(found instanceof HTMLElement)) return false;
  found.focus();
  found.scrollIntoView({ block: "nearest" });
  return true;
}
