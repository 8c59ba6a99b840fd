// What the control API answers, as far as the console reads it. `GET /v1/openapi.json` has all of it.

interface Answered {
  revision: number;
  stale: boolean;
}

interface Problem {
  status: number;
  code: string;
  detail: string;
  remedy: string;
  retryable: boolean;
  instance: string;
}

interface Fact {
  id: string;
  event: string;
  data: Record<string, unknown>;
}

/** How one may sign in; empty texts where no identity provider is set. */
interface Ways {
  name: string;
  begin: string;
  refused: Problem | null;
}

type Role = "viewer" | "operator" | "admin";

interface Session {
  principal: string;
  kind: string;
  role: Role;
  owns: string[];
  only: string[];
  csrf: string;
  expires_unix_ms: number;
}

interface Actor {
  kind: string;
  id: string;
  role: Role;
  is_agent: boolean;
  behind: Actor | null;
}

interface Call {
  operation: string;
  request: Record<string, unknown>;
}

interface FieldChange {
  key: string;
  path: string;
  before: unknown;
  after: unknown;
}

interface BlastRadius {
  instances: number;
  nodes: string[];
  capacity_share: number;
  dependants: string[];
  budget_left: number | null;
}

interface Needs {
  approvers: number;
  role: Role;
  owner: boolean;
}

interface Vote {
  voter: Actor;
  approve: boolean;
  reason: string;
  at_unix_ms: number;
}

type ProposalState =
  | "pending"
  | "approved"
  | "applied"
  | "rejected"
  | "expired"
  | "stale"
  | "withdrawn"
  | "refused"
  | "rolled_back";

interface ProposalRow {
  id: string;
  state: ProposalState;
  operation: string;
  subject: string;
  summary: string;
  actor: string;
  reason: string;
  gate_class: string;
  approvers: string;
  approvals: number;
  created_unix_ms: number;
  expires_unix_ms: number;
  ended: string;
}

interface Proposal {
  id: string;
  call: Call;
  subject: string;
  summary: string;
  actor: Actor;
  reason: string;
  evidence: string[];
  tainted: boolean;
  gate_class: number;
  needs: Needs;
  rule: string;
  effect: string;
  diff: FieldChange[];
  diff_is_whole: boolean;
  blast: BlastRadius;
  inverse: Call | null;
  guard: { slice: string; metric: string; bound: number; window_s: number } | null;
  created_unix_ms: number;
  expires_unix_ms: number;
  state: ProposalState;
  votes: Vote[];
  ended: string;
  changed_since: FieldChange[];
  applied_revision: number;
  trace_id: string;
}

interface ProposalShown extends Answered {
  proposal: Proposal;
  live: boolean;
  converged: boolean | null;
  waits_for: string;
}

interface Page<Row> extends Answered {
  items: Row[];
  next: string;
}

interface NodeRow {
  node: string;
  role: string;
  zone: string;
  cordoned: boolean;
  leaving: boolean;
  state: string;
  instances: number;
}

interface SliceRow {
  slice: string;
  version: string;
  blueprint: string;
  wanted: number;
  min: number;
  max: number;
  serving: number;
  failed: number;
  reasons: string[];
  weight: number;
}

interface SliceLoad {
  slice: string;
  calls: number;
  errors: number;
  rejected: number;
  p50_ms: number;
  p95_ms: number;
  p99_ms: number;
}

interface NodeLoad {
  node: string;
  cpu_cores: number;
  rss_mb: number;
  requests_per_s: number;
}

interface Status extends Answered {
  node: string;
  leader: string;
  nodes: NodeRow[];
  slices: SliceRow[];
  blueprints: string[];
  load: { requests_per_s: number; nodes: NodeLoad[]; slices: SliceLoad[] };
}

interface PlacedInstance {
  number: number;
  phase: string;
  serving: boolean;
  reason: string;
}

interface PlacedNode {
  node: string;
  role: string;
  state: string;
  cordoned: boolean;
  slices: { slice: string; version: string; instances: PlacedInstance[] }[];
}

interface Topology extends Answered {
  zones: { zone: string; nodes: PlacedNode[] }[];
  edges: { slice: string; requires: string; optional: boolean; met: boolean }[];
  blocked: { slice: string; version: string; wanted: number; serving: number; why: string[] }[];
}

interface InstanceRow {
  slice: string;
  node: string;
  number: number;
  version: string;
  phase: string;
  reason: string;
  restarts: number;
  last_failure: string;
  serving: boolean;
  since_unix_ms: number;
}

interface SliceShown extends Answered {
  slice: string;
  versions: SliceRow[];
  instances: InstanceRow[];
  methods: { name: string; idempotent: boolean; routes: string[] }[];
  requires: string[];
  optional: string[];
  dependants: string[];
}

interface MethodLoad {
  method: string;
  version: string;
  calls: number;
  calls_per_s: number;
  errors: number;
  rejected: number;
  refused: number;
  p50_ms: number | null;
  p95_ms: number | null;
  p99_ms: number | null;
}

interface MethodLoads extends Answered {
  over_s: number;
  silent: string[];
  methods: MethodLoad[];
}

interface SliceExplained extends Answered {
  sentences: string[];
}

type Series = (number | null)[];

interface Figures {
  calls: Series;
  errors: Series;
  rejected: Series;
  p50_ms: Series;
  p95_ms: Series;
  p99_ms: Series;
  instances: Series;
}

interface Window_ extends Answered {
  silent: string[];
  seconds: Figures;
  ten_seconds: Figures;
}

interface AlertRow {
  fingerprint: string;
  name: string;
  severity: string;
  subject: string;
  state: "acknowledged" | "ended" | "firing" | "muted";
  origin: string;
  labels: Record<string, string>;
  annotations: Record<string, string>;
  value: number;
  bound: number;
  starts_unix_ms: number;
  ends_unix_ms: number;
  muted_by: string;
  acknowledged_by: string;
  acknowledged_why: string;
}

interface AlertShown extends Answered {
  alert: AlertRow;
  told: string[];
}

interface AuditRecord {
  id: string;
  kind: string;
  at_unix_ms: number;
  actor: Actor;
  operation: string;
  subject: string;
  request: Record<string, unknown>;
  summary: string;
  reason: string;
  rule: string;
  proposal: string;
  trace_id: string;
  detail: Record<string, unknown>;
}

interface Chained {
  number: number;
  revision: number;
  hash: string;
  previous: string;
  record: AuditRecord;
}

interface Span {
  at_ms: number;
  trace_id: string;
  span_id: string;
  parent_id: string;
  request_id: string;
  name: string;
  node: string;
  process: string;
  duration_us: number;
  failed: boolean;
  detail: string;
}

interface Band {
  minute: number;
  p10: number;
  p50: number;
  p90: number;
  rate: number | null;
}

interface ForecastRow {
  slice: string;
  now: Band;
  past: Band[];
  ahead: Band[];
  wanted: number;
  serving: number;
}

interface DecisionRecord {
  id: string;
  at_unix_ms: number;
  kind: string;
  slice: string;
  version: string;
  trouble: string;
  seen: { serving: number; starting?: number; rate: number | null; rate_per_instance: number | null; latency_p95_ms: number | null };
  decision: { wanted: number; asked: number; layer: string; because: string[]; path?: string[] };
  gate: { outcome: string; gate_class: string; rule: string; audit: string; proposal: string };
  options: Record<string, unknown>[];
  outcomes: Record<string, unknown>[];
}

interface Replayed {
  id: string;
  at_unix_ms: number;
  current: number;
  recorded: number;
  again: number;
  other: number;
  because: string[];
}

interface WhatIfShown extends Answered {
  rules: string;
  summary: { records: number; reproduced: number; changed: number; more: number; fewer: number };
  refused: string;
  items: Replayed[];
}

interface NodeDecisionRecord {
  id: string;
  at_unix_ms: number;
  decision: { add: number; remove: string; because: string[] };
}

interface ControllerRow {
  slice: string;
  version: string;
  state: string;
  wanted: number;
  serving: number;
  min: number;
  max: number;
  rate: number | null;
  rate_per_instance: number | null;
  latency_p95_ms: number | null;
  decision: number | null;
  because: string[];
  trouble: string;
  pin: { instances: number; until_unix_ms: number; why: string; by: string } | null;
}

interface ModelStatus extends Answered {
  state: string;
  reason: string;
  model: number;
  probation: boolean;
  why: string;
  training: string;
}

interface BlueprintRow {
  blueprint: string;
  slices: { slice: string; version: string; artifact: string; instances: number; min: number; max: number; weight: number; isolation: string }[];
}

interface ArtifactRow {
  name: string;
  version: string;
  sha256: string;
  size_bytes: number;
  slices: string[];
  uploaded_unix_ms: number;
}

interface PlanView {
  summary: string;
  diff: FieldChange[];
  blast: BlastRadius;
  inverse: Call | null;
  gate_class: string;
  decision: string;
  rule: string;
  approvers: string;
  revision: number;
}

type RunState =
  | "queued"
  | "blocked"
  | "running"
  | "waiting"
  | "paused"
  | "compensating"
  | "succeeded"
  | "failed"
  | "compensated"
  | "cancelled"
  | "needs_human";

interface StepError {
  code: string;
  detail: string;
}

interface RunRow {
  id: string;
  kind: string;
  title: string;
  state: RunState;
  reason: string;
  actor: string;
  parent: string;
  steps: number;
  created_unix_ms: number;
  began_unix_ms: number;
  ended_unix_ms: number;
  wake_unix_ms: number;
  waits_for: string;
  code: string;
}

interface RunStep {
  number: number;
  step: string;
  action: string;
  effect: string;
  state: string;
  attempt: number;
  began_unix_ms: number;
  ended_unix_ms: number;
  wake_unix_ms: number;
  waits_for: string;
  input: Record<string, unknown>;
  result: Record<string, unknown>;
  error: StepError | null;
  unknown: boolean;
  resolved_by: string;
  undo: string;
  undo_error: StepError | null;
}

interface RunShown extends Answered {
  run: RunRow;
  definition: string;
  input: Record<string, any>;
  trigger: Record<string, unknown>;
  behind: string[];
  epoch: number;
  locks: Record<string, string>;
  fences: Record<string, number>;
  steps: RunStep[];
  signals: { name: string; at_unix_ms: number; by: string; data: Record<string, unknown> }[];
  order: string;
  children: string[];
  result: Record<string, unknown>;
  error: StepError | null;
  effects_left: string[];
}

interface LockOwner {
  run: string;
  mode: string;
  since_unix_ms: number;
  number: number;
}

interface LockRow {
  name: string;
  holders: LockOwner[];
  waiters: LockOwner[];
}

interface Trigger {
  kind: "alert" | "event" | "schedule" | "model";
  on: string;
  lasts: string;
  mode: "run" | "propose";
}

interface Limits {
  max_concurrent?: number;
  cooldown?: string;
  max_per_hour?: number;
  breaker?: number;
  blast_radius?: Record<string, number>;
}

interface Param {
  type: "string" | "integer" | "number" | "boolean" | "duration" | "node" | "slice" | "blueprint";
  required?: boolean;
  default?: unknown;
  summary?: string;
  choices?: string[];
  min?: number;
  max?: number;
}

interface PlaybookStep {
  step: string;
  uses: string;
  effect: string;
  verify: string;
  undo: string;
  on_failure: string;
}

interface PlaybookRow {
  playbook: string;
  version: string;
  kind: string;
  risk: string;
  summary: string;
  rehearsed: "" | "passed" | "failed";
  origin: string;
  offline: boolean;
  last_started_unix_ms: number;
  triggers: Trigger[];
  limits: Limits;
}

interface PlaybookShown extends Answered {
  playbook: string;
  version: string;
  sha256: string;
  kind: string;
  risk: string;
  summary: string;
  rehearsed: "" | "passed" | "failed";
  rehearsed_unix_ms: number;
  rehearsal_ms: number;
  origin: string;
  offline: boolean;
  triggers: Trigger[];
  params: Record<string, Param>;
  locks: { exclusive?: string[]; shared?: string[]; on_conflict?: string };
  limits: Limits;
  steps: PlaybookStep[];
  source: string;
}

interface Evaluated {
  cel: string;
  value: unknown;
  error: string;
}

interface StepPlanned {
  step: string;
  uses: string;
  state: "predicted" | "opaque" | "reads" | "skipped" | "refused";
  summary?: string;
  why?: string;
  diff?: FieldChange[];
  gate_class?: string;
  decision?: string;
}

interface PlaybookPlanned {
  params: Record<string, unknown>;
  locks: string[];
  startable: boolean;
  predicted: string;
  approvals: number;
  pre: Evaluated[];
  steps: StepPlanned[];
  verify: Evaluated | null;
}

interface TurnOption {
  operation: string;
  summary: string;
  say: string;
  changes: boolean;
  missing?: string[];
}

interface TurnCard {
  type: "card";
  id: string;
  operation: string;
  request: Record<string, unknown>;
  summary: string;
  command: string;
  submit: { method: string; path: string; body: Record<string, unknown> };
  plan?: PlanView | null;
  refused?: string;
  near?: [string, string] | null;
  tainted?: boolean;
}

interface DiagnosisFound {
  slice: string;
  tainted: boolean;
  findings: { says: string; root: string; weight: number; evidence: string[] }[];
}

type TurnEvent =
  | { type: "begun"; conversation: string; number: number }
  | { type: "looked"; evidence: { id: string; operation: string; request: Record<string, unknown>; revision: number } }
  | { type: "text"; text: string; evidence?: string[] }
  | { type: "written"; claim: number; text: string; evidence?: string[]; ends?: boolean }
  | { type: "anew" }
  | { type: "table"; columns: string[]; rows: unknown[][]; more?: number }
  | { type: "plot"; name: string; unit: string; step_s: number; values: Series }
  | { type: "diagnosed"; diagnosis: DiagnosisFound }
  | TurnCard
  | { type: "choices"; why: string; options: TurnOption[]; teachable?: string }
  | { type: "checked"; by: string; claims: number; doubts?: { claim: string; why: string; says: string }[] }
  | { type: "concluded"; roots: string[]; mechanism: string; confidence: number; gaps: string[]; by: string }
  | { type: "proposal"; id: string; summary: string; rollback: string; tainted: boolean }
  | { type: "done"; answered_by: string; kind: string; asked: number; taken_ms: number; model?: string; tokens?: number; cost_micros?: number | null }
  | { type: "failed"; code: string; detail: string; remedy?: string };

interface CardMade {
  id: string;
  outcome: string;
  summary: string;
  proposal: string;
  state: string;
}

interface ConversationRow {
  id: string;
  title: string;
  owner: string;
  last_unix_ms: number;
  turns: number;
  tainted: boolean;
}

interface ConversationShown extends Answered {
  turns: { number: number; text: string; state: "begun" | "ended" | "broken"; began_unix_ms: number; ended_unix_ms: number; events: TurnEvent[] }[];
  cards: CardMade[];
}

interface OperationRow {
  name: string;
  summary: string;
}

interface ForgeStatus {
  nodes: { node: string; state: string; leads: boolean; active: number; rps: number }[];
  load: { shape: string; rps_wanted: number; rps: number; p99_ms: number; sent: number; failed: number };
  partitions: boolean;
}
