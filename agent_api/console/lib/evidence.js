// Where a piece of evidence leads in the console. Pure: what is not known for sure stays text.

/** @typedef {{parts: string[], words?: string}} Found a page's path, and the address's words as "?a=b" */

/** @param {string} page */
const pageOf = (page) => (/** @type {string} */ id) => ({ parts: [page, id] });
const word = (/** @type {string} */ page, /** @type {string} */ name) => (/** @type {string} */ id) => ({ parts: [page], words: `?${name}=${encodeURIComponent(id)}` });

/**
 * By what stands before the colon.
 * @type {Record<string, (id: string) => Found>}
 */
const KINDS = {
  slice: pageOf("slices"),
  node: pageOf("topology"),
  alert: pageOf("alerts"),
  trace: pageOf("traces"),
  proposal: pageOf("approvals"),
  playbook: pageOf("playbooks"),
  conversation: pageOf("chat"),
  decision: word("scaling", "decision"),
  event: word("overview", "event"),
  audit: word("audit", "record"),
  run: (id) => (id.includes("/") ? { parts: ["chat", id.split("/")[0]] } : { parts: ["runs", id] }), // a turn of a conversation, or a playbook's
};

/**
 * By the operation that was asked: the member that names what it was about, and the page.
 * @type {[RegExp, string, string][]}
 */
const ASKED = [
  [/^alert\.show$/, "fingerprint", "alerts"],
  [/^run\.show$/, "run", "runs"],
  [/^proposal\./, "id", "approvals"],
  [/^playbook\./, "playbook", "playbooks"],
  [/^trace\.list$/, "trace_id", "traces"],
  [/^controller\./, "slice", "scaling"],
  [/^(slice|metric|instance|alert|route|log)\./, "slice", "slices"],
  [/^(node|metric|instance|log)\./, "node", "topology"],
];

/**
 * Where nothing single was asked about.
 * @type {Record<string, string>}
 */
const LISTS = { cluster: "overview", event: "overview", topology: "topology", node: "topology", slice: "slices", alert: "alerts", run: "runs", trace: "traces", proposal: "approvals", controller: "scaling", ttm: "scaling", playbook: "playbooks", audit: "audit", blueprint: "deployments", artifact: "deployments" };

/** @param {string} text @returns {Found | null} */
export function placeOf(text) {
  const named = /^([a-z]+):([^\s:]{1,200})$/.exec(text);
  if (named) return Object.hasOwn(KINDS, named[1]) ? KINDS[named[1]](named[2]) : null;
  const said = /^conversation ([0-9a-z]+), turn \d+$/.exec(text);
  if (said) return { parts: ["chat", said[1]] };
  const asked = /^(?:E\d+ )?([a-z]+\.[a-z-]+)(?: (.*))? at (?:revision )?\d+$/.exec(text);
  return asked && pageAsked(asked[1], membersOf(asked[2] ?? ""));
}

/** @param {string} operation @param {Record<string, unknown>} members @returns {Found | null} */
function pageAsked(operation, members) {
  for (const [pattern, member, page] of ASKED) {
    const about = members[member];
    if (pattern.test(operation) && typeof about === "string" && about !== "") return { parts: [page, about] };
  }
  const [noun] = operation.split(".");
  return Object.hasOwn(LISTS, noun) ? { parts: [LISTS[noun]] } : null;
}

/** @param {string} text as JSON, or as name=value of the terminal @returns {Record<string, unknown>} */
function membersOf(text) {
  if (!text.startsWith("{")) return Object.fromEntries([...text.matchAll(/(\w+)=(\S+)/g)].map(([, name, value]) => [name, value]));
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}
