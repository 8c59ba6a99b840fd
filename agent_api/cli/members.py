"""A request's members as words of the command line, and back."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import EnumMeta
from pathlib import Path
from typing import Final

import msgspec

from agent_api.cli.kinds import in_words
from agent_api.client.errors import RequestInvalid
from agent_api.client.requests import checked, path_members
from runtime.config.settings import from_text
from runtime.operations.operation import AnyOperation

FROM_FILE: Final = frozenset({"source", "toml"})  # whole documents: the word names a file, - is the standard input
RENAMED: Final = {
    ("gate.explain", "request"): "param",
    ("playbook.run", "params"): "param",
    ("playbook.plan", "params"): "param",
}
WHOLE: Final = {
    ("gate.explain", "request"): "params",
    ("playbook.run", "params"): "params",
    ("playbook.plan", "params"): "params",
}
"""Members of pairs that can also be given at once, as one JSON object."""
PAGING: Final = ("cursor", "limit")
MADE: Final = frozenset({"created_unix_ms", "made", "signed_by"})  # filled in by the cluster, whatever is given
PREFIX: Final = "member_"
_JSON: Final = "_json"
AT_MEMBER: Final = re.compile(r"at `\$\.(\w+)(\[\.\.\.\])?`$")  # how msgspec ends its sentences


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One member: `word` is its option; a `positional` one is told by its place."""

    name: str
    word: str
    kind: msgspec.inspect.Type
    positional: bool
    required: bool
    help: str

    @property
    def destination(self) -> str:
        return f"{PREFIX}{self.name}"

    @property
    def takes_pairs(self) -> bool:
        return isinstance(self.kind, msgspec.inspect.DictType)

    @property
    def takes_many(self) -> bool:
        return self.takes_pairs or isinstance(
            self.kind, msgspec.inspect.ListType | msgspec.inspect.VarTupleType | msgspec.inspect.SetType
        )

    @property
    def is_flag(self) -> bool:
        return isinstance(self.kind, msgspec.inspect.BoolType)

    @property
    def choices(self) -> list[str] | None:
        """The only values that it takes, if there are few."""
        if isinstance(self.kind, msgspec.inspect.LiteralType):
            return [str(each) for each in self.kind.values if each != ""]
        if isinstance(self.kind, msgspec.inspect.EnumType):
            kind: EnumMeta = self.kind.cls
            return [str(each.value) for each in kind]  # type: ignore[var-annotated]
        return None


def members_of(operation: AnyOperation) -> list[Member]:
    """Those of the path, then the required ones, then the rest."""
    info = msgspec.inspect.type_info(operation.request)
    assert isinstance(info, msgspec.inspect.StructType)
    in_path = path_members(operation)
    found = [_member(operation, field, in_path) for field in info.fields if field.encode_name not in MADE]
    return sorted(found, key=lambda each: _place(each, in_path))


def add_members(parser: argparse.ArgumentParser, operation: AnyOperation) -> None:
    for member in members_of(operation):
        if member.positional:
            nargs: dict[str, object] = {"nargs": "+"} if member.takes_many else {}
            metavar = "FILE" if member.name in FROM_FILE else _metavar(member)
            parser.add_argument(
                member.destination,
                metavar=metavar,
                help=member.help,
                choices=member.choices,
                **nargs,  # type: ignore[arg-type]
            )
        elif member.is_flag:
            parser.add_argument(f"--{member.word}", dest=member.destination, action="store_true", help=member.help)
        elif member.takes_many:
            parser.add_argument(
                f"--{member.word}", dest=member.destination, action="append", metavar=_metavar(member), help=member.help
            )
            if (whole := WHOLE.get((operation.name, member.name))) is not None:
                told = f"all of it as one JSON object; --{member.word} goes before it"
                parser.add_argument(f"--{whole}", dest=f"{member.destination}{_JSON}", metavar="JSON", help=told)
        else:
            parser.add_argument(
                f"--{member.word}",
                dest=member.destination,
                metavar=None if member.choices else _metavar(member),
                choices=member.choices,
                help=member.help,
            )


def read_members(operation: AnyOperation, arguments: argparse.Namespace) -> dict[str, object]:
    """What was given, as text where it is text. Raises RequestInvalid."""
    found: dict[str, object] = {}
    for member in members_of(operation):
        value = getattr(arguments, member.destination, None)
        whole = getattr(arguments, f"{member.destination}{_JSON}", None)
        if member.takes_pairs and (value or whole is not None):
            found[member.name] = _whole(whole) | dict(_pair(member, text) for text in value or ())
        elif value is None or value is False:
            continue
        elif member.name in FROM_FILE:
            found[member.name] = read_text(Path(value))
        else:
            found[member.name] = value
    return _typed(operation, found)


def _whole(text: str | None) -> dict[str, object]:
    """Raises RequestInvalid."""
    try:
        return msgspec.json.decode(text, type=dict[str, object]) if text is not None else {}
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        raise RequestInvalid(f"{text!r} is no JSON object: {error}") from error


def as_request(operation: AnyOperation, members: dict[str, object]) -> dict[str, object]:
    """As the operation takes them, numbers as numbers. Raises RequestInvalid in the words of the command line."""
    try:
        return checked(operation, members, strict=False)
    except RequestInvalid as fault:
        at = AT_MEMBER.search(str(fault))
        wrong = next((each for each in members_of(operation) if at and each.name == at[1]), None)
        if wrong is None:
            raise
        raise RequestInvalid(_complaint(wrong, members.get(wrong.name))) from fault


def _complaint(member: Member, given: object) -> str:
    shown = _metavar(member) if member.positional else f"--{member.word}"
    kind = member.kind.value_type if isinstance(member.kind, msgspec.inspect.DictType) else member.kind
    if isinstance(kind, msgspec.inspect.StrType) and kind.pattern is not None and given:
        form = kind.pattern.removeprefix("^").removesuffix(r"(?!\n)").removesuffix("$")
        return f"{shown} is of the form {form}, and {given!r} is not"
    return f"{shown} takes: {in_words(kind)}; given was {given!r}"


def _typed(operation: AnyOperation, found: dict[str, object]) -> dict[str, object]:
    """A setting's value is of the type that the setting has; what else is a number is found by its own member."""
    if operation.name == "config.set":
        found["value"] = from_text(str(found["name"]), str(found["value"]))
    return found


def texts_of(member: Member, value: object) -> list[str]:
    """The words that `read_members` reads as that value; none for what need not be said."""
    if value is None or value is False or value == "":  # a 0 has to be said
        return []
    if member.name in FROM_FILE:
        return ["FILE"]
    if member.takes_pairs and isinstance(value, Mapping):
        return [f"{name}={_text(each)}" for name, each in value.items()]
    if member.takes_many and isinstance(value, Sequence):
        return [_text(each) for each in value]
    return [_text(value)]


def _text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def read_text(path: Path) -> str:
    """Of a file, or of the standard input for "-". Raises RequestInvalid."""
    try:
        raw = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
        return raw.decode()
    except UnicodeDecodeError as error:
        raise RequestInvalid(f"{path} is no text in UTF-8") from error
    except OSError as error:
        raise RequestInvalid(f"{path} cannot be read: {error.strerror}") from error


def _member(operation: AnyOperation, field: msgspec.inspect.Field, in_path: Sequence[str]) -> Member:
    kind, help_text = _bare(field.type)
    required = field.required or field.encode_name in in_path
    name = field.encode_name
    return Member(
        name=name,
        word=RENAMED.get((operation.name, name), name).replace("_", "-"),
        kind=kind,
        positional=required and not isinstance(kind, msgspec.inspect.BoolType),
        required=required,
        help=" ".join(filter(None, (help_text, *_limits(kind)))).replace("%", "%%"),
    )


def _bare(kind: msgspec.inspect.Type) -> tuple[msgspec.inspect.Type, str]:
    """Without what only describes it, and without None; and the description."""
    text = ""
    while True:
        if isinstance(kind, msgspec.inspect.Metadata):
            schema = kind.extra_json_schema or {}
            text = text or str(schema.get("description", ""))
            kind = kind.type
        elif isinstance(kind, msgspec.inspect.UnionType):
            others = [each for each in kind.types if not isinstance(each, msgspec.inspect.NoneType)]
            kind = others[0]
        else:
            return kind, text


def _limits(kind: msgspec.inspect.Type) -> Iterator[str]:
    if isinstance(kind, msgspec.inspect.IntType | msgspec.inspect.FloatType) and kind.ge is not None:
        yield f"({kind.ge} to {kind.le})" if kind.le is not None else f"({kind.ge} or more)"


def _place(member: Member, in_path: Sequence[str]) -> tuple[int, int]:
    if member.name in in_path:
        return 0, in_path.index(member.name)
    return (1 if member.positional else 2), (1 if member.takes_many else 0)


def _metavar(member: Member) -> str:
    if member.takes_pairs:
        return "KEY=VALUE"
    return member.word.upper().replace("-", "_")


def _pair(member: Member, text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise RequestInvalid(f"{text!r} is not KEY=VALUE")
    return name, value


def description_of(kind: msgspec.inspect.Type) -> str:
    """What a member's declaration says about it."""
    return _bare(kind)[1]
