// The one place that binds htm to preact: views write html`<p>…</p>` without a build step. Text is always text: nothing
// in the console sets HTML from data.
import htm from "htm";
import { h } from "preact";

export const html = htm.bind(h);
