// Moments and spans in words.

/** @param {number} ms @returns {string} as "42 s", "7 min", "3 h", "2 d" */
export function span(ms) {
  const s = Math.max(0, Math.round(ms / 1_000));
  if (s < 90) return `${s} s`;
  if (s < 5_400) return `${Math.round(s / 60)} min`;
  if (s < 129_600) return `${Math.round(s / 3_600)} h`;
  return `${Math.round(s / 86_400)} d`;
}

/** @param {number} atMs @param {number} nowMs @returns {string} as "7 min ago" */
export function age(atMs, nowMs) {
  return nowMs - atMs < 1_500 ? "just now" : `${span(nowMs - atMs)} ago`;
}

/** @param {number} ms @returns {string} what is left, as "4:07", "1:02:03", "0:00" */
export function clock(ms) {
  const s = Math.max(0, Math.ceil(ms / 1_000));
  const two = (/** @type {number} */ value) => String(value).padStart(2, "0");
  const minutes = Math.floor(s / 60);
  return minutes < 60 ? `${minutes}:${two(s % 60)}` : `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(s % 60)}`;
}

/** @param {number} ms since 1970 @returns {string} local, and UTC where that differs */
export function moment(ms) {
  const date = new Date(ms);
  const local = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" }).format(date);
  const isUtc = date.getTimezoneOffset() === 0;
  return isUtc ? `${local} UTC` : `${local} (${date.toISOString().slice(11, 19)} UTC)`;
}
