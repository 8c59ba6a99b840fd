// What a card says of a proposal, and who may decide: pure functions, asked directly.
import assert from "node:assert/strict";
import { test } from "node:test";
import * as proposals from "../../../agent_api/console/lib/proposals.js";

const person = (id, role = "operator") => ({ kind: "person", id, role, owns: [], reads_only: [], is_agent: false, behind: null });
const session = (principal, role = "operator") => ({ principal, role, kind: "person", owns: [], only: [], csrf: "", expires_unix_ms: 0 });
const scale = (instances, before) => ({
  id: `p-${instances}`,
  call: { operation: "slice.scale", request: { slice: "orders", instances } },
  inverse: { operation: "slice.scale", request: { slice: "orders", version: "1.0.0", instances: before } },
  subject: "slice:orders", state: "pending", actor: person("ci"), votes: [], gate_class: 1, diff_is_whole: true, guard: null,
  needs: { approvers: 2, role: "operator", owner: true },
  diff: [{ key: "slice-target/orders/1.0.0", path: "wanted", before, after: instances }],
});

test("the riskiest stands first, of equal risk the oldest, and what ended not at all", () => {
  const row = (id, gate_class, created_unix_ms, state = "pending") => ({ id, gate_class, created_unix_ms, state });
  const rows = [row("new", "G1", 9), row("old", "G1", 1), row("risky", "G2", 5), row("done", "G3", 1, "applied"), row("going", "G0", 0, "approved")];
  assert.deepEqual(proposals.queue(rows).map((each) => each.id), ["risky", "old", "new", "going"]);
  assert.deepEqual(proposals.history(rows).map((each) => each.id), ["done"]);
});

test("a change is said in words, with what was before", () => {
  assert.equal(proposals.title(scale(4, 3)), "Run 4 instances of orders instead of 3");
  assert.equal(proposals.title(scale(1, 0)), "Run 1 instance of orders instead of 0");
  assert.equal(proposals.sentence({ operation: "new.thing", request: { a: 1, b: "x" } }), "new.thing, a 1, b x");
  assert.match(proposals.undo(scale(4, 3)), /^Run 3 instances of orders 1\.0\.0\./);
  assert.match(proposals.undo({ ...scale(4, 3), inverse: null }), /no way back/);
});

test("every operation that has a sentence says its subject", () => {
  const request = { slice: "S1", node: "S1", blueprint: "S1", subject: "S1", name: "S1", number: 1, instances: 1, min: 1, max: 2, weights: { v: 1 }, value: 1 };
  for (const operation of ["slice.restart", "slice.set-bounds", "slice.set-routing-weights", "instance.kill", "node.drain", "node.cordon", "node.uncordon",
    "node.activate", "node.shutdown", "node.forget", "blueprint.apply", "blueprint.delete", "freeze.set", "freeze.lift", "config.set", "config.unset",
    "controller.pin", "controller.unpin"]) {
    const said = proposals.sentence({ operation, request });
    assert.ok(said.includes("S1") && !said.includes(operation) && !said.includes("undefined"), `${operation}: ${said}`);
  }
});

test("who may not vote is told why", () => {
  const proposal = scale(4, 3);
  assert.equal(proposals.whyNotVote(session("anna"), proposal), "");
  assert.match(proposals.whyNotVote(session("ci"), proposal), /You asked for this/);
  assert.match(proposals.whyNotVote(session("vic", "viewer"), proposal), /needs the role operator; you are viewer/);
  assert.equal(proposals.whyNotVote({ ...session("own", "viewer"), owns: ["slice:orders"] }, proposal), "", "owners may");
  assert.match(proposals.whyNotVote({ ...session("bot"), kind: "automation" }, proposal), /Only people decide/);
  const voted = { ...proposal, votes: [{ voter: person("anna"), approve: true, reason: "", at_unix_ms: 0 }] };
  assert.match(proposals.whyNotVote(session("anna"), voted), /You voted for it/);
  assert.equal(proposals.tally(voted), "1 of 2 approvals; one of them from the owner or an admin");
  assert.match(proposals.whyNotVote(session("anna"), { ...proposal, state: "expired" }), /has ended: expired/);
});

test("plans are identical only where effect, way back and consent are", () => {
  const one = scale(4, 3);
  assert.ok(proposals.identical(one, { ...one, id: "other", reason: "another reason" }));
  assert.ok(!proposals.identical(one, one), "none is identical with itself");
  assert.ok(!proposals.identical(one, { ...scale(4, 2), id: "other" }));
  assert.ok(!proposals.identical(one, { ...one, id: "other", needs: { ...one.needs, approvers: 1 } }));
  assert.ok(!proposals.identical(one, { ...one, id: "other", guard: { slice: "orders" } }));
});

test("the blast radius names what goes and what depends on it", () => {
  const lines = proposals.reach({ instances: 1, nodes: ["n1"], capacity_share: 0.256, dependants: ["shop"], budget_left: 0 }).join(" ");
  for (const says of ["1 instance.", "n1", "26 %", "shop", "0 instances may still go"]) assert.ok(lines.includes(says), says);
});
