// Small pieces that every page is made of.
import { html } from "../lib/html.js";
import { age, moment, now } from "../lib/time.js";

/** @typedef {import("../lib/proposals.js").Tone} Tone */

const SHAPES = { good: "●", warn: "▲", bad: "■", wait: "◔", off: "○" };

/**
 * A state as shape and word; its colour only repeats what these say.
 * @param {{tone: Tone, children?: any}} props
 */
export function Mark({ tone, children }) {
  return html`<span class="mark ${tone}"><i aria-hidden="true">${SHAPES[tone]}</i>${children}</span>`;
}

/**
 * The server's sentence, as it was written.
 * @param {{problem: Problem | null, says?: string}} props
 */
export function ProblemNote({ problem, says = "" }) {
  return html`<div role="alert" class="problem">
    ${problem &&
    html`<p>${says && html`<span>${says} </span>`}<b>${problem.detail}</b></p>
      ${problem.remedy && html`<p class="muted">${problem.remedy}</p>`}
      ${problem.instance && html`<p class="muted"><code>${problem.code}</code> · ${problem.instance.replace("urn:aether:request:", "request ")}</p>`}`}
  </div>`;
}

/** @param {{ms: number}} props since 1970 */
export function Ago({ ms }) {
  return html`<time dateTime=${new Date(ms).toISOString()} title=${moment(ms)}>${age(ms, now.value)}</time>`;
}

/** @param {{title: string, children?: any}} props what is said where there is nothing, and what would change that */
export function Empty({ title, children }) {
  return html`<div class="empty"><p><b>${title}</b></p><div class="muted">${children}</div></div>`;
}

/**
 * Answers of which something is known, with age where they may be old; else that they come, or why not.
 * @param {{answer: {data: any, problem: Problem | null, at: number}, what: string, children?: any}} props
 */
export function Loaded({ answer, what, children }) {
  if (answer.data === null && answer.problem) return html`<${ProblemNote} problem=${answer.problem} says=${`Asked for ${what}:`} />`;
  if (answer.data === null) return html`<p class="muted" aria-busy="true">Asking for ${what}…</p>`;
  return html`${answer.problem &&
  html`<p class="aged"><${Mark} tone="warn">as of ${age(answer.at, now.value)}<//> ${answer.problem.detail}</p>`}${children}`;
}

/** @param {{title: string, lead?: any, children?: any}} props */
export function PageHead({ title, lead, children }) {
  return html`<header class="page-head"><div><h1 tabindex="-1">${title}</h1>${lead && html`<p class="lead">${lead}</p>`}</div>
    ${children && html`<div class="page-tools">${children}</div>`}</header>`;
}

/**
 * A link to what a subject is about, where there is a page for it.
 * @param {{subject: string}} props
 */
export function Subject({ subject }) {
  return html`<code>${subject}</code>`;
}

/**
 * Tabs whose choice stands in the address.
 * @param {{label: string, items: {name: string, href: string, here: boolean}[]}} props
 */
export function Tabs({ label, items }) {
  return html`<nav class="tabs" aria-label=${label}>
    ${items.map((each) => html`<a key=${each.href} href=${each.href} aria-current=${each.here ? "page" : null}>${each.name}</a>`)}
  </nav>`;
}
