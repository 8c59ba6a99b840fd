"""An application for a Forge: its project, built by `aether build`, and its blueprint."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evals.forge.commands import BUILD_TIMEOUT_S, run_command
from evals.forge.errors import ForgeFault


class AppUnusable(ForgeFault):
    code = "app_unusable"
    remedy = "Name a project's directory with pyproject.toml and blueprint.toml; aether new-slice NAME makes one."


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """`slices` are the blueprint's (slice, instances) pairs."""

    project: Path
    blueprint: str
    blueprint_toml: bytes
    slices: tuple[tuple[str, int], ...]


def read_app(project: Path) -> App:
    """Raises AppUnusable."""
    path = project / "blueprint.toml"
    try:
        raw = path.read_bytes()
        found = tomllib.loads(raw.decode())
        slices = tuple((str(row["slice"]), int(row["instances"])) for row in found["slices"])
        name = str(found["id"])
    except OSError as error:
        raise AppUnusable(f"{path} cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise AppUnusable(f"{path}: {error}") from None
    except (KeyError, TypeError, ValueError) as error:
        raise AppUnusable(f"{path} lacks or misuses {error}") from None
    if not (project / "pyproject.toml").is_file():
        raise AppUnusable(f"{project} has no pyproject.toml")
    return App(project=project, blueprint=name, blueprint_toml=raw, slices=slices)


async def build_app(app: App, output: Path, options: Sequence[str] = ()) -> Path:
    """The wheel; `options` are further ones of `aether build`. Raises CommandFailed."""
    await run_command("build", str(app.project), "--output", str(output), *options, timeout_s=BUILD_TIMEOUT_S)
    return max(output.glob("*.whl"), key=lambda path: path.stat().st_mtime_ns)
