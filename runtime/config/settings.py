"""Every setting of a node, declared once: name, type, unit, default, bounds, meaning, and when a change takes effect.

A node reads DATA/config.toml at each start of a process. docs/reference/settings.md is made from these declarations.
"""

from __future__ import annotations

import functools
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal, NamedTuple

import msgspec
from msgspec import Meta

from runtime.config.identity_settings import IdentitySettings
from runtime.errors import RuntimeFault
from runtime.spelling import near_names

FILE_NAME: Final = "config.toml"
KEPT_NAME: Final = "config.cluster.json"  # written by control
FILE_BYTES_MAX: Final = 256 * 1024

RESTART: Final = {"applies": "restart"}
LIVE: Final = {"applies": "live"}
SLICE: Final = {"applies": "live", "scope": "slice"}  # also of single slices
FILE: Final = {"applies": "restart", "scope": "file"}  # where the store is, and where code may come from

Scope = Literal["node", "slice", "file"]
Applies = Literal["live", "restart"]
Json = object


class ConfigInvalid(RuntimeFault):
    """config.toml says something that no setting allows; the sentence names file and key."""

    code = "config_invalid"
    remedy = "Correct the file; docs/reference/settings.md lists every setting with its bounds."


class SettingUnknown(RuntimeFault):
    """No setting has that name; the sentence names the nearest."""

    code = "setting_unknown"
    remedy = "List them: aether config list."


class SettingInvalid(RuntimeFault):
    """A value that the setting does not allow."""

    code = "setting_invalid"
    remedy = "docs/reference/settings.md lists every setting with its type and bounds."


class NodeSettings(IdentitySettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one node's config.toml may say. Every member has a default, so the file may be absent."""

    http_body_max_mib: Annotated[
        int,
        Meta(ge=1, le=15, description="Largest body of one HTTP request.", extra={"unit": "MiB", **RESTART}),
    ] = 4
    http_connections_max: Annotated[
        int,
        Meta(ge=16, le=100_000, description="HTTP connections that a gateway holds at once.", extra=RESTART),
    ] = 8_192
    http_requests_in_flight_max: Annotated[
        int,
        Meta(ge=16, le=100_000, description="Requests in progress; one more gets a 503.", extra=RESTART),
    ] = 4_096
    http_keep_alive_s: Annotated[
        float,
        Meta(
            ge=1, le=3_600, description="How long an idle HTTP connection stays open.", extra={"unit": "s", **RESTART}
        ),
    ] = 75.0
    drain_s: Annotated[
        float,
        Meta(
            ge=0,
            le=300,
            description="What calls in progress get before a stopping gateway ends them.",
            extra={"unit": "s", **RESTART},
        ),
    ] = 10.0
    artifact_size_max_mib: Annotated[
        int,
        Meta(ge=1, le=4_096, description="Largest artifact that may be uploaded.", extra={"unit": "MiB", **RESTART}),
    ] = 256
    artifact_find_links: Annotated[
        tuple[str, ...],
        Meta(
            max_length=16,
            description="Directories with wheels that environments may also be made from, beside pip's own index.",
            extra=FILE,
        ),
    ] = ()
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Meta(description="What is logged; a level includes those behind it.", extra=LIVE),
    ] = "info"
    log_ring_mib: Annotated[
        int,
        Meta(
            ge=8,
            le=65_536,
            description="Disk for the node's logs; the oldest go first.",
            extra={"unit": "MiB", **LIVE},
        ),
    ] = 256
    log_ring_days: Annotated[
        int,
        Meta(ge=1, le=365, description="Age at which logs go.", extra={"unit": "days", **LIVE}),
    ] = 3
    trace_ring_mib: Annotated[
        int,
        Meta(ge=8, le=65_536, description="Disk for traces; the oldest go first.", extra={"unit": "MiB", **LIVE}),
    ] = 256
    request_ms_max: Annotated[
        int,
        Meta(
            ge=1,
            le=300_000,
            description="What a request over HTTP gets at most, whatever its method's contract says.",
            extra={"unit": "ms", **SLICE},
        ),
    ] = 300_000
    slow_request_ms: Annotated[
        int,
        Meta(
            ge=1,
            le=300_000,
            description="A request over HTTP that takes longer is logged and traced.",
            extra={"unit": "ms", **SLICE},
        ),
    ] = 500
    history_days: Annotated[
        int,
        Meta(
            ge=14,
            le=365,
            description="For how long a core node keeps what each slice did in each minute.",
            extra={"unit": "days", **RESTART},
        ),
    ] = 14
    history_mib: Annotated[
        int,
        Meta(
            ge=16,
            le=65_536,
            description="Disk for that; the oldest go first. A slice takes about 1 MiB in 30 days.",
            extra={"unit": "MiB", **RESTART},
        ),
    ] = 256
    conversations_max: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000,
            description="Conversations that are kept; of more, the oldest of whoever has most go first.",
            extra=LIVE,
        ),
    ] = 200
    conversation_days: Annotated[
        int,
        Meta(
            ge=1,
            le=365,
            description="How long a conversation is kept after its last word.",
            extra={"unit": "days", **LIVE},
        ),
    ] = 30
    alert_hosts_allowed: Annotated[
        tuple[str, ...],
        Meta(
            max_length=64,
            description="Hosts, and networks as 10.0.0.0/8, that alerts may be told to; any but link-local if empty.",
            extra=FILE,
        ),
    ] = ()
    api_requests_per_s_max: Annotated[
        int,
        Meta(
            ge=1,
            le=100_000,
            description="Requests to the API of each principal; twice as many in a burst.",
            extra={"unit": "1/s", **RESTART},
        ),
    ] = 1_000
    forge_door: Annotated[
        str,
        Meta(
            pattern=r"^(unix:/[^\0]{1,100})?$",
            description="Where the Forge listens that the cluster runs in, which sets it; empty is none.",
            extra=LIVE,
        ),
    ] = ""
    store_engine: Annotated[
        Literal["raft", "etcd"],
        Meta(description="What keeps the cluster's state: the built-in engine, or an etcd that exists.", extra=FILE),
    ] = "raft"
    store_etcd_endpoints: Annotated[
        tuple[str, ...], Meta(max_length=16, description="host:port of etcd's members.", extra=FILE)
    ] = ()
    store_etcd_prefix: Annotated[
        str, Meta(description="Everything lies below this and the cluster's id.", extra=FILE)
    ] = "aether"
    store_etcd_authority: Annotated[
        str, Meta(description="File with the CA of etcd's certificates; empty is no TLS.", extra=FILE)
    ] = ""
    store_etcd_certificate: Annotated[
        str, Meta(description="File with this node's client certificate for etcd.", extra=FILE)
    ] = ""
    store_etcd_key: Annotated[str, Meta(description="File with the key of that certificate.", extra=FILE)] = ""


class Setting(NamedTuple):
    """One declaration, as documents and commands show it."""

    name: str
    type: str
    unit: str
    default: Json
    bounds: str
    applies: Applies
    scope: Scope
    summary: str
    secret: bool = False
    """Its value is told to nobody: not in lists, the audit or proposals."""


def read_settings(data: Path) -> NodeSettings:
    """The settings of a node's data directory: its file's, and before these the cluster's as control last kept them.

    Raises ConfigInvalid naming the key.
    """
    found = read_file(data)
    return msgspec.convert({**msgspec.to_builtins(found), **read_kept(data)}, NodeSettings)


def read_file(data: Path) -> NodeSettings:
    """What the node's own file says. Raises ConfigInvalid naming the key."""
    try:
        return msgspec.convert(file_members(data), NodeSettings)
    except msgspec.ValidationError as error:
        raise ConfigInvalid(f"{data / FILE_NAME}: {error}") from error


def file_members(data: Path) -> dict[str, Json]:
    """The file's members as they stand there. Raises ConfigInvalid."""
    path = data / FILE_NAME
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return {}
    if len(raw) > FILE_BYTES_MAX:
        raise ConfigInvalid(f"{path} is longer than {FILE_BYTES_MAX // 1024} KiB")
    try:
        return tomllib.loads(raw.decode())
    except (ValueError, RecursionError) as error:  # no TOML, no UTF-8, a number of 4300 digits, or nested too deeply
        raise ConfigInvalid(f"{path} is no TOML: {error}") from error


def read_kept(data: Path) -> dict[str, Json]:
    """The cluster's values as control kept them for the next start. What is damaged, or what this version does not
    allow, is left out: a wrong value of the cluster keeps no node from starting."""
    try:
        found = msgspec.json.decode((data / KEPT_NAME).read_bytes(), type=dict[str, Json])
    except (OSError, msgspec.DecodeError):
        return {}
    return {name: value for name, value in found.items() if is_allowed(name, value)}


def keep(data: Path, values: Mapping[str, Json]) -> None:
    """For the next start of this node's processes. Whole or not at all."""
    beside = data / f"{KEPT_NAME}.new"
    with beside.open("wb") as sink:
        sink.write(msgspec.json.encode(dict(values), order="sorted"))
        sink.flush()
        os.fsync(sink.fileno())
    beside.rename(data / KEPT_NAME)


def checked(name: str, value: Json) -> Json:
    """The value as the setting takes it. Raises SettingUnknown, or SettingInvalid for what it does not allow."""
    setting = find_setting(name)
    if setting.scope == "file":
        raise SettingInvalid(f"{name} stands in a node's {FILE_NAME} alone")
    try:
        taken = msgspec.convert({name: value}, NodeSettings)
    except msgspec.ValidationError as error:
        raise SettingInvalid(f"{name}: {error}") from error
    return _as_json(getattr(taken, name))


def from_text(name: str, text: str) -> Json:
    """What is meant by a text that stands for a setting's value, as on a command line: a list is written as JSON.

    What the setting does not allow comes back as well, for `checked` to say what is wrong with it.
    """
    try:
        as_json = msgspec.json.decode(text)
    except msgspec.DecodeError:
        as_json = text
    listed = as_json if isinstance(as_json, list) else text
    try:
        taken = msgspec.convert({name: listed}, NodeSettings, strict=False)
    except msgspec.ValidationError:
        return as_json
    return _as_json(getattr(taken, name, text))


def is_allowed(name: str, value: Json) -> bool:
    try:
        checked(name, value)
    except (SettingUnknown, SettingInvalid):
        return False
    return True


def is_secret(name: str) -> bool:
    """Whether a setting of that name is declared so; what is none may be anything, and is no setting's value."""
    return any(each.name == name and each.secret for each in declared())


def is_setting(name: str) -> bool:
    return any(each.name == name for each in declared())


def find_setting(name: str) -> Setting:
    """Raises SettingUnknown."""
    known = {each.name: each for each in declared()}
    if name not in known:
        near = near_names(name, known)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise SettingUnknown(f"there is no setting {name[:80]!r}{hint}")
    return known[name]


@functools.cache
def declared() -> tuple[Setting, ...]:
    """Every setting in the order of its declaration."""
    info = msgspec.inspect.type_info(NodeSettings)
    assert isinstance(info, msgspec.inspect.StructType)
    return tuple(_setting(field) for field in info.fields)


def _as_json(value: object) -> Json:
    """Lists as lists."""
    return msgspec.json.decode(msgspec.json.encode(value))


def _setting(field: msgspec.inspect.Field) -> Setting:
    kind = field.type
    extra: dict[str, object] = {}
    summary = ""
    if isinstance(kind, msgspec.inspect.Metadata):
        extra = dict(kind.extra or {})
        summary = str((kind.extra_json_schema or {}).get("description", ""))
        kind = kind.type
    return Setting(
        name=field.name,
        type=_type_name(kind),
        unit=str(extra.get("unit", "")),
        default=_as_json(field.default),
        bounds=_bounds(kind),
        applies="live" if extra.get("applies") == "live" else "restart",
        scope=_scope(extra.get("scope")),
        summary=summary,
        secret=bool(extra.get("secret")),
    )


def _scope(declared_as: object) -> Scope:
    match declared_as:
        case "file":
            return "file"
        case "slice":
            return "slice"
        case _:
            return "node"


def _type_name(kind: msgspec.inspect.Type) -> str:
    if isinstance(kind, msgspec.inspect.LiteralType):
        return "text"
    names = {"IntType": "whole number", "FloatType": "number", "StrType": "text", "VarTupleType": "list of texts"}
    return names[type(kind).__name__]


def _bounds(kind: msgspec.inspect.Type) -> str:
    if isinstance(kind, msgspec.inspect.LiteralType):
        return ", ".join(f"`{value}`" for value in kind.values)
    if isinstance(kind, msgspec.inspect.IntType | msgspec.inspect.FloatType) and kind.ge is not None:
        return f"{kind.ge} to {kind.le}"
    if isinstance(kind, msgspec.inspect.VarTupleType) and kind.max_length is not None:
        return f"at most {kind.max_length}"
    return ""
