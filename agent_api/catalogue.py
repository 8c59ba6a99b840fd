"""The catalogue of this product: what every layer declares, put together in one place and light to import."""

from __future__ import annotations

from controllers.context.queries import QUERIES as CONTEXT_QUERIES
from controllers.gate.operations import OPERATIONS as GATE_OPERATIONS
from controllers.gate.queries import QUERIES as GATE_QUERIES
from controllers.nodes.operations import OPERATIONS as NODE_OPERATIONS
from controllers.nodes.queries import QUERIES as NODE_QUERIES
from controllers.scaling.operations import OPERATIONS as SCALING_OPERATIONS
from controllers.scaling.queries import QUERIES as SCALING_QUERIES
from controllers.ttm.operations import OPERATIONS as TTM_OPERATIONS
from controllers.ttm.queries import QUERIES as TTM_QUERIES
from infra.artifacts.operations import OPERATIONS as ARTIFACT_OPERATIONS
from runtime.operations import blueprints, nodes, principals, settings, slices, store
from runtime.operations.catalogue import Catalogue
from runtime.operations.queries import QUERIES


def make_catalogue() -> Catalogue:
    """Every operation there is; the HTTP API, the command line and the client are made from it."""
    return Catalogue(
        slices.OPERATIONS,
        nodes.OPERATIONS,
        blueprints.OPERATIONS,
        settings.OPERATIONS,
        principals.OPERATIONS,
        store.OPERATIONS,
        ARTIFACT_OPERATIONS,
        GATE_OPERATIONS,
        TTM_OPERATIONS,
        QUERIES,
        GATE_QUERIES,
        CONTEXT_QUERIES,
        SCALING_OPERATIONS,
        SCALING_QUERIES,
        NODE_OPERATIONS,
        NODE_QUERIES,
        TTM_QUERIES,
    )
