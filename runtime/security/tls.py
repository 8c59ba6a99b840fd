"""TLS contexts for everything between nodes: TLS 1.3, both sides show a certificate of the cluster's CA.

A peer's identity is the common name of its certificate, compared by the connection with the node it expects; host
names say nothing, so they are not checked.
"""

from __future__ import annotations

import ssl
import stat
from pathlib import Path
from typing import Final

from runtime.security.errors import CertificateFileInvalid, CertificateFileMissing, PrivateKeyExposed

CA_CERTIFICATE: Final = "ca.pem"
CA_KEY: Final = "ca.key"
NODE_CERTIFICATE: Final = "node.pem"
NODE_KEY: Final = "node.key"


def server_context(tls: Path) -> ssl.SSLContext:
    """For listeners: refuses a client without a certificate of the cluster. Raises SecurityFault."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.num_tickets = 0  # connections between nodes live long; tickets would only cost a write each
    return _mutual(context, tls)


def client_context(tls: Path) -> ssl.SSLContext:
    """For connecting to other nodes. Raises SecurityFault."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    return _mutual(context, tls)


def _mutual(context: ssl.SSLContext, tls: Path) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    for name in (CA_CERTIFICATE, NODE_CERTIFICATE, NODE_KEY):
        if not (tls / name).is_file():
            raise CertificateFileMissing(tls / name)
    if stat.S_IMODE((tls / NODE_KEY).stat().st_mode) & stat.S_IRWXO:
        raise PrivateKeyExposed(tls / NODE_KEY)
    try:
        context.load_verify_locations(tls / CA_CERTIFICATE)
    except (ssl.SSLError, OSError) as error:
        raise CertificateFileInvalid(tls / CA_CERTIFICATE, _reason(error)) from error
    try:
        context.load_cert_chain(tls / NODE_CERTIFICATE, tls / NODE_KEY)
    except (ssl.SSLError, OSError) as error:
        raise CertificateFileInvalid(tls / NODE_CERTIFICATE, _reason(error)) from error
    return context


def _reason(error: OSError) -> str:
    return getattr(error, "reason", None) or error.strerror or "not PEM"
