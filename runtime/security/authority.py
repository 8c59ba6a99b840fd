"""The cluster's certificate authority: made once by `cluster init`, signs each node's request.

Imports `cryptography` (about 30 ms and 10 MB), so only what signs may import this, inside the function that does.
"""

from __future__ import annotations

import datetime
import os
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from runtime.names import NodeId, is_name
from runtime.security.errors import CertificateFileInvalid, NoAuthority, SigningRequestInvalid
from runtime.security.tls import CA_CERTIFICATE, CA_KEY, NODE_CERTIFICATE, NODE_KEY

AUTHORITY_VALID_DAYS: Final = 20 * 365
NODE_VALID_DAYS: Final = 5 * 365
BACKDATED: Final = datetime.timedelta(hours=1)  # so that a node whose clock is a little behind accepts it at once
CSR_BYTES_MAX: Final = 8 * 1024  # a P-256 request has about 450


class Authority:
    """Holds the CA's key and signs."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        self._key = key
        self._certificate = certificate

    @classmethod
    def create(cls, tls: Path, cluster_id: str, *, now_unix_ms: int) -> Authority:
        """Makes key and certificate and writes ca.pem and ca.key (mode 0600)."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"aether-cluster-{cluster_id}")])
        certificate = (
            _builder(name, name, key.public_key(), now_unix_ms, AUTHORITY_VALID_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        write_private(tls / CA_KEY, _private_pem(key))
        write_public(tls / CA_CERTIFICATE, certificate.public_bytes(serialization.Encoding.PEM))
        return cls(key, certificate)

    @classmethod
    def load(cls, tls: Path) -> Authority:
        """Raises NoAuthority when ca.key is absent, CertificateFileInvalid when it does not fit ca.pem."""
        if not (tls / CA_KEY).is_file():
            raise NoAuthority
        try:
            key = serialization.load_pem_private_key((tls / CA_KEY).read_bytes(), password=None)
            certificate = x509.load_pem_x509_certificate((tls / CA_CERTIFICATE).read_bytes())
        except (OSError, ValueError, TypeError) as error:
            raise CertificateFileInvalid(tls / CA_KEY, "not a PEM key with its ca.pem beside it") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
            raise CertificateFileInvalid(tls / CA_KEY, "it is not the key of ca.pem")
        return cls(key, certificate)

    @property
    def certificate_pem(self) -> bytes:
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the CA's certificate, 64 hexadecimal digits."""
        return self._certificate.fingerprint(hashes.SHA256()).hex()

    def secret(self, purpose: bytes) -> bytes:
        """32 bytes that only holders of the CA's key can derive, different for each purpose."""
        import hashlib
        import hmac

        private = self._key.private_numbers().private_value.to_bytes(32, "big")
        return hmac.digest(hashlib.sha256(private).digest(), purpose, "sha256")

    def sign(self, request_pem: bytes, node: NodeId, *, now_unix_ms: int) -> bytes:
        """The node's certificate, PEM. Raises SigningRequestInvalid."""
        request = _checked_request(request_pem, node)
        public_key = request.public_key()
        assert isinstance(public_key, ec.EllipticCurvePublicKey)
        issuer_id = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        certificate = (
            _builder(request.subject, self._certificate.subject, public_key, now_unix_ms, NODE_VALID_DAYS)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs=False), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_id), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM)


def make_request(node: NodeId) -> tuple[bytes, bytes]:
    """A new private key and the signing request for it, both PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, node)])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return _private_pem(key), request.public_bytes(serialization.Encoding.PEM)


def issue_node(authority: Authority, tls: Path, node: NodeId, *, now_unix_ms: int) -> None:
    """Writes node.key, node.pem and ca.pem for a node beside which the authority runs."""
    key_pem, request_pem = make_request(node)
    certificate = authority.sign(request_pem, node, now_unix_ms=now_unix_ms)
    keep_identity(tls, key_pem=key_pem, certificate_pem=certificate, authority_pem=authority.certificate_pem)


def keep_identity(tls: Path, *, key_pem: bytes, certificate_pem: bytes, authority_pem: bytes) -> None:
    """Writes a node's three files, the key first, so that a certificate never stands without its key."""
    tls.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private(tls / NODE_KEY, key_pem)
    write_public(tls / NODE_CERTIFICATE, certificate_pem)
    write_public(tls / CA_CERTIFICATE, authority_pem)


def fingerprint_of(certificate_pem: bytes) -> str:
    """SHA-256 of a certificate, 64 hexadecimal digits. Raises ValueError."""
    return x509.load_pem_x509_certificate(certificate_pem).fingerprint(hashes.SHA256()).hex()


def validity_unix_ms(certificate_pem: bytes) -> tuple[int, int]:
    """From when until when a certificate holds. Raises ValueError."""
    certificate = x509.load_pem_x509_certificate(certificate_pem)
    return (
        int(certificate.not_valid_before_utc.timestamp() * 1000),
        int(certificate.not_valid_after_utc.timestamp() * 1000),
    )


def write_private(path: Path, content: bytes) -> None:
    """Mode 0600 from the first byte on."""
    _write(path, content, 0o600)


def write_public(path: Path, content: bytes) -> None:
    _write(path, content, 0o644)


def _write(path: Path, content: bytes, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f"{path.name}.tmp")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)


def _checked_request(request_pem: bytes, node: NodeId) -> x509.CertificateSigningRequest:
    if len(request_pem) > CSR_BYTES_MAX:
        raise SigningRequestInvalid("it is too long")
    try:
        request = x509.load_pem_x509_csr(request_pem)
    except ValueError as error:
        raise SigningRequestInvalid("it is not a PEM request") from error
    names = [attribute.value for attribute in request.subject]
    if names != [node] or not is_name(node):
        raise SigningRequestInvalid(f"its subject {names} is not the node id {node!r}")
    key = request.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise SigningRequestInvalid("its key is not ECDSA P-256")
    if not request.is_signature_valid:
        raise SigningRequestInvalid("its signature does not hold")
    return request


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now_unix_ms: int, days: int
) -> x509.CertificateBuilder:
    now = datetime.datetime.fromtimestamp(now_unix_ms / 1000, datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + datetime.timedelta(days=days))
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
