"""Playbooks as documents: what is wrong is told with line, key and remedy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playbooks.document.duration import seconds
from playbooks.document.lines import LineIndex
from playbooks.document.model import Param
from playbooks.document.parameters import checked
from playbooks.document.reading import read
from playbooks.document.runbook import runbook_page
from playbooks.document.sampling import sample_picture
from playbooks.document.templates import filled
from playbooks.errors import ExpressionFailed, ExpressionInvalid, ParametersInvalid, PlaybookInvalid, Problem
from playbooks.expressions import cel
from playbooks.expressions.evaluation import evaluated, value_of
from playbooks.expressions.picture import NoMeasures, Picture, Standing
from playbooks.library import library
from playbooks.proof import shipped
from runtime.operations.overlay import Overlay
from runtime.operations.secrecy import HIDDEN
from tests.unit.playbook_parts import LOG_LEVEL, PlaybooksOnHand


def problems(text: str) -> tuple[Problem, ...]:
    try:
        PlaybooksOnHand().source(text)
    except PlaybookInvalid as error:
        return error.problems
    return ()


def test_a_sound_playbook_has_nothing_wrong() -> None:
    assert problems(LOG_LEVEL) == ()


MISTAKES = {
    "unknown key": ("summary =", "sumary =", "playbook.sumary", "did you mean summary"),
    "unknown operation": ('"log-level.set"', '"log-levle.set"', "step[0].uses", "did you mean log-level.set"),
    "unknown member": ("with = { level =", "with = { levle =", "step[0].with.levle", "did you mean level"),
    "missing member": ('with = { level = "{level}" }\n', "\n", "step[0].with", "level is missing"),
    "wrong type": ('with = { level = "{level}" }', "with = { level = 3 }", "step[0].with.level", "got `int`"),
    "wrong word": ('"{level}" }', '"loud" }', "step[0].with.level", "invalid enum value"),
    "undefined parameter": ('"{level}"', '"{levle}"', "step[0].with.level", "did you mean level"),
    "undefined in expression": ("== params.level", "== params.levle", "step[0].verify.cel", "did you mean level"),
    "undefined variable": ("config.log_level ==", "confg.log_level ==", "step[0].verify.cel", "undeclared reference"),
    "unknown setting": ("config.log_level ==", "config.loglevel ==", "step[0].verify.cel", "Key not found"),
    "syntax": ("== params.level", "== (params.level", "step[0].verify.cel", "Syntax error"),
    "no condition": ("config.log_level == params.level", "config.log_level", "step[0].verify.cel", "neither"),
    "types apart": ("== params.level", "> 5", "step[0].verify.cel", "overload"),
    "bad duration": ('within = "10s"', 'within = "10 seconds"', "step[0].verify.within", "is no duration"),
    "an undefined limit": ('within = "10s"', 'within = "{tme}"', "step[0].verify.within", "did you mean time"),
    "a limit that is no duration": ('within = "10s"', 'within = "{level}"', "step[0].verify.within", "is no duration"),
    "a limit of an unknown parameter": (
        'summary = "Write',
        'deadline = "{long}"\nsummary = "Write',
        "playbook.deadline",
        "there is no parameter long",
    ),
    "a time limit in half": (
        'uses = "wait"',
        'uses = "wait"\ntimeout = "1{time}"',
        "step[1].timeout",
        "is no duration",
    ),
    "missing undo": ('undo = "inverse"\n', "", "step[0].undo", "how to undo it"),
    "missing verification of a step": (
        'verify = { cel = "config.log_level == params.level", within = "10s" }\n',
        "",
        "step[0].verify",
        "how to see it",
    ),
    "a cycle": ("cluster.quorum", "steps.raise.revision > 0", "pre[0].cel", "a cycle"),
    "an unknown step": ("== 'info'", "== steps.rise.result.value", "verify.cel", "did you mean raise"),
    "undo of what has no effect": (
        'uses = "wait"',
        'uses = "wait"\nundo = "inverse"',
        "step[1].undo",
        "changes nothing",
    ),
    "two ids": ('id = "lower"', 'id = "raise"', "step[2].id", "there twice"),
    "a default of another type": ('default = "10m"', 'default = "soon"', "params.time", "is no duration"),
    "a parameter that is used nowhere": ("[params]", '[params]\nlevl = { type = "node" }', "params.levl", "nowhere"),
    "a risk that is none": ('risk = "low"', 'risk = "read-only"', "playbook.risk", "a step has an effect"),
    "a risk that is unknown": ('risk = "low"', 'risk = "tiny"', "playbook.risk", "invalid enum value"),
    "a version that is none": ('version = "1.0.0"', 'version = "one"', "playbook.version", "not allowed"),
    "missing header": ('summary = "Write more into the log for a while"\n', "", "playbook.summary", "is missing"),
    "not TOML": ("[params]", "[params", "", "Expected"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_with_line_and_key_and_remedy(mistake: str) -> None:
    before, after, key, words = MISTAKES[mistake]
    assert before in LOG_LEVEL
    found = problems(LOG_LEVEL.replace(before, after, 1))
    assert [each.key for each in found] == [key], found
    assert words in found[0].detail
    assert found[0].remedy
    line = LOG_LEVEL[: LOG_LEVEL.index(before)].count("\n") + 1
    assert abs(found[0].line - line) <= 5, (found[0], line)


def test_everything_that_is_wrong_is_told_at_once() -> None:
    text = LOG_LEVEL.replace('"log-level.set"', '"nope"').replace('undo = "inverse"\n', "").replace("'info'", "1 +")
    assert len(problems(text)) == 2
    assert "and 1 more" in str(PlaybookInvalid(problems(text)))


def test_without_a_last_verification_nothing_that_changes_is_a_playbook() -> None:
    found = problems(LOG_LEVEL[: LOG_LEVEL.index("[verify]")])
    assert [each.key for each in found] == ["verify"]


@pytest.mark.parametrize(
    ("addition", "key", "words"),
    [
        ('[[trigger.alert]]\nmatch = { a = "b" }\nparams = { levle = "labels.x" }', "trigger.alert[0].params", "levle"),
        ('[[trigger.alert]]\nmatch = { a = "b" }\ndedupe = "event.id"', "trigger.alert[0].dedupe", "event"),
        ('[[trigger.event]]\nevent = "NodeDown"\nwhen = "event.node"', "", ""),
        ('[[trigger.event]]\nevent = "NodeDown"\nwhen = "1 + 1"', "trigger.event[0].when", "int"),
        ('[[trigger.event]]\nevent = "RunEnded"', "trigger.event[0].event", "start itself"),
        ('[[trigger.event]]\nevent = "RunEnded"\nwhen = "event.title.startsWith(\'x \')"', "", ""),
        ('[[trigger.schedule]]\nevery = "1s"', "trigger.schedule[0].every", "less than a minute"),
        ('[rehearse]\nparams = { time = "soon" }', "rehearse.params.time", "no duration"),
    ],
)
def test_triggers_and_rehearsals_are_checked(addition: str, key: str, words: str) -> None:
    found = problems(f"{LOG_LEVEL}\n{addition}\n")
    assert [each.key for each in found] == ([key] if key else []), found
    assert not key or words in found[0].detail


def test_a_trigger_says_what_required_parameters_shall_be() -> None:
    text = LOG_LEVEL.replace('type = "string", default = "debug"', 'type = "string", required = true')
    found = problems(f'{text}\n[[trigger.schedule]]\nevery = "1h"\n')
    assert [each.key for each in found] == ["trigger.schedule[0]"]


@given(st.binary(max_size=60))
def test_whatever_the_bytes_a_refusal_is_all_that_comes(raw: bytes) -> None:
    with pytest.raises(PlaybookInvalid):
        read(raw)


@given(st.data())
def test_a_playbook_with_a_line_missing_is_read_or_refused(data: st.DataObject) -> None:
    lines = LOG_LEVEL.splitlines()
    place = data.draw(st.integers(0, len(lines) - 1))
    text = "\n".join(lines[:place] + data.draw(st.lists(st.text(max_size=20), max_size=2)) + lines[place + 1 :])
    for problem in problems(text):
        assert 0 <= problem.line <= text.count("\n") + 1
        assert problem.remedy


def test_lines_are_found_behind_texts_and_arrays_of_several_lines() -> None:
    text = 'a = """\n[[step]]\nid = 1\n"""\nb = [\n  "x",\n  "y",\n]\n[[step]]\nid = 2\n[step.verify]\ncel = "z"\n'
    index = LineIndex(text)
    assert index.line(("b",)) == 5
    assert index.line(("step", 0, "id")) == 10
    assert index.line(("step", 0, "verify", "cel")) == 12
    assert index.line(("step", 0, "verify", "within")) == 11
    assert index.line(("nowhere",)) == 0


@pytest.mark.parametrize(("text", "found"), [("250ms", 0.25), ("1h30m", 5_400.0), ("1.5s", 1.5), ("2d", 172_800.0)])
def test_durations_are_read(text: str, found: float) -> None:
    assert seconds(text) == found


@pytest.mark.parametrize(
    ("given_params", "words"),
    [
        ({}, "node is missing"),
        ({"node": "N!"}, "is no node"),
        ({"node": "n1", "nod": 1}, "did you mean node"),
        ({"node": "n1", "count": 0}, "below 1"),
        ({"node": "n1", "count": True}, "is no integer"),
        ({"node": "n1", "word": "d"}, "none of a, b"),
    ],
)
def test_wrong_parameters_are_refused_by_name(given_params: dict[str, object], words: str) -> None:
    declared = {
        "node": Param(type="node", required=True),
        "count": Param(type="integer", default=1, min=1, max=5),
        "word": Param(type="string", default="a", choices=("a", "b")),
    }
    with pytest.raises(ParametersInvalid, match=words):
        checked(declared, given_params)


def test_parameters_have_their_defaults_and_fill_texts() -> None:
    params = checked({"n": Param(type="integer", default=3), "s": Param(type="string")}, {})
    assert params == {"n": 3, "s": ""}
    assert filled("{n}", params) == 3
    assert filled("node/{n}", params) == "node/3"


def test_expressions_are_bounded() -> None:
    """What would iterate for minutes is ended within milliseconds."""
    rows = {"nodes": [{"a": number} for number in range(200)]}
    with pytest.raises(ExpressionFailed, match="budget"):
        cel.evaluate("nodes.all(a, nodes.all(b, nodes.all(c, a.a + b.a + c.a >= 0)))", rows)
    with pytest.raises(ExpressionInvalid, match="recursion"):
        cel.check("(" * 300 + "true" + ")" * 300)


def test_an_expression_that_comes_to_no_value_says_why() -> None:
    with pytest.raises(ExpressionFailed, match='Key not found in map : "gone"'):
        cel.holds("cluster.gone", {"cluster": {}})
    with pytest.raises(ExpressionFailed, match="neither true nor false"):
        cel.holds("cluster.x", {"cluster": {"x": 1}})


def test_the_page_of_a_playbook_tells_all_of_it() -> None:
    """People read the page when the cluster cannot be asked."""
    world = PlaybooksOnHand()
    page = runbook_page(world.source(LOG_LEVEL), world.checker, None)
    assert "has not been rehearsed as it is" in page
    assert '1. **raise**: `log-level.set` (idempotent) with `{"level":"{level}"}`' in page
    assert "within 10s: `config.log_level == params.level`" in page
    assert "undone by the inverse of what was applied" in page
    assert "| `time` | duration |" in page
    assert "`cluster.quorum`; else without a quorum nothing can be set" in page


def test_the_page_of_an_offline_playbook_says_how_it_is_run_on_the_node() -> None:
    """`playbook run` needs the quorum that is gone."""
    (source,) = [each for each in library() if each.document.playbook.id == "quorum-lost"]
    assert "```sh\naether playbook offline quorum-lost --data DIR\n```" in runbook_page(
        source, PlaybooksOnHand().checker, None
    )


def test_every_playbook_of_the_package_is_sound() -> None:
    checker = PlaybooksOnHand().checker
    assert {each.document.playbook.id: list(checker.problems(each)) for each in library()} == {
        each.document.playbook.id: [] for each in library()
    }


def test_what_is_shipped_as_rehearsed_is_what_the_package_has() -> None:
    """A proof is of a text: one that was changed since proves nothing, and must be rehearsed again."""
    texts = {each.sha256 for each in library()}
    assert [each.playbook for each in shipped().values() if each.sha256 not in texts or not each.passed] == []


def test_what_actions_give_is_seen_as_json_says_it() -> None:
    """A tuple is nothing to CEL; settings and results have some."""
    picture = sample_picture({})
    assert value_of("size(steps.a.silent)", picture, {"steps": {"a": {"silent": ()}}}) == 0
    assert value_of("size(config) > 10 && has(config.log_level)", picture, {}) is True
    for name in ("cluster", "config", "nodes", "slices", "instances", "alerts", "backups", "metrics"):
        assert value_of(name, picture, {}) is not None


def test_of_tables_only_what_an_expression_names_is_kept_with_the_step() -> None:
    picture = sample_picture({})
    found = evaluated("config.log_level == 'info' && cluster.quorum && size(nodes) > 0", picture, {})
    assert found.holds
    assert found.seen["config"] == {"log_level": "info"}
    assert found.seen["cluster"] == {"quorum": True}
    assert isinstance(found.seen["nodes"], list | dict)
    whole = evaluated("size(cluster) > 3", picture, {})
    assert isinstance(whole.seen["cluster"], dict)
    assert len(whole.seen["cluster"]) > 3


def test_secret_settings_are_seen_by_no_expression(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is seen is recorded with the run, where everybody reads it."""
    monkeypatch.setattr("playbooks.expressions.picture.is_secret", lambda name: name == "log_level")
    picture = Picture(Overlay(), NoMeasures().measured(), Standing(leader="", quorum=True))
    assert value_of("config.log_level", picture, {}) == HIDDEN
