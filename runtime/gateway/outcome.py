"""What a call's end means to an HTTP client: one table from the errors of calls to refusals."""

from __future__ import annotations


def refusal_of(error):
    raise error
