"""The launcher at the root: failures are one line with a remedy; nothing is installed twice."""

from __future__ import annotations

import errno
import importlib.machinery
import importlib.util
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def launcher() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("aether_launcher", str(ROOT / "aether"))
    spec = importlib.util.spec_from_loader("aether_launcher", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    loader.exec_module(module)
    sys.dont_write_bytecode = before
    return module


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("OSError: [Errno 28] No space left on device", "the disk is full"),
        ("NewConnectionError(... Temporary failure in name resolution", "the package index cannot be reached"),
        ("ERROR: No matching distribution found for uvloop==9", "a pinned package is not to be had"),
        ("ERROR: something new", "something new"),
    ],
)
def test_a_failed_install_gives_its_reason_in_one_line(launcher: ModuleType, output: str, reason: str) -> None:
    sentence = launcher.reason_of(output)
    assert reason in sentence
    assert "\n" not in sentence


def test_a_disk_that_is_full_also_for_the_log_is_still_named(
    launcher: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where pip finds no room there is none for what it said either, and none for the stamp."""
    monkeypatch.setattr(launcher, "ENVIRONMENT", tmp_path)
    script = "print('OSError: [Errno 28] No space left on device'); raise SystemExit(2)"
    with pytest.raises(launcher.SetupError, match="the disk is full"):
        launcher.run([sys.executable, "-c", script], Path("/dev/full"))


def test_a_disk_that_fills_up_at_last_is_one_line(
    launcher: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(_extras: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), ".venv/.aether-stamp")

    monkeypatch.setattr(launcher, "ensure_environment", full)
    assert launcher.main(["forge"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "the disk is full; free about 1.7 GB" in said


def test_completion_does_not_install(
    launcher: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A Tab in a fresh checkout must not take a minute, nor print anything."""
    monkeypatch.setattr(launcher, "stamp_matches", lambda wanted, extras: False)
    monkeypatch.setattr(launcher, "ensure_environment", lambda extras: pytest.fail("it installs"))
    assert launcher.main(["__complete", "sl"]) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("words", "extras"),
    [
        ("ttm train --traces DIR", "[train]"),
        ("ttm backtest --leave-one-out", "[train]"),
        ("eval scaling --traces DIR --unseen --models DIR", "[train]"),
        ("eval scaling --traces DIR --unseen", ""),
        ("ttm backtest", ""),
        ("check", "[dev]"),
        ("test control", "[dev]"),
        ("test training", "[dev,train]"),
    ],
)
def test_a_command_brings_the_extra_that_it_needs(
    launcher: ModuleType, monkeypatch: pytest.MonkeyPatch, words: str, extras: str
) -> None:
    """PyTorch comes with training, and with nothing else."""
    asked: list[str] = []

    def stop(wanted: str) -> None:
        asked.append(wanted)
        raise launcher.SetupError("enough seen")

    monkeypatch.setattr(launcher, "ensure_environment", stop)
    assert launcher.main(words.split()) == 1
    assert asked == [extras]


def test_without_python_the_shell_part_says_what_to_install(tmp_path: Path) -> None:
    done = subprocess.run(
        ["/bin/sh", str(ROOT / "aether"), "forge"],
        capture_output=True,
        text=True,
        env={"PATH": str(tmp_path)},
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "apt-get install python3" in done.stderr


def test_a_stamp_of_more_extras_satisfies_less(
    launcher: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launcher, "ENVIRONMENT", tmp_path)
    monkeypatch.setattr(launcher, "PYTHON", Path(sys.executable))
    launcher.stamp().write_text("abc [dev]\n")
    assert launcher.stamp_matches("abc", "")
    assert launcher.stamp_matches("abc", "[dev]")
    assert not launcher.stamp_matches("other", "")
    assert not launcher.stamp_matches("abc", "[train]")
    launcher.stamp().write_text("abc [dev,train]\n")
    assert launcher.stamp_matches("abc", "[dev]")
    assert launcher.stamp_matches("abc", "[train]")
    launcher.stamp().write_text("abc -\n")
    assert not launcher.stamp_matches("abc", "[dev]")


def test_an_unknown_command_names_the_nearest_one() -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "agent_api.cli.main", "forgo"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "did you mean forge" in done.stderr


def test_bytecode_is_made_where_python_was_told_not_to_keep_it(
    launcher: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / launcher.PACKAGES[0]
    package.mkdir()
    (package / "__init__.py").write_text("")
    monkeypatch.setattr(launcher, "ROOT", tmp_path)
    monkeypatch.setattr(launcher, "PYTHON", Path(sys.executable))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    launcher.compile_packages()
    assert list(package.glob("__pycache__/__init__.*.pyc"))


def test_bytecode_is_made_of_all_that_is_installed(launcher: ModuleType) -> None:
    installed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert list(launcher.PACKAGES) == installed["packages"]
