"""What the security package refuses, each with what to do about it."""

from __future__ import annotations

from pathlib import Path

from runtime.errors import RuntimeFault


class SecurityFault(RuntimeFault):
    """Base of the package's errors."""

    code = "security_fault"


class CertificateFileMissing(SecurityFault):
    code = "certificate_file_missing"
    remedy = "Copy the file back, or let the node join again into an empty directory: aether node start --join …"

    def __init__(self, path: Path) -> None:
        super().__init__(f"certificate file {path} is missing")
        self.path = path


class CertificateFileInvalid(SecurityFault):
    code = "certificate_file_invalid"
    remedy = "Restore ca.pem, node.pem and node.key as one set, or let the node join again into an empty directory."

    def __init__(self, path: Path, cause: str) -> None:
        super().__init__(f"certificate file {path} cannot be used: {cause}")
        self.path = path


class PrivateKeyExposed(SecurityFault):
    """Whoever can read a node's key can act as that node."""

    code = "private_key_exposed"

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} can be read or written by other users of this machine")
        self.path = path

    def problem(self) -> dict[str, object]:
        remedy = f"chmod 600 {self.path}; if others use this machine, let the node join again to get a new key."
        return {**super().problem(), "remedy": remedy}


class NoAuthority(SecurityFault):
    """This node has no ca.key, so it cannot issue certificates."""

    code = "no_authority"
    remedy = "Join through the node that began the cluster, or copy its tls/ca.key (mode 0600) to this node."

    def __init__(self) -> None:
        super().__init__("this node does not hold the cluster's CA key and cannot admit nodes")


class SigningRequestInvalid(SecurityFault):
    code = "signing_request_invalid"
    remedy = "Start the join again; the request must be an ECDSA P-256 CSR whose common name is the node id."

    def __init__(self, cause: str) -> None:
        super().__init__(f"certificate signing request refused: {cause}")


class JoinRefused(SecurityFault):
    """The cluster does not admit the node: bad token, name taken, wrong clock. The sentence says which."""

    code = "join_refused"

    def __init__(self, cause: str, remedy: str) -> None:
        super().__init__(cause)
        self._remedy = remedy

    def problem(self) -> dict[str, object]:
        return {**super().problem(), "remedy": self._remedy}


class JoinAnswerInvalid(SecurityFault):
    """What answered is not the cluster that made the token."""

    code = "join_answer_invalid"
    remedy = "Check that HOST:PORT is the API address of the cluster that made the token; then make a new token."

    def __init__(self, cause: str) -> None:
        super().__init__(f"the answer to the join request was refused: {cause}")
