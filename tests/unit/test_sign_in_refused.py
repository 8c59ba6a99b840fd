"""Every way in which a sign-in through the identity provider can fail: nobody comes in, and the page says why."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import Response

from agent_api.control_api import sign_in_refused
from agent_api.control_api.sign_in_errors import SignInExpired
from runtime.consensus.errors import StoreUnavailable
from runtime.security import provider_http
from runtime.security.kept_secret import read_secret
from runtime.telemetry.log import Secret
from tests.identity_provider import IdentityProvider, identity_provider, key_named
from tests.unit.alert_servers import certified
from tests.unit.sign_in_parts import SignIns, back, begun, sign_ins

pytestmark = pytest.mark.anyio
DOCUMENT = "/.well-known/openid-configuration"
Trouble = Callable[[IdentityProvider], object]


@pytest.fixture
def provider() -> Iterator[IdentityProvider]:
    with identity_provider() as found:
        yield found


async def is_refused(world: SignIns, browser: httpx.AsyncClient, answer: httpx.Response, code: str) -> dict[str, str]:
    """Back at the page, without a session, and told why, once."""
    assert answer.status_code == 303
    assert not answer.headers["location"].endswith("#signed-in")
    assert "aether_session" not in browser.cookies
    assert "aether_sign_in" not in browser.cookies
    told = await world.refused(browser)
    assert told["code"] == code, told
    assert told["detail"]
    assert told["remedy"]
    assert told["instance"] == f"urn:aether:request:{answer.headers['x-request-id']}"
    assert await world.refused(browser) is None, "told twice"
    return told


@pytest.mark.parametrize(
    ("trouble", "code", "says"),
    [
        (lambda p: p.answers.update({DOCUMENT: (503, b"")}), "identity_provider_unreachable", "503"),
        (lambda p: p.answers.update({DOCUMENT: (404, b"")}), "identity_provider_unfit", "404"),
        (lambda p: p.answers.update({DOCUMENT: (302, b"")}), "identity_provider_unfit", "302"),
        (lambda p: p.answers.update({DOCUMENT: (200, b"<html>")}), "identity_provider_unfit", "cannot be read"),
        (lambda p: p.document.update(issuer="https://evil.example"), "identity_provider_unfit", "evil.example"),
        (
            lambda p: p.document.update(authorization_endpoint="http://id.example/"),
            "identity_provider_unfit",
            "no sign-in endpoint at an HTTPS address",
        ),
        (
            lambda p: p.document.update(authorization_endpoint="https://id.example/\r\nset-cookie: a=b"),
            "identity_provider_unfit",
            "no sign-in endpoint at an HTTPS address",
        ),
        (
            lambda p: p.document.update(token_endpoint="javascript:x"),
            "identity_provider_unfit",
            "no token endpoint at an HTTPS address",
        ),
    ],
)
async def test_a_provider_that_cannot_be_asked_is_told_of_before_anybody_is_sent_there(
    provider: IdentityProvider, trouble: Trouble, code: str, says: str
) -> None:
    trouble(provider)
    async with sign_ins(provider) as world, world.browser() as browser:
        answer = await browser.get("/v1/sign-in/begin?back=/console/slices")
        assert answer.headers["location"] == "/console/slices"
        told = await is_refused(world, browser, answer, code)
        assert says in told["detail"]


@pytest.mark.parametrize(
    ("trouble", "code", "says"),
    [
        (lambda p: p.answers.update({"/token": (500, b"")}), "identity_provider_unreachable", "500"),
        (lambda p: p.answers.update({"/token": (429, b"")}), "identity_provider_unreachable", "429"),
        (lambda p: p.answers.update({"/token": (302, b"")}), "identity_provider_unfit", "302"),
        (lambda p: p.answers.update({"/token": (200, b"{}")}), "identity_provider_unfit", "no id token"),
        (
            lambda p: p.answers.update({"/token": (400, b'{"error": "unsupported_grant_type"}')}),
            "identity_provider_unfit",
            "unsupported_grant_type",
        ),
        (lambda p: setattr(p, "secret", "other"), "oidc_client_refused", "invalid_client"),
        (lambda p: p.answers.update({"/token": (400, b"<b>no</b>")}), "sign_in_code_refused", "400"),
        (lambda p: p.seen.update(code_challenge="x" * 43), "sign_in_code_refused", "invalid_grant"),
        (lambda p: p.claims.update(aud="other"), "id_token_audience_unknown", "another audience"),
        (lambda p: p.claims.update(azp="other"), "id_token_audience_unknown", "another client"),
        (lambda p: p.claims.update(exp=int(p.now_s()) - 31), "id_token_expired", "time is over"),
        (lambda p: p.claims.update(nbf=int(p.now_s()) + 31), "id_token_expired", "has not come"),
        (lambda p: p.claims.update(nonce="other"), "id_token_invalid", "another sign-in"),
        (lambda p: p.claims.update(nonce=7), "id_token_invalid", "another sign-in"),
        (lambda p: p.claims.update(iss="https://evil.example"), "id_token_invalid", "another issuer"),
        (lambda p: p.claims.update(sub=""), "id_token_invalid", "lacks a subject"),
        (lambda p: setattr(p, "signs_with", key_named("k1.forged")), "id_token_invalid", "not signed"),
        (lambda p: p.answers.update({"/keys": (500, b"")}), "identity_keys_unavailable", "keys could not be read"),
        (lambda p: p.claims.update(sub="u-gone"), "sign_in_subject_unknown", "'u-gone'"),
    ],
)
async def test_what_the_provider_answers_is_checked_before_anybody_comes_in(
    provider: IdentityProvider, trouble: Trouble, code: str, says: str
) -> None:
    async with sign_ins(provider) as world, world.browser() as browser:
        await begun(browser, provider)
        trouble(provider)
        answer = await back(browser, provider)
        assert answer.headers["location"] == "/console/approvals", "the next try ends where this one began"
        told = await is_refused(world, browser, answer, code)
        assert says in told["detail"]


async def test_who_presses_cancel_at_the_provider_is_back_at_the_page(provider: IdentityProvider) -> None:
    async with sign_ins(provider) as world, world.browser() as browser:
        await begun(browser, provider)
        told = await is_refused(world, browser, await back(browser, provider, "nobody"), "sign_in_denied")
        assert told["detail"] == "the identity provider signed nobody in: access_denied"


async def test_who_has_no_role_is_told_what_an_admin_has_to_type(provider: IdentityProvider) -> None:
    """A subject is the provider's text: it must not become a command of its own in an admin's shell."""
    async with sign_ins(provider) as world, world.browser() as browser:
        for subject, typed in (("u-stranger", "u-stranger"), ("a'$(id)", "'a'\"'\"'$(id)'"), ("a\nb", "SUBJECT")):
            await begun(browser, provider)
            told = await is_refused(world, browser, await back(browser, provider, subject), "sign_in_subject_unknown")
            assert told["remedy"].endswith(f"aether principal set YOUR_NAME person ROLE --oidc-subject {typed}")


async def test_an_answer_that_this_browser_did_not_ask_for_signs_nobody_in(provider: IdentityProvider) -> None:
    """Else somebody could be made to work under another's name, or a stolen address be enough to come in."""
    async with sign_ins(provider) as world, world.browser() as browser, world.browser() as victim:
        await begun(browser, provider)
        address = provider.sent_back("u-olga")
        answer = await victim.get(address)
        told = await is_refused(world, victim, answer, "sign_in_unknown")
        assert told["detail"] == "this browser began no sign-in, or finished it already"
        await begun(victim, provider)
        told = await is_refused(world, victim, await victim.get(address), "sign_in_unknown")
        assert "another sign-in than this browser began last" in told["detail"]
        await begun(victim, provider)
        kept = victim.cookies["aether_sign_in"]
        victim.cookies.clear()
        forged = {"cookie": f"aether_sign_in={kept[:-4]}0000"}
        await is_refused(
            world, victim, await victim.get(provider.sent_back("u-olga"), headers=forged), "sign_in_unknown"
        )
        assert provider.asked.count("/token") == 0


async def test_an_answer_in_another_providers_name_is_not_taken(provider: IdentityProvider) -> None:
    """RFC 9207: a browser that was led to two providers must not bring the code of one to the other."""
    async with sign_ins(provider) as world, world.browser() as browser:
        await begun(browser, provider)
        address = httpx.URL(provider.sent_back("u-olga")).copy_set_param("iss", "https://evil.example")
        told = await is_refused(world, browser, await browser.get(address), "sign_in_unknown")
        assert "another identity provider" in told["detail"]
        assert provider.asked.count("/token") == 0


async def test_who_comes_back_late_is_told_to_begin_again(provider: IdentityProvider) -> None:
    async with sign_ins(provider) as world, world.browser() as browser:
        await begun(browser, provider)
        world.api.hand.clock.now_ms += 10 * 60_000 + 1
        told = await is_refused(world, browser, await back(browser, provider), "sign_in_expired")
        assert told["detail"] == "the sign-in took longer than 10 minutes"


async def test_a_secret_that_lies_open_is_not_sent_and_the_nodes_log_alone_says_where(
    provider: IdentityProvider, tmp_path: Path
) -> None:
    path = tmp_path / "oidc-client-secret"
    path.write_text("s3cret")
    path.chmod(0o644)

    def secret() -> Secret | None:
        return read_secret("AETHER_OIDC_CLIENT_SECRET", path, {})

    async with sign_ins(provider, secret=secret) as world, world.browser() as browser:
        await begun(browser, provider)
        told = await is_refused(world, browser, await back(browser, provider), "oidc_client_refused")
        assert str(tmp_path) not in str(told)
        assert provider.asked.count("/token") == 0
        why = [each.fields["why"] for each in world.api.hand.log.lines if each.event == "client_secret_unfit"]
        assert why == [f"{path} is no file that its owner alone may read: it wants mode 0600"]


def test_a_secret_of_the_environment_goes_before_the_files_and_either_may_be_absent(tmp_path: Path) -> None:
    path = tmp_path / "oidc-client-secret"
    assert read_secret("V", path, {}) is None
    path.touch(mode=0o600)
    path.write_text("of-the-file\n")
    told = read_secret("V", path, {}), read_secret("V", path, {"V": "of-the-variable"})
    assert [each.reveal() for each in told if each is not None] == ["of-the-file", "of-the-variable"]
    assert "of-the" not in repr(told)


async def test_a_provider_that_is_gone_or_hangs_is_told_of_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provider_http, "STEP_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        provider = IdentityProvider(port=hanging.getsockname()[1])
        async with sign_ins(provider) as world, world.browser() as browser:
            answer = await browser.get("/v1/sign-in/begin")
            told = await is_refused(world, browser, answer, "identity_provider_unreachable")
            assert "no answer in time" in told["detail"]
            hanging.close()
            world.api.hand.clock.now_ms += 2_000
            answer = await browser.get("/v1/sign-in/begin")
            told = await is_refused(world, browser, answer, "identity_provider_unreachable")
            assert "Connection refused" in told["detail"]


async def test_a_provider_over_tls_is_asked_if_its_certificate_is_of_an_authority_that_is_known(tmp_path: Path) -> None:
    with identity_provider(context=certified(tmp_path)) as provider:
        async with sign_ins(provider, authority=str(tmp_path / "ca.pem")) as world, world.browser() as browser:
            assert (
                (await browser.get("/v1/sign-in/begin")).headers["location"].startswith(f"{provider.issuer}/authorize")
            )
        async with sign_ins(provider) as world, world.browser() as browser:
            answer = await browser.get("/v1/sign-in/begin")
            told = await is_refused(world, browser, answer, "identity_provider_unreachable")
            assert "its certificate is not trusted" in told["detail"]
        async with sign_ins(provider, authority=str(tmp_path / "none.pem")) as world, world.browser() as browser:
            answer = await browser.get("/v1/sign-in/begin")
            await is_refused(world, browser, answer, "identity_provider_unreachable")


async def test_no_address_and_no_cookie_of_others_can_put_words_into_the_pages_mouth(
    provider: IdentityProvider,
) -> None:
    async with sign_ins(provider) as world, world.browser() as browser:
        for forged in ("eyJjb2RlIjogIngifQ." + "0" * 64, "x", "", "é"):
            told = await browser.get("/v1/sign-in", headers={"cookie": f"aether_sign_in_refused={forged}".encode()})
            assert told.json()["refused"] is None
        told = await browser.get("/v1/sign-in?refused=x&error_description=call+me")
        assert "call me" not in told.text


async def test_a_node_without_the_clusters_records_says_so(provider: IdentityProvider) -> None:
    """It can sign nothing then, not even why."""

    class NoSeals:
        async def seal(self, _purpose: str, _content: bytes) -> None:
            raise StoreUnavailable("no store")

    answer = Response()
    await sign_in_refused.keep(answer, SignInExpired("late"), NoSeals(), secure=False)  # type: ignore[arg-type]
    kept = answer.headers["set-cookie"].partition(";")[0]
    async with sign_ins(provider) as world, world.browser() as browser:
        told = (await browser.get("/v1/sign-in", headers={"cookie": kept})).json()["refused"]
        assert (told["code"], told["retryable"]) == ("store_unavailable", True)
