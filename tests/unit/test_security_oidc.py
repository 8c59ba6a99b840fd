"""Bearer tokens of an identity provider: those it signed, for this cluster, for now, for somebody known."""

from __future__ import annotations

import json
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey, RSAKey

from agent_api.control_api.app import ControlApi
from agent_api.control_api.ports import ApiSettings
from runtime.operations.actor import Role
from runtime.security.oidc import AGAIN_S, KeysUnavailable, OidcSettings, TokenReader, holder_of
from runtime.security.oidc_provider import IdentityProvider
from runtime.security.principals import PrincipalRecord
from tests.unit.api_parts import api_on_hand
from tests.unit.gate_parts import START_UNIX_MS, HandClock

pytestmark = pytest.mark.anyio
SETTINGS = OidcSettings(issuer="https://id.example", audience="aether", keys="https://id.example/keys")
NOW_S = START_UNIX_MS // 1_000
GOOD: dict[str, Any] = {"iss": SETTINGS.issuer, "aud": ["other", "aether"], "sub": "u1", "exp": NOW_S + 600}


class Provider:
    def __init__(self) -> None:
        self.keys = [RSAKey.generate_key(2048, {"kid": "k1"}, private=True)]
        self.asked = 0
        self.away = False

    async def fetch(self, where: str) -> bytes:
        assert where == SETTINGS.keys
        self.asked += 1
        if self.away:
            raise OSError("no route")
        return json.dumps(KeySet(list(self.keys)).as_dict(private=False)).encode()

    def token(self, at: int = 0, header: dict[str, str] | None = None, **claims: Any) -> str:
        key = self.keys[at]
        return jwt.encode({"alg": "RS256", "kid": key.kid, **(header or {})}, GOOD | claims, key)


@pytest.fixture
def provider() -> Provider:
    return Provider()


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def reader(provider: Provider, clock: HandClock) -> TokenReader:
    return TokenReader(SETTINGS, fetch=provider.fetch, clock=clock)


async def test_a_good_token_tells_whose_it_is_and_keys_are_fetched_once(
    reader: TokenReader, provider: Provider
) -> None:
    for _ in range(3):
        holder = await reader.read(provider.token())
        assert holder is not None
        assert (holder.subject, holder.expires_unix_ms) == ("u1", (NOW_S + 600) * 1_000)
    assert provider.asked == 1


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://evil.example"},
        {"aud": "other"},
        {"aud": None},
        {"sub": ""},
        {"sub": 7},
        {"exp": NOW_S - 31},
        {"exp": None},
        {"exp": "tomorrow"},
        {"nbf": NOW_S + 31},
    ],
)
async def test_a_token_of_others_for_others_or_of_another_time_is_nobodys(
    reader: TokenReader, provider: Provider, claims: dict[str, Any]
) -> None:
    assert await reader.read(provider.token(**claims)) is None
    assert holder_of(GOOD | claims, SETTINGS, START_UNIX_MS) is None


async def test_a_token_that_the_provider_did_not_sign_is_nobodys(reader: TokenReader, provider: Provider) -> None:
    forger = Provider()
    head, body, signature = provider.token().split(".")
    none_alg = "eyJhbGciOiJub25lIiwia2lkIjoiazEifQ"
    symmetric = jwt.encode({"alg": "HS256", "kid": "k1"}, GOOD, OctKey.import_key(b"x" * 32))
    other_kind = jwt.encode({"alg": "ES256", "kid": "k1"}, GOOD, ECKey.generate_key("P-256", {"kid": "k1"}))
    for forged in (
        forger.token(),
        f"{none_alg}.{body}.",
        f"{head}.{body}.{signature[:-4]}AAAA",
        symmetric,
        other_kind,
        "a.b.c",
        "..",
    ):
        assert await reader.read(forged) is None, forged


async def test_a_new_key_is_fetched_at_most_once_a_minute(
    reader: TokenReader, provider: Provider, clock: HandClock
) -> None:
    await reader.read(provider.token())
    provider.keys.append(RSAKey.generate_key(2048, {"kid": "k2"}, private=True))
    for _ in range(5):
        assert await reader.read(provider.token(1)) is None
    assert provider.asked == 1
    clock.now_ms += int(AGAIN_S * 1_000)
    assert await reader.read(provider.token(1)) is not None
    assert provider.asked == 2


async def test_a_key_that_was_taken_back_is_gone_within_the_hour(
    reader: TokenReader, provider: Provider, clock: HandClock
) -> None:
    token = provider.token(exp=NOW_S + 9_000)
    assert await reader.read(token) is not None
    provider.keys[0] = RSAKey.generate_key(2048, {"kid": "k2"}, private=True)
    clock.now_ms += 3_600_000
    assert await reader.read(token) is None


async def test_known_keys_stay_while_the_provider_is_away(
    reader: TokenReader, provider: Provider, clock: HandClock
) -> None:
    token = provider.token(exp=NOW_S + 9_000)
    await reader.read(token)
    provider.away = True
    clock.now_ms += 3_600_000
    assert await reader.read(token) is not None


async def test_without_any_keys_it_says_so(reader: TokenReader, provider: Provider) -> None:
    provider.away = True
    for _ in range(5):
        with pytest.raises(KeysUnavailable):
            await reader.read(provider.token())
    assert provider.asked == 1, "once a minute"


async def test_keys_over_plain_http_come_from_this_machine_alone() -> None:
    provider = IdentityProvider(SETTINGS, secret=lambda: None, clock=HandClock())
    with pytest.raises(OSError, match="HTTPS"):
        await provider.keys("http://id.example/keys")


async def test_the_api_takes_tokens_of_principals_that_it_knows(provider: Provider, tmp_path: Any) -> None:
    keys_file = tmp_path / "keys.json"
    keys_file.write_bytes(await provider.fetch(SETTINGS.keys))
    oidc = OidcSettings(issuer=SETTINGS.issuer, audience=SETTINGS.audience, keys=str(keys_file))
    async with api_on_hand() as api:
        with_oidc: ControlApi = api.another("n2", settings=ApiSettings(oidc=oidc))[0]
        await api.hand.principal(PrincipalRecord(id="olga", kind="person", role=Role.OPERATOR, oidc_subject="u1"))
        await api.seen()
        async with api.client(provider.token(), api=with_oidc) as client:
            assert (await client.get("/v1/session")).json()["principal"] == "olga"
            begun = await client.post("/v1/session")
            assert begun.json()["expires_unix_ms"] == (NOW_S + 600) * 1_000, "no longer than the token"
        async with api.client(provider.token(sub="u2"), api=with_oidc) as client:
            assert (await client.get("/v1/session")).status_code == 401
        async with api.client(provider.token()) as client:
            assert (await client.get("/v1/session")).status_code == 401, "the first node has no provider"
