"""The data-plane benchmark: every row back to back in interleaved rounds, so that a busy machine harms all alike."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from evals.bench import chains, figures, ours
from evals.bench.peers import PeerFailed, Peers
from evals.bench.rows import Row
from evals.forge.forge import Forge
from runtime.cluster.layout import NodeLayout
from runtime.errors import RuntimeFault

GROUPS: Final = ("bare", "aether", "fastapi", "ray", "figures")
ROUNDS: Final = 5
RATIOS: Final = {  # ratio: (ours, theirs)
    "forward_vs_bare_chain": ("forward", "bare_chain"),
    "forward_remote_vs_bare_chain": ("forward_remote", "bare_remote_chain"),
    "call_vs_bare_chain": ("call", "bare_call_chain"),
    "inner_call_vs_bare_frames": ("inner_call", "bare_inner_call"),
    "forward_vs_fastapi_httpx": ("forward", "fastapi_httpx"),
    "forward_vs_fastapi_aiohttp": ("forward", "fastapi_aiohttp"),
    "forward_vs_ray_haproxy": ("forward", "ray_haproxy"),
    "forward_vs_ray_default": ("forward", "ray_default"),
}


class NothingToMeasure(RuntimeFault):
    code = "nothing_to_measure"
    remedy = f"Name one or more of {', '.join(GROUPS)}."


@dataclass(slots=True, kw_only=True)
class Result:
    """`notes` say what could not be measured, and why."""

    rows: list[Row] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def ratios(self) -> dict[str, float]:
        """Ours divided by theirs, of the medians."""
        rps = {row.name: row.rps for row in self.rows if row.rounds}
        return {
            name: round(rps[mine] / rps[theirs], 3)
            for name, (mine, theirs) in RATIOS.items()
            if mine in rps and theirs in rps
        }

    def as_json(self) -> dict[str, object]:
        measured = {**self.figures}
        for row in self.rows:
            measured.update({f"{row.name}_{key}": value for key, value in row.figures().items()})
        return {"figures": measured, "ratios": self.ratios(), "notes": self.notes}


async def measure(
    *,
    seconds: float,
    rounds: int,
    groups: Sequence[str],
    examples: list[Path],
    ray_python: str,
    progress: Callable[[str], None],
) -> Result:
    """Raises RuntimeFault when a row cannot be measured."""
    if not set(groups) <= set(GROUPS) or not groups:
        raise NothingToMeasure(f"{', '.join(sorted(set(groups) - set(GROUPS)))} is no part of this benchmark")
    result = Result()
    with tempfile.TemporaryDirectory(prefix="aether-bench-") as temporary:
        directory = Path(temporary)
        if "figures" in groups:
            result.figures["forge_ready_s"] = await figures.forge_ready_s(directory, examples, progress)
            result.figures.update(await figures.node_figures(directory, progress))
        if set(groups) - {"figures"}:
            progress("starting what is measured")
            async with Forge(nodes=2, apps=ours.projects(directory)) as forge:
                async with Peers() as peers:
                    result.rows += await _rows(forge, peers, directory, groups)
                    await _rounds(result.rows, seconds, rounds, progress)
                if "ray" in groups:
                    await _measure_ray(result, seconds, rounds, ray_python, progress)
    return result


async def _rows(forge: Forge, peers: Peers, directory: Path, groups: Sequence[str]) -> list[Row]:
    """In the order in which a round drives them: what is compared stands side by side."""
    rows = {row.name: row for row in await ours.rows(forge)} if "aether" in groups else {}
    if "bare" in groups:
        tls = NodeLayout(forge.nodes[forge.names[0]].data).tls
        for row in (
            await chains.bare_local(peers, directory),
            await chains.bare_remote(peers, directory, tls),
            await chains.bare_call(peers, directory),
            await chains.bare_inner_call(peers, directory),
        ):
            rows[row.name] = row
    if "fastapi" in groups:
        for client in ("aiohttp", "httpx"):
            row = await chains.fastapi(peers, client)
            rows[row.name] = row
    order = [name for pair in RATIOS.values() for name in pair]
    return sorted(rows.values(), key=lambda row: order.index(row.name))


async def _measure_ray(
    result: Result, seconds: float, rounds: int, python: str, progress: Callable[[str], None]
) -> None:
    """By itself, one mode after the other: its many processes would disturb the other rows, and they it."""
    if not chains.ray_is_here(python):
        result.notes.append("Ray Serve not measured: ray[serve] is not installed (--ray-python names another Python)")
        return
    for mode in ("haproxy", "default"):
        try:
            async with Peers() as peers:
                row = await chains.ray(peers, mode, python)
                await _rounds([row], seconds, rounds, progress)
        except PeerFailed as fault:
            result.notes.append(f"Ray Serve ({mode}) not measured: {fault}")
        else:
            result.rows.append(row)


async def _rounds(rows: Sequence[Row], seconds: float, rounds: int, progress: Callable[[str], None]) -> None:
    for number in range(rounds):
        for row in rows:
            await row.round(seconds)
            driven, cpu_us = row.rounds[-1]
            rate = driven.requests / driven.seconds
            progress(f"round {number + 1}/{rounds}  {row.name:<18} {rate:>8.0f} a second, {cpu_us:.0f} us CPU each")
