"""In which order slices end that are not wanted any more: who requires another ends before it."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from runtime.state.values import Phase

CALLING = (Phase.ACTIVATING, Phase.ACTIVE, Phase.DEACTIVATING)
"""The phases in which an instance may call what it requires."""


def held(going: Collection[str], needs: Mapping[str, Collection[str]], calling: Collection[str]) -> frozenset[str]:
    """Those of `going` that have to wait, because another of them requires them and has an instance that may call.

    needs: what each slice requires. calling: slices with an instance in one of the phases above. Slices that require
    each other hold nobody up, so that every order ends.
    """
    waiting = frozenset(
        needed for each in going if each in calling for needed in needs.get(each, ()) if needed in going
    )
    return frozenset() if waiting >= frozenset(going) else waiting
