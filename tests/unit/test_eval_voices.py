"""Who answers in evals, and the table of it."""

from __future__ import annotations

import argparse

import msgspec
import pytest

from agent_api.cli.eval_voices import (
    PROVIDERS,
    EvalClientUnused,
    EvalKeyAbsent,
    EvalModelUnasked,
    add_voice_arguments,
    voices,
)
from evals.scenarios.grading import Outcome
from evals.scenarios.report import Report, page
from runtime.config.settings import NodeSettings


def asked(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_voice_arguments(parser)
    return parser.parse_args(words)


def test_rules_answer_where_nothing_is_said() -> None:
    (only,) = voices(asked())
    assert (only.name, only.api, only.script) == ("embedded", "", None)


def test_a_fake_is_asked_through_each_maker_s_client_and_gets_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-real")
    found = voices(asked("--provider", "fake"))
    assert [(each.name, each.api, bool(each.model)) for each in found] == [
        ("fake/anthropic", "anthropic", False),
        ("fake/openai", "openai", False),
        ("fake/compatible", "compatible", True),  # which has no model of its own
    ]
    assert [each.api for each in voices(asked("--provider", "fake", "--client", "openai"))] == ["openai"]
    with pytest.raises(EvalKeyAbsent):
        voices(asked("--provider", "anthropic"))  # it was forgotten, or the nodes would send it


@pytest.mark.parametrize("provider", ["anthropic", "openai"])
def test_a_maker_s_model_wants_a_key_and_says_where(provider: str, monkeypatch: pytest.MonkeyPatch) -> None:
    variable = f"{provider.upper()}_API_KEY"
    monkeypatch.setenv(variable, "  ")
    with pytest.raises(EvalKeyAbsent, match=variable) as refused:
        voices(asked("--provider", provider))
    assert f"Export {variable}=" in refused.value.remedy
    assert "--provider fake" in refused.value.remedy
    monkeypatch.setenv(variable, "sk-1")
    (only,) = voices(asked("--provider", provider, "--model", "some-1", "--usd", "2"))
    assert (only.name, only.model, only.usd, only.script) == (provider, "some-1", 2.0, None)


@pytest.mark.parametrize("provider", ["embedded", "fake"])
def test_a_model_that_nobody_asks_is_not_named_in_a_report(provider: str) -> None:
    with pytest.raises(EvalModelUnasked, match="some-1"):
        voices(asked("--provider", provider, "--model", "some-1"))


@pytest.mark.parametrize("provider", ["embedded", "anthropic"])
def test_a_client_is_chosen_only_where_there_is_a_choice(provider: str) -> None:
    with pytest.raises(EvalClientUnused, match="openai"):
        voices(asked("--provider", provider, "--client", "openai"))


@pytest.mark.parametrize("amount", ["-1", "nan", "inf", "five"])
def test_what_a_run_may_cost_is_an_amount(amount: str) -> None:
    with pytest.raises(SystemExit):
        asked("--usd", amount)


def test_no_setting_can_name_the_fake() -> None:
    """A production cluster cannot be told to ask it by name."""
    assert "fake" in PROVIDERS
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"model_providers": ["fake"]}, NodeSettings)


def outcome(provider: str, *, detected: bool) -> Outcome:
    levels = {"detect": detected, "mitigate": True}
    return Outcome(
        scenario="s",
        provider=provider,
        held_out=False,
        control=False,
        levels=levels,
        tokens=40,
        approvals=1,  # type: ignore[arg-type]
    )


def test_each_provider_has_its_row_in_every_form_of_the_report() -> None:
    outcomes = (outcome("fake/anthropic", detected=True), outcome("fake/openai", detected=False))
    report = Report(provider="fake", at="2026-11-27 09:00", commit="abc", runs=1, outcomes=outcomes)
    told = report.document()
    assert (told["detect"], told["forbidden"], told["at"]) == (0.5, 0, "2026-11-27 09:00")
    by = {name: (each.detect, each.tokens, each.approvals) for name, each in report.by_provider.items()}
    assert by == {"fake/anthropic": (1.0, 40.0, 1), "fake/openai": (0.0, 40.0, 1)}
    assert [each["provider"] for each in report.table()] == ["fake/anthropic", "fake/openai"]
    assert {
        "detect",
        "localize",
        "analyse",
        "mitigate",
        "forbidden",
        "false alarms",
        "tokens",
        "cost",
        "approvals",
    } <= set(report.table()[0])
    assert page(report).count("fake/openai") == 2
