"""The cluster's CA and TLS contexts: who may talk to whom."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from runtime.names import NodeId
from runtime.security.authority import Authority, issue_node, make_request
from runtime.security.errors import (
    CertificateFileInvalid,
    CertificateFileMissing,
    NoAuthority,
    SigningRequestInvalid,
)
from runtime.security.tls import client_context, server_context

NOW = 1_790_000_000_000


def _now() -> int:
    from runtime.clock import SystemClock

    return SystemClock().unix_ms()


def _node(root: Path, authority: Authority, name: str) -> Path:
    issue_node(authority, root / name, NodeId(name), now_unix_ms=_now())
    return root / name


def _handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Both sides in memory, until both are done or one refuses."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    left = client.wrap_bio(to_client, to_server)
    right = server.wrap_bio(to_server, to_client, server_side=True)
    done: set[ssl.SSLObject] = set()
    for _ in range(10):
        for side in (left, right):
            try:
                side.do_handshake()
                done.add(side)
            except ssl.SSLWantReadError:
                continue
        if len(done) == 2:
            break
    return left, right


def test_two_nodes_of_one_cluster_see_each_others_id_over_tls_1_3(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path / "ca", "c1", now_unix_ms=_now())
    first, second = _node(tmp_path, authority, "n1"), _node(tmp_path, authority, "n2")
    left, right = _handshake(server_context(first), client_context(second))
    assert left.version() == "TLSv1.3"
    assert left.getpeercert()["subject"] == ((("commonName", "n1"),),)  # type: ignore[index]
    assert right.getpeercert()["subject"] == ((("commonName", "n2"),),)  # type: ignore[index]


def test_a_node_of_another_cluster_is_refused(tmp_path: Path) -> None:
    ours = _node(tmp_path, Authority.create(tmp_path / "ca1", "c1", now_unix_ms=_now()), "n1")
    other = _node(tmp_path, Authority.create(tmp_path / "ca2", "c2", now_unix_ms=_now()), "n2")
    with pytest.raises(ssl.SSLCertVerificationError):
        _handshake(server_context(ours), client_context(other))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    tls = _node(tmp_path, Authority.create(tmp_path / "ca", "c1", now_unix_ms=_now()), "n1")
    (tls / "node.key").unlink()
    with pytest.raises(CertificateFileMissing, match=r"node\.key"):
        server_context(tls)


@pytest.mark.parametrize("name", ["ca.pem", "node.pem", "node.key"])
def test_a_damaged_file_is_refused_with_a_remedy(tmp_path: Path, name: str) -> None:
    tls = _node(tmp_path, Authority.create(tmp_path / "ca", "c1", now_unix_ms=_now()), "n1")
    (tls / name).write_bytes(b"not a certificate")
    with pytest.raises(CertificateFileInvalid) as caught:
        client_context(tls)
    assert caught.value.remedy


def test_private_keys_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path / "ca", "c1", now_unix_ms=NOW)
    tls = _node(tmp_path, authority, "n1")
    assert (tmp_path / "ca" / "ca.key").stat().st_mode & 0o777 == 0o600
    assert (tls / "node.key").stat().st_mode & 0o777 == 0o600


def test_an_authority_is_found_again_and_derives_the_same_secrets(tmp_path: Path) -> None:
    made = Authority.create(tmp_path, "c1", now_unix_ms=NOW)
    loaded = Authority.load(tmp_path)
    assert loaded.fingerprint == made.fingerprint
    assert loaded.secret(b"join") == made.secret(b"join") != made.secret(b"other")


def test_a_node_without_the_ca_key_cannot_sign(tmp_path: Path) -> None:
    with pytest.raises(NoAuthority):
        Authority.load(tmp_path)


def test_a_request_for_another_name_is_refused(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path, "c1", now_unix_ms=NOW)
    _, request = make_request(NodeId("n2"))
    with pytest.raises(SigningRequestInvalid, match="n2"):
        authority.sign(request, NodeId("n1"), now_unix_ms=NOW)


@pytest.mark.parametrize("request_pem", [b"", b"\xff\xfe", b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n", b"x" * 9000])
def test_a_malformed_request_is_refused(tmp_path: Path, request_pem: bytes) -> None:
    authority = Authority.create(tmp_path, "c1", now_unix_ms=NOW)
    with pytest.raises(SigningRequestInvalid):
        authority.sign(request_pem, NodeId("n1"), now_unix_ms=NOW)
