"""What an operation is about, as text: "slice:orders", "node:n1", "blueprint:shop", "cluster"."""

from __future__ import annotations

from typing import Final

CLUSTER: Final = "cluster"


def of_slice(name: str) -> str:
    return f"slice:{name}"


def of_node(name: str) -> str:
    return f"node:{name}"


def of_blueprint(name: str) -> str:
    return f"blueprint:{name}"


def of_artifact(name: str) -> str:
    return f"artifact:{name}"


def of_run(name: str) -> str:
    return f"run:{name}"


def of_principal(name: str) -> str:
    return f"principal:{name}"


def of_alert(fingerprint: str) -> str:
    return f"alert:{fingerprint}"


def of_conversation(identity: str) -> str:
    return f"conversation:{identity}"
