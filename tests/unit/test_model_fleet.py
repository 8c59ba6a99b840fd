"""Which providers there are follows settings and keys, and a key is shown to nobody."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from agent_api.assemble.reasoner_models import limits_of, wanted_by
from llm_layer.providers.breaker import FAILURES_MAX
from llm_layer.providers.configured import Configured
from llm_layer.providers.fleet import MAKES, Fleet
from llm_layer.providers.keys import KeyAbsent, read_key
from runtime.config.settings import NodeSettings, SettingInvalid, checked, from_text
from tests.unit.gate_parts import HandClock

CANARY = "sk-canary-0123456789abcdef"
ALL = NodeSettings(model_providers=("anthropic", "openai", "compatible"))


def fleet(directory: Path, **environment: str) -> Fleet:
    return Fleet(keys=directory, environment=environment, clock=HandClock())


def follow(made: Fleet, settings: NodeSettings) -> None:
    made.follow(wanted_by(settings), limits_of(settings))


def put(directory: Path, provider: str, text: str, mode: int = 0o600) -> Path:
    path = directory / provider
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_key_comes_from_the_environment_before_a_file_of_mode_0600(tmp_path: Path) -> None:
    put(tmp_path, "anthropic", f"{CANARY}\n")
    assert read_key("anthropic", tmp_path, {}).reveal() == CANARY
    assert read_key("anthropic", tmp_path, {"ANTHROPIC_API_KEY": "other"}).reveal() == "other"
    assert CANARY not in repr(read_key("anthropic", tmp_path, {}))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_that_others_may_read_is_none(tmp_path: Path, mode: int) -> None:
    put(tmp_path, "openai", CANARY, mode)
    with pytest.raises(KeyAbsent, match="mode 0600") as raised:
        read_key("openai", tmp_path, {})
    assert CANARY not in str(raised.value)


@pytest.mark.parametrize("text", ["", f"{CANARY}\nsecond", f"{CANARY} x", "sk-ü", "x" * 5_000])
def test_what_fits_no_header_is_no_key_and_is_not_shown(tmp_path: Path, text: str) -> None:
    put(tmp_path, "openai", text)
    with pytest.raises(KeyAbsent) as raised:
        read_key("openai", tmp_path, {})
    assert "canary" not in str(raised.value)


def test_no_link_and_no_pipe_is_followed_to_a_key(tmp_path: Path) -> None:
    (tmp_path / "openai").symlink_to(put(tmp_path, "elsewhere", CANARY))
    (tmp_path / "anthropic").mkdir()
    for provider in ("openai", "anthropic"):
        with pytest.raises(KeyAbsent):
            read_key(provider, tmp_path, {})


def test_nobody_is_asked_unless_the_settings_say_so(tmp_path: Path) -> None:
    """A key that lies around sends nothing anywhere."""
    made = fleet(tmp_path, ANTHROPIC_API_KEY=CANARY, OPENAI_API_KEY=CANARY)
    follow(made, NodeSettings())
    assert (made.providers, made.standing()) == ((), ())


def test_every_absence_says_why(tmp_path: Path) -> None:
    made = fleet(tmp_path, OPENAI_API_KEY=CANARY)
    follow(made, replace(ALL, model_openai_url="http://models.example/v1"))
    told = {each.name: (each.state, each.why) for each in made.standing()}
    assert told["anthropic"] == (
        "absent",
        f"neither the variable ANTHROPIC_API_KEY nor the file {tmp_path / 'anthropic'} is there",
    )
    assert "unencrypted" in told["openai"][1]
    assert "model_compatible_strong" in told["compatible"][1]
    assert "canary" not in repr(told)
    follow(made, replace(ALL, model_compatible_strong="qwen"))
    assert "model_compatible_url" in made.standing()[2].why


@pytest.mark.parametrize("url", ["ftp://x/v1", "models.example", "http://[", "https://me:pw@x/v1"])
def test_what_is_no_address_is_not_asked(tmp_path: Path, url: str) -> None:
    made = fleet(tmp_path)
    follow(made, replace(ALL, model_compatible_strong="qwen", model_compatible_url=url))
    assert made.providers == ()


def test_they_are_asked_in_the_settings_order_and_a_server_of_ones_own_needs_no_key(tmp_path: Path) -> None:
    made = fleet(tmp_path, ANTHROPIC_API_KEY=CANARY, OPENAI_API_KEY=CANARY)
    follow(
        made,
        replace(
            ALL,
            model_providers=("compatible", "anthropic", "compatible"),
            model_compatible_strong="qwen",
            model_compatible_url="http://10.0.0.7:8000/v1",
        ),
    )
    assert [each.name for each in made.providers] == ["compatible", "anthropic"]
    assert [(each.model("strong"), each.model("cheap")) for each in made.providers] == [
        ("qwen", "qwen"),
        ("claude-sonnet-5-5", "claude-haiku-5-5"),
    ]


def test_a_provider_stays_as_long_as_nothing_of_it_changes_and_begins_anew_with_another_key(tmp_path: Path) -> None:
    wanted = NodeSettings(model_providers=("anthropic",))
    path = put(tmp_path, "anthropic", CANARY)
    made = fleet(tmp_path)
    follow(made, wanted)
    (first,) = made.providers
    for _ in range(FAILURES_MAX):
        made.breakers.of("anthropic").failed("it answers HTTP 500")
    assert (made.standing()[0].state, made.standing()[0].why) == ("open", "it failed 5 times: it answers HTTP 500")
    follow(made, replace(wanted, model_usd_per_day=1.0))
    assert made.providers == (first,)
    path.write_text("another-key")
    follow(made, wanted)
    assert made.providers != (first,)
    assert made.standing()[0].state == "ready"


class Closing:
    """A provider of which is seen whether its connections were ended."""

    def __init__(self, configured: Configured) -> None:
        self.name = configured.name
        self.closed = 0

    async def close(self) -> None:
        self.closed += 1


@pytest.mark.anyio
async def test_one_that_is_replaced_is_closed_once_no_turn_has_it_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each left open would keep its connections for as long as the process lives; closed at once, it would break off
    the answers that are under way."""
    monkeypatch.setitem(MAKES, "anthropic", Closing)  # type: ignore[arg-type]  # as much of one as is looked at
    wanted, path = NodeSettings(model_providers=("anthropic",)), put(tmp_path, "anthropic", CANARY)
    made = fleet(tmp_path)
    follow(made, wanted)
    async with made.lent() as (first,):
        path.write_text("another-key")
        follow(made, wanted)
        async with made.lent() as (second,):
            assert second is not first
        assert (first.closed, second.closed) == (0, 0)
    assert (first.closed, second.closed) == (1, 0)
    follow(made, NodeSettings())  # none is wanted any more
    async with made.lent() as none:
        assert none == ()
    assert (first.closed, second.closed) == (1, 1)


def test_prices_and_providers_are_checked_when_they_are_set() -> None:
    assert checked("model_providers", ["openai"]) == ["openai"]
    price = "my/model:70b 0 0 0 0 2026-11-27"
    assert checked("model_prices", from_text("model_prices", f'["{price}"]')) == [price]
    for name, wrong in (
        ("model_providers", ["nobody"]),
        ("model_prices", ["claude 1 2 3"]),
        ("model_prices", ["claude 1 2 3 4 2026-11-27\n"]),
        ("model_prices", ["claude -1 2 3 4 2026-11-27"]),
        ("model_usd_per_day", -1),
        ("model_anthropic_url", "https://elsewhere.example"),
    ):
        with pytest.raises(SettingInvalid):
            checked(name, wrong)
