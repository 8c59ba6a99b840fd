// Light, dark, or as the system has it; kept in this browser.
import { effect, signal } from "@preact/signals";

const KEY = "aether-theme";
export const THEMES = /** @type {const} */ (["system", "light", "dark"]);
/** @typedef {typeof THEMES[number]} Theme */

const kept = localStorage.getItem(KEY);
export const theme = signal(THEMES.find((each) => each === kept) ?? /** @type {Theme} */ ("system"));

effect(() => {
  document.documentElement.dataset.theme = theme.value;
  localStorage.setItem(KEY, theme.value);
});
