"""What an identity provider is asked over HTTP. Blocks; runs in a thread. Loaded with the first question."""

from __future__ import annotations

import http.client
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from email.message import Message
from typing import IO, Final, NamedTuple

ANSWER_BYTES_MAX: Final = 256 * 1024
STEP_S: Final = 5.0  # of connecting, and of each wait for more of an answer
LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")


class Answer(NamedTuple):
    status: int
    body: bytes


class _Stay(urllib.request.HTTPRedirectHandler):
    """Redirects are answers like others: they could lead out of TLS, and take a secret along."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> None:
        return None


def asked(
    url: str, *, authority: str, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
) -> Answer:
    """Any answer, whatever its status. A form is posted. Raises OSError, whose text holds nothing that was sent.

    authority: a file with the CA of the provider's certificate; empty for those that the machine trusts.
    """
    if not is_safe(url):
        raise OSError("an identity provider is asked over HTTPS, or on this machine")
    body = urllib.parse.urlencode(form).encode() if form is not None else None
    request = urllib.request.Request(url, body, {"Accept": "application/json", **(headers or {})})  # noqa: S310
    try:
        with _opener(url, authority).open(request, timeout=STEP_S) as answer:
            return Answer(answer.status, answer.read(ANSWER_BYTES_MAX))
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.read(ANSWER_BYTES_MAX))
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise OSError(_reason(error)) from None


def is_safe(url: str) -> bool:
    """HTTPS, or plain HTTP that does not leave this machine; and nothing that would end a line of a request's head."""
    if not url.isascii() or not url.isprintable() or " " in url:
        return False
    try:
        parts = urllib.parse.urlsplit(url)
        return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
    except ValueError:
        return False


def _opener(url: str, authority: str) -> urllib.request.OpenerDirector:
    handlers: list[urllib.request.BaseHandler] = [_Stay()]
    if urllib.parse.urlsplit(url).scheme == "https":
        handlers.append(urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=authority or None)))
    else:
        handlers.append(urllib.request.ProxyHandler({}))  # what is on this machine stays on it
    return urllib.request.build_opener(*handlers)


def _reason(error: Exception) -> str:
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {cause.verify_message}"
    if isinstance(cause, TimeoutError):
        return "no answer in time"
    if isinstance(cause, OSError):
        return cause.strerror or type(cause).__name__
    return type(cause).__name__
