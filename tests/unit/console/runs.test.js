// How a run is told: its steps with their checks, what people may do about it, what starts and limits a playbook.
import assert from "node:assert/strict";
import { test } from "node:test";
import * as runs from "../../../agent_api/console/lib/runs.js";

const row = (step, state = "done", more = {}) => ({ step, state, action: "perform", input: {}, result: {}, undo: "none", ...more });
const planned = ["look", "drain", "forget"].map((step) => ({ step, uses: `node.${step}` }));

test("checks stand below their step, and what has not begun comes last", () => {
  const found = runs.stages([row("pre"), row("look/when", "done", { result: { holds: false } }), row("drain/plan"), row("drain", "waiting", { input: { uses: "node.drain" } })], planned);
  assert.deepEqual(found.map((each) => [each.name, each.checks.length, each.row?.state ?? each.says]), [["pre", 0, "done"], ["look", 1, "was not wanted"], ["drain", 1, "waiting"], ["forget", 0, "not begun"]]);
  assert.equal(found[0].uses, "conditions of the playbook");
  assert.deepEqual(found.map((each) => each.uses).slice(2), ["node.drain", "node.forget"]);
});

test("a run of which the playbook is not known is told by what it did", () => {
  assert.deepEqual(runs.stages([row("a"), row("b", "begun")], []).map((each) => each.name), ["a", "b"]);
});

test("what may be ordered goes by the state, and nothing of a run that ended or goes back", () => {
  const possible = Object.fromEntries(Object.keys(runs.RUN_STATES).map((state) => [state, runs.orders(state).join()]));
  assert.deepEqual(possible, {
    queued: "cancel", blocked: "cancel", running: "pause,cancel", waiting: "pause,cancel", paused: "resume,cancel", needs_human: "resume,cancel",
    compensating: "", succeeded: "", failed: "", compensated: "", cancelled: "",
  });
});

test("a word is asked for of a step in doubt, while the run is held, and not otherwise", () => {
  assert.ok(runs.isUnsettled("needs_human", row("a", "failed")));
  assert.ok(runs.isUnsettled("paused", row("a", "done", { undo: "failed" })));
  assert.ok(!runs.isUnsettled("needs_human", row("a", "done")));
  assert.ok(!runs.isUnsettled("running", row("a", "failed")));
});

test("what is waited for leads to its card", () => {
  assert.equal(runs.proposalOf("proposal/1m8d"), "1m8d");
  assert.equal(runs.proposalOf("ready"), "");
  assert.equal(runs.undoProposalOf({ code: "undo_waits", detail: "its undo waits for people: 1m8d" }), "1m8d");
  assert.equal(runs.undoProposalOf({ code: "step_timeout", detail: "it took more than 5 s" }), "");
});

test("parameters are sent as their types, and what was left empty not at all", () => {
  const declared = { instances: { type: "integer" }, share: { type: "number" }, node: { type: "node" }, sure: { type: "boolean" } };
  assert.deepEqual(runs.params(declared, { instances: "3", share: "", node: "n1", sure: false, stray: "x" }), { instances: 3, node: "n1", sure: false });
});

test("triggers and limits are said in words", () => {
  assert.equal(runs.triggerSays({ kind: "alert", on: "alertname=SliceSlow", lasts: "1m", mode: "propose" }), "alert alertname=SliceSlow that lasts 1m: proposes it");
  assert.equal(runs.triggerSays({ kind: "model", on: "an AI agent", lasts: "0s", mode: "run" }), "an AI agent: runs it");
  assert.deepEqual(runs.limitsSay({ max_concurrent: 2, cooldown: "5m", blast_radius: { nodes: 1 } }), ["2 at once", "5m between two starts for the same", "1 nodes a step at most"]);
  assert.deepEqual(runs.limitsSay({}), []);
});
