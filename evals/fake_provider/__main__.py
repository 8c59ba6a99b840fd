"""`python -m evals.fake_provider --lines FILE [--port N] [--key KEY]`: prints its address, serves until ended."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from evals.fake_provider.script import by_rules, read_lines
from evals.fake_provider.server import KEY, FakeProvider


async def serve(lines: Path, port: int, key: str) -> None:
    async with FakeProvider(by_rules(read_lines(lines.read_bytes())), key=key).serving(port) as provider:
        print(provider.url, flush=True)
        await asyncio.Event().wait()


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--lines", type=Path, required=True)
    words.add_argument("--port", type=int, default=0)
    words.add_argument("--key", default=KEY)
    told = words.parse_args()
    asyncio.run(serve(told.lines, told.port, told.key))


if __name__ == "__main__":
    main()
