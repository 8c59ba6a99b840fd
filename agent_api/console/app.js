// Begins the console: who is signed in, then the page that the address names.
import { render } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { html } from "./lib/html.js";
import { PAGES } from "./lib/pages.js";
import "./lib/keyboard.js";
import { at, place } from "./lib/router.js";
import { resume, session } from "./lib/store.js";
import "./lib/theme.js";
import { Alerts } from "./pages/alerts.js";
import { Approvals } from "./pages/approvals.js";
import { Audit } from "./pages/audit.js";
import { Chat } from "./pages/chat.js";
import { Deployments } from "./pages/deployments.js";
import { ForgePage } from "./pages/forge.js";
import { Overview } from "./pages/overview.js";
import { Playbooks } from "./pages/playbooks.js";
import { Runs } from "./pages/runs.js";
import { Scaling } from "./pages/scaling.js";
import { Slices } from "./pages/slices.js";
import { TopologyPage } from "./pages/topology.js";
import { Traces } from "./pages/traces.js";
import { Empty, PageHead } from "./ui/parts.js";
import { Shell } from "./ui/shell.js";
import { SignIn } from "./ui/sign-in.js";

/** @type {Record<string, () => any>} */
const VIEWS = {
  overview: Overview,
  approvals: Approvals,
  topology: TopologyPage,
  slices: Slices,
  deployments: Deployments,
  scaling: Scaling,
  alerts: Alerts,
  playbooks: Playbooks,
  runs: Runs,
  chat: Chat,
  traces: Traces,
  audit: Audit,
  forge: ForgePage,
};

function App() {
  const here = place.value.parts[0] ?? PAGES[0].path;
  const page = PAGES.find((each) => each.path === here);
  const address = place.value.parts.join("/");
  const isFirst = useRef(true);
  useEffect(() => {
    document.title = session.value ? `${page?.name ?? "Not found"} · Aether` : "Sign in · Aether";
  }, [page, session.value]);
  useEffect(() => {
    if (!isFirst.current) document.querySelector("h1")?.focus({ preventScroll: true }); // as a new page would
    isFirst.current = false;
  }, [here]);
  if (session.value === undefined) return html`<p class="begin muted" role="status">Connecting to this node…</p>`;
  if (session.value === null) return html`<${SignIn} />`;
  return html`<${Shell}>${page
    ? html`<${VIEWS[page.path]} />`
    : html`<${PageHead} title="There is no such page" /><${Empty} title=${`/console/${address} leads nowhere.`}>See <a href=${at(PAGES[0].path)}>${PAGES[0].name}</a>.<//>`}<//>`;
}

render(html`<${App} />`, /** @type {HTMLElement} */ (document.getElementById("root")));
void resume();
