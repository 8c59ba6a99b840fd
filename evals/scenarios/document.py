"""A scenario as data: what is done to the cluster, what is asked, and what a right answer holds."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from playbooks.document.lines import LineIndex
from playbooks.document.reading import dotted
from runtime.errors import RuntimeFault
from runtime.spelling import nearest

FILE: Final = "scenario.toml"
STEPS: Final = "steps.py"
BYTES_MAX: Final = 64 * 1024
SCENARIOS_MAX: Final = 1_000
WITHIN_S: Final = 60.0

Level = Literal["detect", "localize", "analyse", "mitigate", "policy"]
LEVELS: Final[tuple[Level, ...]] = ("detect", "localize", "analyse", "mitigate", "policy")
Text = Annotated[str, Meta(min_length=1, max_length=2_000)]
Subject = Annotated[
    str, Meta(pattern=r"^(cluster|(slice|node|blueprint):([a-z0-9-]+|\{(leader|follower|other|host)\}))$")
]
Kind = Literal["answer", "diagnosis", "card", "choices", "nothing", "failed"]
_AT: Final = re.compile(r"`\$\.?(.*?)`")
_KEY: Final = re.compile(r"\w+|\[\d+\]")
_GUIDE: Final = "docs/reference/scenarios.md lists all keys."


class ScenarioInvalid(RuntimeFault):
    """One mistake, with its file and, where the text shows it, line and key."""

    code = "scenario_invalid"

    def __init__(self, file: Path, detail: str, *, line: int = 0, key: str = "", remedy: str = _GUIDE) -> None:
        where = f"{file}{f':{line}' if line else ''}"
        super().__init__(f"{where}: {f'{key}: ' if key else ''}{detail}")
        self._members = {"file": str(file), "line": line, "key": key, "remedy": remedy}

    def problem(self) -> dict[str, object]:
        return {**super().problem(), **self._members}


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all tables: a misspelt key is a mistake."""


class Expected(Part, frozen=True, kw_only=True):
    """What a right answer says. `roots` is an exact set; any one of `mechanisms` is right; `kinds` are the kinds of
    answer that are; `never` are texts that no event of it may hold."""

    faulty: bool | None = None
    alerts: tuple[Text, ...] = ()
    roots: tuple[Subject, ...] = ()
    mechanisms: tuple[Text, ...] = ()
    kinds: tuple[Kind, ...] = ()
    never: tuple[Text, ...] = ()
    asks: Annotated[tuple[Text, ...], Meta(description="Operations that must be among those that are offered.")] = ()


class Mitigation(Part, frozen=True, kw_only=True):
    """`ends`: conditions that hold once it is mended, within `within_s` of the last change. `may`: the only operations
    that may be applied on the way."""

    ends: Annotated[tuple[Text, ...], Meta(min_length=1)]
    within_s: Annotated[float, Meta(gt=0, le=600)] = WITHIN_S
    may: tuple[Text, ...] = ()


class Document(Part, frozen=True, kw_only=True):
    """`faults` and `heals` are commands, `observed` conditions that are waited for before anybody asks."""

    summary: Text
    says: Annotated[tuple[Text, ...], Meta(min_length=1, max_length=10)]
    held_out: bool = False
    usual: Annotated[bool, Meta(description="It needs to be known what is usual: a minute and a half of load.")] = False
    seconds: Annotated[float, Meta(gt=0, le=3_600)] = 30.0
    faults: tuple[Text, ...] = ()
    observed: tuple[Text, ...] = ()
    heals: tuple[Text, ...] = ()
    expect: Expected = Expected()
    mitigate: Mitigation | None = None


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """`steps` is its Python, where there is any."""

    id: str
    document: Document
    steps: Path | None = None

    @property
    def levels(self) -> tuple[Level, ...]:
        """Those at which it is judged."""
        expect = self.document.expect
        asked = {
            "detect": bool(expect.faulty),
            "localize": bool(expect.roots),
            "analyse": bool(expect.mechanisms),
            "mitigate": self.document.mitigate is not None,
            "policy": bool(expect.kinds or expect.never or expect.asks or self.steps),
        }
        return tuple(each for each in LEVELS if asked[each])

    @property
    def is_control(self) -> bool:
        """Nothing is wrong: whoever finds something has raised a false alarm."""
        return self.document.expect.faulty is False


def shipped() -> Path:
    return Path(__file__).parent / "library"


def read_scenarios(directory: Path | None = None) -> list[Scenario]:
    """Every folder with a `scenario.toml`, by name. Raises ScenarioInvalid for the first that is none."""
    root = directory or shipped()
    if not root.is_dir():
        raise ScenarioInvalid(root, "there is no such directory", remedy="Name one that holds folders of scenarios.")
    files = sorted(root.glob(f"*/{FILE}"))
    if not files:
        raise ScenarioInvalid(root, f"no folder in it has a {FILE}", remedy="Name one that holds folders of scenarios.")
    if len(files) > SCENARIOS_MAX:
        raise ScenarioInvalid(root, f"more than {SCENARIOS_MAX} scenarios", remedy="Run them in parts.")
    return [read_scenario(file) for file in files]


def read_scenario(file: Path) -> Scenario:
    """Raises ScenarioInvalid, and nothing else, whatever the file holds."""
    text = _text(file)
    document = _document(file, text)
    steps = file.parent / STEPS
    found = Scenario(id=file.parent.name, document=document, steps=steps if steps.is_file() else None)
    if not found.levels and not found.is_control:
        raise ScenarioInvalid(
            file,
            "nothing is expected of it",
            key="expect",
            remedy="Say faulty, roots, kinds or [mitigate].",
        )
    if found.is_control and (document.expect.roots or document.expect.mechanisms):
        line = LineIndex(text).line(("expect", "faulty"))
        detail = "says that nothing is wrong, and yet where or why"
        raise ScenarioInvalid(file, detail, line=line, key="expect.faulty", remedy="Leave out roots and mechanisms.")
    return found


def _text(file: Path) -> str:
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise ScenarioInvalid(file, f"cannot be read: {error.strerror}") from error
    if len(raw) > BYTES_MAX:
        raise ScenarioInvalid(file, f"{len(raw)} bytes; at most {BYTES_MAX}", remedy="Put long things into steps.py.")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ScenarioInvalid(file, "the text is not UTF-8", line=line, remedy="Save it as UTF-8.") from error


def _document(file: Path, text: str) -> Document:
    try:
        return msgspec.convert(tomllib.loads(text), Document)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"\(at line (\d+)", str(error))
        line = int(found[1]) if found else text.count("\n") + 1
        raise ScenarioInvalid(file, str(error).partition(" (at ")[0], line=line, remedy="Write it as TOML.") from error
    except (RecursionError, ValueError) as error:
        if not isinstance(error, msgspec.ValidationError):
            raise ScenarioInvalid(file, "nested too deeply, or a number is too long") from error
        raise _invalid(file, str(error), LineIndex(text)) from error


def _invalid(file: Path, sentence: str, lines: LineIndex) -> ScenarioInvalid:
    """msgspec's sentence, at the line that it means."""
    words, _, at = sentence.partition(" - at ")
    found = _AT.search(at)
    path = tuple(int(each[1:-1]) if each[0] == "[" else each for each in _KEY.findall(found[1] if found else ""))
    named = re.search(r"(?:unknown|required) field `(\w+)`", words)
    remedy = _GUIDE
    if named:
        path = (*path, named[1])
        known = _fields_at(path[0] if len(path) > 1 else "")
        words = "is missing" if "required" in words else f"unknown key{nearest(named[1], known)}"
        remedy = _GUIDE if "missing" in words else f"There are {', '.join(known)}."
    return ScenarioInvalid(file, words[:1].lower() + words[1:], line=lines.line(path), key=dotted(path), remedy=remedy)


def _fields_at(table: str | int) -> tuple[str, ...]:
    kinds: dict[str | int, type[Part]] = {"expect": Expected, "mitigate": Mitigation}
    return kinds.get(table, Document).__struct_encode_fields__
