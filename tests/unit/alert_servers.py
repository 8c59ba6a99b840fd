"""Real servers that alerts are told to: HTTP of the standard library, and SMTP of aiosmtpd, with certificates."""

from __future__ import annotations

import datetime
import http.server
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from email.policy import default
from pathlib import Path

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

HOST = "127.0.0.1"


@dataclass
class Taken:
    """A webhook's requests. `requests` are those that it took, `status` is what it answers."""

    port: int = 0
    status: int = 200
    asked: int = 0
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)


@contextmanager
def webhook(context: ssl.SSLContext | None = None) -> Iterator[Taken]:
    taken = Taken()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            taken.asked += 1
            if taken.status == 200:
                taken.requests.append((self.path, dict(self.headers.items()), body))
            self.send_response(taken.status)
            self.send_header("Location", f"http://{HOST}:{taken.port}/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            return

    server = http.server.ThreadingHTTPServer((HOST, 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    taken.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield taken
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Inbox:
    """What an SMTP server took; `logins` are those that it was asked for. `refuses`: the code of its answer to mail."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.logins: list[tuple[str, str]] = []
        self.refuses = ""
        self.port = 0

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802  aiosmtpd's
        if self.refuses:
            return self.refuses
        assert isinstance(envelope.content, bytes)
        self.messages.append(message_from_bytes(envelope.content, policy=default))
        return "250 taken"

    def check(self, _server: SMTP, _session: Session, _envelope: Envelope, _how: str, data: object) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.logins.append((data.login.decode(), data.password.decode()))
        return AuthResult(success=data.password == b"canary-pass", handled=False)


class _AnyPort(Controller):
    """Listens on a port that is free."""

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@contextmanager
def mail_server(
    context: ssl.SSLContext | None = None, *, at_once: bool = False, login: bool = False
) -> Iterator[Inbox]:
    """context: for STARTTLS, or for TLS from the first byte where `at_once`."""
    inbox = Inbox()
    starttls = context if not at_once else None
    controller = _AnyPort(
        inbox,
        hostname=HOST,
        port=0,
        ssl_context=context if at_once else None,
        tls_context=starttls,
        require_starttls=starttls is not None,
        authenticator=inbox.check,
        auth_required=login and not at_once,
        auth_require_tls=starttls is not None,
    )
    controller.start()
    try:
        inbox.port = controller.port
        yield inbox
    finally:
        controller.stop()


def certified(directory: Path) -> ssl.SSLContext:
    """A server's context for "localhost"; whoever trusts DIRECTORY/ca.pem trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (directory / "ca.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    whole = directory / "server.pem"
    whole.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + certificate.public_bytes(Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(whole)
    return context
