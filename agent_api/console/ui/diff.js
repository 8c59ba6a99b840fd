// What a plan changes, member by member: removed and added are said by sign and word, then by colour.
import { html } from "../lib/html.js";
import { shown } from "../lib/proposals.js";

/** @param {{rows: FieldChange[], label: string}} props */
export function Diff({ rows, label }) {
  if (rows.length === 0) return html`<p class="muted">Nothing would change.</p>`;
  return html`<div class="diff" role="group" aria-label=${label} tabindex="0">
    ${rows.map(
      (row) => html`<div class="diff-row" key=${row.key + row.path}>
        <div class="diff-key"><code>${row.key}</code>${row.path && html` <b>${row.path}</b>`}</div>
        ${row.before !== null && html`<div class="removed"><span class="sr">before: </span><i aria-hidden="true">−</i><span>${shown(row.before)}</span></div>`}
        ${row.after !== null && html`<div class="added"><span class="sr">after: </span><i aria-hidden="true">+</i><span>${shown(row.after)}</span></div>`}
        ${row.after === null && html`<div class="muted">is gone</div>`}
      </div>`,
    )}
  </div>`;
}
