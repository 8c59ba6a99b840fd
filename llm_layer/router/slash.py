"""Slash commands: `/slice scale orders 5`, exact or refused, with the nearest that there is; and their completion."""

from __future__ import annotations

import re
import shlex
from typing import Final

import msgspec

from llm_layer.errors import SlashInvalid
from runtime.operations.catalogue import Catalogue
from runtime.operations.choices import choice_hint
from runtime.operations.operation import AnyOperation
from runtime.operations.secrecy import takes_secrets
from runtime.spelling import nearest

COMPLETIONS_MAX: Final = 20
_PATH_MEMBER: Final = re.compile(r"\{(\w+)\}")
_UNREACHABLE: Final = frozenset({"artifact.upload", "ttm.upload", "key.create", "event.list"})
"""What is made from a file, tells a key, or is followed rather than asked for: the command line has these."""


def is_slash(text: str) -> bool:
    return text.lstrip().startswith("/")


def read_slash(text: str, catalogue: Catalogue) -> tuple[AnyOperation, dict[str, object]]:
    """The operation with its members. Positional words are the path's members, then those that must be given; others
    are `name=value` or `--name value`. Raises SlashInvalid."""
    words = _split(text)
    operation, rest = _operation(words, catalogue)
    given = _given(operation, rest)
    try:
        request = msgspec.convert(given, operation.request, strict=False)
    except msgspec.ValidationError as error:
        hint = choice_hint(operation.request, given, error)
        raise SlashInvalid(f"/{_words_of(operation)}: {error}{hint}; {usage(operation)}") from error
    told: dict[str, object] = msgspec.to_builtins(request)
    return operation, {name: value for name, value in told.items() if name in given}


def usage(operation: AnyOperation) -> str:
    """As "/slice scale SLICE INSTANCES [version=…]"."""
    places = _positional(operation)
    more = [each for each in _members(operation) if each not in places]
    return " ".join([f"/{_words_of(operation)}", *(each.upper() for each in places), *(f"[{each}=…]" for each in more)])


def completions(prefix: str, catalogue: Catalogue) -> list[str]:
    """Slash commands that begin so."""
    wanted = prefix.lstrip().removeprefix("/")
    known = (_words_of(each) for each in catalogue if each.name not in _UNREACHABLE)
    return [f"/{each}" for each in known if each.startswith(wanted)][:COMPLETIONS_MAX]


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text.strip().removeprefix("/"))
    except ValueError as error:
        raise SlashInvalid("a quotation mark has no other one behind it") from error


def _operation(words: list[str], catalogue: Catalogue) -> tuple[AnyOperation, list[str]]:
    known = {_words_of(each): each for each in catalogue if each.name not in _UNREACHABLE}
    for count in (2, 1):
        found = known.get(" ".join(words[:count]).replace(".", " "))
        if found is not None:
            return found, words[count:]
    near = nearest(" ".join(words[:2]), known)
    raise SlashInvalid(f"there is no command of these words{near}")  # which may be secrets, and refusals are kept


def _given(operation: AnyOperation, words: list[str]) -> dict[str, object]:
    given: dict[str, object] = {}
    places = _positional(operation)
    members = _members(operation)
    rest = list(words)
    while rest:
        name, value = _next(rest, places, members, operation)
        if name in given:
            raise SlashInvalid(f"{name} is given twice; {usage(operation)}")
        given[name] = value
    return given


def _next(rest: list[str], places: list[str], members: list[str], operation: AnyOperation) -> tuple[str, object]:
    word = rest.pop(0)
    name, is_pair, value = word.removeprefix("--").partition("=")
    name = name.replace("-", "_")
    if is_pair and name in members:
        return name, _value(value)
    if word.startswith("--") and name in members and rest:
        return name, _value(rest.pop(0))
    if places and not word.startswith("--"):
        return places.pop(0), _value(word)
    shown = "a word" if takes_secrets(operation, word) else repr(word[:40])
    raise SlashInvalid(f"{shown} is too much; {usage(operation)}")


def _value(text: str) -> object:
    """Objects and lists are written as JSON; all else stays text, which the request's own type reads."""
    if not text.startswith(("{", "[")):
        return text
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise SlashInvalid(f"what begins with {text[0]} is no JSON: {error}") from error


def _words_of(operation: AnyOperation) -> str:
    return operation.name.replace(".", " ", 1)


def _members(operation: AnyOperation) -> list[str]:
    return [each.encode_name for each in msgspec.structs.fields(operation.request)]


def _positional(operation: AnyOperation) -> list[str]:
    in_path = _PATH_MEMBER.findall(operation.route.path)
    fields = msgspec.structs.fields(operation.request)
    return [*in_path, *(each.encode_name for each in fields if each.required and each.encode_name not in in_path)]
