"""Slices that misbehave on a node of their own: each harms only itself, and its state says why."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from evals.forge.cluster_api import InstanceRow
from evals.forge.errors import ApiUnreachable
from evals.forge.forge import Forge
from evals.forge.project import SliceWish, write_project

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

GOOD = '''
from runtime.sdk import get, idempotent, slice_

@slice_(name="good", version="1.0.0")
class Good:
    """Answers."""

    @idempotent
    @get("/good")
    async def good(self) -> str:
        return "well"
'''
BLOCKS = '''
import time
from runtime.sdk import post, slice_

@slice_(name="blocks", version="1.0.0")
class Blocks:
    """Never gives the loop back."""

    @post("/blocks")
    async def block(self) -> None:
        time.sleep(3600)
'''
LEAKS = '''
from runtime.sdk import post, slice_

@slice_(name="leaks", version="1.0.0")
class Leaks:
    """Keeps all it ever made."""

    def __init__(self) -> None:
        self._kept: list[bytearray] = []

    @post("/leaks")
    async def leak(self) -> int:
        for _ in range(1000):
            self._kept.append(bytearray(b"x" * 1024 * 1024))
        return len(self._kept)
'''
EXITS = '''
import os
from runtime.sdk import post, slice_

@slice_(name="exits", version="1.0.0")
class Exits:
    """Ends its process."""

    @post("/exits")
    async def leave(self) -> None:
        os._exit(7)
'''
WRONG = '''
from runtime.sdk import get, slice_

@slice_(name="wrong", version="1.0.0")
class Wrong:
    """Says str and returns something else."""

    @get("/wrong")
    async def wrong(self) -> str:
        return {"secret": "password-123"}
'''
IMPORTS = '''
from pathlib import Path
from runtime.sdk import get, slice_

if Path({marker!r}).exists():
    raise RuntimeError("the licence has expired")

@slice_(name="imports", version="1.0.0")
class Imports:
    """Can be built, but not imported where it is to run."""

    @get("/imports")
    async def nothing(self) -> str:
        return "never"
'''


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def forge(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Forge]:
    good = project(tmp_path_factory.mktemp("good"), "good", GOOD)
    async with Forge(nodes=1, apps=[good]) as forge:
        yield forge


def project(directory: Path, name: str, source: str, extra: str = "") -> Path:
    wish = SliceWish(name=name, class_name=name.capitalize(), extra=extra)
    return write_project(directory, name=name, source=source, slices=[wish])


async def good_answers(forge: Forge) -> bool:
    return (await forge.http("n1").request("GET", "/good", timeout_s=2.0)).status == 200


async def until_reason(forge: Forge, slice_name: str, *words: str, timeout_s: float = 30.0) -> InstanceRow:
    """The instance, once its state gives a reason that has all the words."""
    found: list[InstanceRow] = []

    async def given() -> bool:
        rows = [row for row in await forge.api.instances() if row.slice == slice_name]
        found[:] = [row for row in rows if all(word in f"{row.reason} {row.last_failure}".lower() for word in words)]
        assert await good_answers(forge)
        return bool(found)

    try:
        await forge.until(f"{slice_name} says {words}", given, timeout_s=timeout_s)
    except Exception as error:
        raise AssertionError(await forge.api.instances()) from error
    return found[0]


async def test_a_slice_that_exits_is_started_again_and_says_how_it_ended(forge: Forge, tmp_path: Path) -> None:
    await forge.deploy(project(tmp_path, "exits", EXITS))
    answer = await forge.http("n1").request("POST", "/exits")
    assert answer.status in (502, 503)
    await until_reason(forge, "exits", "7")
    await forge.until_active("exits", 1)
    await forge.api.remove("exits")


async def test_a_slice_that_leaks_is_ended_at_its_memory_limit(forge: Forge, tmp_path: Path) -> None:
    await forge.deploy(project(tmp_path, "leaks", LEAKS, "memory_mb_max = 128"))
    answer = await forge.http("n1").request("POST", "/leaks")
    assert answer.status >= 500
    await until_reason(forge, "leaks", "limit of 128 mb")
    await forge.api.remove("leaks")


async def test_a_slice_that_blocks_holds_up_nobody_else(forge: Forge, tmp_path: Path) -> None:
    await forge.deploy(project(tmp_path, "blocks", BLOCKS))
    with pytest.raises(ApiUnreachable, match="no answer"):
        await forge.http("n1").request("POST", "/blocks", timeout_s=0.5)
    for _ in range(20):
        assert await good_answers(forge)
    await until_reason(forge, "blocks", "answer")
    await forge.api.remove("blocks")
    await forge.until("it is gone", partial(gone, forge, "blocks"), timeout_s=30.0)


async def test_a_slice_that_cannot_be_imported_fails_with_the_import_s_words(forge: Forge, tmp_path: Path) -> None:
    marker = tmp_path / "expired"
    path = project(tmp_path / "project", "imports", IMPORTS.format(marker=str(marker)))
    from evals.forge.app import build_app, read_app

    app = read_app(path)
    wheel = await build_app(app, tmp_path / "wheels")
    marker.touch()
    await forge.api.upload(wheel)
    await forge.api.apply(app.blueprint, app.blueprint_toml)
    row = await until_reason(forge, "imports", "the licence has expired")
    assert row.phase == "failed"
    await forge.api.remove("imports")


async def test_a_reply_of_the_wrong_type_is_an_internal_error_that_gives_nothing_away(
    forge: Forge, tmp_path: Path
) -> None:
    await forge.deploy(project(tmp_path, "wrong", WRONG))
    answer = await forge.http("n1").request("GET", "/wrong")
    assert answer.status == 500
    problem = json.loads(answer.body)
    assert problem["code"] == "internal"
    assert "password" not in answer.body.decode()
    assert await good_answers(forge)
    await forge.api.remove("wrong")


async def gone(forge: Forge, slice_name: str) -> bool:
    return not any(row.slice == slice_name for row in await forge.api.instances())


async def test_two_versions_of_one_library_work_side_by_side(forge: Forge, tmp_path: Path) -> None:
    """Each slice sees the version it was built with."""
    for number in ("1", "2"):
        library(tmp_path / "links", number)
        name = f"reader{number}"
        path = write_project(
            tmp_path / name,
            name=name,
            source=READER.format(number=number),
            slices=[SliceWish(name=name, class_name="Reader")],
            dependencies=[f"greetlib=={number}.0"],
        )
        await forge.deploy(path, build_options=("--with-deps", "--find-links", str(tmp_path / "links")))
    said = [(await forge.http("n1").request("GET", f"/reader/{number}")).body for number in ("1", "2")]
    assert said == [b'"greetlib 1"', b'"greetlib 2"']


READER = '''
import greetlib
from runtime.sdk import get, slice_

@slice_(name="reader{number}", version="1.0.0")
class Reader:
    """Says which library it has."""

    @get("/reader/{number}")
    async def read(self) -> str:
        return greetlib.NAME
'''


def library(directory: Path, number: str) -> None:
    """A wheel of one module, made by hand."""
    import zipfile

    directory.mkdir(exist_ok=True)
    stem = f"greetlib-{number}.0"
    with zipfile.ZipFile(directory / f"{stem}-py3-none-any.whl", "w") as wheel:
        wheel.writestr("greetlib.py", f'NAME = "greetlib {number}"\n')
        info = f"{stem}.dist-info"
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: greetlib\nVersion: {number}.0\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", f"greetlib.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
