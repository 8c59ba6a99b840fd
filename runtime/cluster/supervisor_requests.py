"""What the supervisor's socket can be asked. Standard library only.

list · start · stop · restart · signal · adopt · forget · subscribe · shutdown. Every answer has `ok`; a refusal says
why in `error`. `stop` and `restart` answer when the process has ended.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from runtime.cluster.child import Child, ChildSpec, ChildState, module_argv
from runtime.cluster.parentage import descendants
from runtime.cluster.supervisor_socket import Reply

if TYPE_CHECKING:
    from runtime.cluster.supervisor import Supervisor

CHILDREN_MAX: Final = 512
_ID: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")  # also a file name below logs/
_MODULE: Final = re.compile(r"[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)*")

Request = dict[str, object]


class Refused(Exception):
    """The request cannot be done; the sentence says why."""


def answer(supervisor: Supervisor, number: int, request: Request) -> Reply | None:
    """The reply, or None when it follows later."""
    handler = _HANDLERS.get(str(request["op"]))
    if handler is None:
        return {"ok": False, "error": f"unknown op {request['op']!r}; known: {', '.join(_HANDLERS)}"}
    try:
        return handler(supervisor, number, request)
    except Refused as error:
        return {"ok": False, "error": str(error)}


def _list(supervisor: Supervisor, _number: int, _request: Request) -> Reply:
    return {
        "ok": True,
        "pid": os.getpid(),
        "children": [child.describe() for child in supervisor.children.values()],
    }


def _subscribe(supervisor: Supervisor, number: int, request: Request) -> Reply:
    """Answers as `list` does, so that nothing falls between a list and the first event."""
    supervisor.socket.subscribe(number)
    return _list(supervisor, number, request)


def _start(supervisor: Supervisor, _number: int, request: Request) -> Reply:
    """One that runs already is left alone, whoever started it."""
    child_id = _identifier(request)
    known = supervisor.children.get(child_id)
    if known is not None and known.pid:
        return {"ok": True, "already": True, "child": known.describe()}
    module = _text(request, "module")
    if not _MODULE.fullmatch(module):
        raise Refused(f"{module!r} is no module name")
    spec = _spec(request, module_argv(module, "--data", str(supervisor.layout.data), *_texts(request, "arguments")))
    _check_room(supervisor, child_id)
    child = supervisor.children[child_id] = Child(spec=spec)
    supervisor.start(child)
    return {"ok": True, "already": False, "child": child.describe()}


def _adopt(supervisor: Supervisor, _number: int, request: Request) -> Reply:
    child_id = _identifier(request)
    known = supervisor.children.get(child_id)
    pid = _number_of(request, "pid")
    if known is not None and known.pid == pid:
        return {"ok": True, "already": True, "child": known.describe()}
    if known is not None and known.pid:
        raise Refused(f"{child_id} is already process {known.pid}")
    _check_room(supervisor, child_id)
    child = supervisor.adopt(_spec(request, ()), pid, _number_of(request, "start_ticks"))
    return {"ok": True, "already": False, "child": child.describe()}


def _stop(supervisor: Supervisor, number: int, request: Request) -> Reply | None:
    return _end(supervisor, number, request, again=False)


def _restart(supervisor: Supervisor, number: int, request: Request) -> Reply | None:
    return _end(supervisor, number, request, again=True)


def _end(supervisor: Supervisor, number: int, request: Request, *, again: bool) -> Reply | None:
    child = _child(supervisor, request)
    if again and child.adopted:
        raise Refused(f"{child.spec.id} was started by another process, which must restart it")
    grace = request.get("grace_s")
    running = child.pid != 0
    supervisor.stop(child, grace_s=float(grace) if isinstance(grace, int | float) else None, again=again)
    if not running:
        return {"ok": True, "child": child.describe()}
    child.waiters.append(number)
    return None


def _signal(supervisor: Supervisor, _number: int, request: Request) -> Reply:
    """To a child by id, or to any descendant by pid."""
    try:
        signum = signal.Signals[_text(request, "signal")]
    except KeyError:
        raise Refused(f"unknown signal {request.get('signal')!r}; write it as SIGKILL") from None
    pid = _child(supervisor, request).pid if "id" in request else _number_of(request, "pid")
    if pid == 0 or pid not in descendants(os.getpid()):
        raise Refused("no such process below this supervisor")
    os.kill(pid, signum)
    return {"ok": True, "pid": pid}


def _forget(supervisor: Supervisor, _number: int, request: Request) -> Reply:
    """Drops a stopped child from the list. One that is not listed is no error."""
    child = supervisor.children.get(_identifier(request))
    if child is not None and (child.pid or child.state is ChildState.WAITING):
        raise Refused(f"{child.spec.id} is {child.state}; stop it first")
    supervisor.children.pop(_identifier(request), None)
    return {"ok": True}


def _shutdown(supervisor: Supervisor, _number: int, request: Request) -> Reply:
    limit = request.get("stage_limit_s")
    supervisor.shut_down(stage_limit_s=float(limit) if isinstance(limit, int | float) else None)
    return {"ok": True, "pid": os.getpid()}


_HANDLERS: Final[dict[str, Callable[[Supervisor, int, Request], Reply | None]]] = {
    "list": _list,
    "subscribe": _subscribe,
    "start": _start,
    "adopt": _adopt,
    "stop": _stop,
    "restart": _restart,
    "signal": _signal,
    "forget": _forget,
    "shutdown": _shutdown,
}


def _child(supervisor: Supervisor, request: Request) -> Child:
    child = supervisor.children.get(_identifier(request))
    if child is None:
        raise Refused(f"no process is called {request['id']!r}")
    return child


def _check_room(supervisor: Supervisor, child_id: str) -> None:
    if child_id not in supervisor.children and len(supervisor.children) >= CHILDREN_MAX:
        raise Refused(f"{CHILDREN_MAX} processes are listed; forget stopped ones first")


def _spec(request: Request, argv: tuple[str, ...]) -> ChildSpec:
    environment = request.get("environment", {})
    if not isinstance(environment, dict) or not all(isinstance(value, str) for value in environment.values()):
        raise Refused("`environment` maps names to strings")
    return ChildSpec(
        id=_identifier(request),
        kind=_text(request, "kind"),
        argv=argv,
        restart=request.get("restart", True) is True,
        environment=tuple(environment.items()),
        note=str(request.get("note", "")),
    )


def _identifier(request: Request) -> str:
    text = _text(request, "id")
    if not _ID.fullmatch(text):
        raise Refused(f"{text!r} is no process id: lower-case letters, digits, dot, dash, underscore")
    return text


def _text(request: Request, member: str) -> str:
    value = request.get(member)
    if not isinstance(value, str) or "\0" in value:
        raise Refused(f"`{member}` is missing or no text")
    return value


def _texts(request: Request, member: str) -> tuple[str, ...]:
    value = request.get(member, [])
    if not isinstance(value, list) or not all(isinstance(item, str) and "\0" not in item for item in value):
        raise Refused(f"`{member}` is a list of texts")
    return tuple(value)


def _number_of(request: Request, member: str) -> int:
    value = request.get(member)
    if not isinstance(value, int) or isinstance(value, bool):
        raise Refused(f"`{member}` is missing or no whole number")
    return value
