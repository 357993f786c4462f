"""Receipts: the heads that a run left, kept outside the registry, so that a history which has lost them is found.

Signatures show what was added or changed. Only what somebody remembers elsewhere shows what was taken away.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from msgspec import Struct, to_builtins

from tagflow.domain.own_tags import RecordTag, parse_record_tag
from tagflow.domain.reference import Digest, is_digest
from tagflow.errors import UsageError

FORMAT = 1
LIMIT = 64 * 1024 * 1024


class Left(Struct, frozen=True):
    """One head: whose, in which repository, under which tag, at which digest."""

    image: str
    repository: str
    record: str
    digest: Digest


class Receipt(Struct, frozen=True):
    """What one run left in one environment."""

    environment: str
    release: str
    heads: tuple[Left, ...]


class Lost(Struct, frozen=True):
    """A head of a receipt that the history does not have (any more). ``actual`` is what stands under its tag."""

    head: Left
    actual: Digest | None = None


def encode_receipt(receipt: Receipt) -> str:
    """The receipt as JSON, indented, a head an entry."""
    document = {"tagflow-receipt": FORMAT, **to_builtins(receipt)}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def decode_receipt(content: bytes, name: str) -> Receipt:
    """Read a receipt; ``name`` is what an error calls it.

    :raises UsageError: ``receipt.invalid``.
    """
    try:
        document: Any = json.loads(content)
        if document["tagflow-receipt"] != FORMAT:
            raise ValueError("another format")
        heads = tuple(map(_head, document["heads"]))
        return Receipt(_text(document["environment"]), _text(document["release"]), heads)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as exc:
        raise UsageError(
            "receipt.invalid",
            f"{name} is no receipt as tagflow writes it",
            hint="Name a receipt that a release has written.",
        ) from exc


def lost(receipt: Receipt, records: Mapping[tuple[str, RecordTag], Digest], trusted: Collection[Digest]) -> list[Lost]:
    """The heads of a receipt that a history has lost.

    ``records`` are the digests that stand under the record tags of each repository, ``trusted`` those that count: a
    record that is still there, but that no counting head follows from, is lost too.
    """
    found: list[Lost] = []
    for head in receipt.heads:
        tag = parse_record_tag(head.record)
        actual = None if tag is None else records.get((head.repository, tag))
        if actual != head.digest or actual not in trusted:
            found.append(Lost(head, actual))
    return found


def _head(entry: Mapping[str, Any]) -> Left:
    digest, record = _text(entry["digest"]), _text(entry["record"])
    if not is_digest(digest) or parse_record_tag(record) is None:
        raise ValueError("no head")
    return Left(_text(entry["image"]), _text(entry["repository"]), record, Digest(digest))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    return value
