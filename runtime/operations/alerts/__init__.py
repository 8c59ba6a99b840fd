"""Every change about alerts: rules, who is told, silences, acknowledgements, and alerts from outside."""

from typing import Final

from runtime.operations.alerts import handling, incoming, receivers, routes, rules, thresholds

OPERATIONS: Final = (
    *thresholds.OPERATIONS,
    *rules.OPERATIONS,
    *handling.OPERATIONS,
    *receivers.OPERATIONS,
    *routes.OPERATIONS,
    *incoming.OPERATIONS,
)
