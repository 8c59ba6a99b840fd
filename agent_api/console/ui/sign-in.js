// Signing in, with a key or through the identity provider: either way a cookie comes that scripts cannot read.
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { ask } from "../lib/api.js";
import { html } from "../lib/html.js";
import { ended, signIn } from "../lib/store.js";
import { ProblemNote } from "./parts.js";

/**
 * The way to the provider, where one is set, and why the last one led nowhere.
 * @param {{ways: Ways}} props
 */
function Provider({ ways }) {
  const back = encodeURIComponent(location.pathname + location.search);
  return html`<section class="provider" aria-label="Identity provider">
    ${ways.refused && html`<${ProblemNote} problem=${ways.refused} says="You are not signed in:" />`}
    ${ways.begin && html`<a class="button primary" href=${`${ways.begin}?back=${back}`}>Sign in with ${ways.name}</a>
    <p class="muted">or with a key:</p>`}
  </section>`;
}

export function SignIn() {
  const ways = useSignal(/** @type {Ways | null} */ (null));
  const secret = useSignal("");
  const problem = useSignal(/** @type {Problem | null} */ (null));
  const busy = useSignal(false);

  useEffect(() => {
    void ask("/v1/sign-in").then((reply) => (ways.value = /** @type {Ways | null} */ (reply.data)));
  }, []);

  /** @param {Event} event */
  async function submit(event) {
    event.preventDefault();
    busy.value = true;
    problem.value = await signIn(secret.value.trim());
    busy.value = false;
    if (problem.value !== null) document.getElementById("secret")?.focus();
  }

  return html`<main class="sign-in">
    <form onSubmit=${submit} aria-labelledby="sign-in-title">
      <img src="/console/static/mark.svg" alt="" width="32" height="32" />
      <h1 id="sign-in-title">Sign in to Aether</h1>
      <${ProblemNote} problem=${ended.value} says="Your session has ended:" />
      ${ways.value && (ways.value.begin || ways.value.refused) && html`<${Provider} ways=${ways.value} />`}
      <label for="secret">API key, or a token of your identity provider</label>
      <input id="secret" type="password" autocomplete="current-password" spellcheck="false" required autofocus
        aria-describedby="secret-help" value=${secret} onInput=${(/** @type {any} */ e) => (secret.value = e.target.value)} />
      <p id="secret-help" class="muted">It is sent to this node only and not kept in the browser. The session that it begins ends with it.</p>
      <${ProblemNote} problem=${problem.value} />
      <button class=${ways.value?.begin ? "" : "primary"} disabled=${busy.value}>${busy.value ? "Signing in…" : "Sign in"}</button>
    </form>
    <aside class="muted">
      <p>Where keys come from</p>
      <ul>
        <li>In a Forge, the file that it names as <b>admin key</b>.</li>
        <li>In a cluster, from an admin: <code>aether key create anna console</code></li>
      </ul>
    </aside>
  </main>`;
}
