"""What a state is made into before a new group begins with it."""

from __future__ import annotations

from runtime.cluster.restoring import REVISION_JUMP, renew
from runtime.consensus import commands as c
from runtime.consensus.machine import Machine
from runtime.consensus.store import LeaseId, Put, Revision
from runtime.state import keys
from runtime.state.values import ClusterRecord, decode, encode

RECORD = ClusterRecord(cluster_id="old", created_unix_ms=1, admin_key_sha256="a")


def apply(machine: Machine, command: c.Command, session: int = 0, sequence: int = 0) -> c.Result:
    return machine.apply(c.encode(c.Envelope(command, session, sequence)))


def used() -> Machine:
    machine = Machine()
    apply(machine, c.OpenSession())
    apply(machine, c.Grant(5_000))
    live = Put(key=f"{keys.NODES_LIVE}n1", value=b"", lease=LeaseId(1))
    mine = Put(key="database/tea/1", value=b"hot", lease=LeaseId(1))
    apply(machine, c.Txn((), (Put(key=keys.CLUSTER, value=encode(RECORD)), Put(key="node/n1", value=b""), live, mine)))
    apply(machine, c.Tick(1_000))
    apply(machine, c.Tick(4_000))
    return machine


def record_of(machine: Machine) -> ClusterRecord:
    item = machine.keys.get(keys.CLUSTER)
    assert item is not None
    return decode(item.value, ClusterRecord)


def test_the_same_cluster_keeps_its_nodes_and_gets_a_new_id() -> None:
    machine = used()
    before = machine.revision
    renew(machine, cluster="new", seed=None, foreign=False)
    assert machine.revision == before + REVISION_JUMP
    assert (record_of(machine).cluster_id, record_of(machine).admin_key_sha256) == ("new", "a")
    assert machine.keys.get("node/n1") is not None
    assert machine.keys.get(f"{keys.NODES_LIVE}n1") is not None


def test_from_another_cluster_comes_what_users_made_and_the_new_ones_admin_key() -> None:
    machine = used()
    seed = ClusterRecord(cluster_id="init", created_unix_ms=2, admin_key_sha256="b")
    renew(machine, cluster="new", seed=seed, foreign=True)
    assert (record_of(machine).cluster_id, record_of(machine).admin_key_sha256) == ("new", "b")
    assert machine.keys.get("node/n1") is None
    assert machine.keys.get(f"{keys.NODES_LIVE}n1") is None
    assert machine.keys.get("database/tea/1") is not None
    assert machine.leases.get(LeaseId(1)).keys == {"database/tea/1"}


def test_a_lease_has_its_whole_time_again_and_then_ends() -> None:
    machine = used()
    renew(machine, cluster="new", seed=None, foreign=False)
    assert machine.leases.get(LeaseId(1)).left_ms == 5_000
    apply(machine, c.Tick(4_999))  # the first that a leader says may have begun before
    apply(machine, c.Tick(4_999))
    assert machine.keys.get("database/tea/1") is not None
    apply(machine, c.Tick(1))
    assert machine.keys.get("database/tea/1") is None


def test_a_change_that_an_old_client_repeats_is_refused_and_no_session_is_given_twice() -> None:
    machine = used()
    repeated = c.Txn((), (Put(key="database/tea/2", value=b""),))
    apply(machine, repeated, session=1, sequence=1)
    renew(machine, cluster="new", seed=None, foreign=False)
    refused = apply(machine, repeated, session=1, sequence=1)
    assert isinstance(refused, c.Failed)
    assert refused.code == "session_lost"
    opened = apply(machine, c.OpenSession())
    assert isinstance(opened, c.Applied)
    assert opened.session == 2


def test_history_before_the_jump_is_gone_for_watchers() -> None:
    """What the new group's members know after they have read the state that it begins with."""
    machine = used()
    renew(machine, cluster="new", seed=None, foreign=False)
    begun = Machine()
    begun.restore(list(machine.snapshot()))
    assert begun.history.compacted == begun.revision == machine.revision
    apply(begun, c.Lead("n1"))
    assert begun.revision == Revision(machine.revision + 1)
