"""What the two slices speak of: links, clicks and what can be wrong with them."""

from __future__ import annotations

import hashlib
import re
from typing import Final
from urllib.parse import urlsplit

import msgspec

from runtime.sdk import DomainError

CODE_LENGTH: Final = 7  # 62^7 is 3.5e12: two of a million links share a code with a chance of 0.15
URL_LENGTH_MAX: Final = 2_048
ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ALIAS: Final = re.compile(r"[A-Za-z0-9_-]{3,32}")


class LinkWish(msgspec.Struct, frozen=True, kw_only=True):
    """A URL to shorten, under a code of one's own choice if `alias` is set."""

    url: str
    alias: str = ""


class Link(msgspec.Struct, frozen=True, kw_only=True):
    code: str
    url: str


class Clicks(msgspec.Struct, frozen=True, kw_only=True):
    """How often a link was followed, in all and by the site that led there."""

    code: str
    total: int
    by_referrer: dict[str, int] = {}


class UrlInvalid(DomainError):
    status = 422
    url: str
    reason: str


class AliasInvalid(DomainError):
    status = 422
    alias: str


class CodeTaken(DomainError):
    status = 409
    wanted: str


class LinkUnknown(DomainError):
    status = 404
    asked: str


def check(wish: LinkWish) -> None:
    """Raises UrlInvalid or AliasInvalid."""
    if len(wish.url) > URL_LENGTH_MAX:
        raise UrlInvalid(url=wish.url[:80], reason=f"longer than {URL_LENGTH_MAX} characters")
    try:
        parts = urlsplit(wish.url)
    except ValueError as error:
        raise UrlInvalid(url=wish.url, reason=str(error)) from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UrlInvalid(url=wish.url, reason="not an http or https address")
    if any(ord(character) <= 32 or ord(character) == 127 for character in wish.url):
        raise UrlInvalid(url=wish.url, reason="it has blanks or control characters")
    if wish.alias and _ALIAS.fullmatch(wish.alias) is None:
        raise AliasInvalid(alias=wish.alias)


def code_for(url: str, attempt: int) -> str:
    """The same URL always gets the same code, so shortening twice does no harm. `attempt` avoids a taken one."""
    number = int.from_bytes(hashlib.sha256(f"{attempt}:{url}".encode()).digest()[:8])
    characters = []
    for _ in range(CODE_LENGTH):
        number, index = divmod(number, len(ALPHABET))
        characters.append(ALPHABET[index])
    return "".join(characters)


def referrer_site(referrer: str) -> str:
    """The host alone, never the whole address: "direct" without one."""
    try:
        return urlsplit(referrer).hostname or "direct"
    except ValueError:
        return "direct"
