"""An identity provider on loopback: real HTTP, real signatures, people by name. It checks what it is sent."""

from __future__ import annotations

import base64
import functools
import hashlib
import http.server
import json
import secrets
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, parse_qsl, unquote, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

HOST = "127.0.0.1"
CLIENT = "aether-console"
SECRET = "s3cret/with+signs"
PAGE = """<!doctype html><html lang="en"><title>Provider</title><h1>Who are you?</h1>{links}</html>"""


@functools.cache
def key_named(name: str) -> RSAKey:
    """Always the same: making one takes long. `name` may have a part behind a dot, which no token tells."""
    return RSAKey.generate_key(2048, {"kid": name.partition(".")[0]}, private=True)


@dataclass
class IdentityProvider:
    """What a test turns: `claims` go over those of the id token, `answers` replace an answer by its path."""

    port: int = 0
    scheme: str = "http"
    secret: str = SECRET
    people: tuple[str, ...] = ("u-olga", "u-stranger")
    now_s: Callable[[], float] = time.time
    key: RSAKey = field(default_factory=lambda: key_named("k1"))
    signs_with: RSAKey | None = None
    claims: dict[str, Any] = field(default_factory=dict)
    document: dict[str, Any] = field(default_factory=dict)
    answers: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    seen: dict[str, str] = field(default_factory=dict)
    """The words that the browser brought last."""

    @property
    def issuer(self) -> str:
        return f"{self.scheme}://{'localhost' if self.scheme == 'https' else HOST}:{self.port}"

    def described(self) -> dict[str, Any]:
        found = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
        }
        return found | self.document

    def get(self, path: str, words: dict[str, str]) -> tuple[int, bytes | str]:
        """The answer; a text is where the browser is sent."""
        match path:
            case "/.well-known/openid-configuration":
                return 200, json.dumps(self.described()).encode()
            case "/keys":
                return 200, json.dumps(KeySet([self.key]).as_dict(private=False)).encode()
            case "/authorize" if words.get("code_challenge_method") == "S256" and words["response_type"] == "code":
                self.seen = words
                links = "".join(f'<p><a href="/as/{each}">{each}</a></p>' for each in (*self.people, "nobody"))
                return 200, PAGE.format(links=links).encode()
            case _ if path.startswith("/as/"):
                return 303, self.sent_back(path.removeprefix("/as/"))
        return 400, b"what is that?"

    def sent_back(self, person: str) -> str:
        """Where a browser goes once somebody has said who they are; nobody is who pressed cancel."""
        asked, words = self.seen, {"state": self.seen["state"], "iss": self.issuer, "session_state": "x"}
        if person == "nobody":
            return f"{asked['redirect_uri']}?{urlencode(words | {'error': 'access_denied'})}"
        code = secrets.token_urlsafe(16)
        self.codes[code] = asked | {"sub": person}
        return f"{asked['redirect_uri']}?{urlencode(words | {'code': code})}"

    def exchanged(self, form: dict[str, str], authorization: str) -> tuple[int, bytes]:
        """The token's endpoint: each code once, for its client, address and verifier."""
        if not self._is_client(form, authorization):
            return 401, b'{"error": "invalid_client"}'
        asked = self.codes.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        if (
            asked is None
            or form["grant_type"] != "authorization_code"
            or form["redirect_uri"] != asked["redirect_uri"]
            or challenge != asked["code_challenge"]
        ):
            return 400, b'{"error": "invalid_grant"}'
        return 200, json.dumps({"token_type": "Bearer", "access_token": "x", "id_token": self.id_token(asked)}).encode()

    def id_token(self, asked: dict[str, str]) -> str:
        now_s = int(self.now_s())
        claims = {
            "iss": self.issuer,
            "aud": asked["client_id"],
            "sub": asked["sub"],
            "iat": now_s,
            "exp": now_s + 300,
            "nonce": asked["nonce"],
        }
        return jwt.encode({"alg": "RS256", "kid": "k1"}, claims | self.claims, self.signs_with or self.key)

    def _is_client(self, form: dict[str, str], authorization: str) -> bool:
        if not self.secret:
            return form["client_id"] == CLIENT and not authorization and "client_secret" not in form
        if "client_secret" in form:
            return (form["client_id"], form["client_secret"]) == (CLIENT, self.secret)
        name, _, secret = base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
        return (unquote(name), unquote(secret)) == (CLIENT, self.secret)


@contextmanager
def identity_provider(*, context: ssl.SSLContext | None = None, **given: Any) -> Iterator[IdentityProvider]:
    """It runs until the block ends. context: of a server that speaks TLS."""
    provider = IdentityProvider(scheme="https" if context else "http", **given)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            provider.asked.append(parts.path)
            status, said = provider.answers.get(parts.path) or provider.get(parts.path, dict(parse_qsl(parts.query)))
            self._tell(status, said)

        def do_POST(self) -> None:
            provider.asked.append(self.path)
            raw = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = {name: values[0] for name, values in parse_qs(raw).items()}
            told = provider.answers.get(self.path)
            self._tell(*(told or provider.exchanged(form, self.headers.get("Authorization", ""))))

        def _tell(self, status: int, said: bytes | str) -> None:
            self.send_response(status)
            if isinstance(said, str):
                self.send_header("Location", said)
            body = said if isinstance(said, bytes) else b""
            self.send_header("Content-Type", "text/html" if body.startswith(b"<") else "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            return

    server = http.server.ThreadingHTTPServer((HOST, 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    provider.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
