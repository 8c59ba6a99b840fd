"""What operations on playbooks take and give."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from playbooks.document.model import SOURCE_BYTES_MAX
from playbooks.document.reading import read
from playbooks.errors import PlaybookInvalid
from runtime.operations import subjects
from runtime.operations.actor import Actor, ActorKind, Role
from runtime.operations.fields import END, NAME_PATTERN
from runtime.operations.operation import Request, Result
from runtime.operations.plan import Json

NOBODY: Final = Actor(kind=ActorKind.AUTOMATION, id="", role=Role.VIEWER)
"""Where the node that took a request did not say who made it: may start nothing that changes anything."""
PlaybookField = Annotated[str, Meta(pattern=NAME_PATTERN, max_length=63, description="Id of a playbook.")]
PlaybookVersionField = Annotated[str, Meta(max_length=20, description="Of the playbook; empty is the newest.")]
MADE: Final = Meta(description="Filled in by the cluster, whatever is given.")


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """Who asked, and when."""

    by: Actor = NOBODY
    at_unix_ms: int = 0


class RunMade(Made, frozen=True, kw_only=True):
    """The run's id, and what started it. `parent`: the run whose step did."""

    run: str
    trigger: dict[str, Json] = msgspec.field(default_factory=dict)
    parent: str = ""


class UploadRequest(Request, frozen=True, kw_only=True):
    source: Annotated[str, Meta(max_length=SOURCE_BYTES_MAX, description="The playbook as TOML.")]
    made: Annotated[Made, MADE] = Made()


class DeleteRequest(Request, frozen=True, kw_only=True):
    playbook: PlaybookField
    version: Annotated[str, Meta(min_length=1, max_length=20, description="Of the playbook.")]


class RunRequest(Request, frozen=True, kw_only=True):
    playbook: PlaybookField
    version: PlaybookVersionField = ""
    params: Annotated[dict[str, Json], Meta(description="As the playbook declares them.")] = msgspec.field(
        default_factory=dict
    )
    dedupe: Annotated[str, Meta(max_length=200, description="What it is started for: cool-down counts by it.")] = ""
    anyway: Annotated[
        bool,
        Meta(description="Also where steps need a role that the starter has not: the run fails where it comes to one."),
    ] = False
    made: Annotated[RunMade, MADE] = RunMade(run="")


class ProveRequest(Request, frozen=True, kw_only=True):
    playbook: PlaybookField
    version: PlaybookVersionField = ""
    sha256: Annotated[str, Meta(pattern=rf"^[0-9a-f]{{64}}{END}", description="Of the definition that was rehearsed.")]
    passed: bool
    took_ms: Annotated[int, Meta(ge=0)]
    run_ms: Annotated[int, Meta(ge=0, description="Of that, what the run itself took.")] = 0
    failed_before: Annotated[bool, Meta(description="Its verification did not hold once the fault was there.")]
    seen_failing: Annotated[bool, Meta(description="And would not have either, had its steps been done.")] = False
    held_after: Annotated[bool, Meta(description="It held once the playbook had done its work.")]
    detail: Annotated[str, Meta(max_length=500)] = ""
    made: Annotated[Made, MADE] = Made()


class PlaybookKept(Result, frozen=True, kw_only=True):
    playbook: str
    version: str
    sha256: str


class PlaybookDeleted(Result, frozen=True, kw_only=True):
    playbook: str
    version: str
    deleted: bool


class RunStarted(Result, frozen=True, kw_only=True):
    run: Annotated[str, Meta(description="Follow it: aether run show.")]
    playbook: str
    version: str
    sha256: str


class PlaybookProven(Result, frozen=True, kw_only=True):
    playbook: str
    version: str
    sha256: str
    passed: bool


def of_playbook(name: str) -> str:
    return f"playbook:{name}"


def subject(request: DeleteRequest | RunRequest | ProveRequest) -> str:
    return of_playbook(request.playbook)


def subject_of_upload(request: UploadRequest) -> str:
    try:
        return of_playbook(read(request.source.encode()).document.playbook.id)
    except PlaybookInvalid:
        return subjects.CLUSTER
