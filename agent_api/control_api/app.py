"""The application: every endpoint behind the door, and how errors are answered."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from agent_api.control_api.answers import answers
from agent_api.control_api.auditing import Auditing
from agent_api.control_api.changes import Changes
from agent_api.control_api.chatting import Chatting
from agent_api.control_api.console_files import ConsoleFiles
from agent_api.control_api.deciding import Deciding
from agent_api.control_api.desk import PersonsDesk
from agent_api.control_api.door import Door
from agent_api.control_api.endpoint import Endpoint
from agent_api.control_api.following import Following
from agent_api.control_api.forging import Forging
from agent_api.control_api.front import Front
from agent_api.control_api.openapi import Described
from agent_api.control_api.plain import Plain
from agent_api.control_api.ports import ApiParts
from agent_api.control_api.problems import ApiFault, MethodNotAllowed, NotFound, handle_fault, problem, problem_of
from agent_api.control_api.provided import provided_by
from agent_api.control_api.queries import OF_STATE, Queries
from agent_api.control_api.reviewing import Reviewing
from agent_api.control_api.sealed import Seals
from agent_api.control_api.sessions import Sessions
from agent_api.control_api.signing_in import SigningIn
from agent_api.control_api.undoing import Undoing
from agent_api.control_api.uploading import Uploads
from agent_api.control_api.waiting import until_settled
from controllers.gate.queries import ProposalRequest
from runtime.errors import RuntimeFault
from runtime.security.keyring import Keyring
from runtime.security.session_records import SessionRecords
from runtime.spelling import near_names


class ControlApi:
    """`app` is what a server serves; `run` feeds the streams while it does. `endpoints` are all there are."""

    def __init__(self, parts: ApiParts) -> None:
        keyring = Keyring(parts.view.cache)
        records = SessionRecords(store=parts.store, state=parts.view.cache, clock=parts.clock)
        seals = Seals(records)
        sessions = Sessions(records=records, keyring=keyring, seals=seals)
        provided = provided_by(parts.settings, parts.clock)
        self.door = Door(
            keyring=keyring,
            sessions=sessions,
            tokens=provided.bearers.read if provided is not None else None,
            clock=parts.clock,
            per_s=parts.settings.requests_per_s_max,
            log=parts.log,
        )
        self._following = Following(parts, self.door.holds)
        changes = Changes(parts)
        answered = answers(parts)
        parts.reasoner.desk = PersonsDesk(parts, answered)

        async def settled(asked: ProposalRequest, wait_s: float) -> None:
            await until_settled(parts.view.cache, parts.catalogue, asked.id, wait_s=wait_s)

        given: list[Endpoint] = [
            *Plain(parts, sessions, self._figures).endpoints(),
            *SigningIn(
                provided=provided if provided is not None and provided.settings.client else None,
                keyring=keyring,
                sessions=sessions,
                seals=seals,
                clock=parts.clock,
                log=parts.log,
            ).endpoints(),
            *Auditing(parts.audit).endpoints(),
            *self._following.endpoints(),
            *Queries(
                parts, answered, streams={"event.list": self._following.events}, waits={"proposal.show": settled}
            ).endpoints(),
            *changes.endpoints(),
            *Uploads(parts, changes).endpoints(),
            *Deciding(parts).endpoints(),
            *Undoing(parts, changes).endpoints(),
            *Reviewing(parts).endpoints(),
            *Chatting(parts).endpoints(),
            *Forging(parts).endpoints(),
        ]
        described = Described(given)
        self.endpoints: Sequence[Endpoint] = (*given, described.endpoint())
        self.app = Front(ConsoleFiles(_application(self.endpoints, self.door)), log=parts.log)

    def _figures(self) -> dict[str, int]:
        return {
            "agent_api_authentication_failures_total": self.door.lockout.failures_total,
            "agent_api_streams": self._following.clients,
        }

    async def run(self) -> None:
        await self._following.run()


def _application(endpoints: Sequence[Endpoint], door: Door) -> FastAPI:
    app = FastAPI(
        openapi_url=None,  # ours is made from the endpoints
        redirect_slashes=False,
        exception_handlers={
            RuntimeFault: handle_fault,
            HTTPException: _http_error(endpoints),
            Exception: _unforeseen,
        },
    )
    for each in sorted(endpoints, key=_place):
        methods: list[str] = [each.method, "HEAD"] if each.method == "GET" else [each.method]  # its body stays unsent
        app.add_api_route(each.path, door.guarded(each), methods=methods, name=each.name, response_model=None)
    return app


def _place(endpoint: Endpoint) -> tuple[bool, bool]:
    """The first route that fits is taken, and each one before it costs a microsecond: lists that are asked for all the
    time come first, names that could be anything last."""
    return "{" in endpoint.path, endpoint.name not in OF_STATE


def _http_error(endpoints: Sequence[Endpoint]) -> Callable[[Request, Exception], Coroutine[None, None, Response]]:
    """What FastAPI itself refuses: no such path, or no such method on it."""
    known = sorted({f"{each.method} {each.path}" for each in endpoints})

    async def handle(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        asked = f"{request.method} {request.url.path}"[:200]
        near = near_names(asked, known, cutoff=0.4)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        if error.status_code == 404:
            return problem(NotFound(f"there is no {asked}{hint}"))
        if error.status_code == 405:
            response = problem(MethodNotAllowed(f"{request.url.path[:200]} does not take {request.method[:20]}{hint}"))
            allowed = (error.headers or {}).get("Allow", "").split(", ")
            response.headers["allow"] = ", ".join(sorted(allowed))
            return response
        return problem_of(ApiFault(str(error.detail)).problem(), status=error.status_code)

    return handle


async def _unforeseen(_request: Request, _error: Exception) -> Response:
    """Tells nothing of what went wrong: `Front` logs it under the request's id."""
    members = {
        "code": "internal",
        "detail": "something went wrong here that nobody foresaw",
        "retryable": False,
        "remedy": "Look for `instance` in the node's log: GET /v1/logs?request_id=…",
    }
    return problem_of(members, status=500)
