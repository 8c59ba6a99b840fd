"""What the store refuses or cannot do. `code` is stable; clients branch on it."""

from __future__ import annotations

from runtime.errors import RuntimeFault


class StoreFault(RuntimeFault):
    """Base of all store errors."""

    code = "store_fault"


class NotLeader(StoreFault):
    """Raised inside an engine; the client follows `leader` and tries again."""

    code, retryable = "not_leader", True

    def __init__(self, leader: str) -> None:
        super().__init__(f"this node does not lead; last known leader: {leader or 'none'}")
        self.leader = leader


class NoQuorum(StoreFault):
    code, retryable = "no_quorum", True
    remedy = "Bring back core nodes until more than half of them run; requests are served meanwhile."


class StoreUnavailable(StoreFault):
    """No store process answered in time. A change that was sent may or may not have been applied."""

    code, retryable = "store_unavailable", True
    remedy = "Check that the node's store process runs: aether node status."


class Compacted(StoreFault):
    code = "compacted"
    remedy = "Read the range again and watch from its revision."

    def __init__(self, oldest: int) -> None:
        super().__init__(f"history before revision {oldest} is gone")
        self.oldest = oldest


class TooLarge(StoreFault):
    code = "too_large"
    remedy = "Split it into several keys or transactions; large bytes belong into content, their name into the store."


class QuotaExceeded(StoreFault):
    code = "quota_exceeded"
    remedy = "Delete what is no longer needed below that prefix, or raise its quota."


class LeaseNotFound(StoreFault):
    code = "lease_not_found"
    remedy = "The lease expired; grant a new one and write its keys again."


class InvalidRequest(StoreFault):
    code = "invalid_request"


class ChangeUnderWay(InvalidRequest):
    """Members change one at a time."""

    code, retryable = "change_under_way", True
    remedy = "Try again in a moment; if it stays so, no majority confirms the earlier change: aether store status."


class Overloaded(StoreFault):
    code, retryable = "store_overloaded", True
    remedy = "Wait a moment; too many changes are waiting for the log."


class TooManyWatchers(StoreFault):
    code, retryable = "too_many_watchers", True
    remedy = "Watch several prefixes with one watch, close those not needed, or ask another member."


class AnswerUnreadable(StoreFault):
    """A store answered something that is no answer: garbage, or a form of another release."""

    code = "answer_unreadable"
    remedy = "Bring all nodes to one release; if they are of one, report it with the log of the store asked."


class SessionLost(StoreFault):
    """A change was sent, and whether it was applied can no longer be found out."""

    code = "session_lost"
    remedy = "Read the state before you repeat the change."
    repeated = True
    """Whether the change was sent more than once; else it was not applied."""


class EtcdUnreachable(StoreUnavailable):
    """No member of etcd answered in time. A change that was sent may or may not have been applied."""

    code = "etcd_unreachable"
    remedy = "Check that etcd runs at store_etcd_endpoints and this machine reaches it: etcdctl endpoint health."


class EtcdUntrusted(StoreUnavailable):
    code = "etcd_untrusted"
    remedy = (
        "Check store_etcd_authority (the CA of etcd), store_etcd_certificate and store_etcd_key (from a CA that etcd "
        "trusts), and that each of store_etcd_endpoints is named in the certificate of that member."
    )


class NotOnThisEngine(StoreFault):
    """The verb is of the built-in engine; here etcd's own tools do it."""

    code = "not_on_this_engine"
    remedy = "Use etcd's tools for its members, snapshots and digests: etcdctl member, snapshot, endpoint hashkv."


class StoreDamaged(StoreFault):
    """A file of this member is not what was written, or not its own. It must not start from it."""

    code = "store_damaged"
    remedy = (
        "The other members have everything. On one of them: aether store members remove NODE; then let this machine "
        "join under a new id with an empty directory. If none is whole: aether store snapshot restore."
    )


class StoreLost(StoreFault):
    """A member that has voted and acknowledged must not come back under its id without its log."""

    code = "store_lost"
    remedy = (
        "What it promised went with the disk, so this id must not vote again. On another node: aether store members "
        "remove NODE; then join under a new id with an empty directory. If no member is left: aether store snapshot "
        "restore FILE --data DIR."
    )


class StoreDirectoryUnfit(StoreFault):
    code = "store_directory_unfit"

    def __init__(self, cause: str, remedy: str) -> None:
        super().__init__(cause)
        self._remedy = remedy

    def problem(self) -> dict[str, object]:
        return {**super().problem(), "remedy": self._remedy}


_BY_CODE: dict[str, type[StoreFault]] = {
    kind.code: kind
    for kind in (
        NoQuorum,
        StoreUnavailable,
        TooLarge,
        QuotaExceeded,
        LeaseNotFound,
        InvalidRequest,
        ChangeUnderWay,
        Overloaded,
        TooManyWatchers,
        SessionLost,
        EtcdUnreachable,
        EtcdUntrusted,
        NotOnThisEngine,
    )
}


def error_of(code: str, detail: str) -> StoreFault:
    """The error that travelled as code and sentence."""
    if code == NotLeader.code:
        return NotLeader("")
    if code == Compacted.code:
        digits = "".join(character for character in detail if character.isdigit())
        return Compacted(int(digits or 0))
    return _BY_CODE.get(code, StoreFault)(detail)
