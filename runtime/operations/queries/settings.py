"""What can be asked about settings."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta

from runtime.config.effective import Source
from runtime.config.settings import Scope
from runtime.operations.fields import NodeField, SliceField
from runtime.operations.operation import Request, Result
from runtime.operations.plan import Json
from runtime.operations.queries.page import Page, PageRequest, Row, read

SettingField = Annotated[str, Meta(min_length=1, max_length=63, description="Name of a setting.")]
OfNodeField = Annotated[NodeField, Meta(description="Whose values; that of the answering node if not given.")]

OfSliceField = Annotated[SliceField, Meta(description="As they hold for this slice.")]


class ConfigListRequest(PageRequest, frozen=True, kw_only=True):
    node: OfNodeField = ""
    slice: OfSliceField = ""


class ConfigRow(Row, frozen=True, kw_only=True):
    """`value` is what is in force at that node, `source` says what made it so: a slice's own value goes before a
    node's, that before the cluster's, that before the node's file, that before the default."""

    name: str
    value: Json
    source: Source
    default: Json
    type: str
    unit: str
    bounds: str
    scope: Annotated[
        Scope,
        Meta(
            description="node: of all nodes or single ones; slice: of single slices too; file: in a node's file alone."
        ),
    ]
    applies: Literal["live", "restart"]
    summary: str


class ConfigPage(Page, frozen=True, kw_only=True):
    items: tuple[ConfigRow, ...]


class ConfigRequest(Request, frozen=True, kw_only=True):
    name: SettingField
    node: OfNodeField = ""
    slice: OfSliceField = ""


class ConfigShown(Result, frozen=True, kw_only=True):
    setting: ConfigRow


QUERIES: Final = (
    read(
        "config.list",
        "Settings with their values.",
        ConfigListRequest,
        ConfigPage,
        "/v1/config",
        errors=("node_not_found", "slice_not_found"),
    ),
    read(
        "config.get",
        "One setting with its value.",
        ConfigRequest,
        ConfigShown,
        "/v1/config/{name}",
        errors=("setting_unknown", "node_not_found", "slice_not_found"),
    ),
)
