"""Bugs to plant, one for each protection of the store: the simulation must find every one of them, or proves little."""

from __future__ import annotations

from typing import Final

import crc32c

from evals.planting import Plant
from evals.simulation import bugs
from runtime.consensus.history import History
from runtime.consensus.leases import Leases
from runtime.consensus.machine import Machine
from runtime.consensus.raft import records, replica
from runtime.consensus.raft.core import Core
from runtime.consensus.raft.elections import Elections
from runtime.consensus.raft.installs import Installs
from runtime.consensus.raft.log import Log
from runtime.consensus.raft.member import Member
from runtime.consensus.raft.reads import ReadRounds
from runtime.consensus.raft.replica import Replica
from runtime.consensus.raft.replication import Replication
from runtime.consensus.sessions import Sessions

PLANTS: Final = {
    "cut-without-conflict": Plant("truncation only on conflict", Replication, "_take_over", bugs.cut_without_conflict),
    "any-acknowledgement": Plant(
        "term in acknowledgements, match index never regresses",
        Replication,
        "on_appended",
        bugs.believe_any_acknowledgement,
    ),
    "acknowledge-everything": Plant(
        "what lies before must agree", Replication, "on_append", bugs.acknowledge_everything
    ),
    "commit-without-majority": Plant("commit by majority", Replication, "advance_commit", bugs.commit_without_majority),
    "commit-any-term": Plant("commit by entries of the own term", Replication, "advance_commit", bugs.commit_any_term),
    "count-unsynced": Plant("the own log counts once synced", Log, "durable_index", property(bugs.count_unsynced)),
    "count-what-was-found": Plant(
        "what a killed process left is synced before it counts", Log, "_make_last", bugs.count_what_was_found
    ),
    "promise-before-sync": Plant("sync before acknowledgement and vote", Replica, "promise", bugs.promise_before_sync),
    "forget-the-vote": Plant("term and vote in the log", Core, "set_term", bugs.forget_the_vote),
    "vote-for-anyone": Plant("a vote only for a log as new", Elections, "_is_as_new", bugs.vote_for_anyone),
    "vote-twice": Plant("one vote a term", Elections, "on_request_vote", bugs.vote_twice),
    "votes-by-number": Plant("votes count by who gave them", Elections, "on_voted", bugs.count_votes_by_number),
    "no-pre-vote": Plant("asking first (pre-vote)", Elections, "_ask_first", bugs.never_ask_first),
    "no-stickiness": Plant(
        "a leader that is heard is left alone", Elections, "_hears_leader", bugs.never_hear_a_leader
    ),
    "no-check-quorum": Plant("a leader without majority steps down", Elections, "_check_quorum", bugs.lead_alone),
    "changes-at-once": Plant("one change of members at a time", Member, "propose_change", bugs.change_members_at_once),
    "voters-at-once": Plant("learners first", replica, "changed", bugs.voters_at_once),
    "no-checksum": Plant("a checksum on every record", crc32c, "crc32c", bugs.trust_every_byte),
    "cut-any-damage": Plant("damage in the middle refuses", records, "_later_batch", bugs.cut_any_damage),
    "publish-unsynced": Plant(
        "a snapshot is synced before the log is cut", Installs, "_publish", bugs.publish_unsynced
    ),
    "keep-own-snapshot": Plant("no older snapshot over a newer one", Installs, "_receive", bugs.keep_own_snapshot),
    "snapshot-without-leases": Plant("all of the state in it", Machine, "snapshot", bugs.snapshot_without_leases),
    "apply-again": Plant("sessions: a repeated command is applied once", Sessions, "admit", bugs.apply_again),
    "apply-twice": Plant("every entry is applied once", Member, "_applied", bugs.apply_twice_where_answered),
    "read-without-asking": Plant("reads confirm the lead first", ReadRounds, "confirm", bugs.read_without_asking),
    "count-time-before": Plant("a lease never ends early", Leases, "pass_time", bugs.count_time_before),
    "watch-with-gaps": Plant("a watch has no gap", History, "since", bugs.watch_with_gaps),
}
