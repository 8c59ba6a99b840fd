// Traces from spans: which failed and which took long, and the waterfall of one with its critical path. Pure.

/** @typedef {{id: string, name: string, node: string, at_ms: number, duration_us: number, spans: number, failed: boolean}} Trace */
/** @typedef {{span: Span, depth: number, start_us: number, critical: boolean}} Bar */

/**
 * One row for each trace: failed first, then the slowest.
 * @param {Span[]} spans
 * @returns {Trace[]}
 */
export function traces(spans) {
  /** @type {Map<string, Span[]>} */
  const byTrace = new Map();
  for (const span of spans) byTrace.set(span.trace_id, [...(byTrace.get(span.trace_id) ?? []), span]);
  const found = [...byTrace].map(([id, all]) => {
    const root = rootOf(all);
    return { id, name: root.name, node: root.node, at_ms: root.at_ms, duration_us: root.duration_us, spans: all.length, failed: all.some((each) => each.failed) };
  });
  return found.sort((one, other) => Number(other.failed) - Number(one.failed) || other.duration_us - one.duration_us);
}

/**
 * The one without a parent among them that took longest: of a trace whose first spans are gone, what is left on top.
 * @param {Span[]} spans
 * @returns {Span}
 */
function rootOf(spans) {
  const ids = new Set(spans.map((each) => each.span_id));
  const tops = spans.filter((each) => !ids.has(each.parent_id));
  return (tops.length ? tops : spans).reduce((best, each) => (each.duration_us > best.duration_us ? each : best));
}

/**
 * Spans as bars, parents before their children, in the order in which they began.
 * @param {Span[]} spans of one trace
 * @returns {{bars: Bar[], whole_us: number}}
 */
export function waterfall(spans) {
  if (spans.length === 0) return { bars: [], whole_us: 0 };
  const began_ms = Math.min(...spans.map((each) => each.at_ms));
  const ids = new Set(spans.map((each) => each.span_id));
  const critical = criticalPath(spans);
  /** @type {Bar[]} */
  const bars = [];
  /** @param {string} parent @param {number} depth */
  const place = (parent, depth) => {
    const children = spans.filter((each) => (depth === 0 ? !ids.has(each.parent_id) : each.parent_id === parent));
    for (const span of children.sort((one, other) => one.at_ms - other.at_ms)) {
      bars.push({ span, depth, start_us: (span.at_ms - began_ms) * 1_000, critical: critical.has(span.span_id) });
      place(span.span_id, depth + 1);
    }
  };
  place("", 0);
  return { bars, whole_us: Math.max(1, ...bars.map((each) => each.start_us + each.span.duration_us)) };
}

/**
 * From the root always on to the child that ended last: what must be faster for the whole to be.
 * @param {Span[]} spans
 * @returns {Set<string>} ids of spans
 */
function criticalPath(spans) {
  const path = new Set();
  for (let at = /** @type {Span | undefined} */ (rootOf(spans)); at && !path.has(at.span_id); ) {
    path.add(at.span_id);
    const parent = at.span_id;
    at = spans.filter((each) => each.parent_id === parent).sort((one, other) => end(other) - end(one))[0];
  }
  return path;
}

/** @param {Span} span */
const end = (span) => span.at_ms * 1_000 + span.duration_us;
