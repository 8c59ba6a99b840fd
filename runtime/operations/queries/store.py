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


class MemberListRequest(PageRequest, frozen=True, kw_only=True):
    pass


class MemberRow(Row, frozen=True, kw_only=True):
    node: str
    role: Annotated[
        Literal["voter", "learner", "none"], Meta(description="A learner receives the log and has no vote.")
    ]
    address: Annotated[str, Meta(description="Where its store listens.")]
    up: Annotated[bool, Meta(description="Its node has a lease.")]
    want: Annotated[str, Meta(description="What it shall become; empty: what it is.")] = ""
    trouble: Annotated[str, Meta(description="Why it has not become so yet.")] = ""


class MemberPage(Page, frozen=True, kw_only=True):
    items: tuple[MemberRow, ...]


QUERIES: Final = (
    read(
        "store.member-list",
        "Who has a vote in the store's group, and who shall get or lose one.",
        MemberListRequest,
        MemberPage,
        "/v1/store/members",
    ),
    read(
        "snapshot.list",
        "Snapshots of the store that are kept as content.",
        SnapshotListRequest,
        SnapshotPage,
        "/v1/store/snapshots",
    ),
)
