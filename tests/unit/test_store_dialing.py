"""Addresses of members: what cannot be one is refused when it is given, and harms nobody who comes upon it."""

from __future__ import annotations

import ssl

import pytest

from runtime.consensus.dialing import check_address, connect_member
from runtime.consensus.errors import InvalidRequest
from runtime.invocation.errors import NotStarted


@pytest.mark.parametrize("address", ["127.0.0.1:7404", "[::1]:7404", "store-1.example:7404"])
def test_host_and_port_are_an_address(address: str) -> None:
    check_address(address)


@pytest.mark.parametrize("address", ["", "nonsense", "127.0.0.1", "127.0.0.1:", "host:port", ":7404", "h:70000", "h:0"])
def test_what_is_no_address_is_refused_with_the_form_of_one(address: str) -> None:
    """A member that nobody can dial would make every tool fail that asks all members."""
    with pytest.raises(InvalidRequest, match="write HOST:PORT"):
        check_address(address)


@pytest.mark.anyio
@pytest.mark.parametrize("address", ["host:port", "[::1]:1"])
async def test_a_member_that_cannot_be_dialled_is_one_that_does_not_answer(address: str) -> None:
    with pytest.raises(NotStarted, match=r"host:port|::1"):
        await connect_member("n2", address, ssl.create_default_context())
