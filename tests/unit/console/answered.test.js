import assert from "node:assert/strict";
import { test } from "node:test";

import { answeredBy, writtenOf } from "../../../agent_api/console/lib/answered.js";

const DONE = /** @type {const} */ ({ type: "done", answered_by: "rules", kind: "answer", asked: 3, taken_ms: 12.4 });

test("an answer says who gave it and what it cost", () => {
  assert.equal(answeredBy(DONE), "answered by rules · 3 questions · 12 ms · no model, no cost");
  const model = { ...DONE, answered_by: "model", model: "anthropic m-1", cost_micros: 4_200 };
  assert.equal(answeredBy(model), "answered by model (anthropic m-1) · 3 questions · 12 ms · $0.0042");
  assert.match(answeredBy({ ...model, answered_by: "rules" }), /^answered by rules \(asked anthropic m-1\)/);
  assert.match(answeredBy({ ...model, cost_micros: null }), /cost not known$/);
  assert.match(answeredBy({ ...model, answered_by: "rules" }), /by rules \(asked anthropic m-1\).*\$0\.0042$/);
});

test("an answer is shown while it is written, until it is taken back or told whole", () => {
  /** @type {TurnEvent[]} */
  const begun = [
    { type: "written", claim: 0, text: "two of" },
    { type: "written", claim: 0, text: " three", ends: true },
    { type: "written", claim: 1, text: "one" },
  ];
  assert.deepEqual(writtenOf(begun), ["two of three", "one"]);
  assert.deepEqual(writtenOf([...begun, { type: "anew" }]), []);
  assert.deepEqual(writtenOf([...begun, { type: "anew" }, { type: "written", claim: 0, text: "no" }]), ["no"]);
  assert.deepEqual(writtenOf([...begun, { type: "text", text: "two of three" }]), []);
});
