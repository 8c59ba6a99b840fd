"""Who answers each query of the catalogue: from this node's cache of the state, from the store, or from all nodes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from agent_api.control_api.answers.alerts import AlertAnswers
from agent_api.control_api.answers.blueprints import BlueprintAnswers
from agent_api.control_api.answers.cluster import ClusterAnswers
from agent_api.control_api.answers.context import ContextAnswers
from agent_api.control_api.answers.conversations import ConversationAnswers
from agent_api.control_api.answers.gate import GateAnswers
from agent_api.control_api.answers.models import ModelAnswers
from agent_api.control_api.answers.nodes import NodeLevelAnswers
from agent_api.control_api.answers.operations import OperationAnswers
from agent_api.control_api.answers.phrases import PhraseAnswers
from agent_api.control_api.answers.playbooks import PlaybookAnswers
from agent_api.control_api.answers.runs import RunAnswers
from agent_api.control_api.answers.scaling import ScalingAnswers
from agent_api.control_api.answers.settings import SettingAnswers
from agent_api.control_api.answers.slices import SliceAnswers
from agent_api.control_api.answers.telemetry import TelemetryAnswers
from agent_api.control_api.answers.ttm import TtmAnswers
from agent_api.control_api.ports import ApiParts
from runtime.operations.operation import Result

Answer = Callable[..., Awaitable[Result]]
"""Takes the query's request, already checked, and the actor; raises a RuntimeFault whose code the query names."""


def answers(parts: ApiParts) -> dict[str, Answer]:
    """By the query's name."""
    return _of_what_runs(parts) | _of_what_is_decided(parts)


def _of_what_runs(parts: ApiParts) -> dict[str, Answer]:
    cluster, slices, blueprints = ClusterAnswers(parts), SliceAnswers(parts), BlueprintAnswers(parts)
    telemetry, settings, alerts = TelemetryAnswers(parts), SettingAnswers(parts), AlertAnswers(parts)
    return {
        "cluster.status": cluster.status,
        "topology.show": cluster.topology,
        "node.list": cluster.nodes,
        "metric.show-node": cluster.node_metric,
        "slice.list": slices.slices,
        "slice.show": slices.show,
        "slice.explain": slices.explain,
        "instance.list": slices.instances,
        "route.list": slices.routes,
        "metric.show": slices.metric,
        "metric.show-methods": slices.methods,
        "blueprint.list": blueprints.blueprints,
        "blueprint.show": blueprints.show,
        "blueprint.validate": blueprints.validate,
        "artifact.list": blueprints.artifacts,
        "event.list": telemetry.events,
        "log.list": telemetry.logs,
        "trace.list": telemetry.traces,
        "config.list": settings.settings,
        "config.get": settings.setting,
        "alert.list": alerts.alerts,
        "alert.show": alerts.alert,
        "alert.rules": alerts.rules,
        "alert.silences": alerts.silences,
        "alert.receivers": alerts.receivers,
        "alert.routes": alerts.routes,
        "snapshot.list": settings.snapshots,
        "store.member-list": settings.store_members,
    }


def _of_what_is_decided(parts: ApiParts) -> dict[str, Answer]:
    operations, models, conversations = OperationAnswers(parts), ModelAnswers(parts), ConversationAnswers(parts)
    gate, scaling, ttm = GateAnswers(parts), ScalingAnswers(parts), TtmAnswers(parts)
    playbooks, runs = PlaybookAnswers(parts), RunAnswers(parts)
    return {
        "model.status": models.status,
        "model.budget": models.budget,
        "phrase.list": PhraseAnswers(parts).phrases,
        "conversation.list": conversations.conversations,
        "conversation.show": conversations.show,
        "conversation.export": conversations.export,
        "operation.list": operations.operations,
        "operation.show": operations.show,
        "proposal.list": gate.proposals,
        "proposal.show": gate.proposal,
        "proposal.diff": gate.proposal_diff,
        "audit.list": gate.audit,
        "policy.show": gate.policy,
        "freeze.list": gate.freezes,
        "incident.list": gate.incidents,
        "principal.list": gate.principals,
        "key.list": gate.api_keys,
        "gate.explain": gate.explain,
        "controller.training-data": ContextAnswers(parts).training_data,
        "controller.status": scaling.status,
        "controller.forecast": scaling.forecast,
        "controller.decisions": scaling.decisions,
        "controller.what-if": scaling.what_if,
        "controller.rules": scaling.rules,
        "controller.nodes": NodeLevelAnswers(parts).show,
        "ttm.status": ttm.status,
        "ttm.models": ttm.models,
        "playbook.list": playbooks.playbooks,
        "playbook.show": playbooks.show,
        "playbook.plan": playbooks.plan,
        "run.list": runs.runs,
        "run.show": runs.run,
        "lock.list": runs.locks,
    }
