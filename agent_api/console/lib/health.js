// One sentence on whether the cluster is well, and what troubles it. Pure.
import { counted } from "./proposals.js";

/** @typedef {{says: string, href: string, tone: "bad" | "warn"}} Trouble */

/**
 * @param {Status} status @param {AlertRow[]} alerts those that last
 * @returns {{sentence: string, tone: "good" | "warn" | "bad", troubles: Trouble[]}}
 */
export function health(status, alerts) {
  const troubles = [...troublesOf(status), ...alerts.filter((each) => each.state === "firing").map(ofAlert)];
  if (troubles.length === 0) return { sentence: `All is well: ${standing(status)}.`, tone: "good", troubles };
  const bad = troubles.filter((each) => each.tone === "bad").length;
  const sentence = `${counted(troubles.length, "thing")} ${troubles.length === 1 ? "needs" : "need"} attention; ${standing(status)}.`;
  return { sentence, tone: bad ? "bad" : "warn", troubles };
}

/** @param {Status} status @returns {string} */
function standing({ nodes, slices }) {
  const up = nodes.filter((each) => each.state === "up").length;
  const wanted = slices.reduce((sum, each) => sum + each.wanted, 0);
  const serving = slices.reduce((sum, each) => sum + each.serving, 0);
  return `${up} of ${counted(nodes.length, "node")} up, ${serving} of ${counted(wanted, "wanted instance")} of ${counted(slices.length, "slice")} serving`;
}

/**
 * @param {Status} status
 * @returns {Trouble[]}
 */
function troublesOf({ leader, nodes, slices }) {
  /** @type {Trouble[]} */
  const found = [];
  if (!leader) found.push({ says: "No node leads: requests are served, changes wait.", href: "topology", tone: "bad" });
  for (const { node, state, cordoned } of nodes) {
    if (state === "down") found.push({ says: `Node ${node} is down.`, href: "topology", tone: "bad" });
    else if (state !== "up") found.push({ says: `Node ${node} is ${state}.`, href: "topology", tone: "warn" });
    else if (cordoned) found.push({ says: `Node ${node} takes no new instances.`, href: "topology", tone: "warn" });
  }
  for (const { slice, wanted, serving, reasons } of slices) {
    if (serving >= wanted) continue;
    const why = reasons[0] ? `: ${reasons[0]}` : "";
    found.push({ says: `${slice} serves ${serving} of ${counted(wanted, "wanted instance")}${why}.`, href: `slices/${slice}`, tone: serving ? "warn" : "bad" });
  }
  return found;
}

/**
 * @param {AlertRow} alert
 * @returns {Trouble}
 */
function ofAlert(alert) {
  return { says: `${alert.annotations.summary ?? alert.name}.`, href: "alerts", tone: alert.severity === "critical" ? "bad" : "warn" };
}
