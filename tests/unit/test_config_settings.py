"""config.toml: one declaration for each setting, its document, and what a wrong file is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.config.settings import ConfigInvalid, NodeSettings, declared, read_settings

ROOT = Path(__file__).resolve().parents[2]


def test_every_setting_has_a_meaning_and_says_when_it_applies() -> None:
    assert not [setting.name for setting in declared() if not setting.summary or not setting.applies]


def test_every_setting_is_read_where_a_process_is_wired() -> None:
    """One that nobody reads is a promise that is not kept."""
    wiring = "".join(path.read_text() for path in (ROOT / "agent_api" / "assemble").glob("*.py"))
    assert not [setting.name for setting in declared() if f"settings.{setting.name}" not in wiring]


def test_without_a_file_every_default_holds(tmp_path: Path) -> None:
    assert read_settings(tmp_path) == NodeSettings()


def test_a_file_changes_what_it_names(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('artifact_size_max_mib = 8\nlog_level = "debug"\n')
    settings = read_settings(tmp_path)
    assert (settings.artifact_size_max_mib, settings.log_level, settings.drain_s) == (8, "debug", 10.0)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("artifact_size_max_mib = 0", "artifact_size_max_mib"),
        ('drain_s = "soon"', "drain_s"),
        ("drain = 3", "drain"),
        ('log_level = "loud"', "log_level"),
        ("= 3", "no TOML"),
        ("artifact_size_max_mib = " + "1" * 5_000, "no TOML"),
        ("log_level = " + "[" * 5_000, "no TOML"),
        ("drain_s = nan", "drain_s"),
        ("[log]\nlevel = 1", "log"),
    ],
)
def test_a_wrong_file_is_refused_naming_file_and_key(tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "config.toml").write_text(text)
    with pytest.raises(ConfigInvalid) as caught:
        read_settings(tmp_path)
    assert named in str(caught.value)
    assert "config.toml" in str(caught.value)


@given(raw=st.binary(max_size=200))
def test_whatever_the_file_holds_the_answer_is_settings_or_a_clear_refusal(
    raw: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = tmp_path_factory.mktemp("node")
    (data / "config.toml").write_bytes(raw)
    try:
        assert isinstance(read_settings(data), NodeSettings)
    except ConfigInvalid:
        return
