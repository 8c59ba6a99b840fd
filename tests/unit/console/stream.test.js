// The event stream: nothing lost, nothing twice, whatever ends it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { inOrder, taken } from "../../../agent_api/console/lib/sse.js";
import { follow } from "../../../agent_api/console/lib/stream.js";

const block = (id) => `id: ${id}\nevent: E\ndata: {"id":"${id}"}\n\n`;

test("messages are taken whole, however they were cut", () => {
  const text = `retry: 1000\n\n: still here\n\n${block("7.0")}id: 7.1\nevent: E\ndata: a\ndata: b\n\n`;
  for (let cut = 0; cut <= text.length; cut += 1) {
    const first = taken(text.slice(0, cut));
    const second = taken(first.rest + text.slice(cut));
    const messages = [...first.messages, ...second.messages];
    assert.deepEqual(messages.map((each) => [each.id, each.data]), [["7.0", '{"id":"7.0"}'], ["7.1", "a\nb"]]);
    assert.equal(second.rest, "");
  }
});

test("ids are ordered by revision, then index, as numbers", () => {
  assert.ok(inOrder("9.0", "10.0") < 0 && inOrder("10.2", "10.10") < 0 && inOrder("3.1", "3.1") === 0);
});

/** @param {(string | number)[][]} attempts each a status, then chunks; after the last the test is over */
function played(attempts) {
  const asked = [];
  const told = [];
  const states = [];
  return new Promise((resolve) => {
    const stop = follow({
      from: "5.0",
      onMessage: (message) => told.push(message.id),
      onState: (state) => {
        states.push(state);
        if (state === "refused") resolve({ asked, told, states });
      },
      wait: async () => undefined,
      fetch: async (_path, { headers }) => {
        asked.push(headers["last-event-id"]);
        const [status, ...chunks] = attempts[asked.length - 1] ?? [];
        if (status === undefined) {
          stop();
          resolve({ asked, told, states });
          return new Response("", { status: 500 });
        }
        if (status === 0) throw new TypeError("connection refused");
        return new Response(new Blob(chunks).stream(), { status });
      },
    });
  });
}

test("each attempt asks for what came behind the last id that was told", async () => {
  const { asked, told } = await played([[200, block("6.0"), block("6.1").slice(0, 9)], [0], [503], [200, block("6.1"), block("8.0")]]);
  assert.deepEqual(asked, ["5.0", "6.0", "6.0", "6.0", "8.0"]);
  assert.deepEqual(told, ["6.0", "6.1", "8.0"]);
});

test("a session that has ended is not asked with again", async () => {
  const { asked, states } = await played([[200, block("6.0")], [401]]);
  assert.deepEqual(asked, ["5.0", "6.0"]);
  assert.deepEqual(states, ["connecting", "live", "lost", "refused"]);
});
