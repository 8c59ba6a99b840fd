"""The functions of pysyncobj that are overridden or relied on are those that were read: no upgrade slips through."""

from __future__ import annotations

import hashlib
import inspect
import re
from pathlib import Path

import pytest

from runtime.consensus import commands as c
from runtime.consensus.errors import TooLarge
from runtime.consensus.limits import check_txn
from runtime.consensus.raft.core import syncobj
from runtime.consensus.raft.member import Member
from runtime.consensus.store import Put

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
    "_SyncObj__getCurrentLogTerm": "1cb8867e6a13d397",
    "_SyncObj__onSetCodeVersion": "17b050edb193c853",
    "_SyncObj__getCurrentLogIndex": "e5af22ca246686bd",
    "_SyncObj__changeCluster": "66b42884f9d2dbd1",
}


@pytest.mark.parametrize("name", READ)
def test_a_function_of_pysyncobj_is_the_one_that_was_read(name: str) -> None:
    """When this fails: read the new function, see whether runtime/consensus/raft still fits it, then pin it."""
    source = inspect.getsource(getattr(syncobj.SyncObj, name))
    assert hashlib.sha256(source.encode()).hexdigest()[:16] == READ[name]


def test_pysyncobjs_unpickling_paths_are_not_reachable() -> None:
    """Whatever arrives goes to our handlers; theirs, which unpickle, are not among them."""
    for name in ("_onTick", "_SyncObj__sendAppendEntries"):
        assert getattr(Member, name) is not getattr(syncobj.SyncObj, name)
    source = inspect.getsource(inspect.getmodule(Member))  # type: ignore[arg-type]
    assert "pickle" not in source
    assert "_SyncObj__onMessageReceived" not in source


def named_by_us() -> set[str]:
    """What of pysyncobj our code names: private functions that it calls or overrides, and public ones likewise."""
    folder = Path(inspect.getfile(Member)).parent
    text = "".join(path.read_text() for path in sorted(folder.glob("*.py")))
    private = {name for name in re.findall(r"_SyncObj__\w+", text) if callable(getattr(syncobj.SyncObj, name, None))}
    ours = [kind for kind in Member.__mro__ if kind.__module__.startswith("runtime.")]
    overridden = {name for kind in ours for name in vars(kind) if inspect.isfunction(vars(syncobj.SyncObj).get(name))}
    called = {name for name in vars(syncobj.SyncObj) if re.search(rf"self\.{name}\(", text)}
    return private | overridden | called


def test_every_function_of_pysyncobj_that_is_named_here_is_pinned() -> None:
    assert named_by_us() <= READ.keys()
    assert {"_SyncObj__onBecomeLeader", "_onTick", "doTick", "__init__"} <= named_by_us()


def test_what_pysyncobjs_own_functions_call_is_pinned_too() -> None:
    """Of those that run: the overridden ones do not."""
    overridden = {name for name in READ if getattr(Member, name) is not getattr(syncobj.SyncObj, name)}
    for name in (named_by_us() - overridden) | {"__init__"}:
        source = inspect.getsource(getattr(syncobj.SyncObj, name))
        called = {f"_SyncObj{each}" if each.startswith("__") else each for each in re.findall(r"self\.(\w+)\(", source)}
        assert called <= READ.keys(), name


def test_every_attribute_of_pysyncobj_that_is_named_here_is_made_by_its_constructor() -> None:
    """One that was renamed would be a new attribute of ours, and pysyncobj would not see it."""
    folder = Path(inspect.getfile(Member)).parent
    named = {each for path in folder.glob("*.py") for each in re.findall(r"_SyncObj(__\w+)", path.read_text())}
    made = inspect.getsource(syncobj.SyncObj.__init__)
    attributes = {name for name in named if not callable(getattr(syncobj.SyncObj, f"_SyncObj{name}", None))}
    assert len(attributes) > 10
    assert all(f"self.{name} = " in made for name in attributes)


def test_the_largest_transaction_never_comes_to_pysyncobjs_pickled_transmission() -> None:
    """It is for entries of a batch or more, in the one function that sends; ours stands in its place."""
    sends = "_SyncObj__sendAppendEntries"
    source = inspect.getsource(getattr(syncobj.SyncObj, sends))
    assert "pickle.dumps" in source
    assert "'transmission': transmission" in source
    assert getattr(Member, sends) is not getattr(syncobj.SyncObj, sends)
    assert "pickle" not in inspect.getsource(getattr(Member, sends))
    puts = tuple(Put(key=f"k{number:02}", value=bytes(64 * 1024 - 64)) for number in range(16))
    check_txn(c.Txn((), puts))
    with pytest.raises(TooLarge):
        check_txn(c.Txn((), (*puts, Put(key="one-more", value=bytes(1_024)))))
