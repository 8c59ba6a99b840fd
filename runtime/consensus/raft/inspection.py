"""What a member can say of itself, and what its group must not be asked to do: both read, neither changes."""

from __future__ import annotations

import os

from runtime.consensus.errors import InvalidRequest
from runtime.consensus.figures import Fill, Recorder, StoreFigures, durations
from runtime.consensus.raft.member import Member
from runtime.state.quotas import TOTAL_BYTES_MAX, fullest


def figures_of(
    member: Member, recorder: Recorder, *, pending: int, snapshot_file: os.stat_result | None, now_unix_ms: int
) -> StoreFigures:
    """`now_unix_ms` is for the age of the snapshot, which outlives the process that wrote it."""
    machine, snapshot, events = member.machine, member.snapshot, recorder.events
    return StoreFigures(
        node=member.node,
        term=member.term,
        leads=member.is_leader,
        has_leader=member.leader != "",
        commit=durations(recorder.commit),
        fsync=durations(recorder.fsync),
        elections=events["election_began"],
        leader_changes=events["leader_changed"],
        quorum_losses=events["quorum_lost"],
        snapshots_written=events["snapshot_written"],
        snapshots_installed=events["snapshot_installed"],
        snapshot_ms=recorder.snapshot_ms,
        snapshot_bytes=snapshot_file.st_size if snapshot_file else 0,
        snapshot_age_s=max(0.0, now_unix_ms / 1_000 - snapshot_file.st_mtime) if snapshot_file else 0.0,
        snapshot_index=snapshot.index if snapshot is not None else 0,
        log_bytes=member.log.bytes_on_disk,
        log_entries=len(member.log),
        commit_index=member.commit_index,
        applied_index=member.applied_index,
        lag_entries=member.lag,
        pending_proposals=pending,
        held_promises=member.held_promises,
        sessions=len(machine.sessions.by_id),
        leases=len(machine.leases.by_id),
        keys=len(machine.keys),
        history_revisions=len(machine.history),
        state=Fill(machine.keys.bytes_total, TOTAL_BYTES_MAX),
        quotas={kind: Fill(*fill) for kind, fill in fullest(machine.keys.weights).items()},
    )


def check_promotion(member: Member, node: str, *, behind_max: int) -> None:
    """Raises InvalidRequest for a learner that would be a vote without being of use: the group might stand still."""
    if node not in member.members:
        raise InvalidRequest(f"{node} is not a member; add it first")
    lag = member.lag.get(node, 0)
    if member.peer(node) not in member.connected:
        raise InvalidRequest(f"{node} is not connected; start it first")
    if lag > behind_max:
        raise InvalidRequest(f"{node} is {lag} entries behind; wait until it is fewer than {behind_max}")


def check_removal(member: Member, node: str) -> None:
    """Raises InvalidRequest for a removal after which those that answer are no majority."""
    after = member.voters - {node}
    if node not in member.voters or not after:
        return  # the rules of membership speak for themselves
    heard_after_s = member.clock() - member.timing.election_max
    heard = [peer for peer in member.other_voters if member.heard_s.get(peer, 0.0) > heard_after_s]
    answering = {str(peer.id) for peer in heard if peer in member.connected} | {member.node}
    if len(answering & after) < len(after) // 2 + 1:
        silent = ", ".join(sorted(after - answering))
        raise InvalidRequest(f"without {node} there would be no majority, for {silent} does not answer; start it first")
