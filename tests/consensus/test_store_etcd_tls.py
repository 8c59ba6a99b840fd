"""An etcd that takes only clients with a certificate."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from aetcd.rpc import rpc_pb2 as pb

from runtime.consensus.errors import EtcdUntrusted
from runtime.consensus.etcd.channel import CALL_S, Channel, EtcdAddress, asked
from tests.consensus.etcd_certificates import EtcdCertificates
from tests.consensus.etcd_server import etcd_server, free_port

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.usefixtures("one_loop")]


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> EtcdCertificates:
    return EtcdCertificates(tmp_path_factory.mktemp("tls") / "ours")


@pytest.fixture(scope="module")
def etcd(ours: EtcdCertificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with etcd_server(tmp_path_factory.mktemp("etcd"), *ours.server_flags("127.0.0.1", "localhost")) as endpoint:
        yield endpoint


async def revision(endpoints: tuple[str, ...], authority: Path, pair: tuple[Path, Path] | None) -> int:
    certificate, key = pair or (None, None)
    address = EtcdAddress(endpoints=endpoints, prefix="x", authority=authority, certificate=certificate, key=key)
    channel = Channel(address)
    try:
        answer = await asked(channel.kv.Range(pb.RangeRequest(key=b"a"), timeout=CALL_S))
        return int(answer.header.revision)
    finally:
        await channel.close()


async def test_a_certificate_of_its_authority_is_taken_at_any_of_several_addresses(
    etcd: str, ours: EtcdCertificates
) -> None:
    by_name = f"localhost:{etcd.rpartition(':')[2]}"
    for endpoints in ((etcd,), (by_name,), (etcd, f"127.0.0.1:{free_port()}")):
        assert await revision(endpoints, ours.authority, ours.issue("node")) >= 1


async def test_a_wrong_authority_and_a_missing_or_foreign_certificate_say_what_to_look_at(
    etcd: str, ours: EtcdCertificates, tmp_path: Path
) -> None:
    theirs = EtcdCertificates(tmp_path / "theirs")
    for authority, pair in (
        (theirs.authority, ours.issue("node")),
        (ours.authority, None),
        (ours.authority, theirs.issue("node")),
    ):
        with pytest.raises(EtcdUntrusted) as refused:
            await revision((etcd,), authority, pair)
        assert refused.value.retryable
        assert "store_etcd_authority" in str(refused.value.problem()["remedy"])
