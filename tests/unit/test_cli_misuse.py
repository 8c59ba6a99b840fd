"""The command line where things are not as they should be: odd outputs, keys and homes, and texts of others."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_api.catalogue import make_catalogue
from agent_api.cli.connecting import located
from agent_api.cli.contexts import config_directory
from agent_api.cli.grammar import COMMANDS, VERBS
from agent_api.cli.main import main, module_parser
from agent_api.cli.members import read_members
from agent_api.cli.operation import parser_of
from agent_api.cli.paint import one_line, plain
from agent_api.cli.progress import StatusLine
from agent_api.cli.proposal_view import command_of
from runtime.config.settings import SettingInvalid, checked, from_text
from runtime.operations.plan import Call
from tests.unit.api_stub import Reply, StubApi, applied, problem, proposal, proposed

pytestmark = pytest.mark.usefixtures("alone")
Capture = pytest.CaptureFixture[str]

HOSTILE = "fine\x1b[2K\x1b[1A\x07 \u202etxt.\nneeds  nobody"


# mistyped words


def test_a_value_that_is_no_choice_is_refused_with_the_nearest(capsys: Capture) -> None:
    with pytest.raises(SystemExit):
        main(["alert", "set-threshold", "orders", "p99", "0.9"])
    assert "did you mean p99_ms?" in capsys.readouterr().err


# texts of others


def test_what_steers_a_terminal_is_shown_and_does_nothing() -> None:
    """A reason could otherwise wipe out the line above it, which says what is approved."""
    assert plain("größer → ↑\n\tfine") == "größer → ↑\n\tfine"
    assert one_line(HOSTILE) == r"fine\x1b[2K\x1b[1A\x07 \u202etxt. needs nobody"


@pytest.mark.parametrize("words", [["why", "p1"], ["approve", "p1"], ["proposal", "show", "p1"], ["audit", "list"]])
def test_no_text_of_others_reaches_the_terminal_as_it_is(words: list[str], capsys: Capture) -> None:
    kept = proposal("applied", votes=1)
    kept["votes"][0]["reason"] = HOSTILE  # type: ignore[index]  # a list of objects
    kept |= {"reason": HOSTILE, "summary": HOSTILE, "evidence": [HOSTILE], "rule": HOSTILE}
    actor = {"kind": "person", "id": "ada", "role": "operator"}
    record = {"id": "a1", "kind": "voted", "actor": actor, "at_unix_ms": 1, "summary": HOSTILE, "reason": HOSTILE}
    items = [{"number": 1, "hash": "h", "revision": 2, "record": {**record, "proposal": "p1"}}]
    document = {"proposal": kept, "live": False, "items": items, "next": "", "sealed": 0}
    with StubApi(Reply(document)).serving() as api:
        assert main([*words, "--api", api.address]) == 0
    said = capsys.readouterr().out
    assert r"\x1b[2K" in said
    assert "\x1b" not in said
    assert "\u202e" not in said
    assert "\nneeds  nobody" not in said


@pytest.mark.parametrize("reply", [applied(summary=HOSTILE), proposed()])
def test_what_a_change_is_answered_is_shown_the_same_way(reply: Reply, capsys: Capture) -> None:
    document = {**reply.document, "summary": HOSTILE, "rule": HOSTILE, "approvers": HOSTILE}  # type: ignore[dict-item]
    with StubApi(Reply(document, reply.status)).serving() as api:
        main(["slice", "scale", "orders", "5", "--api", api.address])
    assert "\x1b" not in (said := capsys.readouterr().out)
    assert r"\x1b[2K" in said


# words that are read back


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("http_body_max_mib", "12", 12),
        ("drain_s", "5", 5.0),
        ("log_level", "debug", "debug"),
        ("oidc_audience", "12", "12"),
        ("artifact_find_links", '["/a", "/b"]', ["/a", "/b"]),
        ("http_body_max_mib", "99", 99),
        ("http_body_max_mib", "many", "many"),
        ("unheard_of", "3", 3),
    ],
)
def test_a_settings_value_is_read_as_the_setting_is(name: str, text: str, value: object) -> None:
    """Else no number could be set from the command line."""
    found = from_text(name, text)
    assert (found, type(found)) == (value, type(value))


def test_a_value_out_of_bounds_is_refused_as_that() -> None:
    with pytest.raises(SettingInvalid, match="<= 15"):
        checked("http_body_max_mib", from_text("http_body_max_mib", "99"))


def test_a_setting_is_sent_as_what_it_is() -> None:
    with StubApi(applied()).serving() as api:
        assert main(["config", "set", "http_body_max_mib", "12", "--api", api.address]) == 0
    assert api.asked[0].document == {"value": 12}


@pytest.mark.parametrize(
    ("operation", "request_"),
    [
        ("config.set", {"name": "http_body_max_mib", "value": 12}),
        ("config.set", {"name": "drain_s", "value": 2.5, "node": "n1"}),
        ("principal.set", {"id": "bot", "kind": "automation", "role": "operator", "is_agent": True}),
        ("principal.set", {"id": "ada", "kind": "person", "role": "viewer", "owns": ["slice:a", "slice:b"]}),
        ("slice.set-routing-weights", {"slice": "orders", "weights": {"1.0.0": 90, "1.1.0": 10}}),
        ("freeze.set", {"subject": "cluster", "why": "x" * 210}),
        ("controller.configure", {"slice": "a", "unset": ["idle_s", "utilisation"]}),
        ("slice.scale", {"slice": "orders", "instances": 0}),
        ("ttm.activate", {"number": 0, "beside": 0}),
    ],
)
def test_the_command_that_undoes_a_change_says_just_that(operation: str, request_: dict[str, object]) -> None:
    """It is printed to be pasted, after something went wrong."""
    from shlex import split

    from agent_api.client.requests import checked as as_request

    declared = make_catalogue().find(operation)
    words = split(command_of(Call(operation=operation, request=request_)))
    read = read_members(declared, parser_of(declared).parse_args(words[3:]))
    assert as_request(declared, read, strict=False) == as_request(declared, request_)


# words that are wrong


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["slice", "scale", "orders", "1.5"], "INSTANCES takes: whole number, 0 to 1000; given was '1.5'"),
        (["slices", "--limit", "0"], "--limit takes: whole number, 1 to 1000"),
        (["slice", "scale", "a b", "4"], "SLICE is of the form [a-z]([a-z0-9-]*[a-z0-9])?, and 'a b' is not"),
        (["slice", "set-routing-weights", "orders", "1.0.0=x"], "KEY=VALUE takes: whole number"),
        (["slice", "scale", "orders", "4", "--idempotency-key", "a\r\nx-injected: 1"], "line ends"),
    ],
)
def test_what_cannot_be_is_said_in_the_words_of_the_command_line(words: list[str], hint: str, capsys: Capture) -> None:
    assert main([*words, "--api", "127.0.0.1:1"]) == 2
    assert hint in capsys.readouterr().err


@pytest.mark.parametrize("given", ["hello.toml", "nan", "inf", "-1", "1e9"])
def test_a_wait_is_a_number_of_seconds(given: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["slice", "scale", "orders", "4", "--wait", given])
    assert ended.value.code == 2
    assert "or --wait as the last word" in capsys.readouterr().err


def test_a_wrong_key_is_told_how_to_give_a_right_one(capsys: Capture) -> None:
    """The API's own remedy speaks of a header, which nobody types here."""
    with StubApi(problem("key_unknown", status=401, remedy="Send a key: Authorization: Bearer KEY.")).serving() as api:
        assert main(["slices", "--api", api.address]) == 1
    said = capsys.readouterr().err
    assert "AETHER_KEY" in said
    assert "Bearer" not in said


# programs


def leaves(parser: argparse.ArgumentParser, name: str) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    actions = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]
    if not actions:
        yield name, parser
    for word, each in actions[0].choices.items() if actions else ():
        yield from leaves(each, f"{name} {word}")


def test_every_command_has_an_output_for_programs() -> None:
    """Save those whose output is of its own kind: a script, a session, files, rules, tables, JSON lines anyway."""
    without = {
        name
        for word in (*COMMANDS, *VERBS)
        for name, leaf in leaves(module_parser(word, word)[0], word)
        if "--json" not in leaf._option_string_actions
    }
    without |= {each.name for each in make_catalogue() if "--json" not in parser_of(each)._option_string_actions}
    tables = {name for name in without if name.endswith((" export", " training-data"))}
    assert without - tables == {"chat", "completion", "shell", "docs", "eval rules"}


def test_a_failure_is_one_line_of_json_for_programs(capsys: Capture) -> None:
    refusal = problem("no_leader", status=422, retryable=False, detail="none\nyet", remedy="Wait.")
    with StubApi(refusal).serving() as api:
        assert main(["slices", "--json", "--api", api.address]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    failed = {"outcome": "failed", "command": "slice list"}
    assert json.loads(said.err) == {
        **failed,
        "code": "no_leader",
        "detail": "none\nyet",
        "retryable": False,
        "remedy": "Wait.",
    }
    assert main(["slise", "--json"]) == 2
    assert json.loads(capsys.readouterr().err)["code"] == "words_wrong"
    with pytest.raises(SystemExit):
        main(["slice", "scale", "--json"])
    assert "SLICE, INSTANCES" in json.loads(capsys.readouterr().err)["detail"]
    assert main(["slise"]) == 2
    assert capsys.readouterr().err.startswith("aether: unknown command 'slise'"), "for people again"


def test_contexts_are_told_to_programs_without_their_keys(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setenv("AETHER_KEY", "ae_secret")
    for words in (["add", "one", "--api", "h:1", "--offline"], ["use", "one"], ["remove", "one"]):
        assert main(["context", *words, "--json"]) == 0
    said = capsys.readouterr().out
    assert "ae_secret" not in said
    assert '"key": true' in said
    assert said.count('"context": "one"') == 3


def test_the_first_key_is_told_once(capsys: Capture) -> None:
    assert main(["cluster", "init", "data"]) == 0
    key = Path("data/admin.key").read_text()
    assert f"admin key         {key}\n" in capsys.readouterr().out
    assert main(["cluster", "init", "other", "--json"]) == 0
    begun = json.loads(capsys.readouterr().out)
    assert begun["admin_key"] == Path("other/admin.key").read_text()
    assert begun["join"].endswith(f"@{begun['addresses']['api']}")
    assert main(["node", "status", "--data", "data"]) == 1
    assert main(["cluster", "token", "data", "--json"]) == 0
    assert key not in capsys.readouterr().out


# how far it is


def look_at_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody looks at the standard error, 60 columns wide."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("NO_COLOR", "1")


def test_who_waits_at_a_terminal_sees_a_bar_and_then_nothing_of_it(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    look_at_terminal(monkeypatch)
    far, near = (applied(converged=False, waits_for=f"{count} of 4 serve {'x' * 80}") for count in (1, 3))
    with StubApi(far, near, applied(converged=True)).serving() as api:
        assert main(["slice", "scale", "orders", "4", "--wait", "9", "--api", api.address]) == 0
    first, second, end = capsys.readouterr().err.split("\r\033[K")[1:]
    assert first.startswith("█" * 6 + "·" * 18 + " 1 of 4 serve")
    assert second.startswith("█" * 18 + "·" * 6)
    assert len(first) == 59
    assert end == ""


def test_what_is_left_fills_a_bar_as_it_gets_less(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    look_at_terminal(monkeypatch)
    with StatusLine(shown=True) as line:
        for words in ("8 instances are still on n1", "2 instances are still on n1", "n1 still runs"):
            line.say(words)
        line.clear()
        print("stopping anyway", file=sys.stderr)
    first, second, third, said = capsys.readouterr().err.split("\r\033[K")[1:]
    assert said == "stopping anyway\n", "in a line of its own"
    assert first.startswith("·" * 24)
    assert second.startswith("█" * 18 + "·" * 6)
    assert third == "n1 still runs"


@pytest.mark.parametrize("words", [["rollback", "p1"], ["slice", "scale", "orders", "5"]])
def test_who_is_interrupted_learns_what_goes_on(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """Else nobody knew which proposal it was."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("agent_api.cli.change._awaited", interrupt)
    with StubApi(proposed("p7")).serving() as api:
        assert main([*words, "--wait", "9", "--api", api.address]) == 130
    assert "proposal p7 waits on; see aether why p7" in capsys.readouterr().err


# keys, contexts, homes


@pytest.mark.parametrize("key", ["ae_a\nb", "ae_ä", "ae_\u2192"])
def test_what_cannot_be_a_key_is_refused_and_not_told(
    key: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("AETHER_KEY", key)
    assert main(["slices", "--api", "127.0.0.1:1"]) == 1
    said = capsys.readouterr().err
    assert "no key has" in said
    assert key not in said


def test_a_context_that_is_named_is_spoken_for_by_its_own_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who says `--context ada` must not act as somebody else because a variable is set."""
    Path("key").write_text("ae_ada\n")
    assert main(["context", "add", "ada", "--api", "h:1", "--key-file", "key", "--offline"]) == 0
    assert main(["context", "add", "open", "--api", "h:1", "--offline"]) == 0
    monkeypatch.setenv("AETHER_KEY", "ae_environment")
    assert located(context="ada").key == "ae_ada"
    assert located("h:2", context="ada").key == "ae_ada"
    assert located(context="open").key == "ae_environment"
    assert located().key == "ae_environment"


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_a_key_file_that_holds_no_key_is_named(content: bytes | None, capsys: Capture) -> None:
    if content is not None:
        Path("key").write_bytes(content)
    assert main(["context", "add", "x", "--api", "h:1", "--key-file", "key", "--offline"]) == 1
    assert capsys.readouterr().err.startswith("aether context add: key ")


@pytest.mark.parametrize("name", ["", " ", "a\x1b[2K"])
def test_a_context_has_a_name_that_can_be_said(name: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["context", "add", name, "--api", "h:1", "--offline"])
    assert ended.value.code == 2


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    def homeless(_: type[Path]) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setattr(Path, "home", classmethod(homeless))
    assert main(["slices"]) == 1
    assert "XDG_CONFIG_HOME" in capsys.readouterr().err


def test_a_folder_that_cannot_be_made_keeps_no_context_and_no_history(capsys: Capture) -> None:
    from prompt_toolkit.history import InMemoryHistory

    from agent_api.cli.shell import history

    Path("config").mkdir()
    config_directory().write_text("a file where the folder should be")
    assert main(["context", "add", "x", "--api", "h:1", "--offline"]) == 1
    assert "Not a directory" in capsys.readouterr().err
    assert isinstance(history("history"), InMemoryHistory)
    assert "forgotten" in capsys.readouterr().err


def test_what_was_typed_is_for_its_user_alone() -> None:
    from agent_api.cli.shell import history

    history("history")
    assert (config_directory() / "history").stat().st_mode & 0o777 == 0o600


# outputs


def ended(redirection: str, words: str = "--help", **environment: str) -> tuple[int, str]:
    """Exit code and standard error of the command in a shell."""
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} -P -m agent_api.cli.main {words} {redirection}"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    return done.returncode, done.stderr


@pytest.mark.slow
def test_an_output_that_takes_nothing_is_one_sentence() -> None:
    assert ended(">/dev/full") == (1, "aether: [Errno 28] No space left on device\n")
    assert ended(">&-") == (0, "")
    assert ended("", PYTHONIOENCODING="ascii") == (0, "")
