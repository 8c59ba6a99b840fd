"""Steps under DBOS on SQLite: run by a Python that has `dbos`, apart from ours.

Prints "ready", then for each line of input ("SECONDS STEPS THREADS") one line: steps a second.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dbos import DBOS  # type: ignore[import-not-found,unused-ignore]


def serve(directory: Path) -> None:
    address = f"sqlite:///{directory / 'dbos.sqlite'}"
    DBOS(config={"name": "bench", "system_database_url": address, "run_admin_server": False, "log_level": "ERROR"})

    @DBOS.step()  # type: ignore[untyped-decorator,unused-ignore]
    def nothing(number: int) -> int:
        return number

    @DBOS.workflow()  # type: ignore[untyped-decorator,unused-ignore]
    def steps(count: int) -> int:
        return sum(nothing(number) for number in range(count))

    DBOS.launch()
    steps(10)
    print("ready", flush=True)
    for line in sys.stdin:
        seconds, count, threads = line.split()
        print(_rate(steps, float(seconds), int(count), int(threads)), flush=True)
    DBOS.destroy()


def _rate(workflow, seconds: float, count: int, threads: int) -> float:  # type: ignore[no-untyped-def]
    """So many threads, each one workflow after the other."""
    began = time.perf_counter()
    ends = began + seconds

    def one_after_the_other(_number: int) -> int:
        done = 0
        while time.perf_counter() < ends:
            workflow(count)
            done += count
        return done

    with ThreadPoolExecutor(threads) as pool:
        done = sum(pool.map(one_after_the_other, range(threads)))
    return done / (time.perf_counter() - began)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
