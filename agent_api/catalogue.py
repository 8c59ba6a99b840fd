"""The catalogue of this product: what every layer declares, put together in one place and light to import."""

from __future__ import annotations

from typing import TYPE_CHECKING

from controllers.context.queries import QUERIES as CONTEXT_QUERIES
from controllers.conversations.operations import OPERATIONS as CONVERSATION_OPERATIONS
from controllers.conversations.queries import QUERIES as CONVERSATION_QUERIES
from controllers.gate.operations import OPERATIONS as GATE_OPERATIONS
from controllers.gate.queries import QUERIES as GATE_QUERIES
from controllers.model_budget.queries import QUERIES as MODEL_QUERIES
from controllers.nodes.operations import OPERATIONS as NODE_OPERATIONS
from controllers.nodes.queries import QUERIES as NODE_QUERIES
from controllers.scaling.operations import OPERATIONS as SCALING_OPERATIONS
from controllers.scaling.queries import QUERIES as SCALING_QUERIES
from controllers.scaling.rule_operations import OPERATIONS as RULE_OPERATIONS
from controllers.ttm.operations import OPERATIONS as TTM_OPERATIONS
from controllers.ttm.queries import QUERIES as TTM_QUERIES
from infra.artifacts.operations import OPERATIONS as ARTIFACT_OPERATIONS
from playbooks.operations import operations as playbook_operations
from playbooks.queries import QUERIES as PLAYBOOK_QUERIES
from runtime.operations import alerts, blueprints, nodes, phrases, principals, settings, slices, store, store_members
from runtime.operations.catalogue import Catalogue
from runtime.operations.queries import QUERIES
from runtime.workflow.operations import OPERATIONS as RUN_OPERATIONS
from runtime.workflow.queries import QUERIES as RUN_QUERIES

if TYPE_CHECKING:
    from playbooks.document.checking import Checker


def make_catalogue() -> Catalogue:
    """Every operation there is; the HTTP API, the command line and the client are made from it."""
    catalogue = Catalogue(
        slices.OPERATIONS,
        nodes.OPERATIONS,
        blueprints.OPERATIONS,
        settings.OPERATIONS,
        phrases.OPERATIONS,
        alerts.OPERATIONS,
        principals.OPERATIONS,
        store.OPERATIONS,
        store_members.OPERATIONS,
        ARTIFACT_OPERATIONS,
        GATE_OPERATIONS,
        TTM_OPERATIONS,
        QUERIES,
        GATE_QUERIES,
        CONTEXT_QUERIES,
        CONVERSATION_OPERATIONS,
        CONVERSATION_QUERIES,
        SCALING_OPERATIONS,
        RULE_OPERATIONS,
        SCALING_QUERIES,
        NODE_OPERATIONS,
        NODE_QUERIES,
        MODEL_QUERIES,
        TTM_QUERIES,
        playbook_operations(lambda: _checker(catalogue)),
        PLAYBOOK_QUERIES,
        RUN_OPERATIONS,
        RUN_QUERIES,
    )
    return catalogue


def _checker(catalogue: Catalogue) -> Checker:
    """Of playbooks, which are checked against all there is; commands that only read the catalogue need it not."""
    from playbooks.actions.shelf import builtin_actions
    from playbooks.document.checking import Checker

    return Checker(catalogue, builtin_actions())
