"""What webhooks and mail servers get, with real ones; where the cluster may connect to; and that no secret is told."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
from pathlib import Path

import msgspec
import pytest

from runtime.errors import RuntimeFault
from runtime.telemetry.alerts.grouping import Group, Notification
from runtime.telemetry.alerts.outbound import refusal
from runtime.telemetry.alerts.payloads import TOLD_MAX, mail, subject_of
from runtime.telemetry.alerts.records import Alert, Receiver, Route, Told
from runtime.telemetry.alerts.references import Secrets, SecretUnreadable
from runtime.telemetry.alerts.sending import NotDelivered, Sender
from tests.unit.alert_servers import certified, mail_server, webhook
from tests.unit.gate_parts import START_UNIX_MS, HandClock


def alert(number: int = 1, **members: int) -> Alert:
    labels = {"alertname": "NodeDiskFull", "severity": "critical", "subject": f"node:n{number}", "node": f"n{number}"}
    return Alert(
        fingerprint=f"{number:016}",
        group_key="g",
        labels=labels,
        annotations={"summary": "full"},
        starts_unix_ms=START_UNIX_MS,
        fired_unix_ms=START_UNIX_MS,
        **members,
    )


def notification(firing: tuple[Alert, ...] = (), ended: tuple[Alert, ...] = ()) -> Notification:
    group = Group('{}/default:{alertname="NodeDiskFull"}', {"alertname": "NodeDiskFull"}, Route(), ("r",), firing)
    told = Told(group_key=group.key, receiver="r", number=1, at_unix_ms=1, firing={})
    return Notification(key="k" * 32, receiver="r", group=group, firing=firing, ended=ended, told=told)


FIRING = notification((alert(),), (alert(2, ends_unix_ms=START_UNIX_MS + 5_001),))


def sender(directory: Path, **environment: str) -> Sender:
    return Sender(secrets=Secrets(directory, environment), allowed=(), cluster="c1", clock=HandClock())


def test_a_webhook_gets_the_group_a_key_and_a_signature_that_it_can_check(tmp_path: Path) -> None:
    (tmp_path / "hook-key").write_text("canary\n")
    with webhook() as taken:
        url = f"http://127.0.0.1:{taken.port}/hook?a=b"
        receiver = Receiver(kind="webhook", url=url, auth="hmac", secret="file:hook-key")
        sender(tmp_path).send(FIRING, receiver)
    ((path, headers, body),) = taken.requests
    assert (path, headers["Idempotency-Key"], headers["Content-Type"]) == ("/hook?a=b", "k" * 32, "application/json")
    at, _, signed = headers["X-Aether-Signature"].removeprefix("t=").partition(",v1=")
    assert int(at) == START_UNIX_MS // 1_000
    assert signed == hmac.new(b"canary", f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    told = json.loads(body)
    assert (told["notification"], told["cluster"], told["status"]) == ("k" * 32, "c1", "firing")
    assert [(each["status"], each["labels"]["node"]) for each in told["alerts"]] == [("firing", "n1"), ("ended", "n2")]


def test_a_webhook_for_alertmanager_gets_its_version_4(tmp_path: Path) -> None:
    with webhook() as taken:
        url = f"http://127.0.0.1:{taken.port}"
        sender(tmp_path, AETHER_ALERT_TOKEN="canary", AETHER_ALERT_URL=url).send(
            FIRING,
            Receiver(
                kind="webhook",
                url="env:AETHER_ALERT_URL",
                format="alertmanager",
                auth="bearer",
                secret="env:AETHER_ALERT_TOKEN",
            ),
        )
    ((path, headers, body),) = taken.requests
    assert (path, headers["Authorization"]) == ("/", "Bearer canary")
    told = json.loads(body)
    assert (told["version"], told["groupKey"], told["status"]) == ("4", FIRING.group.key, "firing")
    assert told["commonLabels"] == {"alertname": "NodeDiskFull", "severity": "critical"}
    first, second = told["alerts"]
    assert (first["status"], first["startsAt"], first["endsAt"]) == (
        "firing",
        "2023-11-14T22:13:20.000Z",
        "0001-01-01T00:00:00Z",
    )
    assert (second["status"], second["endsAt"]) == ("resolved", "2023-11-14T22:13:25.001Z")


@pytest.mark.parametrize("status", [302, 400, 500])
def test_a_webhook_that_does_not_take_it_is_told_and_redirects_are_not_followed(tmp_path: Path, status: int) -> None:
    with webhook() as taken:
        taken.status = status
        receiver = Receiver(kind="webhook", url=f"http://127.0.0.1:{taken.port}/canary")
        with pytest.raises(NotDelivered, match=f"answered {status}") as fault:
            sender(tmp_path).send(FIRING, receiver)
    assert taken.asked == 1
    assert "canary" not in str(fault.value)


def test_a_webhook_with_a_certificate_of_ones_own_needs_its_authority(tmp_path: Path) -> None:
    with webhook(certified(tmp_path)) as taken:
        receiver = Receiver(kind="webhook", url=f"https://localhost:{taken.port}/")
        with pytest.raises(NotDelivered, match="not trusted"):
            sender(tmp_path).send(FIRING, receiver)
        sender(tmp_path).send(FIRING, msgspec.structs.replace(receiver, authority="file:ca.pem"))
    assert len(taken.requests) == 1


@pytest.mark.parametrize("tls", ["starttls", "tls"])
def test_mail_goes_over_tls_after_a_login(tmp_path: Path, tls: str) -> None:
    (tmp_path / "mail-password").write_text("canary-pass")
    receiver = Receiver(
        kind="email",
        tls="tls" if tls == "tls" else "starttls",
        username="aether",
        password="file:mail-password",
        sender="aether@x.test",
        to=("anna@x.test", "ben@x.test"),
        authority="file:ca.pem",
    )
    with mail_server(certified(tmp_path), at_once=tls == "tls", login=True) as inbox:
        receiver = msgspec.structs.replace(receiver, server=f"localhost:{inbox.port}")
        sender(tmp_path).send(FIRING, receiver)
    (message,) = inbox.messages
    assert message["Subject"] == "[critical] NodeDiskFull: node:n1, node:n2"
    assert (message["To"], message["Message-ID"]) == ("anna@x.test, ben@x.test", f"<{'k' * 32}@aether>")
    text = message.get_payload()
    assert isinstance(text, str)
    assert "lasting: NodeDiskFull (critical) node:n1" in text
    assert "ended: NodeDiskFull (critical) node:n2" in text
    assert inbox.logins == [("aether", "canary-pass")]


@pytest.mark.parametrize(
    ("refuses", "password", "said"), [("550 canary-said", "canary-pass", "550"), ("", "canary-wrong", "535")]
)
def test_a_mail_server_that_does_not_take_it_is_told_without_what_was_said(
    tmp_path: Path, refuses: str, password: str, said: str
) -> None:
    (tmp_path / "p").write_text(password)
    with mail_server(certified(tmp_path), login=True) as inbox:
        inbox.refuses = refuses
        receiver = Receiver(
            kind="email",
            server=f"localhost:{inbox.port}",
            username="aether",
            password="file:p",
            sender="a@x.test",
            to=("b@x.test",),
            authority="file:ca.pem",
        )
        with pytest.raises(NotDelivered, match=said) as fault:
            sender(tmp_path).send(FIRING, receiver)
    assert "canary" not in repr((fault.value, fault.value.__cause__))
    assert not inbox.messages


def test_nobody_there_is_told(tmp_path: Path) -> None:
    with webhook() as taken:
        gone = taken.port
    for receiver in (
        Receiver(kind="webhook", url=f"http://127.0.0.1:{gone}/"),
        Receiver(kind="email", server=f"127.0.0.1:{gone}", tls="none", sender="a@x.test", to=("b@x.test",)),
    ):
        with pytest.raises(NotDelivered, match="refused"):
            sender(tmp_path).send(FIRING, receiver)


@pytest.mark.parametrize(
    ("address", "allowed", "may"),
    [
        ("10.1.2.3", (), True),
        ("127.0.0.1", (), True),
        ("169.254.169.254", (), False),
        ("::ffff:169.254.169.254", (), False),
        ("fe80::1", (), False),
        ("0.0.0.0", (), False),
        ("::ffff:10.1.2.3", (), True),
        ("::ffff:10.1.2.3", ("10.0.0.0/8",), True),
        ("224.0.0.1", (), False),
        ("10.1.2.3", ("10.0.0.0/8",), True),
        ("11.1.2.3", ("10.0.0.0/8",), False),
        ("11.1.2.3", ("hook.test",), True),
        ("11.1.2.3", ("other.test", "fe80::/10"), False),
        ("169.254.169.254", ("169.254.169.254",), True),
    ],
)
def test_where_the_cluster_may_connect_to_is_asked_of_the_address(
    address: str, allowed: tuple[str, ...], may: bool
) -> None:
    """A name that leads to where a cloud tells machines their secrets must not help."""
    assert (not refusal("hook.test", ipaddress.ip_address(address), allowed)) is may


def test_a_refused_destination_is_never_connected_to(tmp_path: Path) -> None:
    with webhook() as taken:
        strict = Sender(secrets=Secrets(tmp_path, {}), allowed=("10.0.0.0/8",), cluster="c1", clock=HandClock())
        with pytest.raises(RuntimeFault) as fault:
            strict.send(FIRING, Receiver(kind="webhook", url=f"http://localhost:{taken.port}/"))
    assert fault.value.code == "destination_refused"
    assert not taken.requests


@pytest.mark.parametrize(
    "reference", ["file:none", "file:../x", "file:empty", "file:binary", "env:AETHER_ALERT_NONE", "env:HOME", "canary"]
)
def test_a_secret_that_cannot_be_read_is_told_by_its_place(tmp_path: Path, reference: str) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(SecretUnreadable) as fault:
        Secrets(tmp_path, {"HOME": "canary"}).read(reference)
    assert "canary" not in str(fault.value)


def test_labels_from_outside_add_no_header_and_a_great_group_is_cut() -> None:
    strange = msgspec.structs.replace(alert(), labels={"subject": "x\nBcc: c@x.test"})
    message = mail(notification((strange,)), cluster="c1", sender="a@x.test", to=("b@x.test",))
    assert message["Bcc"] is None
    many = notification(tuple(alert(number) for number in range(TOLD_MAX + 3)))
    assert subject_of(many) == "[critical] NodeDiskFull: node:n0, node:n1, node:n10 and 97 more"
    assert "and 3 more" in mail(many, cluster="c1", sender="a@x.test", to=("b@x.test",)).get_content()
