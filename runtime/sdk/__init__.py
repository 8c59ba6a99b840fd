"""What a slice author imports."""

from runtime.sdk.call import Call, current_call
from runtime.sdk.domain import DomainError
from runtime.sdk.errors import SliceInvalid
from runtime.sdk.marks import (
    Header,
    Query,
    deadline,
    delete,
    get,
    idempotent,
    patch,
    post,
    put,
    raises,
    slice_,
    use,
)
from runtime.sdk.response import Response, redirect

__all__ = [
    "Call",
    "DomainError",
    "Header",
    "Query",
    "Response",
    "SliceInvalid",
    "current_call",
    "deadline",
    "delete",
    "get",
    "idempotent",
    "patch",
    "post",
    "put",
    "raises",
    "redirect",
    "slice_",
    "use",
]
