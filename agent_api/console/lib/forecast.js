// A forecast's minutes as one row of them. Pure.

/** @typedef {ForecastRow["now"]} Minute */

/**
 * What was said of each minute that is over, of this one, and of those to come, each once: the minute that is not over stands in
 * all three, and what was measured of it nowhere.
 * @param {ForecastRow} row @returns {Minute[]}
 */
export function minutes(row) {
  const found = new Map(row.past.map((each) => [each.minute, each]));
  for (const each of [row.now, ...row.ahead]) if (!found.has(each.minute)) found.set(each.minute, { ...each, rate: null });
  return [...found.values()].sort((one, other) => one.minute - other.minute);
}
