"""What can be asked about blueprints and artifacts."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from runtime.operations.blueprints import SOURCE_CHARS_MAX
from runtime.operations.fields import BlueprintField
from runtime.operations.operation import SECRET, Request, Result
from runtime.operations.plan import Json
from runtime.operations.queries.page import Page, PageRequest, Row, read
from runtime.operations.queries.slices import UnixMs
from runtime.state.values import BlueprintSlice


class BlueprintListRequest(PageRequest, frozen=True, kw_only=True):
    pass


class BlueprintRow(Row, frozen=True, kw_only=True):
    blueprint: str
    source: Annotated[str, Meta(description="The TOML as it was applied.")]
    slices: tuple[BlueprintSlice, ...]


class BlueprintPage(Page, frozen=True, kw_only=True):
    items: tuple[BlueprintRow, ...] = msgspec.field(name="blueprints")


class BlueprintRequest(Request, frozen=True, kw_only=True):
    blueprint: BlueprintField


class BlueprintShown(Result, frozen=True, kw_only=True):
    blueprint: str
    source: str
    slices: tuple[BlueprintSlice, ...]
    wanted: Annotated[dict[str, int], Meta(description="Instances wanted now, by slice and version.")]


class ValidateRequest(Request, frozen=True, kw_only=True):
    source: Annotated[str, Meta(max_length=SOURCE_CHARS_MAX, description="The blueprint as TOML.", extra=SECRET)]


class BlueprintValidated(Result, frozen=True, kw_only=True):
    """Whether it could be applied to the cluster as it is; `line` and `key` say where it could not."""

    valid: bool
    summary: Annotated[str, Meta(description="What applying it would do.")] = ""
    slices: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    code: str = ""
    detail: str = ""
    remedy: str = ""
    where: dict[str, Json] = msgspec.field(default_factory=dict)


class ArtifactListRequest(PageRequest, frozen=True, kw_only=True):
    pass


class ArtifactRow(Row, frozen=True, kw_only=True):
    name: str
    version: str
    sha256: str
    size_bytes: int
    slices: tuple[str, ...]
    pins: tuple[str, ...]
    uploaded_unix_ms: UnixMs


class ArtifactPage(Page, frozen=True, kw_only=True):
    items: tuple[ArtifactRow, ...] = msgspec.field(name="artifacts")


QUERIES: Final = (
    read("blueprint.list", "Blueprints that are applied.", BlueprintListRequest, BlueprintPage, "/v1/blueprints"),
    read(
        "blueprint.show",
        "One blueprint as it was applied, and what is wanted of it now.",
        BlueprintRequest,
        BlueprintShown,
        "/v1/blueprints/{blueprint}",
        errors=("blueprint_not_found",),
    ),
    read(
        "blueprint.validate",
        "Whether a blueprint could be applied, and what that would do.",
        ValidateRequest,
        BlueprintValidated,
        "/v1/blueprints/validate",
        post=True,
    ),
    read("artifact.list", "Artifacts that are kept.", ArtifactListRequest, ArtifactPage, "/v1/artifacts"),
)
