"""What can be asked about the store."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta

from runtime.operations.queries.page import Page, PageRequest, Row, read
from runtime.operations.queries.slices import UnixMs


class SnapshotListRequest(PageRequest, frozen=True, kw_only=True):
    """Newest first."""


class SnapshotRow(Row, frozen=True, kw_only=True):
    """`sha256` names the file in the content directories of `nodes`."""

    number: int
    state: Literal["wanted", "kept", "failed"]
    sha256: str
    size_bytes: int
    revision: Annotated[int, Meta(description="The snapshot includes it, and perhaps later ones.")]
    at_unix_ms: UnixMs
    reason: Annotated[str, Meta(description="Why it failed.")]
    nodes: tuple[str, ...]


class SnapshotPage(Page, frozen=True, kw_only=True):
    items: tuple[SnapshotRow, ...]


QUERIES: Final = (
    read(
        "snapshot.list",
        "Snapshots of the store that are kept as content.",
        SnapshotListRequest,
        SnapshotPage,
        "/v1/store/snapshots",
    ),
)
