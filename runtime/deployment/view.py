"""The cached state as typed values: what deployment reads."""

from __future__ import annotations

from typing import Final

from runtime.consensus.cache import StoreCache
from runtime.deployment.records import Records
from runtime.state import keys

PREFIXES: Final = (
    keys.CLUSTER,
    keys.NODES,
    keys.NODES_LIVE,
    keys.BLUEPRINTS,
    keys.BLUEPRINTS_TURN,
    keys.TARGETS,
    keys.INSTANCES,
    keys.INSTANCE_STATES,
    keys.ENDPOINTS,
    keys.ARTIFACTS,
)


class StateView(Records):
    """The records of a cache, and the cache, to wait for changes."""

    def __init__(self, cache: StoreCache) -> None:
        super().__init__(cache)
        self.cache = cache
