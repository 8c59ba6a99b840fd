"""Real etcd members for comparison: Debian's server on the same disk, with mutual TLS on every port."""

from __future__ import annotations

import datetime
import ipaddress
import os
import shutil
import signal
import subprocess
from pathlib import Path

import anyio
import msgspec

from evals.bench.peers import PeerFailed
from evals.bench.store_group import LOOK_S, READY_S, free_ports
from runtime.errors import RuntimeFault


class EtcdMissing(RuntimeFault):
    code = "etcd_missing"
    remedy = "Install it (Debian: apt-get install etcd-server etcd-client; pip install grpcio), or add --without-etcd."


class _Header(msgspec.Struct, frozen=True):
    member_id: int = 0


class _Status(msgspec.Struct, frozen=True):
    """What etcdctl says of a member; nothing when it does not answer."""

    header: _Header = _Header()
    leader: int = 0
    applied: int = msgspec.field(name="raftAppliedIndex", default=0)


class _Endpoint(msgspec.Struct, frozen=True):
    Status: _Status


def check_etcd() -> None:
    """Raises EtcdMissing, saying what is not there."""
    import importlib.util

    missing = [program for program in ("etcd", "etcdctl") if shutil.which(program) is None]
    if importlib.util.find_spec("grpc") is None:
        missing.append("grpcio")
    if missing:
        raise EtcdMissing(f"the comparison with etcd needs {' and '.join(missing)}, which is not here")


class EtcdGroup:
    """Implements Contender. `async with` begins the members and ends them."""

    name = "etcd"

    def __init__(self, base: Path, size: int) -> None:
        base.mkdir(parents=True)
        self.base = base
        self.nodes = tuple(f"n{number + 1}" for number in range(size))
        ports = free_ports(2 * size)
        self._clients = dict(zip(self.nodes, ports[:size], strict=True))
        self._peers = dict(zip(self.nodes, ports[size:], strict=True))
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        write_certificates(base)

    async def __aenter__(self) -> EtcdGroup:
        for node in self.nodes:
            self.start(node)
        await self.leader()
        return self

    async def __aexit__(self, *_failure: object) -> None:
        for node in tuple(self._processes):
            self.kill(node)

    def start(self, node: str) -> None:
        client, peer = f"https://127.0.0.1:{self._clients[node]}", f"https://127.0.0.1:{self._peers[node]}"
        cluster = ",".join(f"{name}=https://127.0.0.1:{port}" for name, port in self._peers.items())
        words = ["etcd", "--name", node, "--data-dir", str(self.base / node), "--log-level", "error"]
        words += ["--listen-client-urls", client, "--advertise-client-urls", client]
        words += ["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", cluster]
        for prefix in ("--", "--peer-"):
            words += [f"{prefix}cert-file", str(self.base / "node.pem"), f"{prefix}key-file"]
            words += [str(self.base / "node.key"), f"{prefix}trusted-ca-file", str(self.base / "ca.pem")]
            words += [f"{prefix}client-cert-auth"]
        self._processes[node] = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def kill(self, node: str) -> None:
        process = self._processes.pop(node)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def pid(self, node: str) -> int:
        return self._processes[node].pid

    async def leader(self) -> str:
        """Raises PeerFailed."""
        with anyio.move_on_after(READY_S):
            while True:
                for node in self._processes:
                    status = await self._status(node)
                    if status.leader and status.leader == status.header.member_id:
                        return node
                await anyio.sleep(LOOK_S)
        raise PeerFailed(f"the {len(self.nodes)} etcd members agreed on no leader in {READY_S:g} s")

    async def applied(self, node: str) -> int:
        return (await self._status(node)).applied

    def load_words(self, *nodes: str) -> list[str]:
        """Of a load process whose clients connect to these members."""
        addresses = ",".join(f"127.0.0.1:{self._clients[node]}" for node in nodes)
        return ["--etcd", addresses, "--tls", str(self.base)]

    async def snapshot(self, node: str, to: Path) -> None:
        """By etcdctl, as its operators do. Raises PeerFailed."""
        done = await self._control(node, "snapshot", "save", str(to))
        if done.returncode != 0:
            raise PeerFailed(f"etcdctl: {done.stderr.decode(errors='replace').strip()}")

    async def _status(self, node: str) -> _Status:
        done = await self._control(node, "--command-timeout=1s", "endpoint", "status", "-w", "json")
        try:
            return msgspec.json.decode(done.stdout, type=list[_Endpoint])[0].Status
        except (msgspec.DecodeError, IndexError):
            return _Status()

    async def _control(self, node: str, *words: str) -> subprocess.CompletedProcess[bytes]:
        options = ["--endpoints", f"https://127.0.0.1:{self._clients[node]}", "--cacert", str(self.base / "ca.pem")]
        options += ["--cert", str(self.base / "node.pem"), "--key", str(self.base / "node.key")]
        return await anyio.run_process(
            ["etcdctl", *options, *words], check=False, env={**os.environ, "ETCDCTL_API": "3"}
        )


def write_certificates(base: Path) -> None:
    """ca.pem, node.pem and node.key, for localhost: Go's TLS asks for the name that our own does without."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    now = datetime.datetime.now(datetime.UTC)

    def builder(subject: str, key: ec.EllipticCurvePrivateKey, *, ca: bool) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bench")]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=2))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )

    authority, own = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificates = {
        "ca.pem": builder("bench", authority, ca=True).sign(authority, hashes.SHA256()),
        "node.pem": builder("localhost", own, ca=False)
        .add_extension(names, critical=False)
        .sign(authority, hashes.SHA256()),
    }
    for name, certificate in certificates.items():
        (base / name).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (base / "node.key").write_bytes(
        own.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
