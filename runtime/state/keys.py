"""Structured keys: one function per kind of key, so that nobody spells one by hand."""

from __future__ import annotations

from typing import Final

from runtime.names import BlueprintId, NodeId, Sha256, SliceName, Version

CLUSTER: Final = "cluster/info"
NODES: Final = "node/"
NODES_LIVE: Final = "node-live/"
BLUEPRINTS: Final = "blueprint/"
BLUEPRINTS_TURN: Final = "blueprints-turn"  # written by each change of any blueprint, which compares it: one at a time
MARKS_TURN: Final = "marks-turn"  # the same of freezes and incidents
PRINCIPALS_TURN: Final = "principals-turn"  # the same of subjects of tokens
TURNS: Final = frozenset({BLUEPRINTS_TURN, MARKS_TURN, PRINCIPALS_TURN})
"""They say nothing themselves: who reads all records of a kind compares the one key that each change of them writes."""
TARGETS: Final = "slice-target/"
INSTANCES: Final = "instance/"
INSTANCE_STATES: Final = "instance-state/"
ENDPOINTS: Final = "endpoint/"
ARTIFACTS: Final = "artifact/"
CONTENT: Final = "content/"
CONTENT_PINS: Final = "content-pin/"
JOIN_TOKENS: Final = "join-token/"
CONFIG: Final = "config/"
DATABASE: Final = "database/"
POLICY: Final = "gate-policy"
PROPOSALS: Final = "proposal/"
PROPOSALS_LIVE: Final = "proposal-live/"
PROPOSALS_OPEN: Final = "proposal-open/"
PROPOSALS_WHOLE: Final = "proposal-whole/"
UNDO: Final = "undo/"
REVIEWS: Final = "review/"
RECENT: Final = "gate-recent/"
FREEZES: Final = "freeze/"
INCIDENTS: Final = "incident/"
PHRASES: Final = "phrase/"
CONVERSATIONS: Final = "conversation/"
CONVERSATION_TURNS: Final = "conversation-turn/"
CONVERSATION_CARDS: Final = "conversation-cards/"
CHECKPOINTS: Final = "conversation-checkpoint/"
MODEL_BUDGET: Final = "model-budget"
MODEL_STANDING: Final = "model-standing"
AGENT_TURNS: Final = "agent-turn/"
GUARDS: Final = "guard/"
ANSWERS: Final = "idempotency/"
AUDIT: Final = "audit/"
AUDIT_FRESH: Final = "audit-new/"
AUDIT_REFUSED: Final = "audit-refused/"
AUDIT_JOINED: Final = "audit-joined/"
AUDIT_HEAD: Final = "audit-head"
AUDIT_SEGMENTS: Final = "audit-segment/"
PRINCIPALS: Final = "principal/"
API_KEYS: Final = "api-key/"
ALERT_THRESHOLDS: Final = "alert-threshold/"
ALERT_RULES: Final = "alert-rule/"
ALERTS: Final = "alert/"
ALERT_SILENCES: Final = "alert-silence/"
ALERT_RECEIVERS: Final = "alert-receiver/"
ALERT_ROUTES: Final = "alert-route/"
ALERTS_TOLD: Final = "alert-told/"
ALERT_TROUBLES: Final = "alert-trouble/"
ALERT_TESTS: Final = "alert-test/"
STORE_BACKUPS: Final = "store-backup/"
STORE_MEMBERS: Final = "store-members"
STORE_MEMBER_WISHES: Final = "store-member-wish/"
SESSION_SIGNING: Final = "session-signing"
SESSIONS_ENDED: Final = "session-ended/"
SCALING_CONFIGS: Final = "scaling-config/"
SCALING_PINS: Final = "scaling-pin/"
SCALING_TROUBLES: Final = "scaling-trouble/"
SCALING_ODDITY: Final = "scaling-oddity"
DECISIONS: Final = "decision/"
NODE_REQUESTS: Final = "node-request/"
NODE_NUMBER: Final = "node-number"
NODE_TROUBLE: Final = "node-trouble"
NODE_DECISIONS: Final = "node-decision/"
FORECAST_MODELS: Final = "forecast-model/"
FORECAST_ACTIVE: Final = "forecast-active"
FORECAST_STATE: Final = "forecast-state"
FORECAST_TRAINING: Final = "forecast-training"
FORECAST_BANDS: Final = "forecast-bands/"
RUNS: Final = "run/"
RUN_STEPS: Final = "run-step/"
RUN_ORDERS: Final = "run-order/"
RUN_SIGNALS: Final = "run-signal/"
RUN_LOCKS: Final = "run-lock/"
PLAYBOOKS: Final = "playbook/"
PLAYBOOK_STARTS: Final = "playbook-starts/"
PLAYBOOK_PROOFS: Final = "playbook-proof/"
TRIGGER_MARKS: Final = "trigger-marks"


def node(node_id: NodeId) -> str:
    """NodeRecord: who the node is and where it listens; stays when the node is down."""
    return f"{NODES}{node_id}"


def node_live(node_id: NodeId) -> str:
    """NodeLive under the node's lease: gone means the node is down."""
    return f"{NODES_LIVE}{node_id}"


def blueprint(blueprint_id: BlueprintId) -> str:
    return f"{BLUEPRINTS}{blueprint_id}"


def target(slice_name: SliceName, version: Version) -> str:
    """SliceTarget: wanted instances of one slice version."""
    return f"{TARGETS}{slice_name}/{version}"


def instance(node_id: NodeId, slice_name: SliceName, number: int) -> str:
    """InstanceAssignment: written by the leader, carried out by the node."""
    return f"{INSTANCES}{node_id}/{slice_name}/{number}"


def instance_state(node_id: NodeId, slice_name: SliceName, number: int) -> str:
    """InstanceState under the node's lease: written by the node."""
    return f"{INSTANCE_STATES}{node_id}/{slice_name}/{number}"


def endpoint(slice_name: SliceName, node_id: NodeId, number: int) -> str:
    """Endpoint under the node's lease: published last, withdrawn first."""
    return f"{ENDPOINTS}{slice_name}/{node_id}/{number}"


def artifact(name: str, version: str) -> str:
    return f"{ARTIFACTS}{name}/{version}"


def content(sha256: Sha256, node_id: NodeId) -> str:
    """ContentCopy: that node keeps those bytes."""
    return f"{CONTENT}{sha256}/{node_id}"


def content_pin(sha256: Sha256, owner: str) -> str:
    """Empty: that owner (percent-encoded) wants those bytes kept."""
    return f"{CONTENT_PINS}{sha256}/{owner}"


def join_token(token_id: str) -> str:
    """JoinToken: how often a token may still be used; absent until its first use."""
    return f"{JOIN_TOKENS}{token_id}"


def join_grant(token_id: str, node_id: NodeId) -> str:
    """JoinGrant: that node was admitted with that token."""
    return f"{JOIN_TOKENS}{token_id}/{node_id}"


def proposal(identity: str) -> str:
    """Proposal: stays for its history when it has ended."""
    return f"{PROPOSALS}{identity}"


def proposal_live(identity: str) -> str:
    """Exists under a lease for as long as the proposal may be decided and applied: it *is* the expiry."""
    return f"{PROPOSALS_LIVE}{identity}"


def proposal_open(identity: str) -> str:
    """Empty: that proposal waits. So who looks for those need not read all that ever were."""
    return f"{PROPOSALS_OPEN}{identity}"


def proposal_whole(identity: str) -> str:
    """WholeProposal, packed: with its secrets. It comes and goes with the proposal."""
    return f"{PROPOSALS_WHOLE}{identity}"


def undo(audit: str) -> str:
    """Undo of the change with that audit record, packed: with its secrets."""
    return f"{UNDO}{audit}"


def review(identity: str) -> str:
    """Review of a change that went past an approval, or of a rollback that failed."""
    return f"{REVIEWS}{identity}"


def recent(subject: str) -> str:
    """RecentChanges of one subject."""
    return f"{RECENT}{subject}"


def agent_turn(domain: str) -> str:
    """Under a lease, while an agent's change in that failure domain takes hold."""
    return f"{AGENT_TURNS}{domain}"


def guard(identity: str) -> str:
    """ArmedGuard of a change, under a lease of its window."""
    return f"{GUARDS}{identity}"


def audit(number: int) -> str:
    """ChainedRecord at its place."""
    return f"{AUDIT}{number:012}"


def audit_fresh(identity: str) -> str:
    """AuditRecord, written with what it tells of, until it has its place."""
    return f"{AUDIT_FRESH}{identity}"


def audit_refused(identity: str) -> str:
    """AuditRecord of a refused attempt, until it has its place."""
    return f"{AUDIT_REFUSED}{identity}"


def audit_joined(identity: str) -> str:
    """AuditRecord of another layer, until it has its place."""
    return f"{AUDIT_JOINED}{identity}"


def audit_segment(first: int) -> str:
    """AuditSegment: the records from that one on are content."""
    return f"{AUDIT_SEGMENTS}{first:012}"


def principal(identity: str) -> str:
    """PrincipalRecord."""
    return f"{PRINCIPALS}{identity}"


def api_key(sha256: str) -> str:
    """KeyRecord, found by the hash of the key."""
    return f"{API_KEYS}{sha256}"


def phrase(identity: str) -> str:
    """What a sentence was said to mean; the id is a hash of the sentence."""
    return f"{PHRASES}{identity}"


def conversation(identity: str) -> str:
    """ConversationRecord; what else is of that conversation goes with it."""
    return f"{CONVERSATIONS}{identity}"


def conversation_turn(identity: str, number: int) -> str:
    """TurnRecord."""
    return f"{CONVERSATION_TURNS}{identity}/{number:04}"


def turns_of(identity: str) -> str:
    return f"{CONVERSATION_TURNS}{identity}/"


def conversation_cards(identity: str) -> str:
    """CardFates: what was made of its cards."""
    return f"{CONVERSATION_CARDS}{identity}"


def checkpoint(identity: str, name: str) -> str:
    """Where a graph stood that answers in that conversation."""
    return f"{CHECKPOINTS}{identity}/{name}"


def checkpoints_of(identity: str) -> str:
    return f"{CHECKPOINTS}{identity}/"


def config(scope: str, name: str) -> str:
    """JSON of a setting's value. The scope is "cluster" or "node:n1"."""
    return f"{CONFIG}{scope}/{name}"


def alert_threshold(slice_name: str, metric: str) -> str:
    """AlertThreshold: at which value of a slice's metric an alert begins."""
    return f"{ALERT_THRESHOLDS}{slice_name}/{metric}"


def thresholds_of(slice_name: str) -> str:
    return f"{ALERT_THRESHOLDS}{slice_name}/"


def alert_rule(name: str, subject: str) -> str:
    """AlertRule; the subject is "*" for all of its kind."""
    return f"{ALERT_RULES}{name}/{subject}"


def alert(fingerprint: str) -> str:
    """Alert, while it lasts and some time after."""
    return f"{ALERTS}{fingerprint}"


def alert_silence(identity: str) -> str:
    """Silence: which alerts are told to nobody, until when."""
    return f"{ALERT_SILENCES}{identity}"


def alert_receiver(name: str) -> str:
    """Receiver: whom alerts are told to."""
    return f"{ALERT_RECEIVERS}{name}"


def alert_route(name: str) -> str:
    """Route: which alerts go to which receivers."""
    return f"{ALERT_ROUTES}{name}"


def alert_told(identity: str) -> str:
    """Told: what one receiver knows of one group. The identity is a hash of the two."""
    return f"{ALERTS_TOLD}{identity}"


def alert_test(receiver: str) -> str:
    """ReceiverTest: somebody wants to know whether that one takes what is sent; then, whether it did."""
    return f"{ALERT_TESTS}{receiver}"


def alert_trouble(receiver: str) -> str:
    """ReceiverTrouble, while that one takes nothing."""
    return f"{ALERT_TROUBLES}{receiver}"


def store_backup(number: int) -> str:
    """StoreBackup: a snapshot that is wanted, kept or failed."""
    return f"{STORE_BACKUPS}{number:06}"


def store_member_wish(node_id: str) -> str:
    """StoreMemberWish: that node shall have a vote in the store's group, or none, until it is so."""
    return f"{STORE_MEMBER_WISHES}{node_id}"


def session_ended(principal: str, session: str) -> str:
    """Empty, under a lease that outlasts the session: it was ended before its time."""
    return f"{SESSIONS_ENDED}{principal}/{session}"


def scaling_config(scope: str) -> str:
    """ConfigRecord of "cluster" or "slice:orders"."""
    return f"{SCALING_CONFIGS}{scope}"


def scaling_pin(slice_name: str) -> str:
    """PinRecord: a person's word on how many instances there shall be, until then."""
    return f"{SCALING_PINS}{slice_name}"


def scaling_trouble(slice_name: str) -> str:
    """Why a slice's figures cannot be used, in words, while they cannot: nothing is scaled on them."""
    return f"{SCALING_TROUBLES}{slice_name}"


def decision(slice_name: str, identity: str) -> str:
    """DecisionRecord of a controller about a slice."""
    return f"{DECISIONS}{slice_name}/{identity}"


def decisions_of(slice_name: str) -> str:
    return f"{DECISIONS}{slice_name}/"


def node_request(node_id: str) -> str:
    """NodeRequest: a node that the provider shall make, has made, or takes back."""
    return f"{NODE_REQUESTS}{node_id}"


def node_decision(identity: str) -> str:
    """NodeDecisionRecord of the node level."""
    return f"{NODE_DECISIONS}{identity}"


def forecast_model(number: int) -> str:
    """ForecastModel: a head that was fitted to this cluster's load, and what became of it."""
    return f"{FORECAST_MODELS}{number:06}"


def forecast_bands(part: int) -> str:
    """BandFactors of some slices: how the leader has calibrated their forecasts, for the next leader."""
    return f"{FORECAST_BANDS}{part:03}"


def run(identity: str) -> str:
    """RunRecord."""
    return f"{RUNS}{identity}"


def run_step(identity: str, number: int) -> str:
    """StepRecord: the steps of a run in the order in which they began."""
    return f"{RUN_STEPS}{identity}/{number:04}"


def steps_of(identity: str) -> str:
    return f"{RUN_STEPS}{identity}/"


def run_order(identity: str) -> str:
    """RunOrder, until the engine has carried it out."""
    return f"{RUN_ORDERS}{identity}"


def run_signal(identity: str, name: str) -> str:
    """SignalRecord. The name may have segments of its own, such as "proposal/{id}"."""
    return f"{RUN_SIGNALS}{identity}/{name}"


def signals_of(identity: str) -> str:
    return f"{RUN_SIGNALS}{identity}/"


def run_lock(name: str) -> str:
    """LockRecord, while a run has the lock or waits for it."""
    return f"{RUN_LOCKS}{name}"


def playbook(identity: str, version: str) -> str:
    """PlaybookRecord: one uploaded version."""
    return f"{PLAYBOOKS}{identity}/{version}"


def playbook_starts(identity: str) -> str:
    """PlaybookStarts, of all its versions."""
    return f"{PLAYBOOK_STARTS}{identity}"


def playbook_proof(sha256: str) -> str:
    """PlaybookProof of that definition."""
    return f"{PLAYBOOK_PROOFS}{sha256}"


def parts(key: str) -> tuple[str, ...]:
    """The segments behind the kind: ("n1", "orders", "0") for "instance/n1/orders/0"."""
    return tuple(key.split("/")[1:])
