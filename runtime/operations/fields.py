"""Members that many requests have, with their limits and meaning."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta

END: Final = r"$(?!\n)"
"""Ends a pattern: Python's `$` alone also fits in front of a line break at the end."""
NAME_PATTERN: Final = rf"^[a-z]([a-z0-9-]*[a-z0-9])?{END}"
BOUND_MAX: Final = 1_000_000_000  # of a metric: eleven days in ms; JSON could not keep an infinite one

SliceField = Annotated[str, Meta(pattern=NAME_PATTERN, max_length=63, description="Name of a slice.")]
NodeField = Annotated[str, Meta(pattern=NAME_PATTERN, max_length=63, description="Id of a node.")]
BlueprintField = Annotated[str, Meta(pattern=NAME_PATTERN, max_length=63, description="Id of a blueprint.")]
VersionField = Annotated[
    str, Meta(max_length=48, description="Version of the slice; needed only while several are deployed.")
]
InstancesField = Annotated[int, Meta(ge=0, le=1_000, description="How many instances.")]
ArtifactField = Annotated[
    str, Meta(pattern=rf"^[A-Za-z0-9][A-Za-z0-9._-]*{END}", max_length=100, description="Name of an artifact.")
]
CursorField = Annotated[str, Meta(max_length=400, description="`next` of the page before; empty for the first.")]
LimitField = Annotated[int, Meta(ge=1, le=1_000, description="Most items of one page.")]
MetricField = Annotated[
    Literal[
        "errors_share",
        "p50_ms",
        "p95_ms",
        "p99_ms",
        "p95_vs_slo",
        "rejected",
        "failed",
        "missing",
        "scaling_held",
        "forecast_p95_vs_capacity",
        "slo_burn_5m",
        "slo_burn_30m",
        "slo_burn_1h",
        "slo_burn_2h",
        "slo_burn_6h",
        "slo_burn_3d",
    ],
    Meta(
        description="errors_share is 0 to 1 of all calls, rejected is calls a second; p95_vs_slo is 1 where p95_ms is"
        " slo_p95_ms; failed and missing are instances; scaling_held is 1 while the slice's figures cannot be used;"
        " forecast_p95_vs_capacity is 1 where the forecast needs all that the instances carry,"
        " slo_burn is 1 where errors are as many as the objective allows."
    ),
]
