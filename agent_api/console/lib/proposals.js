// What a card says of a proposal, and in which order proposals wait. Pure.

/** @type {Record<ProposalState, {word: string, tone: Tone}>} */
export const STATES = {
  pending: { word: "waits for a decision", tone: "wait" },
  approved: { word: "approved, being applied", tone: "wait" },
  applied: { word: "applied", tone: "good" },
  rejected: { word: "rejected", tone: "bad" },
  expired: { word: "expired", tone: "off" },
  stale: { word: "stale", tone: "warn" },
  withdrawn: { word: "withdrawn", tone: "off" },
  refused: { word: "refused", tone: "bad" },
  rolled_back: { word: "rolled back", tone: "warn" },
};

/** @typedef {"good" | "warn" | "bad" | "wait" | "off"} Tone */

/** @param {ProposalState} state */
export const waits = (state) => state === "pending" || state === "approved";

/** @param {string} gateClass as "G2" @returns {number} */
export const classOf = (gateClass) => Number(gateClass.slice(1));

const RISKS = ["low", "raised", "high", "highest"];

/** @param {number} gateClass 0 to 3 @returns {{word: string, tone: Tone}} */
export function risk(gateClass) {
  return { word: `${RISKS[gateClass] ?? "unknown"} risk`, tone: gateClass >= 2 ? "bad" : gateClass === 1 ? "warn" : "off" };
}

/**
 * Those that wait, riskiest first, of equal risk oldest first.
 * @param {ProposalRow[]} rows @returns {ProposalRow[]}
 */
export function queue(rows) {
  return rows
    .filter((each) => waits(each.state))
    .sort((one, other) => classOf(other.gate_class) - classOf(one.gate_class) || one.created_unix_ms - other.created_unix_ms);
}

/**
 * Those that ended, newest first.
 * @param {ProposalRow[]} rows @returns {ProposalRow[]}
 */
export function history(rows) {
  return rows.filter((each) => !waits(each.state)).sort((one, other) => other.created_unix_ms - one.created_unix_ms);
}

/** @param {unknown} value @returns {string} */
export function shown(value) {
  if (value === null || value === undefined) return "nothing";
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** @param {number} count @param {string} one @returns {string} as "1 instance", "3 instances" */
export const counted = (count, one) => `${count} ${one}${count === 1 ? "" : "s"}`;

/** @type {Record<string, (request: Record<string, any>) => string>} */
const SENTENCES = {
  "slice.scale": (r) => `Run ${counted(r.instances, "instance")} of ${r.slice}${version(r)}`,
  "controller.pin": (r) => `Run ${counted(r.instances, "instance")} of ${r.slice} and keep scaling from changing that`,
  "controller.unpin": (r) => `Let ${r.slice} be scaled automatically again`,
  "slice.restart": (r) => `Start all instances of ${r.slice} anew, a few at a time`,
  "slice.set-bounds": (r) => `Keep ${r.slice} between ${r.min} and ${counted(r.max, "instance")}`,
  "slice.set-routing-weights": (r) => `Share calls of ${r.slice} as ${weights(r.weights)}`,
  "instance.kill": (r) => `Start instance ${r.number} of ${r.slice} on ${r.node} anew`,
  "node.drain": (r) => `Move all instances off node ${r.node} and give it no new ones`,
  "node.cordon": (r) => `Give node ${r.node} no new instances`,
  "node.uncordon": (r) => `Let node ${r.node} take instances again`,
  "node.activate": (r) => `Take node ${r.node} back into service`,
  "node.shutdown": (r) => `Move all instances off node ${r.node}, then end its processes`,
  "node.forget": (r) => `Take node ${r.node} out of the cluster`,
  "blueprint.apply": (r) => `Make the cluster as blueprint ${r.blueprint} says`,
  "blueprint.delete": (r) => `Stop everything that blueprint ${r.blueprint} deploys, and forget it`,
  "freeze.set": (r) => `Hold back changes of ${r.subject}`,
  "freeze.lift": (r) => `Hold back changes of ${r.subject} no more`,
  "config.set": (r) => `Set ${r.name} to ${shown(r.value)}${r.node ? ` on node ${r.node}` : ""}`,
  "config.unset": (r) => `Take ${r.name} back to what files and defaults say`,
};

/** @param {Record<string, any>} request */
const version = (request) => (request.version ? ` ${request.version}` : "");

/** @param {Record<string, number>} shares */
const weights = (shares) => Object.entries(shares).map(([name, part]) => `${name}: ${part}`).join(", ");

/**
 * A call as one sentence without its full stop; for operations that have none, name and request.
 * @param {Call} call @returns {string}
 */
export function sentence(call) {
  const known = SENTENCES[call.operation];
  if (known) return known(call.request);
  const members = Object.entries(call.request).map(([name, value]) => `${name} ${shown(value)}`);
  return [call.operation, ...members].join(", ");
}

/** @param {Proposal} proposal @returns {string} what it does, and instead of what where one number says that */
export function title({ call, inverse }) {
  const before = call.operation === "slice.scale" && inverse?.operation === "slice.scale" ? inverse.request.instances : undefined;
  return before === undefined ? sentence(call) : `${sentence(call)} instead of ${before}`;
}

/** @param {Proposal} proposal @returns {string} how it would be undone */
export function undo(proposal) {
  if (proposal.inverse === null) return "There is no way back: what this does cannot be undone by one change.";
  return `${sentence(proposal.inverse)}. One click here once it is applied, or: aether rollback ${proposal.id}`;
}

/** @param {BlastRadius} blast @returns {string[]} what goes wrong at most */
export function reach(blast) {
  const lines = [`Touches ${counted(blast.instances, "instance")}.`];
  if (blast.nodes.length) lines.push(`Takes ${blast.nodes.join(", ")} away.`);
  const share = Math.round(blast.capacity_share * 100);
  lines.push(share ? `${share} % of what serves now goes away.` : "Nothing that serves now goes away.");
  if (blast.dependants.length) lines.push(`These depend on it: ${blast.dependants.join(", ")}.`);
  if (blast.budget_left !== null) {
    lines.push(`Before the fewest that must serve is reached, ${counted(blast.budget_left, "instance")} may still go.`);
  }
  return lines;
}

/** @param {Actor} actor @returns {string} who acted, and for whom */
export function chain(actor) {
  const kind = actor.is_agent ? "agent" : actor.kind;
  return `${actor.id} (${kind})${actor.behind ? `, for ${chain(actor.behind)}` : ""}`;
}

const RANKS = { viewer: 0, operator: 1, admin: 2 };

/** @param {Role} role @param {Role} least */
export const atLeast = (role, least) => RANKS[role] >= RANKS[least];

/**
 * Whether somebody may ask for changes of a subject. The server has the last word.
 * @param {Session | null | undefined} who @param {string} subject @param {Role} least
 */
export const mayChange = (who, subject, least = "operator") => !!who && (atLeast(who.role, least) || who.owns.includes(subject));

/**
 * Why somebody cannot vote; "" where they may, as far as can be known here. The server has the last word.
 * @param {Session} who @param {Proposal} proposal @returns {string}
 */
export function whyNotVote(who, proposal) {
  if (!waits(proposal.state)) return `This has ended: ${STATES[proposal.state].word}.`;
  if (proposal.state === "approved") return "It has all its approvals and is being applied.";
  if (proposal.actor.id === who.principal) return "You asked for this, so somebody else decides. You may withdraw it.";
  if (who.kind !== "person") return `Only people decide, and ${who.principal} is ${who.kind}.`;
  const mine = proposal.votes.find((each) => each.voter.id === who.principal);
  if (mine) return `You voted ${mine.approve ? "for" : "against"} it. Each person has one vote.`;
  if (!atLeast(who.role, proposal.needs.role) && !who.owns.includes(proposal.subject)) {
    return `Deciding this needs the role ${proposal.needs.role}; you are ${who.role}.`;
  }
  return "";
}

/** @param {Proposal} proposal @returns {string} as "1 of 2 approvals; one must be the owner or an admin" */
export function tally(proposal) {
  const given = proposal.votes.filter((each) => each.approve).length;
  const people = `${given} of ${counted(proposal.needs.approvers, "approval")}`;
  return proposal.needs.owner ? `${people}; one of them from the owner or an admin` : people;
}

/**
 * Whether two proposals would do exactly the same, and ask for the same consent.
 * @param {Proposal} one @param {Proposal} other
 */
export function identical(one, other) {
  const essence = (/** @type {Proposal} */ p) =>
    JSON.stringify([p.call.operation, p.subject, p.diff, p.inverse, p.needs, p.guard, p.diff_is_whole]);
  return one.id !== other.id && essence(one) === essence(other);
}

/** @param {FieldChange[]} left @param {FieldChange[]} right */
export const sameDiff = (left, right) => JSON.stringify(left) === JSON.stringify(right);

/**
 * Whether the request was shortened for secrecy, so that it cannot be planned again from here.
 * @param {Call} call
 */
export const isHidden = (call) => JSON.stringify(call.request).includes("***");
