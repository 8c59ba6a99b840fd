"""The infra services that a slice's constructor can ask for, wherever the slice is hosted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from infra.cache.proxy import open_cache
from infra.database.proxy import open_database
from runtime.sdk.services import ServiceFactory

SERVICES: Final[Mapping[str, ServiceFactory]] = {"cache": open_cache, "database": open_database}
