"""Why a sign-in through the identity provider ends without a session, beside what the provider is to blame for."""

from __future__ import annotations

import shlex

from agent_api.control_api.problems import ApiFault, Later


class ProviderNotSet(ApiFault):
    code = "identity_provider_not_set"
    remedy = "Sign in with an API key; or an admin sets oidc_issuer and oidc_client and restarts the nodes."


class TooManySignIns(Later):
    code = "too_many_sign_ins"
    remedy = "Wait a moment, then begin again with the button."


class SignInUnknown(ApiFault):
    """The answer of a provider that this browser did not ask for: somebody else's, or a second one."""

    code = "sign_in_unknown"
    remedy = (
        "Begin again with the button, in one window, at the address that your admins gave you, with cookies allowed."
    )


class SignInExpired(ApiFault):
    code = "sign_in_expired"
    remedy = "Begin again with the button."


class SignInDenied(ApiFault):
    """The provider let nobody in, or somebody pressed cancel there."""

    code = "sign_in_denied"
    remedy = "Begin again; if the provider refuses you each time, ask who runs it whether you may use this application."


class SubjectUnknown(ApiFault):
    """The provider vouches for somebody who has no role here."""

    code = "sign_in_subject_unknown"

    def __init__(self, subject: str) -> None:
        super().__init__(
            f"the identity provider knows you as {subject!r}, and nobody who may come in here has that subject"
        )
        self._subject = subject

    def problem(self) -> dict[str, object]:
        quoted = shlex.quote(self._subject) if self._subject.isprintable() else "SUBJECT"
        remedy = f"Send this to an admin: aether principal set YOUR_NAME person ROLE --oidc-subject {quoted}"
        return {**super().problem(), "remedy": remedy}
