// Tables that scroll inside themselves where a screen is narrow.
import { html } from "../lib/html.js";

/**
 * @typedef {{name: string, cell: (row: any) => any, num?: boolean}} Column
 * @param {{label: string, columns: Column[], rows: any[], id: (row: any) => string}} props
 */
export function Table({ label, columns, rows, id }) {
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${label}><table>
    <caption class="sr">${label}</caption>
    <thead><tr>${columns.map((each) => html`<th key=${each.name} scope="col" class=${each.num ? "num" : ""}>${each.name}</th>`)}</tr></thead>
    <tbody>${rows.map((row) => html`<tr key=${id(row)}>${columns.map((each) => html`<td key=${each.name} class=${each.num ? "num" : ""}>${each.cell(row)}</td>`)}</tr>`)}</tbody>
  </table></div>`;
}
