"""Reads a wheel of slices without importing or unpacking it, and refuses one that is damaged or hostile."""

from __future__ import annotations

import base64
import configparser
import csv
import hashlib
import io
import re
import stat
import struct
import zipfile
import zlib
from email.parser import HeaderParser
from pathlib import Path, PurePosixPath
from typing import Final

import msgspec

from infra.artifacts.errors import WheelInvalid
from infra.artifacts.manifest import FILE_NAME, Manifest, reserved
from runtime.sdk.bundle import ENTRY_POINT_GROUP
from runtime.sdk.contract import SliceContract

FILES_MAX: Final = 20_000
UNPACKED_BYTES_MAX: Final = 1024 * 1024 * 1024  # four times the largest upload; more is a bomb, not code
METADATA_BYTES_MAX: Final = 4 * 1024 * 1024
NAME_BYTES_MAX: Final = 255
PIECE_BYTES: Final = 256 * 1024
UNREADABLE: Final = (  # what zipfile and csv raise for damaged input, as fuzzing found
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    csv.Error,
    struct.error,
    NotImplementedError,
    EOFError,
    OSError,
    ValueError,
)
_REBUILD: Final = "Build it again: aether build PATH."
_UNSIGNED: Final = ("RECORD", "RECORD.jws", "RECORD.p7s")


class WheelContents(msgspec.Struct, frozen=True, kw_only=True):
    """`top_level` are the import names that the wheel owns; `entries` the "module:Class" of its slices."""

    name: str
    version: str
    dist_info: str
    requires: tuple[str, ...] = ()
    entries: tuple[str, ...] = ()
    top_level: tuple[str, ...] = ()
    manifest: Manifest | None = None

    @property
    def coordinate(self) -> str:
        return f"{self.name}=={self.version}"


def read_wheel(path: Path, *, name: str = "") -> tuple[WheelContents, Manifest]:
    """The contents of a wheel that `aether build` made. Raises WheelInvalid, naming what is wrong.

    name: what to call it, else by its file's name.
    """
    name = name or path.name
    contents = inspect_wheel(path, name=name)
    manifest = contents.manifest
    if manifest is None:
        raise WheelInvalid(f"{name} was not made by `aether build`: it has no {FILE_NAME}", _REBUILD)
    if not manifest.slices:
        raise WheelInvalid(f"{name} has no slices", _REBUILD)
    if len(manifest.slices) != len(contents.entries):  # an entry may name a class where it is re-exported
        raise WheelInvalid("its contracts are not those of its entry points", _REBUILD)
    return contents, manifest


def inspect_wheel(path: Path, *, name: str = "") -> WheelContents:
    """Checks every file against RECORD and returns what the metadata say. Raises WheelInvalid."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = checked_members(archive)
            dist_info = _dist_info(members)
            _check_record(archive, members, dist_info)
            return _contents(archive, members, dist_info)
    except UNREADABLE as error:
        raise WheelInvalid(f"{name or path.name} is no readable wheel: {error}", _REBUILD) from error


def checked_members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The files by name. Refuses bombs, links, and names that lead out of a directory."""
    infos = archive.infolist()
    if len(infos) > FILES_MAX:
        raise WheelInvalid(f"it holds more than {FILES_MAX} files", "Leave data files out of the wheel.")
    if sum(info.file_size for info in infos) > UNPACKED_BYTES_MAX:
        raise WheelInvalid(
            f"unpacked it has more than {UNPACKED_BYTES_MAX // 1024**2} MiB", "Leave data files out of the wheel."
        )
    members: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        _check_member(info)
        if info.is_dir():
            continue
        if info.filename in members:
            raise WheelInvalid(f"it holds {info.filename!r} twice", _REBUILD)
        members[info.filename] = info
    folded = {name.casefold() for name in members}
    if len(folded) < len(members):
        raise WheelInvalid("two of its files differ in case only", "Rename one of them.")
    return members


def _check_member(info: zipfile.ZipInfo) -> None:
    name = info.filename
    parts = PurePosixPath(name).parts
    if (
        not name
        or len(name.encode()) > NAME_BYTES_MAX
        or name.startswith("/")
        or "\\" in name
        or ":" in name
        or any(ord(character) < 32 for character in name)
        or ".." in parts
    ):
        raise WheelInvalid(f"it holds a file with the forbidden name {name[:80]!r}", _REBUILD)
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise WheelInvalid(f"{name!r} is no plain file", _REBUILD)
    if info.flag_bits & 0x1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise WheelInvalid(f"{name!r} is encrypted or compressed in a way wheels are not", _REBUILD)


def _dist_info(members: dict[str, zipfile.ZipInfo]) -> str:
    found = {name.split("/")[0] for name in members if re.match(r"[^/]+\.dist-info/", name)}
    if len(found) != 1:
        raise WheelInvalid(f"it has {len(found)} dist-info directories instead of one", _REBUILD)
    if any(re.match(r"[^/]+\.data/", name) for name in members):
        raise WheelInvalid("it has a .data directory, which slices cannot use", "Put all files into your package.")
    return found.pop()


def _check_record(archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], dist_info: str) -> None:
    """Every file is listed once with its SHA-256, and nothing is listed that is not there."""
    rows = {row[0]: row for row in csv.reader(io.StringIO(_text(archive, members, f"{dist_info}/RECORD"))) if row}
    unsigned = {f"{dist_info}/{name}" for name in _UNSIGNED}
    if set(rows) - unsigned != set(members) - unsigned:
        odd = sorted((set(rows) ^ set(members)) - unsigned)
        raise WheelInvalid(f"its RECORD does not match its files: {', '.join(odd[:3])}", _REBUILD)
    for name, info in members.items():
        if name in unsigned:
            continue
        algorithm, _, told = (rows[name][1] if len(rows[name]) > 1 else "").partition("=")
        if algorithm != "sha256":
            raise WheelInvalid(f"its RECORD has no SHA-256 for {name}", _REBUILD)
        if told != _digest(archive, info):
            raise WheelInvalid(f"{name} was altered after the wheel was made", _REBUILD)


def _digest(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> str:
    digest = hashlib.sha256()
    with archive.open(info) as file:
        while piece := file.read(PIECE_BYTES):
            digest.update(piece)
    return record_hash(digest.digest())


def record_hash(digest: bytes) -> str:
    """As RECORD writes a hash."""
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _contents(archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], dist_info: str) -> WheelContents:
    headers = HeaderParser().parsestr(_text(archive, members, f"{dist_info}/METADATA"))
    name, version = str(headers["Name"] or ""), str(headers["Version"] or "")
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,126}[A-Za-z0-9])?", name) or not re.fullmatch(
        r"[0-9A-Za-z.!+]{1,64}", version
    ):
        raise WheelInvalid(f"its METADATA name {name[:80]!r} and version {version[:80]!r} are not valid", _REBUILD)
    top_level = sorted({re.split(r"[/.]", member, maxsplit=1)[0] for member in members if _is_code(member, dist_info)})
    for owned in top_level:
        if why := reserved(owned):
            raise WheelInvalid(f"it owns the top-level name {owned!r}, and {why}", "Rename that package or module.")
    manifest_name = f"{dist_info}/{FILE_NAME}"
    return WheelContents(
        name=re.sub(r"[-_.]+", "-", name).lower(),
        version=version,
        dist_info=dist_info,
        requires=tuple(str(line) for line in headers.get_all("Requires-Dist", [])),
        entries=_entries(archive, members, dist_info),
        top_level=tuple(top_level),
        manifest=_manifest(archive, members, manifest_name) if manifest_name in members else None,
    )


def _is_code(member: str, dist_info: str) -> bool:
    return not member.startswith(f"{dist_info}/") and ("/" in member or member.endswith((".py", ".so", ".pyc")))


def _entries(archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], dist_info: str) -> tuple[str, ...]:
    name = f"{dist_info}/entry_points.txt"
    if name not in members:
        return ()
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None, strict=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # names are case-sensitive
    try:
        parser.read_string(_text(archive, members, name))
    except configparser.Error as error:
        raise WheelInvalid(f"its entry points cannot be read: {error}", _REBUILD) from error
    if not parser.has_section(ENTRY_POINT_GROUP):
        return ()
    return tuple(value.strip() for _, value in parser.items(ENTRY_POINT_GROUP))


def _manifest(archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], name: str) -> Manifest:
    try:
        manifest = msgspec.json.decode(_text(archive, members, name), type=Manifest)
    except msgspec.DecodeError as error:
        raise WheelInvalid(f"its {FILE_NAME} cannot be read: {error}", _REBUILD) from error
    check_contracts(manifest.slices)
    for wheel in manifest.bundled:
        if "/" in wheel or not wheel.endswith(".whl"):
            raise WheelInvalid(f"it names the bundled file {wheel[:80]!r}", _REBUILD)
    for pin in manifest.pins:
        if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!+_-]+( --hash=sha256:[0-9a-f]{64})+", pin):
            raise WheelInvalid(f"it has the malformed pin {pin[:120]!r}", _REBUILD)
    return manifest


def check_contracts(contracts: tuple[SliceContract, ...]) -> None:
    """Refuses what no build would write: the gateway builds its routes from these."""
    from runtime.names import is_name, is_version

    names = [contract.name for contract in contracts]
    if len(set(names)) < len(names) or not all(is_name(name) for name in names):
        raise WheelInvalid(f"its slice names {names} are not distinct, valid names", _REBUILD)
    for contract in contracts:
        if not is_version(contract.version):
            raise WheelInvalid(f"slice {contract.name} has the invalid version {contract.version!r}", _REBUILD)
        for route in (route for method in contract.methods for route in method.routes):
            if not route.path.startswith("/"):
                raise WheelInvalid(f"slice {contract.name} has the invalid path {route.path!r}", _REBUILD)


def _text(archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], name: str) -> str:
    info = members.get(name)
    if info is None:
        raise WheelInvalid(f"it has no {name}", _REBUILD)
    if info.file_size > METADATA_BYTES_MAX:
        raise WheelInvalid(f"its {name} is too long", _REBUILD)
    return archive.read(info).decode()
