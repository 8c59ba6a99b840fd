// Moments and spans in words.
import assert from "node:assert/strict";
import { test } from "node:test";
import { age, clock, span } from "../../../agent_api/console/lib/spans.js";

test("spans are said in the unit that one would say", () => {
  assert.deepEqual([0, 89_000, 90_000, 5_400_000, 200_000_000].map(span), ["0 s", "89 s", "2 min", "2 h", "2 d"]);
  assert.equal(age(1_000, 1_500), "just now");
  assert.equal(age(0, 60_000), "60 s ago");
});

test("a countdown never shows less than nothing, nor 0:00 before the end", () => {
  assert.deepEqual([-5, 1, 59_000, 61_000, 3_723_000].map(clock), ["0:00", "0:01", "0:59", "1:01", "1:02:03"]);
});
