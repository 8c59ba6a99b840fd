"""Everything that can be asked, declared by noun. Who answers is wired in when the process is put together."""

from typing import Final

from runtime.operations.queries import (
    alerts,
    blueprints,
    cluster,
    nodes,
    operations,
    phrases,
    settings,
    slices,
    store,
    telemetry,
)

QUERIES: Final = (
    *cluster.QUERIES,
    *nodes.QUERIES,
    *slices.QUERIES,
    *blueprints.QUERIES,
    *telemetry.QUERIES,
    *settings.QUERIES,
    *alerts.QUERIES,
    *store.QUERIES,
    *operations.QUERIES,
    *phrases.QUERIES,
)
