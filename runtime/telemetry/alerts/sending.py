"""Sends one notification to one receiver: a webhook over HTTP, or e-mail over SMTP. Blocks; runs in a thread."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import smtplib
import socket
import ssl
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from runtime.clock import Clock
from runtime.errors import RuntimeFault
from runtime.telemetry.alerts.grouping import Notification
from runtime.telemetry.alerts.outbound import resolved
from runtime.telemetry.alerts.payloads import aether_json, alertmanager_json, mail
from runtime.telemetry.alerts.records import Receiver
from runtime.telemetry.alerts.references import Secrets, is_reference

SEND_S: Final = 10.0  # of each step of the exchange
ANSWER_BYTES_MAX: Final = 4_096
SIGNATURE: Final = "X-Aether-Signature"
KEY: Final = "Idempotency-Key"


class NotDelivered(RuntimeFault):
    """The receiver did not take it. The sentence holds no secret: neither header nor path."""

    code = "not_delivered"
    retryable = True
    remedy = "docs/guides/alerts.md lists what receivers answer, and how to look at them."


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Of one node. allowed: where it may connect to, as `alert_hosts_allowed` says."""

    secrets: Secrets
    allowed: Sequence[str]
    cluster: str
    clock: Clock

    def send(self, notification: Notification, receiver: Receiver) -> None:
        """Raises NotDelivered, SecretUnreadable or DestinationRefused."""
        try:
            if receiver.kind == "webhook":
                self._post(notification, receiver)
            else:
                self._mail(notification, receiver)
        except (OSError, http.client.HTTPException, smtplib.SMTPException, ValueError) as error:
            raise NotDelivered(f"{notification.receiver}: {_reason(error)}") from None  # the cause may quote a secret

    # -- webhooks ------------------------------------------------------------------------------------------------------

    def _post(self, notification: Notification, receiver: Receiver) -> None:
        url = self.secrets.read(receiver.url) if is_reference(receiver.url) else receiver.url
        parts = urllib.parse.urlsplit(url)
        host = parts.hostname or ""
        secure = parts.scheme == "https"
        port = parts.port or (443 if secure else 80)
        if receiver.format == "aether":
            body = aether_json(notification, self.cluster)
        else:
            body = alertmanager_json(notification, f"aether://{self.cluster}")
        with socket.create_connection(resolved(host, port, self.allowed), timeout=SEND_S) as plain:
            connection = http.client.HTTPConnection(host, port, timeout=SEND_S)
            connection.sock = self._context(receiver).wrap_socket(plain, server_hostname=host) if secure else plain
            try:
                path = urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, ""))
                connection.request("POST", path, body, self._headers(notification, receiver, body))
                answer = connection.getresponse()
                answer.read(ANSWER_BYTES_MAX)
            finally:
                connection.close()
        if not 200 <= answer.status < 300:  # redirects are not followed: they could lead anywhere
            raise NotDelivered(f"{notification.receiver}: the webhook answered {answer.status}")

    def _headers(self, notification: Notification, receiver: Receiver, body: bytes) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "User-Agent": "aether", KEY: notification.key}
        if receiver.auth == "bearer":
            headers["Authorization"] = f"Bearer {self.secrets.read(receiver.secret)}"
        if receiver.auth == "hmac":
            at_s = self.clock.unix_ms() // 1_000
            headers[SIGNATURE] = f"t={at_s},v1={signature(self.secrets.read(receiver.secret), at_s, body)}"
        return headers

    # -- e-mail --------------------------------------------------------------------------------------------------------

    def _mail(self, notification: Notification, receiver: Receiver) -> None:
        host, _, port = receiver.server.rpartition(":")
        host = host.strip("[]")
        where = resolved(host, int(port), self.allowed)
        message = mail(notification, cluster=self.cluster, sender=receiver.sender, to=receiver.to)
        with _Mailer(host, where, self._context(receiver), secure=receiver.tls == "tls") as server:
            if receiver.tls == "starttls":
                server.starttls(context=self._context(receiver))
            if receiver.username:
                server.login(receiver.username, self.secrets.read(receiver.password))
            server.send_message(message)

    def _context(self, receiver: Receiver) -> ssl.SSLContext:
        if not receiver.authority:
            return ssl.create_default_context()
        return ssl.create_default_context(cafile=self.secrets.path(receiver.authority))


class _Mailer(smtplib.SMTP):
    """Connects to an address that was checked, and speaks TLS for the name that it was found by."""

    def __init__(self, host: str, where: tuple[str, int], context: ssl.SSLContext, *, secure: bool) -> None:
        self._where = where
        self._name = host
        self._secure = context if secure else None
        super().__init__(host, where[1], local_hostname=socket.gethostname(), timeout=SEND_S)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        plain = socket.create_connection(self._where, timeout)
        if self._secure is None:
            return plain
        return self._secure.wrap_socket(plain, server_hostname=self._name)


def signature(secret: str, at_s: int, body: bytes) -> str:
    """HMAC-SHA-256 of "SECONDS.BODY": who has the secret knows that the body is ours, and how old it is."""
    return hmac.new(secret.encode(), f"{at_s}.".encode() + body, hashlib.sha256).hexdigest()


def _reason(error: Exception) -> str:
    """What happened, without what either side said: that may hold a password or an address."""
    if isinstance(error, NotDelivered):
        return str(error)
    if isinstance(error, smtplib.SMTPResponseException):
        return f"the mail server answered {error.smtp_code}"
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        codes = sorted({code for code, _ in error.recipients.values()})
        return f"the mail server refused the recipients ({', '.join(map(str, codes))})"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return type(error).__name__
