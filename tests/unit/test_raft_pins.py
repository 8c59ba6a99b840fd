"""The functions of pysyncobj that are overridden or relied on are those that were read: no upgrade slips through."""

from __future__ import annotations

import hashlib
import inspect

import pytest

from runtime.consensus.raft.core import syncobj

READ = {
    "__init__": "09df12cd7fd7d727",
    "_onTick": "cc9eb08232d005ba",
    "doTick": "bef78c2ba06d784b",
    "_checkCommandsToApply": "a386a8079361d204",
    "_SyncObj__onMessageReceived": "ddfe34b6c0282179",
    "_SyncObj__sendAppendEntries": "9cb9073128c392fa",
    "_SyncObj__onBecomeLeader": "5a3fd97bc17dc1cf",
    "_SyncObj__setCurrentTerm": "0ad5bf456ac06bd3",
    "_SyncObj__setState": "2c1f239f7bd79b39",
    "_SyncObj__generateRaftTimeout": "92ed37d3620e781a",
    "_SyncObj__tryLogCompaction": "c2f8a0ec14cc7312",
    "_SyncObj__loadDumpFile": "ec66e83905de703b",
    "_SyncObj__doApplyCommand": "1ea7aa506e950d0a",
    "_SyncObj__changeCluster": "66b42884f9d2dbd1",
}


@pytest.mark.parametrize("name", READ)
def test_a_function_of_pysyncobj_is_the_one_that_was_read(name: str) -> None:
    """When this fails: read the new function, see whether runtime/consensus/raft still fits it, then pin it."""
    source = inspect.getsource(getattr(syncobj.SyncObj, name))
    assert hashlib.sha256(source.encode()).hexdigest()[:16] == READ[name]


def test_pysyncobjs_unpickling_paths_are_not_reachable() -> None:
    """Whatever arrives goes to our handlers; theirs, which unpickle, are not among them."""
    from runtime.consensus.raft.member import Member

    for name in ("_onTick", "_SyncObj__sendAppendEntries"):
        assert getattr(Member, name) is not getattr(syncobj.SyncObj, name)
    source = inspect.getsource(inspect.getmodule(Member))  # type: ignore[arg-type]
    assert "pickle" not in source
    assert "_SyncObj__onMessageReceived" not in source
