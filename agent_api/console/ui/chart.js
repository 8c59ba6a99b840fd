// A chart with its sentence and its table twin. uPlot owns the canvas; preact only its container.
import { useEffect, useRef } from "preact/hooks";
import { useSignal } from "@preact/signals";
import uPlot from "uplot";
import { html } from "../lib/html.js";
import { figure } from "../lib/numbers.js";
import { theme } from "../lib/theme.js";

/**
 * `colour` is a custom property's name; `edge` draws no line: two edges after one another hold a band between them, which the second names.
 * @typedef {{name: string, values: (number | null)[], colour: string, dash?: boolean, edge?: boolean, band?: string}} Line
 * @typedef {{at: number, says: string}} Moment
 */

const HEIGHT = 200;
const ROWS_MAX = 60; // of the table twin: evenly chosen

/** @param {{title: string, says: string, unit: string, times: number[], lines: Line[], moments?: Moment[], height?: number}} props */
export function Chart({ title, says, unit, times, lines, moments = [], height = HEIGHT }) {
  const host = useRef(/** @type {HTMLDivElement | null} */ (null));
  const plot = useRef(/** @type {uPlot | null} */ (null));
  const marks = useRef(moments);
  marks.current = moments;
  const isOpen = useSignal(false);
  const shape = lines.map((each) => each.name + each.colour).join("|");

  useEffect(() => {
    const box = /** @type {HTMLDivElement} */ (host.current);
    const made = new uPlot(options(box, lines, height, marks), [times, ...lines.map((each) => each.values)], box);
    plot.current = made;
    const resize = new ResizeObserver(() => made.setSize({ width: box.clientWidth, height }));
    resize.observe(box);
    return () => {
      resize.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [shape, theme.value, height, useScheme()]);
  useEffect(() => plot.current?.setData([times, ...lines.map((each) => each.values)]), [times, lines]);

  return html`<figure class="chart">
    <figcaption><h3>${title} <span class="muted">${unit}</span></h3>
      <span class="legend">${lines.filter((each) => !each.edge || each.band).map(
        (each) => html`<span key=${each.name} class=${`key ${each.edge ? "band" : each.dash ? "dash" : ""}`} data-colour=${each.colour}><i aria-hidden="true"></i>${each.band ?? each.name}</span>`,
      )}</span></figcaption>
    <p class="chart-says">${says}</p>
    <div ref=${host} class="plot" aria-hidden="true"></div>
    <details onToggle=${(/** @type {any} */ e) => (isOpen.value = e.target.open)}><summary>As a table</summary>
      ${isOpen.value && html`<${Twin} title=${title} times=${times} lines=${lines} moments=${moments} />`}</details>
  </figure>`;
}

/** @param {{title: string, times: number[], lines: Line[], moments: Moment[]}} props */
function Twin({ title, times, lines, moments }) {
  const step = Math.max(1, Math.ceil(times.length / ROWS_MAX));
  const rows = times.map((_, index) => times.length - 1 - index).filter((index) => (times.length - 1 - index) % step === 0);
  return html`<div class="scroll" tabindex="0" role="group" aria-label=${`${title} as a table`}><table><thead><tr><th>time</th>${lines.map((each) => html`<th key=${each.name} class="num">${each.name}</th>`)}</tr></thead>
    <tbody>${rows.map((index) => html`<tr key=${times[index]}><td>${new Date(times[index] * 1_000).toLocaleTimeString("en-GB")}</td>
      ${lines.map((each) => html`<td key=${each.name} class="num">${figure(each.values[index])}</td>`)}</tr>`)}</tbody></table>
    ${moments.length > 0 && html`<ul>${moments.map((each) => html`<li key=${each.at + each.says}>${new Date(each.at * 1_000).toLocaleTimeString("en-GB")}: ${each.says}</li>`)}</ul>`}</div>`;
}

/** Whether the system is dark: a canvas must be drawn anew when that changes. */
function useScheme() {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const found = useSignal(dark.matches);
  useEffect(() => {
    const heard = () => (found.value = dark.matches);
    dark.addEventListener("change", heard);
    return () => dark.removeEventListener("change", heard);
  }, []);
  return found.value;
}

/**
 * A design token as a colour that a canvas understands: the property itself would read "light-dark(…)", which canvas
 * ignores silently, so an element resolves it.
 * @param {HTMLElement} box @param {string} name
 */
function token(box, name) {
  box.style.color = `var(${name})`;
  const resolved = getComputedStyle(box).color;
  box.style.color = "";
  return resolved;
}

/**
 * @param {HTMLElement} box @param {Line[]} lines @param {number} height @param {{current: Moment[]}} marks
 * @returns {Record<string, unknown>}
 */
function options(box, lines, height, marks) {
  const colours = lines.map((each) => token(box, each.colour));
  const grid = { stroke: token(box, "--line"), width: 1 };
  const axis = { stroke: token(box, "--soft"), grid, ticks: { show: false }, font: "11px system-ui, sans-serif" };
  const first = lines.findIndex((each) => each.edge);
  return {
    width: box.clientWidth,
    height,
    padding: [8, 18, 0, 0],
    legend: { show: false },
    cursor: { y: false, points: { show: false } },
    scales: { y: { range: (/** @type {unknown} */ _plot, /** @type {number} */ _low, /** @type {number} */ high) => [0, high > 0 ? high * 1.08 : 1] } },
    axes: [{ ...axis, grid: { show: false }, values: (/** @type {unknown} */ _plot, /** @type {number[]} */ at) => at.map(hour) }, { ...axis, size: 46, values: (/** @type {unknown} */ _plot, /** @type {number[]} */ at) => at.map(figure) }],
    bands: first < 0 ? [] : [{ series: [first + 2, first + 1], fill: colours[first] }],
    series: [
      {},
      ...lines.map((each, index) => ({
        label: each.name,
        stroke: each.edge ? "transparent" : colours[index],
        width: 1.6,
        dash: each.dash ? [5, 4] : undefined,
        points: { show: false },
        spanGaps: false,
      })),
    ],
    hooks: { draw: [(/** @type {uPlot} */ plot) => drawMarks(plot, marks.current, token(box, "--accent"))] },
  };
}

/** @param {number} at seconds since 1970 @returns {string} */
const hour = (at) => new Date(at * 1_000).toLocaleTimeString("en-GB", at % 60 ? {} : { hour: "2-digit", minute: "2-digit" });

/** @param {uPlot} plot @param {Moment[]} moments @param {string} colour */
function drawMarks(plot, moments, colour) {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.strokeStyle = ctx.fillStyle = colour;
  ctx.lineWidth = devicePixelRatio;
  ctx.setLineDash([2 * devicePixelRatio, 3 * devicePixelRatio]);
  for (const { at } of moments) {
    const x = Math.round(plot.valToPos(at, "x", true));
    if (x < bbox.left || x > bbox.left + bbox.width) continue;
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    ctx.fillRect(x - 3 * devicePixelRatio, bbox.top, 6 * devicePixelRatio, 6 * devicePixelRatio);
  }
  ctx.restore();
}
