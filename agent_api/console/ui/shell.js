// What stands around every page: navigation, who is signed in, and whether what is shown is current.
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { html } from "../lib/html.js";
import { sheetOpen } from "../lib/keyboard.js";
import { PAGES } from "../lib/pages.js";
import { queue } from "../lib/proposals.js";
import { at, place } from "../lib/router.js";
import { link, reconnect, session, signOut, useAnswer } from "../lib/store.js";
import { THEMES, theme } from "../lib/theme.js";
import { age, now } from "../lib/time.js";
import { Mark } from "./parts.js";

/** @param {{children?: any}} props */
export function Shell({ children }) {
  const here = place.value.parts[0] ?? PAGES[0].path;
  const proposals = useAnswer("/v1/proposals?limit=200");
  const pages = usePages();
  useEffect(showHere, [here, pages.length]);
  const waiting = queue(/** @type {Page<ProposalRow> | null} */ (proposals.data)?.items ?? []).length;
  return html`<div class="shell">
    <a class="skip" href="#content">Skip to content</a>
    <header class="top">
      <a class="brand" href=${at(PAGES[0].path)}><img src="/console/static/mark.svg" alt="" width="20" height="20" />Aether</a>
      <${LinkState} stale=${proposals.data?.stale ?? false} />
      <${Account} />
    </header>
    <nav class="pages" aria-label="Pages">
      ${pages.map(
        (page) => html`<a key=${page.path} href=${at(page.path)} aria-current=${page.path === here ? "page" : null}
          title=${`${page.asks} (g ${page.key})`}>${page.name}${page.path === "approvals" && waiting > 0 && html` <b class="count">${waiting}<span class="sr"> waiting</span></b>`}</a>`,
      )}
    </nav>
    <main id="content" tabindex="-1">
      <${Stale} />
      ${children}
    </main>
    <div class="sr" role="status">${waiting ? `${waiting} waiting for a decision` : "Nothing waits for a decision"}</div>
    <${Sheet} />
  </div>`;
}

/** On a phone the names of the pages are one line that is longer than the screen. */
function showHere() {
  const nav = document.querySelector("nav.pages");
  const name = /** @type {HTMLElement | null | undefined} */ (nav?.querySelector("[aria-current]"));
  if (nav && name) nav.scrollLeft = name.offsetLeft - (nav.clientWidth - name.offsetWidth) / 2;
}

/** @param {{stale: boolean}} props stale: this node itself does not hear from the leader */
function LinkState({ stale }) {
  const { state, lastId } = link.value;
  const title = lastId ? `last event ${lastId}` : "no event yet";
  const [tone, word] = state !== "live" ? ["bad", state === "lost" ? "not connected" : "connecting"] : stale ? ["warn", "no leader: may be old"] : ["good", "live"];
  return html`<span data-link=${state} title=${title}><${Mark} tone=${tone}>${word}<//></span>`;
}

/** Says since when everything on the page is old, and offers to try at once. */
function Stale() {
  const { state, since } = link.value;
  const lost = state === "lost" && now.value - since > 1_000;
  return html`<div class="stale" role="status">${lost &&
  html`<${Mark} tone="warn">Shown as of ${age(since, now.value)}<//> This node does not answer; what happens meanwhile comes when it does.
    <button onClick=${reconnect}>Try now</button>`}</div>`;
}

/** Those that there are here: the Forge's only where the cluster runs in one. */
function usePages() {
  const inForge = useAnswer("/v1/forge").data?.present === true;
  return PAGES.filter((page) => inForge || !page.forge);
}

function Account() {
  const who = session.value;
  const problem = useSignal(/** @type {Problem | null} */ (null));
  if (!who) return null;
  return html`<div class="account">
    ${problem.value && html`<span role="alert"><${Mark} tone="bad">not signed out<//> ${problem.value.detail}</span>`}
    <span><b>${who.principal}</b> <span class="muted">${who.role}${who.only.length ? ` of ${who.only.join(", ")}` : ""}</span></span>
    <label class="sr" for="theme">Appearance</label>
    <select id="theme" value=${theme.value} onChange=${(/** @type {any} */ e) => (theme.value = e.target.value)}>
      ${THEMES.map((each) => html`<option key=${each} value=${each}>${each}</option>`)}
    </select>
    <button class="quiet" onClick=${() => (sheetOpen.value = true)} aria-label="Keys">?</button>
    <button class="quiet" onClick=${async () => (problem.value = await signOut())}>Sign out</button>
  </div>`;
}

const KEYS = [
  ["j / k", "next or previous row; Enter opens it"],
  ["a / x", "move to approve or reject; Enter acts"],
  ["r", "move to the reason"],
  ["/", "move to the filter"],
  ["Esc", "leave a field"],
  ["?", "this sheet"],
];

function Sheet() {
  const dialog = useRef(/** @type {HTMLDialogElement | null} */ (null));
  const pages = usePages();
  useEffect(() => {
    if (sheetOpen.value) dialog.current?.showModal();
  }, [sheetOpen.value]);
  return html`<dialog ref=${dialog} class="sheet" aria-labelledby="sheet-title" onClose=${() => (sheetOpen.value = false)}>
    <form method="dialog"><h2 id="sheet-title">Keys</h2>
      <dl>${pages.map((page) => html`<div key=${page.key}><dt><kbd>g</kbd> <kbd>${page.key}</kbd></dt><dd>${page.name}</dd></div>`)}
        ${KEYS.map(([key, does]) => html`<div key=${key}><dt><kbd>${key}</kbd></dt><dd>${does}</dd></div>`)}</dl>
      <button class="primary">Close</button></form>
  </dialog>`;
}
