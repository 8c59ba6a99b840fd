"""Signing in through the identity provider: who comes back from it is let in as who they are, and as nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from agent_api.control_api.signing_in import PER_S
from runtime.operations.actor import Role
from runtime.security.principals import PrincipalRecord
from runtime.telemetry.log import Secret
from tests.identity_provider import CLIENT, SECRET, IdentityProvider, identity_provider
from tests.unit.api_parts import api_on_hand
from tests.unit.sign_in_parts import back, begun, sign_ins

pytestmark = pytest.mark.anyio


@pytest.fixture
def provider() -> Iterator[IdentityProvider]:
    with identity_provider() as found:
        yield found


def words_of(address: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}


async def signed_in(browser: httpx.AsyncClient, provider: IdentityProvider) -> httpx.Response:
    await begun(browser, provider)
    answer = await back(browser, provider)
    assert answer.headers["location"] == "/console/approvals#signed-in"
    return answer


async def test_who_signs_in_at_the_provider_has_a_session_with_the_role_of_that_subject(
    provider: IdentityProvider,
) -> None:
    async with sign_ins(provider) as world, world.browser() as browser:
        ways = (await browser.get("/v1/sign-in")).json()
        assert ways == {"name": f"127.0.0.1:{provider.port}", "begin": "/v1/sign-in/begin", "refused": None}
        answer = await signed_in(browser, provider)
        session, flow = (
            next(each for each in answer.headers.get_list("set-cookie") if each.startswith(f"{name}="))
            for name in ("aether_session", "aether_sign_in")
        )
        assert all(each in session for each in ("HttpOnly", "SameSite=strict", "Path=/;"))
        assert "Max-Age=0" in flow
        told = (await browser.get("/v1/session")).json()
        assert (told["principal"], told["role"], told["kind"]) == ("olga", "operator", "person")
        assert told["expires_unix_ms"] == world.api.hand.clock.unix_ms() + 8 * 3_600_000, "as with an API key"
        path, body = "/v1/slices/orders/scale", {"instances": 5}
        assert (await browser.put(path, json=body)).json()["code"] == "csrf_missing"
        assert (await browser.put(path, json=body, headers={"x-csrf-token": told["csrf"]})).status_code == 200


async def test_the_browser_carries_a_state_a_nonce_and_a_challenge_and_no_secret(provider: IdentityProvider) -> None:
    async with sign_ins(provider) as world, world.browser() as browser, world.browser() as other:
        words, again = words_of(await begun(browser, provider)), words_of(await begun(other, provider))
        assert {name: words[name] for name in ("response_type", "scope", "client_id", "code_challenge_method")} == {
            "response_type": "code",
            "scope": "openid",
            "client_id": CLIENT,
            "code_challenge_method": "S256",
        }
        assert words["redirect_uri"] == "http://node/v1/sign-in/callback"
        assert len(words["code_challenge"]) == 43
        for name in ("state", "nonce", "code_challenge"):
            assert words[name] != again[name], name
            assert words[name] not in browser.cookies["aether_sign_in"], name
        sent = await browser.get("/v1/sign-in/begin")
        kept = sent.headers["set-cookie"]
        assert all(each in kept for each in ("HttpOnly", "SameSite=lax", "Path=/v1/sign-in"))
        assert (sent.headers["cache-control"], sent.headers["referrer-policy"]) == ("no-store", "no-referrer")


async def test_a_sign_in_goes_on_at_another_node_than_it_began_at(provider: IdentityProvider) -> None:
    """A load balancer knows nothing of sign-ins."""
    async with sign_ins(provider) as world, world.browser() as browser:
        await begun(browser, provider)
        other = await world.another("n3")
        async with world.browser(other, like=browser) as same:
            answer = await back(same, provider)
            assert answer.headers["location"].endswith("#signed-in"), await world.refused(same)
            browser.cookies = same.cookies
        assert (await browser.get("/v1/session")).json()["principal"] == "olga"


async def test_a_callback_is_good_once(provider: IdentityProvider) -> None:
    async with sign_ins(provider) as world, world.browser() as browser:
        await begun(browser, provider)
        address = provider.sent_back("u-olga")
        assert (await browser.get(address)).headers["location"].endswith("#signed-in")
        asked = provider.asked.count("/token")
        assert (await browser.get(address)).headers["location"] == "/console/"
        assert (await world.refused(browser))["code"] == "sign_in_unknown"
        assert provider.asked.count("/token") == asked, "the provider was not even asked"


@pytest.mark.parametrize("change", ["disabled", "unlinked", "another", "signed out"])
async def test_the_session_ends_with_what_is_behind_it(provider: IdentityProvider, change: str) -> None:
    records = {
        "disabled": PrincipalRecord(id="olga", kind="person", role=Role.OPERATOR, oidc_subject="u-olga", disabled=True),
        "unlinked": PrincipalRecord(id="olga", kind="person", role=Role.OPERATOR),
        "another": PrincipalRecord(id="olga", kind="person", role=Role.OPERATOR, oidc_subject="u-other"),
    }
    async with sign_ins(provider) as world, world.browser() as browser:
        await signed_in(browser, provider)
        csrf = (await browser.get("/v1/session")).json()["csrf"]
        copy = httpx.Cookies(browser.cookies)
        if change == "signed out":
            assert (await browser.delete("/v1/session", headers={"x-csrf-token": csrf})).status_code == 204
            browser.cookies = copy
        else:
            await world.api.hand.principal(records[change])
        await world.seen()
        ended = await browser.get("/v1/session")
        assert (ended.status_code, ended.json()["detail"]) == (401, "the session has ended")


async def test_without_a_provider_there_is_no_button_and_its_address_says_so() -> None:
    async with api_on_hand() as api, api.client() as browser:
        assert (await browser.get("/v1/sign-in")).json() == {"name": "", "begin": "", "refused": None}
        assert (await browser.get("/v1/sign-in/begin")).headers["location"] == "/console/"
        told = (await browser.get("/v1/sign-in")).json()["refused"]
        assert (told["code"], told["status"], "API key" in told["remedy"]) == ("identity_provider_not_set", 409, True)


async def test_a_provider_without_a_client_takes_bearer_tokens_alone(provider: IdentityProvider) -> None:
    async with sign_ins(provider, client="") as world, world.browser() as browser:
        assert (await browser.get("/v1/sign-in")).json()["begin"] == ""
        asked = {"client_id": "aether", "sub": "u-olga", "nonce": ""}
        async with world.api.client(provider.id_token(asked), api=world.node) as client:
            assert (await client.get("/v1/session")).json()["principal"] == "olga", "keys came by its document"


async def test_the_consoles_own_address_is_where_browsers_begin_and_come_back(provider: IdentityProvider) -> None:
    """With TLS in front of the nodes, what a node sees of a request is not what the browser asked."""
    address = "https://aether.example"
    async with sign_ins(provider, address=address, name="Acme") as world, world.browser() as browser:
        ways = (await browser.get("/v1/sign-in")).json()
        assert (ways["name"], ways["begin"]) == ("Acme", f"{address}/v1/sign-in/begin")
        sent = await browser.get("/v1/sign-in/begin")
        assert words_of(sent.headers["location"])["redirect_uri"] == f"{address}/v1/sign-in/callback"
        assert "Secure" in sent.headers["set-cookie"]


async def test_the_secret_goes_the_way_that_the_provider_asks_for(provider: IdentityProvider) -> None:
    provider.document = {"token_endpoint_auth_methods_supported": ["private_key_jwt", "client_secret_post"]}
    async with sign_ins(provider) as world, world.browser() as browser:
        await signed_in(browser, provider)


async def test_a_client_without_a_secret_proves_itself_by_its_verifier_alone(provider: IdentityProvider) -> None:
    provider.secret = ""
    async with sign_ins(provider, secret=lambda: None) as world, world.browser() as browser:
        await signed_in(browser, provider)


async def test_addresses_that_are_set_need_no_document(provider: IdentityProvider) -> None:
    given = {name: f"{provider.issuer}/{name}" for name in ("authorize", "token", "keys")}
    async with sign_ins(provider, **given) as world, world.browser() as browser:
        await signed_in(browser, provider)
    assert set(provider.asked) == {"/token", "/keys"}


async def test_the_document_is_asked_for_once_an_hour_and_stays_while_it_cannot_be_had(
    provider: IdentityProvider,
) -> None:
    document = "/.well-known/openid-configuration"
    async with sign_ins(provider) as world, world.browser() as browser:
        for hours, asked in ((0, 1), (0, 1), (1, 2), (0, 2)):
            world.api.hand.clock.now_ms += hours * 3_600_000
            await signed_in(browser, provider)
            assert provider.asked.count(document) == asked
        provider.answers[document] = (503, b"")
        world.api.hand.clock.now_ms += 3_600_000
        await signed_in(browser, provider)


@pytest.mark.parametrize(
    "asked",
    [
        "https://evil.example/",
        "//evil.example",
        "/console//evil.example",
        "/console/../v1/session",
        "/console/\\evil",
        "/console/x\r\nset-cookie: a=b",
        "/v1/join",
        "",
        "/console/" + "x" * 500,
    ],
)
async def test_nobody_is_sent_anywhere_but_into_the_console(provider: IdentityProvider, asked: str) -> None:
    async with sign_ins(provider) as world, world.browser() as browser:
        await begun(browser, provider, asked)
        assert (await back(browser, provider)).headers["location"] == "/console/#signed-in"


async def test_an_address_that_begins_too_often_is_told_to_wait(provider: IdentityProvider) -> None:
    async with sign_ins(provider) as world, world.browser() as browser:
        sent = [await browser.get("/v1/sign-in/begin") for _ in range(int(2 * PER_S) + 1)]
        assert [each.headers["location"] == "/console/" for each in sent[-2:]] == [False, True]
        assert (await world.refused(browser))["code"] == "too_many_sign_ins"
        world.api.hand.clock.now_ms += 1_000
        await signed_in(browser, provider)


async def test_what_was_said_in_secret_stands_in_no_answer_and_no_line(provider: IdentityProvider) -> None:
    said: list[str] = []
    async with sign_ins(provider, secret=lambda: Secret(SECRET)) as world, world.browser() as browser:
        for person in ("u-olga", "u-stranger", "nobody"):
            said.append(await begun(browser, provider))
            answer = await back(browser, provider, person)
            said += [str(answer.headers), str((await browser.get("/v1/sign-in")).content)]
        lines = str([(each.event, each.fields) for each in world.api.hand.log.lines])
        assert ("signed_in" in lines, "sign_in_refused" in lines) == (True, True)
        for secret in (SECRET, "code_verifier", *provider.codes):
            assert secret not in str(said) + lines
