// Server-sent events as text: a pure reader, since EventSource knows no wildcard over event names and hides why it
// was refused.

/** @typedef {{id: string, event: string, data: string}} Message */

/**
 * Takes complete messages off a buffer. Comments (heartbeats) and `retry` make no message.
 * @param {string} buffer text received so far and not yet taken
 * @returns {{messages: Message[], rest: string}}
 */
export function taken(buffer) {
  const blocks = buffer.replaceAll("\r\n", "\n").split("\n\n");
  const rest = blocks.pop() ?? "";
  return { messages: blocks.map(message).filter((each) => each.data !== ""), rest };
}

/** @param {string} block @returns {Message} */
function message(block) {
  const found = { id: "", event: "message", data: "" };
  /** @type {string[]} */
  const data = [];
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "data") data.push(value);
    else if (name === "id") found.id = value;
    else if (name === "event") found.event = value;
  }
  return { ...found, data: data.join("\n") };
}

/**
 * Compares ids of the form "revision.index", as every node gives them.
 * @param {string} left @param {string} right @returns {number} below 0 where left is earlier
 */
export function inOrder(left, right) {
  const [revision, index] = left.split(".").map(Number);
  const [otherRevision, otherIndex] = right.split(".").map(Number);
  return revision - otherRevision || index - otherIndex;
}
