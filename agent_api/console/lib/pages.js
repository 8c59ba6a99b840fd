// Which pages there are: navigation, titles and the letters behind `g` are made of this.

/** @typedef {{path: string, name: string, key: string, asks: string, forge?: boolean}} PageEntry `asks` is the question it answers; `forge`: only in one */

/** @type {PageEntry[]} */
export const PAGES = [
  { path: "overview", name: "Overview", key: "o", asks: "Is it well?" },
  { path: "approvals", name: "Approvals", key: "a", asks: "What waits for me?" },
  { path: "topology", name: "Topology", key: "t", asks: "What runs where?" },
  { path: "slices", name: "Slices", key: "s", asks: "How does each slice fare?" },
  { path: "deployments", name: "Deployments", key: "d", asks: "What is wanted?" },
  { path: "scaling", name: "Scaling", key: "c", asks: "What was expected, what decided, and why?" },
  { path: "alerts", name: "Alerts", key: "l", asks: "What is wrong since when?" },
  { path: "playbooks", name: "Playbooks", key: "p", asks: "What can be done by plan?" },
  { path: "runs", name: "Runs", key: "n", asks: "What is being done, step by step?" },
  { path: "chat", name: "Chat", key: "h", asks: "Why? And what if it were otherwise?" },
  { path: "traces", name: "Traces", key: "r", asks: "Where did a request's time go?" },
  { path: "audit", name: "Audit", key: "u", asks: "Who did what?" },
  { path: "forge", name: "Forge", key: "f", asks: "What if it broke?", forge: true },
];

/** @param {string} letter @returns {PageEntry | undefined} */
export const pageOfKey = (letter) => PAGES.find((each) => each.key === letter);
