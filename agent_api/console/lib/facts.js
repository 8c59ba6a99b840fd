// Events as one line each. Pure.

/** @type {Record<string, (data: Record<string, any>) => string>} */
const LINES = {
  LeaderChanged: (d) => (d.leader ? `${d.leader} leads` : "nobody leads"),
  NodeJoined: (d) => `node ${d.node} is up`,
  NodeLeft: (d) => `node ${d.node} is down`,
  NodeDraining: (d) => `node ${d.node} hands its instances over`,
  NodeRegistered: (d) => `node ${d.node} is a member`,
  NodeRemoved: (d) => `node ${d.node} is a member no more`,
  BlueprintApplied: (d) => `blueprint ${d.blueprint} was applied`,
  BlueprintDeleted: (d) => `blueprint ${d.blueprint} was deleted`,
  SliceDeployed: (d) => `${d.slice} ${d.version} is wanted, ${d.wanted} instances`,
  SliceScaled: (d) => `${d.slice} ${d.version}: ${d.before} → ${d.wanted} instances`,
  SliceWithdrawn: (d) => `${d.slice} ${d.version} is wanted no more`,
  SliceActivated: (d) => `${d.slice}/${d.number} on ${d.node} serves`,
  SliceDeactivated: (d) => `${d.slice}/${d.number} on ${d.node} serves no more`,
  InstanceAssigned: (d) => `${d.slice}/${d.number} is placed on ${d.node}`,
  InstanceUnassigned: (d) => `${d.slice}/${d.number} is taken from ${d.node}`,
  InstanceFailed: (d) => `${d.slice}/${d.number} on ${d.node} failed: ${d.reason}`,
  ProposalCreated: (d) => `asked for: ${d.summary}`,
  ProposalVoted: (d) => `a vote on: ${d.summary}`,
  ProposalApplied: (d) => `applied: ${d.summary}`,
  ProposalRejected: (d) => `rejected: ${d.summary}`,
  ProposalExpired: (d) => `nobody decided: ${d.summary}`,
  ProposalStale: (d) => `overtaken: ${d.summary}`,
  AlertFired: (d) => `alert: ${alert(d)}`,
  AlertEnded: (d) => `alert ended: ${alert(d)}`,
  AlertAcknowledged: (d) => `${d.by} took on: ${alert(d)}`,
  RunQueued: (d) => `run of ${d.title ?? d.kind} is asked for`,
  RunStarted: (d) => `run of ${d.title ?? d.kind} begins`,
  RunEnded: (d) => `run of ${d.title ?? d.kind} ${d.state}`,
  RunNeedsHuman: (d) => `run of ${d.title ?? d.kind} waits for a person`,
  RunStepEnded: (d) => `run ${d.run}: ${d.step} ${d.state}`,
  ArtifactUploaded: (d) => `${d.name} ${d.version} was uploaded`,
};

/** @param {Record<string, any>} data @returns {string} */
const alert = ({ labels, annotations }) => annotations?.summary ?? labels?.alertname ?? "of no name";

/** @param {string} name @returns {string} as "slice scaled" */
const spaced = (name) => name.replace(/([a-z])([A-Z])/g, "$1 $2").toLowerCase();

/** @param {Fact} fact @returns {string} */
export function line({ event, data }) {
  const known = LINES[event];
  if (known) return known(data);
  const members = Object.values(data).filter((each) => typeof each === "string" && each.length > 0 && each.length <= 120);
  return [spaced(event), ...members].join(" · ");
}

const BAD = new Set(["NodeLeft", "InstanceFailed", "AlertFired", "RunNeedsHuman", "ScalingHeld", "NodesHeld"]);

/** @param {Fact} fact @returns {"bad" | "wait" | "off"} */
export function tone({ event }) {
  if (BAD.has(event)) return "bad";
  return event === "ProposalCreated" ? "wait" : "off";
}
