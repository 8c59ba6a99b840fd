"""What `aether store` asks of running members, and how it shows the answers."""

from __future__ import annotations

import argparse
from typing import Final

import anyio
import msgspec

from agent_api.cli.table import show, show_json
from runtime.consensus.figures import StoreFigures
from runtime.consensus.operator import MemberReport, Operator, differing

Row = dict[str, object]
MIB: Final = 1024 * 1024
LED_S: Final = 5.0
AGE_UNITS: Final = ((86_400, "days"), (3_600, "h"), (60, "min"), (1, "s"))  # the largest of which there are two
STATUS_COLUMNS: Final = (
    ("MEMBER", "node"),
    ("ROLE", "role"),
    ("STATE", "state"),
    ("TERM", "term"),
    ("COMMIT", "commit"),
    ("APPLIED", "applied"),
    ("LAG", "lag"),
    ("LOG", "log"),
    ("LAST SNAPSHOT", "snapshot"),
    ("FSYNC P99", "fsync"),
    ("ADDRESS", "address"),
)


async def status(operator: Operator, arguments: argparse.Namespace) -> int:
    """0 when there is a leader and every member answers."""
    reports = await operator.status()
    leading = next((each for each in reports if each.figures is not None and each.figures.leads), None)
    well = leading is not None and all(each.status is not None for each in reports)
    if arguments.json:
        show_json({"well": well, "leader": leading.node if leading else "", "members": msgspec.to_builtins(reports)})
        return 0 if well else 1
    known = leading or next((each for each in reports if each.status is not None), None)
    if known is not None and known.status is not None:
        voters = len(known.status.members)
        leader = leading.node if leading else "none"
        print(f"leader {leader}, term {known.status.term}, revision {known.status.revision}, ", end="")
        print(f"{voters} voters of which {voters // 2 + 1} decide\n")
    lag = leading.status.lag if leading is not None and leading.status is not None else {}
    show([_row(each, known, lag) for each in reports], STATUS_COLUMNS)
    for each in reports:
        if each.error:
            print(f"\n{each.node} does not answer: {each.error}")
    return 0 if well else 1


def _row(report: MemberReport, known: MemberReport | None, lag: dict[str, int]) -> Row:
    learners = known.status.learners if known is not None and known.status is not None else ()
    row: Row = {"node": report.node, "role": "learner" if report.node in learners else "voter"}
    row |= {"address": report.address, "state": "silent", "lag": lag.get(report.node, "")}
    if report.status is None or report.figures is None:
        return row
    from runtime.telemetry.histogram import Histogram

    figures = report.figures
    fsync_us = Histogram(figures.fsync.buckets, figures.fsync.sum_us).percentile(0.99)
    return row | {
        "state": "leads" if figures.leads else "follows" if report.status.leader else "no leader",
        "term": report.status.term,
        "commit": figures.commit_index,
        "applied": figures.applied_index,
        "lag": 0 if figures.leads else lag.get(report.node, ""),
        "log": f"{figures.log_bytes / MIB:.1f} MiB",
        "snapshot": last_snapshot(figures),
        "fsync": f"{fsync_us / 1_000:.1f} ms",
    }


def last_snapshot(figures: StoreFigures) -> str:
    """As `status` shows it."""
    if not figures.snapshot_index:
        return "none yet"
    age_s = int(figures.snapshot_age_s)
    unit_s, unit = next((each for each in AGE_UNITS if age_s >= 2 * each[0]), AGE_UNITS[-1])
    return f"entry {figures.snapshot_index}, {age_s // unit_s} {unit} old"


async def check(operator: Operator, arguments: argparse.Namespace) -> int:
    """0 when every member answered and all states are the same."""
    digests = await operator.check()
    wrong, silent = differing(digests), [each.node for each in digests if each.digest is None]
    if arguments.json:
        rows = msgspec.to_builtins(digests)
        show_json({"same": not wrong and not silent, "differing": wrong, "silent": silent, "members": rows})
        return 1 if wrong or silent else 0
    for each in digests:
        if each.digest is None:
            print(f"{each.node}  did not answer: {each.error}")
        else:
            mark = "  DIFFERS" if each.node in wrong else ""
            print(f"{each.node}  revision {each.digest.revision}  {each.digest.keys} keys  {each.digest.state}{mark}")
    if len(wrong) == len(digests) - len(silent) and wrong:
        print("\nno state is that of most members; take a backup of each before you do anything")
    elif wrong:
        print(f"\n{', '.join(wrong)} differs from most: remove it and let its machine join under a new id:")
        print("\n".join(f"  aether store members remove {node}" for node in wrong))
    elif silent:
        print(f"\nthose that answered agree; {', '.join(silent)} could not be compared, check again")
    else:
        print("\nall members have the same state")
    return 1 if wrong or silent else 0


async def list_members(operator: Operator, arguments: argparse.Namespace) -> int:
    addresses = await operator.store.members()
    known = await operator.store.status()
    rows: list[Row] = [
        {"node": node, "role": "voter" if node in known.members else "learner", "address": address}
        for node, address in sorted(addresses.items())
    ]
    if arguments.json:
        show_json({"members": rows})
    else:
        show(rows, (("MEMBER", "node"), ("ROLE", "role"), ("ADDRESS", "address")))
    return 0


async def add_member(operator: Operator, arguments: argparse.Namespace) -> int:
    await operator.store.add_member(arguments.node, arguments.address, rises=False)
    return _done(
        arguments,
        f"{arguments.node} is a learner at {arguments.address}; once it has caught up, give it its vote:\n"
        f"  aether store members promote {arguments.node}",
        node=arguments.node,
        role="learner",
    )


async def promote_member(operator: Operator, arguments: argparse.Namespace) -> int:
    await operator.store.promote_member(arguments.node)
    return _done(arguments, f"{arguments.node} is a voter", node=arguments.node, role="voter")


async def remove_member(operator: Operator, arguments: argparse.Namespace) -> int:
    known = arguments.node in await operator.store.members()
    await operator.store.remove_member(arguments.node)
    said = f"{arguments.node} is no member any more" if known else f"{arguments.node} was no member"
    return _done(arguments, said, node=arguments.node, role="none")


async def transfer(operator: Operator, arguments: argparse.Namespace) -> int:
    """0 once the new leader has taken over."""
    asked = await operator.store.transfer_leadership(arguments.node)
    with anyio.move_on_after(LED_S):
        async for leadership in operator.store.leadership():
            if leadership.leader == asked:
                return _done(arguments, f"{asked} leads", leader=asked)
    leader = (await operator.store.status()).leader
    print(f"{asked} was asked and has not taken over; leader is {leader or 'none yet'}")
    return 1


async def compact(operator: Operator, arguments: argparse.Namespace) -> int:
    from runtime.consensus.store import Revision

    revision = Revision(arguments.revision or await operator.newest_revision())
    await operator.store.compact(revision)
    return _done(arguments, f"history up to revision {revision} is gone", revision=revision)


def _done(arguments: argparse.Namespace, said: str, **fields: object) -> int:
    if arguments.json:
        show_json(fields)
    else:
        print(said)
    return 0
