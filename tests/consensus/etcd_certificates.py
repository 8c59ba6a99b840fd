"""Certificates for an etcd of the tests: one authority, a server's with its names in it, and a client's."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


class EtcdCertificates:
    """Files below `directory`: ca.pem, and NAME.pem with NAME.key for each that is issued."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True)
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an etcd's authority")])
        self.authority = directory / "ca.pem"
        extension = x509.BasicConstraints(ca=True, path_length=0)
        self._write(self.authority, self._signed(self._name, self._key.public_key(), [extension]))

    def issue(self, name: str, *hosts: str) -> tuple[Path, Path]:
        """Certificate and key; for a server with the hosts that it may be reached at."""
        key = ec.generate_private_key(ec.SECP256R1())
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
        names = x509.SubjectAlternativeName([_general(host) for host in hosts or (name,)])
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate, private = self._directory / f"{name}.pem", self._directory / f"{name}.key"
        self._write(certificate, self._signed(subject, key.public_key(), [usage, names]))
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return certificate, private

    def server_flags(self, *hosts: str) -> tuple[str, ...]:
        """For an etcd that takes only clients with a certificate of this authority."""
        certificate, key = self.issue("server", *hosts)
        return (
            *("--client-cert-auth", "--trusted-ca-file", str(self.authority)),
            *("--cert-file", str(certificate), "--key-file", str(key)),
        )

    def _signed(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, extensions: list[x509.ExtensionType]
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateBuilder(
            issuer_name=self._name,
            subject_name=subject,
            public_key=key,
            serial_number=x509.random_serial_number(),
            not_valid_before=now - datetime.timedelta(hours=1),
            not_valid_after=now + datetime.timedelta(days=1),
        )
        for each in extensions:
            builder = builder.add_extension(each, critical=False)
        return builder.sign(self._key, hashes.SHA256())

    @staticmethod
    def _write(path: Path, certificate: x509.Certificate) -> None:
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def _general(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
