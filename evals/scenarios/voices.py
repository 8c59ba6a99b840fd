"""Who answers while scenarios are played: rules alone, a model of a maker's, or a policy of ours behind its clients."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Literal

import msgspec

from evals.fake_provider.script import Script
from evals.fake_provider.server import KEY, FakeProvider
from evals.forge.cluster_api import OVERRIDE
from evals.forge.forge import Forge

Api = Literal["anthropic", "openai", "compatible"]
FAKED: Final[dict[Api, tuple[str, str]]] = {
    "anthropic": ("", ""),
    "openai": ("", ""),
    "compatible": ("ours", "ours-small"),
}
"""What a policy of ours is asked through, with names for its two models where settings have none: Messages, Responses,
and Chat Completions."""
FAKE_USD: Final = 100_000.0
"""More than any run of a script's takes: what has no price is paid at the dearest, and a run whose budget is empty
judges rules alone."""
TOKENS_PER_MINUTE: Final = 1_000_000_000  # a run asks a hundred attacks in a minute; money is what bounds it


class Voice(msgspec.Struct, frozen=True, kw_only=True):
    """`name` as reports tell it; `api` is empty for rules alone. model, cheap: the maker's defaults if empty. usd: what
    models may cost in all. With a `script` nobody is asked but it, and no key is used but its own."""

    name: str
    api: Api | Literal[""] = ""
    model: str = ""
    cheap: str = ""
    usd: float = 0.0
    script: Script | None = None
    pace_s: float = 0.0
    """Between two pieces of what a script's model writes."""


EMBEDDED: Final = Voice(name="embedded")


def faked(script: Script, *, name: str = "fake") -> tuple[Voice, ...]:
    """One for each API."""
    return tuple(
        Voice(name=f"{name}/{api}", api=api, model=strong, cheap=cheap, script=script, usd=FAKE_USD)
        for api, (strong, cheap) in FAKED.items()
    )


@asynccontextmanager
async def speaking(forge: Forge, voice: Voice) -> AsyncIterator[FakeProvider | None]:
    """The Forge's cluster answers with this voice, by its configuration alone, as docs/guides/llm.md says. Gives what
    stands in a model's place, if anything does."""
    if not voice.api:
        yield None
    elif voice.script is None:
        await _configured(forge, voice)
        yield None
    else:
        async with FakeProvider(voice.script, pace_s=voice.pace_s).serving() as fake:
            _point_at(forge, voice.api, fake.url if voice.api == "anthropic" else f"{fake.url}/v1")
            await _configured(forge, voice)
            yield fake


def _point_at(forge: Forge, api: Api, url: str) -> None:
    """Address and key lie on the nodes. An address of before goes: of two the file would be none."""
    for node in forge.nodes.values():
        file = node.data / "config.toml"
        lines = file.read_text().splitlines() if file.exists() else []
        kept = [each for each in lines if not each.startswith(f"model_{api}_url ")]
        file.write_text("\n".join([*kept, f'model_{api}_url = "{url}"', ""]))
        (node.data / "model-keys").mkdir(mode=0o700, exist_ok=True)
        key = node.data / "model-keys" / api
        key.touch(mode=0o600)
        key.write_text(f"{KEY}\n")


async def _configured(forge: Forge, voice: Voice) -> None:
    """Who is asked is a setting of the cluster, and named last: then all else holds already."""
    settings: dict[str, object] = {
        "model_tokens_per_minute": TOKENS_PER_MINUTE,
        "model_usd_per_hour": voice.usd,
        "model_usd_per_day": voice.usd,
        **({f"model_{voice.api}_strong": voice.model} if voice.model else {}),
        **({f"model_{voice.api}_cheap": voice.cheap} if voice.cheap else {}),
        "model_providers": [voice.api],
    }
    for name, value in settings.items():
        await forge.api.change("PUT", f"/v1/config/{name}?{OVERRIDE}", json.dumps({"value": value}).encode())
