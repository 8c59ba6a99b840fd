// Moments and spans in words. Pure, but for the ticking signal.
import { signal } from "@preact/signals";
import { skew } from "./api.js";

export { age, span, clock, moment } from "./spans.js";

/** The cluster's time, each second. */
export const now = signal(Date.now());
setInterval(() => (now.value = Date.now() + skew.value), 1_000);
