"""The JSON Schema of promotion.yaml, made from the types that load it."""

from __future__ import annotations

from typing import Any

import msgspec

from tagflow.config.document import Document

ADDRESS = "https://raw.githubusercontent.com/tagflow/tagflow/main/schema/promotion.schema.json"
"""Where the schema is published, for editors."""


def schema() -> dict[str, Any]:
    """The schema (draft 2020-12) as a JSON-ready mapping."""
    made = msgspec.json.schema(Document)
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": ADDRESS, "title": "promotion.yaml"}
    return head | made


def schema_json() -> str:
    """The schema as text, indented, with a line break at its end."""
    return msgspec.json.format(msgspec.json.encode(schema()), indent=2).decode() + "\n"
