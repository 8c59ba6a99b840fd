// Figures in words. Pure.

/** @param {number | null | undefined} value @returns {string} three figures at most: "0.08", "4.1", "128", "12 400" */
export function figure(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  const size = Math.abs(value);
  if (size > 0 && size < 0.01) return value.toPrecision(1);
  const digits = size === 0 || size >= 100 ? 0 : size >= 10 ? 1 : 2;
  return value.toFixed(digits).replace(/\.0+$/, "").replace(/\B(?=(\d{3})+(?!\d))/g, " ");
}

/** @param {number} us microseconds @returns {string} */
export function took(us) {
  if (us < 1_000) return `${us} µs`;
  return us < 1_000_000 ? `${figure(us / 1_000)} ms` : `${figure(us / 1_000_000)} s`;
}

/** @param {number} bytes @returns {string} */
export const size = (bytes) => (bytes < 1_000_000 ? `${figure(bytes / 1_000)} kB` : `${figure(bytes / 1_000_000)} MB`);

/**
 * Times in seconds for figures that end now.
 * @param {number} count @param {number} stepS @param {number} nowMs
 * @returns {number[]}
 */
export function timesUntil(count, stepS, nowMs) {
  const last = Math.floor(nowMs / 1_000 / stepS) * stepS;
  return Array.from({ length: count }, (_, index) => last - (count - 1 - index) * stepS);
}

/**
 * Which method to look at first, in one sentence.
 * @param {{method: string, calls: number, errors: number, p99_ms: number | null}[]} methods @returns {string}
 */
export function slowest(methods) {
  const called = methods.filter((each) => each.calls > 0);
  if (called.length === 0) return "No method was called.";
  const late = called.reduce((one, other) => ((other.p99_ms ?? 0) > (one.p99_ms ?? 0) ? other : one));
  const failing = called.filter((each) => each.errors > 0).map((each) => each.method);
  return `The slowest is ${late.method}: p99 ${figure(late.p99_ms)} ms. ${failing.length ? `Calls of ${[...new Set(failing)].join(", ")} failed.` : "No call failed."}`;
}

/**
 * What a series did, in one sentence's part: last, least and most.
 * @param {(number | null)[]} values @param {string} unit
 * @returns {string}
 */
export function summary(values, unit) {
  const known = /** @type {number[]} */ (values.filter((each) => each !== null && !Number.isNaN(each)));
  if (known.length === 0) return "nothing known yet";
  if (Math.min(...known) === Math.max(...known)) return `${figure(known[0])} ${unit} throughout`;
  return `${figure(known[known.length - 1])} ${unit} now, between ${figure(Math.min(...known))} and ${figure(Math.max(...known))}`;
}
