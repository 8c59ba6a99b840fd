"""Every operation that the product offers, without what carries them out: for processes and for the command line."""

from __future__ import annotations

from controllers.gate.queries import QUERIES as GATE_QUERIES
from runtime.operations import blueprints, nodes, slices
from runtime.operations.catalogue import Catalogue
from runtime.operations.queries import QUERIES


def make_catalogue() -> Catalogue:
    return Catalogue(slices.OPERATIONS, nodes.OPERATIONS, blueprints.OPERATIONS, QUERIES, GATE_QUERIES)
