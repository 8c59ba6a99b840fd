// Who gave an answer, what it cost, and what of it is being written.

/** @param {Extract<TurnEvent, {type: "done"}>} done @returns {string} */
export function answeredBy({ answered_by, asked, taken_ms, model, cost_micros }) {
  const price = cost_micros === null ? "cost not known" : `$${((cost_micros ?? 0) / 1e6).toFixed(4)}`;
  const cost = model ? price : "no model, no cost"; // rules may answer what a model was asked in vain, and that has its price
  return `answered by ${answered_by}${model ? ` (${answered_by === "model" ? "" : "asked "}${model})` : ""} · ${asked} ${asked === 1 ? "question" : "questions"} · ${Math.round(taken_ms)} ms · ${cost}`;
}

/** @param {TurnEvent[]} events @returns {string[]} claims of an answer that is still being written; none once it is told whole */
export function writtenOf(events) {
  /** @type {string[]} */
  let claims = [];
  for (const each of events) {
    if (each.type === "written") claims[each.claim] = (claims[each.claim] ?? "") + each.text;
    else if (each.type === "anew" || each.type === "text" || each.type === "done") claims = [];
  }
  return claims;
}
