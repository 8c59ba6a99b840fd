"""Where a node keeps its things: one place that knows every path below its data directory.

Standard library only: the supervisor imports it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, NamedTuple

SOCKET_PATH_BYTES_MAX: Final = 99  # sun_path holds 108; a margin so that a longer worker id cannot break a node
_LONGEST_SOCKET_NAME: Final = 40


class NodeLayout(NamedTuple):
    """Paths of one node. Creates nothing by itself. A tuple, since `dataclasses` would cost the supervisor 1.5 MB."""

    data: Path

    @property
    def identity(self) -> Path:
        """node.json: id, role, zone, cluster, listen addresses, how to reach the first core nodes."""
        return self.data / "node.json"

    @property
    def tls(self) -> Path:
        """ca.pem, node.pem, node.key; ca.key only where certificates are issued."""
        return self.data / "tls"

    @property
    def admin_key(self) -> Path:
        return self.data / "admin.key"

    @property
    def store(self) -> Path:
        return self.data / "store"

    @property
    def content(self) -> Path:
        return self.data / "content"

    @property
    def environments(self) -> Path:
        return self.data / "environments"

    @property
    def logs(self) -> Path:
        return self.data / "logs"

    @property
    def traces(self) -> Path:
        return self.data / "traces"

    @property
    def offline_runs(self) -> Path:
        """Journals of playbooks that were run here without a quorum."""
        return self.data / "offline"

    @property
    def backups(self) -> Path:
        """The newest that this node wrote while it led."""
        return self.data / "backups"

    @property
    def history(self) -> Path:
        """What slices did in each minute; core nodes only."""
        return self.data / "history"

    @property
    def alert_secrets(self) -> Path:
        """What people put there: tokens, passwords and CAs that receivers of alerts refer to by name."""
        return self.data / "alert-secrets"

    @property
    def model_keys(self) -> Path:
        """Keys of providers of language models, a file each, that people put there."""
        return self.data / "model-keys"

    @property
    def oidc_secret(self) -> Path:
        """The console's client secret at the identity provider, where people put one."""
        return self.data / "oidc-client-secret"

    @property
    def recordings(self) -> Path:
        """Conversations with models, recorded where a setting wants it."""
        return self.data / "recordings"

    @property
    def run(self) -> Path:
        """Sockets; a short directory elsewhere when the data directory's path is too long for a Unix socket."""
        inside = self.data.resolve() / "run"
        if len(os.fsencode(inside)) + 1 + _LONGEST_SOCKET_NAME <= SOCKET_PATH_BYTES_MAX:
            return inside
        import hashlib  # brings OpenSSL, 4 MB that the supervisor seldom needs

        digest = hashlib.sha256(os.fsencode(self.data.resolve())).hexdigest()[:16]
        return Path(f"/tmp/aether-{os.getuid()}/{digest}")  # noqa: S108  made with mode 0700 and owner checked

    def socket(self, process: str) -> Path:
        """The Unix socket of a process: "supervisor", "store", "gateway", "control", or a zygote's or worker's id."""
        return self.run / f"{process}.sock"
