"""From a project to code that a worker imports. Everything here works without a network."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from infra.artifacts.building import build
from infra.artifacts.errors import ArtifactFault, BuildFailed, DiskRefused, EnvironmentFailed, PinsClash, WheelInvalid
from infra.artifacts.source import DiskArtifactSource
from infra.artifacts.wheel import read_wheel
from runtime.content.disk import DiskContent
from runtime.names import Sha256
from tests.unit.wheels import SLICE_CODE, write_project, write_wheel

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

TWO_LIBRARIES = """
from runtime.sdk import slice_
import tinylib

@slice_(name="{name}", version="1.0.0")
class Uses:
    async def version(self) -> str:
        return tinylib.VERSION
"""


@pytest.fixture(autouse=True)
def _no_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """pip must find what it needs in the directories that the test names."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)


@pytest.fixture
def libraries(tmp_path: Path) -> Path:
    """tinylib 1.0 and 2.0, wheels of one module each."""
    directory = tmp_path / "libraries"
    for version in ("1.0", "2.0"):
        write_wheel(directory, "tinylib", version, {"tinylib.py": f'VERSION = "{version}"\n'})
    return directory


class OneNodeContent(DiskContent):
    """A ContentStore of one node: what replication adds is tested with it."""

    async def get(self, sha256: Sha256) -> Path:
        assert await self.verify(sha256)
        return self.path(sha256)

    async def pin(self, sha256: Sha256, owner: str) -> None: ...

    async def unpin(self, sha256: Sha256, owner: str) -> None: ...

    async def collect(self) -> int:
        return 0


async def file_pieces(path: Path) -> AsyncIterator[bytes]:
    yield path.read_bytes()


@pytest.fixture
def content(tmp_path: Path) -> OneNodeContent:
    content = OneNodeContent(tmp_path / "content")
    content.open()
    return content


def source_of(tmp_path: Path, content: OneNodeContent, find_links: tuple[str, ...] = ()) -> DiskArtifactSource:
    source = DiskArtifactSource(tmp_path / "environments", content=content, find_links=find_links)
    source.open()
    return source


async def test_a_project_becomes_a_wheel_that_tells_its_contracts(tmp_path: Path) -> None:
    built = build(write_project(tmp_path / "p"), tmp_path / "out")
    contents, manifest = read_wheel(built.path)
    assert (contents.coordinate, manifest.pins) == ("hello-project==1.0.0", ())
    (contract,) = manifest.slices
    assert (contract.name, contract.entry) == ("hello", "hello_pkg.service:Hello")
    assert contract.methods[0].routes[0].path == "/hello/{name}"
    assert build(tmp_path / "p", tmp_path / "again").sha256 == built.sha256


async def test_two_versions_of_one_library_stand_side_by_side(
    tmp_path: Path, libraries: Path, content: OneNodeContent
) -> None:
    """Two slices on one node, each with the library it was built for: neither sees the other's."""
    seen = {}
    source = source_of(tmp_path, content, (str(libraries),))
    for version in ("1.0", "2.0"):
        name = f"uses-{version[0]}"
        project = write_project(
            tmp_path / name,
            name=name,
            package=f"uses_{version[0]}",
            code=TWO_LIBRARIES.format(name=name),
            dependencies=(f"tinylib=={version}",),
            entries={name: f"uses_{version[0]}.service:Uses"},
        )
        built = build(project, tmp_path / "out", find_links=(str(libraries),))
        sha256 = await content.put(file_pieces(built.path), expected=built.sha256)
        prepared = await source.prepare(sha256)
        assert prepared.preload == ("tinylib",)
        assert prepared.dependency_set != "default"
        program = (
            f"import sys; sys.path[:0] = [{prepared.code!r}, {prepared.packages!r}]\n"
            f"import asyncio, uses_{version[0]}.service as s; print(asyncio.run(s.Uses().version()))"
        )
        seen[version] = (await anyio.run_process([sys.executable, "-P", "-c", program])).stdout.decode().strip()
    assert seen == {"1.0": "1.0", "2.0": "2.0"}


async def test_bundled_wheels_make_the_environment_without_any_index(
    tmp_path: Path, libraries: Path, content: OneNodeContent
) -> None:
    project = write_project(
        tmp_path / "p", code=TWO_LIBRARIES.format(name="hello").replace("Uses", "Hello"), dependencies=("tinylib<2",)
    )
    built = build(project, tmp_path / "out", with_deps=True, find_links=(str(libraries),))
    for wheel in libraries.iterdir():
        wheel.unlink()
    prepared = await source_of(tmp_path, content).prepare(await content.put(file_pieces(built.path)))
    assert (Path(prepared.packages) / "tinylib.py").read_text() == 'VERSION = "1.0"\n'


async def test_an_environment_that_cannot_be_made_says_what_pip_said_and_leaves_nothing(
    tmp_path: Path, libraries: Path, content: OneNodeContent
) -> None:
    project = write_project(
        tmp_path / "p", code=TWO_LIBRARIES.format(name="hello").replace("Uses", "Hello"), dependencies=("tinylib==1.0",)
    )
    built = build(project, tmp_path / "out", find_links=(str(libraries),))
    sha256 = await content.put(file_pieces(built.path))
    with pytest.raises(EnvironmentFailed, match="tinylib"):
        await source_of(tmp_path, content).prepare(sha256)
    assert list((tmp_path / "environments" / "sets").iterdir()) == []


async def test_code_that_was_altered_on_disk_is_unpacked_anew(tmp_path: Path, content: OneNodeContent) -> None:
    built = build(write_project(tmp_path / "p"), tmp_path / "out")
    sha256 = await content.put(file_pieces(built.path))
    source = source_of(tmp_path, content)
    prepared = await source.prepare(sha256)
    service = Path(prepared.code) / "hello_pkg" / "service.py"
    service.write_text("raise SystemExit")
    assert await source.prepare(sha256) == prepared
    assert service.read_text() == SLICE_CODE


async def test_a_full_disk_is_the_instances_reason_and_nothing_half_made_stays(
    tmp_path: Path, content: OneNodeContent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anything but a fault with a reason would end the node's control, and with it every other slice's care."""
    built = build(write_project(tmp_path / "p"), tmp_path / "out")
    sha256 = await content.put(file_pieces(built.path))
    source = source_of(tmp_path, content)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr("infra.artifacts.unpacking.shutil.copyfileobj", full)
        with pytest.raises(DiskRefused, match="No space left") as caught:
            await source.prepare(sha256)
    assert caught.value.retryable
    assert list((tmp_path / "environments" / "code").iterdir()) == []
    assert (await source.prepare(sha256)).slices == built.slices


@pytest.mark.parametrize(
    ("changes", "kind", "sentence"),
    [
        ({"entries": {}}, BuildFailed, "no entry point in the group aether.slices"),
        ({"package": "runtime"}, WheelInvalid, "package of Aether"),
        ({"dependencies": ("msgspec<0.1",)}, PinsClash, "every worker runs msgspec"),
        ({"dependencies": ("no-such-package-anywhere",)}, EnvironmentFailed, "no-such-package-anywhere"),
        ({"code": "import nowhere_to_be_found"}, BuildFailed, r"service\.py:1: importing it failed.*nowhere_to_be"),
        ({"code": "def broken(:"}, BuildFailed, r"service\.py:1: importing it failed: SyntaxError"),
        ({"code": "import os; os._exit(3)"}, BuildFailed, "ended the process"),
        (
            {"code": SLICE_CODE.replace("async def", "def")},
            BuildFailed,
            r"src/hello_pkg/service\.py:\d+: ",
        ),
    ],
)
async def test_a_project_that_cannot_work_is_refused_with_place_and_remedy(
    tmp_path: Path, changes: dict[str, object], kind: type[ArtifactFault], sentence: str
) -> None:
    project = write_project(tmp_path / "p", **changes)  # type: ignore[arg-type]
    with pytest.raises(kind, match=sentence) as caught:
        build(project, tmp_path / "out")
    assert caught.value.problem()["remedy"]
    assert not list(tmp_path.glob("out/*.whl"))


@pytest.mark.parametrize(
    ("dependencies", "kind", "sentence"),
    [
        (("needs-old",), PinsClash, r"needs another msgspec than .*needs-old 1\.0 depends on msgspec<0\.1"),
        (("tinylib==1.0", "needs-two"), EnvironmentFailed, r"needs-two 1\.0 depends on tinylib==2\.0"),
        (("shadows",), EnvironmentFailed, r"owns the top-level name 'msgspec.cpython.so'"),
    ],
)
async def test_dependencies_that_clash_are_refused_naming_who_wants_what(
    tmp_path: Path, libraries: Path, dependencies: tuple[str, ...], kind: type[ArtifactFault], sentence: str
) -> None:
    """Found where it is built, by the words that say what to change, and not when an instance loads."""
    write_wheel(libraries, "needs_old", "1.0", {"needs_old.py": ""}, requires=("msgspec<0.1",))
    write_wheel(libraries, "needs_two", "1.0", {"needs_two.py": ""}, requires=("tinylib==2.0",))
    write_wheel(libraries, "shadows", "1.0", {"msgspec.cpython.so": ""})
    with pytest.raises(kind, match=sentence) as caught:
        build(write_project(tmp_path / "p", dependencies=dependencies), tmp_path / "out", find_links=(str(libraries),))
    assert caught.value.problem()["remedy"]


async def test_a_directory_without_a_project_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BuildFailed, match=r"no pyproject\.toml"):
        build(tmp_path, tmp_path / "out")


async def test_a_broken_pyproject_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("= nonsense")
    with pytest.raises(BuildFailed, match="cannot be read"):
        build(tmp_path, tmp_path / "out")
