"""The published schema of playbooks: JSON Schema 2020-12, made from the model."""

from __future__ import annotations

import msgspec

from playbooks.document.model import Document
from runtime.operations.plan import Json


def document_schema() -> dict[str, Json]:
    found: dict[str, Json] = msgspec.json.decode(msgspec.json.encode(msgspec.json.schema(Document)))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Aether playbook", **found}
