// Where evidence leads: what names something of the cluster to its page, all else nowhere.
import assert from "node:assert/strict";
import { test } from "node:test";
import { placeOf } from "../../../agent_api/console/lib/evidence.js";

const address = (text) => {
  const found = placeOf(text);
  return found && found.parts.join("/") + (found.words ?? "");
};

test("what is named by kind and id leads to its page", () => {
  const leads = {
    "decision:1m8d17s1tjfzg1j": "scaling?decision=1m8d17s1tjfzg1j",
    "trace:4bf92f3577b34da6a3ce929d0e0e4736": "traces/4bf92f3577b34da6a3ce929d0e0e4736",
    "alert:0123456789abcdef": "alerts/0123456789abcdef",
    "event:120.3": "overview?event=120.3",
    "audit:1m8d17s1tjfzg1j": "audit?record=1m8d17s1tjfzg1j",
    "run:1m8d17s1tjfzg1j": "runs/1m8d17s1tjfzg1j",
    "run:1m8d17s1tjfzg1j/3": "chat/1m8d17s1tjfzg1j",
    "conversation 1m8d17s1tjfzg1j, turn 2": "chat/1m8d17s1tjfzg1j",
    "slice:orders": "slices/orders",
    "node:n1": "topology/n1",
    "proposal:p1": "approvals/p1",
  };
  for (const [text, page] of Object.entries(leads)) assert.equal(address(text), page, text);
});

test("a question that was asked leads to the page that answers it now", () => {
  assert.equal(address('slice.show {"slice":"orders"} at revision 12'), "slices/orders");
  assert.equal(address("metric.show slice=orders at revision 12"), "slices/orders");
  assert.equal(address('metric.show-node {"node":"n2"} at revision 12'), "topology/n2");
  assert.equal(address("E3 controller.decisions at 12"), "scaling");
  assert.equal(address('controller.forecast {"slice":"orders"} at revision 1'), "scaling/orders");
  assert.equal(address("cluster.status {} at revision 12"), "overview");
});

test("what is not known stays text, whatever it looks like", () => {
  for (const text of ["log:n1/gateway", "javascript:alert(1)", "constructor:x", "see the board", "__proto__:x", "slice: orders", "config.get {} at revision 1", "slice.show {broken at revision 1x"]) {
    assert.equal(placeOf(text), null, text);
  }
  assert.equal(address("slice.show {broken at revision 1"), "slices");
  assert.equal(address('slice.show {"slice":{"a":1}} at revision 1'), "slices");
});
