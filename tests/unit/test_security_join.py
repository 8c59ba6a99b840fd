"""Joining: who holds a token gets in, once; everybody else is told why not, and learns nothing."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.cluster.admission import handle_join
from runtime.cluster.founding import DirectoryUnusable, NodePlan, begin_join, finish_join, found_cluster
from runtime.cluster.identity import Listen, read_identity
from runtime.cluster.layout import NodeLayout
from runtime.cluster.seed import plant_seed
from runtime.consensus.memory import MemoryStore
from runtime.names import NodeId
from runtime.security.authority import Authority
from runtime.security.errors import JoinAnswerInvalid, JoinRefused, NoAuthority
from runtime.security.join import Envelope, JoinAttempt
from runtime.security.tls import client_context
from runtime.security.token import JoinSecret, make_token, read_token
from runtime.state import keys
from runtime.state.values import ClusterRecord, NodeRecord, decode

pytestmark = pytest.mark.anyio

NOW = 1_790_000_000_000


class FixedClock:
    def __init__(self, unix_ms: int = NOW) -> None:
        self.now = unix_ms

    def monotonic_s(self) -> float:
        return self.now / 1000

    def unix_ms(self) -> int:
        return self.now


def plan(node: str, *, role: str = "core", base: int = 7400) -> NodePlan:
    listen = Listen(http=base, api=base + 1, peer=base + 2, control=base + 3, store=base + 4 if role == "core" else 0)
    return NodePlan(node=NodeId(node), role=role, zone="default", listen=listen)  # type: ignore[arg-type]


class Cluster:
    """A cluster of one node in a temporary directory."""

    def __init__(self, data: Path) -> None:
        self.layout = NodeLayout(data)
        self.store = MemoryStore()
        self.clock = FixedClock()
        self.members: list[tuple[str, str]] = []
        found_cluster(data, plan("n1"), now_unix_ms=NOW)

    async def begin(self) -> None:
        await plant_seed(self.layout, self.store)

    async def add_member(self, node: NodeId, address: str) -> None:
        self.members.append((node, address))

    async def answer(self, message: bytes) -> bytes:
        return await handle_join(
            message, tls=self.layout.tls, store=self.store, add_member=self.add_member, clock=self.clock
        )

    def token(self, *, uses: int = 1) -> JoinSecret:
        made = make_token(Authority.load(self.layout.tls), now_unix_ms=NOW, valid_s=3600, uses=uses)
        return read_token(made.text())

    def attempt(self, token: JoinSecret, node: str, *, base: int = 7500, role: str = "core") -> JoinAttempt:
        return begin_join(plan(node, base=base, role=role), token, now_unix_ms=NOW)


@pytest.fixture
async def cluster(tmp_path: Path) -> Cluster:
    cluster = Cluster(tmp_path / "n1")
    await cluster.begin()
    return cluster


async def test_a_node_with_a_token_becomes_a_member_with_a_certificate(cluster: Cluster, tmp_path: Path) -> None:
    attempt = cluster.attempt(cluster.token(), "n2")
    answer = attempt.accept(await cluster.answer(attempt.request()), now_unix_ms=NOW)
    finish_join(tmp_path / "n2", plan("n2", base=7500), attempt, answer)
    layout = NodeLayout(tmp_path / "n2")
    assert read_identity(layout.identity).cluster_id == read_identity(cluster.layout.identity).cluster_id
    assert client_context(layout.tls)
    assert not (layout.tls / "ca.key").exists()
    assert cluster.members == [("n2", "127.0.0.1:7504")]
    record = decode(cluster.store.items[keys.node(NodeId("n2"))].value, NodeRecord)
    assert (record.role, record.addresses.api) == ("core", "127.0.0.1:7501")


async def test_the_token_itself_does_not_travel(cluster: Cluster) -> None:
    token = cluster.token()
    request = cluster.attempt(token, "n2").request()
    answer = await cluster.answer(request)
    for message in (request, answer):
        assert token.secret.encode() not in message
    assert token.secret not in repr(token)
    assert not [item for item in cluster.store.items.values() if token.secret.encode() in item.value]


async def test_a_token_admits_as_many_nodes_as_it_says(cluster: Cluster) -> None:
    token = cluster.token(uses=2)
    await cluster.answer(cluster.attempt(token, "n2", base=7500).request())
    await cluster.answer(cluster.attempt(token, "n3", base=7600).request())
    with pytest.raises(JoinRefused, match="used up"):
        await cluster.answer(cluster.attempt(token, "n4", base=7700).request())


async def test_a_node_whose_answer_was_lost_may_ask_again(cluster: Cluster) -> None:
    attempt = cluster.attempt(cluster.token(), "n2")
    await cluster.answer(attempt.request())
    again = attempt.accept(await cluster.answer(attempt.request()), now_unix_ms=NOW)
    assert again.core_nodes == {}


async def test_a_worker_learns_the_core_nodes_and_stays_out_of_the_stores_group(cluster: Cluster) -> None:
    token = cluster.token(uses=2)
    await cluster.answer(cluster.attempt(token, "n2").request())
    attempt = cluster.attempt(token, "w1", base=7600, role="worker")
    answer = attempt.accept(await cluster.answer(attempt.request()), now_unix_ms=NOW)
    assert answer.core_nodes == {"n2": "127.0.0.1:7504"}
    assert [node for node, _ in cluster.members] == ["n2"]


async def test_a_taken_node_id_is_refused(cluster: Cluster) -> None:
    token = cluster.token(uses=3)
    await cluster.answer(cluster.attempt(token, "n2").request())
    with pytest.raises(JoinRefused, match="already has a node 'n2'"):
        await cluster.answer(cluster.attempt(token, "n2", base=7600).request())


async def test_a_taken_address_is_refused_naming_its_owner(cluster: Cluster) -> None:
    token = cluster.token(uses=3)
    await cluster.answer(cluster.attempt(token, "n2").request())
    with pytest.raises(JoinRefused, match=r"node 'n2' already has the address 127\.0\.0\.1:75"):
        await cluster.answer(cluster.attempt(token, "n3").request())


async def test_an_expired_token_is_refused(cluster: Cluster) -> None:
    token = cluster.token()
    cluster.clock.now = NOW + 3_601_000
    with pytest.raises(JoinRefused, match="expired"):
        await cluster.answer(cluster.attempt(token, "n2").request())


async def test_a_token_whose_expiry_was_edited_is_refused(cluster: Cluster) -> None:
    token = cluster.token()
    edited = JoinSecret(token.public.replace(token.public.split("-")[1], "ffffffff"), token.secret, token.fingerprint)
    with pytest.raises(JoinRefused, match="token is wrong"):
        await cluster.answer(cluster.attempt(edited, "n2").request())


async def test_a_wrong_clock_is_named_on_both_sides(cluster: Cluster) -> None:
    attempt = cluster.attempt(cluster.token(), "n2")
    cluster.clock.now = NOW + 400_000
    with pytest.raises(JoinRefused, match="differ by 400 s"):
        await cluster.answer(attempt.request())
    cluster.clock.now = NOW
    answer = await cluster.answer(attempt.request())
    with pytest.raises(JoinRefused, match="clocks"):
        attempt.accept(answer, now_unix_ms=NOW - 400_000)


async def test_a_changed_request_is_refused(cluster: Cluster) -> None:
    envelope = msgspec.json.decode(cluster.attempt(cluster.token(), "n2").request(), type=Envelope)
    altered = msgspec.structs.replace(envelope, body=envelope.body.replace('"core"', '"worker"'))
    with pytest.raises(JoinRefused, match="token is wrong"):
        await cluster.answer(msgspec.json.encode(altered))


async def test_an_answer_from_somebody_else_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    """Whoever stands in the way cannot make a node trust another CA: he does not know the token."""
    attempt = cluster.attempt(cluster.token(), "n2")
    answer = msgspec.json.decode(await cluster.answer(attempt.request()), type=Envelope)
    for altered in (msgspec.structs.replace(answer, mac="0" * 64), msgspec.structs.replace(answer, body="{}")):
        with pytest.raises(JoinAnswerInvalid):
            attempt.accept(msgspec.json.encode(altered), now_unix_ms=NOW)
    with pytest.raises(JoinAnswerInvalid):
        attempt.accept(attempt.request(), now_unix_ms=NOW)


async def test_an_answer_to_another_request_is_refused(cluster: Cluster) -> None:
    token = cluster.token(uses=2)
    first, second = cluster.attempt(token, "n2"), cluster.attempt(token, "n3", base=7600)
    answer = await cluster.answer(first.request())
    with pytest.raises(JoinAnswerInvalid, match="another request"):
        second.accept(answer, now_unix_ms=NOW)


async def test_a_node_without_the_ca_key_sends_joiners_elsewhere(cluster: Cluster) -> None:
    request = cluster.attempt(cluster.token(), "n2").request()
    (cluster.layout.tls / "ca.key").unlink()
    with pytest.raises(NoAuthority):
        await cluster.answer(request)


@pytest.fixture(scope="module")
def refusing(tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """For requests that change nothing: a cluster's keys take longer to make than a hundred refusals."""
    return Cluster(tmp_path_factory.mktemp("c") / "n1")


@given(raw=st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
async def test_whatever_is_sent_to_join_is_refused_as_such(raw: bytes, refusing: Cluster) -> None:
    with pytest.raises(JoinRefused):
        await refusing.answer(raw)
    assert (refusing.store.items, refusing.members) == ({}, [])


@pytest.mark.parametrize("text", ["", "x", "01cb13df-6b06c82d-1", "01CB13DF-6B06C82D-1-" + "0" * 32 + "-" + "0" * 32])
async def test_what_is_no_token_is_said_so(text: str) -> None:
    with pytest.raises(JoinRefused, match="no join token"):
        read_token(text)


async def test_the_seed_is_planted_once(cluster: Cluster) -> None:
    record = decode(cluster.store.items[keys.CLUSTER].value, ClusterRecord)
    assert len(record.admin_key_sha256) == 64
    assert not await plant_seed(cluster.layout, cluster.store)


async def test_a_directory_is_made_whole_or_not_at_all(tmp_path: Path) -> None:
    data = tmp_path / "n1"
    (data / ".new-crashed").mkdir(parents=True)
    found_cluster(data, plan("n1"), now_unix_ms=NOW)
    assert sorted(path.name for path in data.iterdir()) == ["admin.key", "node.json", "seed.json", "tls"]
    with pytest.raises(DirectoryUnusable, match="already holds a node"):
        found_cluster(data, plan("n1"), now_unix_ms=NOW)
    (data / "node.json").unlink()
    with pytest.raises(DirectoryUnusable, match="not empty and holds no node"):
        found_cluster(data, plan("n1"), now_unix_ms=NOW)
