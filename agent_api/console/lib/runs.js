// Runs in words, and their steps as people think of them: one of the playbook with its checks. Pure.

/** @typedef {import("./proposals.js").Tone} Tone */

/** @type {Record<RunState, {word: string, tone: Tone}>} */
export const RUN_STATES = {
  queued: { word: "queued", tone: "wait" },
  blocked: { word: "waits for its locks", tone: "wait" },
  running: { word: "runs", tone: "wait" },
  waiting: { word: "waits", tone: "wait" },
  paused: { word: "paused", tone: "warn" },
  compensating: { word: "undoes what it did", tone: "warn" },
  succeeded: { word: "succeeded", tone: "good" },
  failed: { word: "failed", tone: "bad" },
  compensated: { word: "failed, and undone", tone: "warn" },
  cancelled: { word: "cancelled", tone: "off" },
  needs_human: { word: "waits for a person", tone: "bad" },
};

/** @type {Record<string, {word: string, tone: Tone}>} */
export const STEP_STATES = {
  begun: { word: "goes on", tone: "wait" },
  waiting: { word: "waits", tone: "wait" },
  done: { word: "done", tone: "good" },
  failed: { word: "failed", tone: "bad" },
  skipped: { word: "passed over", tone: "off" },
  undone: { word: "undone", tone: "warn" },
};

/** @type {Record<string, string>} what the kernel's steps of a playbook's step do */
const CHECKS = { when: "is it wanted?", pre: "conditions again", plan: "planned against the limits", verify: "verified" };

const ENDED = new Set(["succeeded", "failed", "compensated", "cancelled"]);
const HELD = new Set(["paused", "needs_human"]);

/** @param {RunState} state */
export const hasEnded = (state) => ENDED.has(state);

/** @param {RunState} state which orders a run in it takes @returns {("pause" | "resume" | "cancel")[]} */
export function orders(state) {
  if (ENDED.has(state) || state === "compensating") return [];
  if (HELD.has(state)) return ["resume", "cancel"];
  return state === "running" || state === "waiting" ? ["pause", "cancel"] : ["cancel"];
}

/** @param {RunState} state @param {RunStep} step whether a person may say what becomes of it */
export const isUnsettled = (state, step) => HELD.has(state) && (["begun", "waiting", "failed"].includes(step.state) || step.undo === "failed");

/** @typedef {{name: string, uses: string, row: RunStep | null, checks: {says: string, row: RunStep}[], says: string}} Stage `says`: of one that has not begun, why it may not */

/**
 * Steps with their checks in the order in which they began, then those that are still to come.
 * @param {RunStep[]} steps @param {PlaybookStep[]} planned of the playbook, empty where it is not known
 * @returns {Stage[]}
 */
export function stages(steps, planned) {
  /** @type {Map<string, Stage>} */
  const found = new Map();
  for (const row of steps) {
    const [name, check] = row.step.split("/");
    const stage = found.get(name) ?? { name, uses: planned.find((each) => each.step === name)?.uses ?? OWN[name] ?? "", row: null, checks: [], says: "" };
    found.set(name, stage);
    if (!check) Object.assign(stage, { row, uses: row.input.uses ?? (stage.uses || row.action) });
    else stage.checks.push({ says: CHECKS[check] ?? check, row });
    if (check === "when" && row.result.holds === false) stage.says = "was not wanted";
  }
  const next = planned.map((each) => found.has(each.step)).lastIndexOf(true) + 1;
  return [...found.values(), ...planned.slice(next).map(({ step, uses }) => ({ name: step, uses, row: null, checks: [], says: "not begun" }))];
}

/** @type {Record<string, string>} */
const OWN = { pre: "conditions of the playbook", verify: "whether the playbook has done its work" };

/** @param {string} waitsFor a signal @returns {string} the proposal that it is about, or "" */
export const proposalOf = (waitsFor) => (waitsFor.startsWith("proposal/") ? waitsFor.slice("proposal/".length) : "");

/** @param {StepError | null} error of an undo @returns {string} the proposal that it waits for, or "" */
export const undoProposalOf = (error) => (error?.code === "undo_waits" ? error.detail.split(" ").at(-1) ?? "" : "");

/** @param {Trigger} trigger @returns {string} as "alert alertname=SliceSlow that lasts 1m: proposes" */
export function triggerSays({ kind, on, lasts, mode }) {
  const wait = lasts === "0s" ? "" : ` that lasts ${lasts}`;
  return `${kind === "model" ? "" : `${kind} `}${on}${wait}: ${mode === "run" ? "runs" : "proposes"} it`;
}

/** @type {[keyof Limits, string][]} */
const LIMITS = [["max_concurrent", "at once"], ["max_per_hour", "an hour"], ["cooldown", "between two starts for the same"], ["breaker", "failures in a row end automatic starts"]];

/** @param {Limits} limits @returns {string[]} those that the playbook sets itself */
export function limitsSay(limits) {
  const own = LIMITS.flatMap(([name, says]) => (limits[name] === undefined ? [] : [`${limits[name]} ${says}`]));
  const blast = Object.entries(limits.blast_radius ?? {}).map(([name, most]) => `${most} ${name.replaceAll("_", " ")} a step at most`);
  return [...own, ...blast];
}

/**
 * What was typed as the playbook's types have it; what was left empty is left to its default.
 * @param {Record<string, Param>} declared @param {Record<string, string | boolean>} typed
 * @returns {Record<string, unknown>}
 */
export function params(declared, typed) {
  const given = Object.entries(typed).filter(([name, value]) => value !== "" && name in declared);
  return Object.fromEntries(given.map(([name, value]) => [name, ["integer", "number"].includes(declared[name].type) ? Number(value) : value]));
}
