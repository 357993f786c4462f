"""What is signed of a record and of a plan: an in-toto statement (v1), which names its subjects by their hash.

https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md. A statement follows from what it is about, byte
for byte: who verifies writes it anew and compares, so no field of it can say anything else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

import msgspec

TYPE = "https://in-toto.io/Statement/v1"
_ATTESTATIONS = "https://github.com/tagflow/tagflow/attestations"
RECORD_V1 = f"{_ATTESTATIONS}/record/v1"
APPROVAL_V1 = f"{_ATTESTATIONS}/approval/v1"

RECORD = "io.tagflow.record."
"""What the annotations of a record begin with."""
SIGNATURE = f"{RECORD}signature"


def record_statement(annotations: Mapping[str, str]) -> bytes:
    """What is signed of a record: the digest that it promotes (where it names one), and the hash of all of its
    annotations but the signature's own."""
    subjects = [{"name": "annotations", "digest": {"sha256": annotations_hash(annotations)}}]
    algorithm, _, value = annotations.get(f"{RECORD}digest", "").partition(":")
    if value:
        subjects.insert(0, {"name": annotations.get(f"{RECORD}repository", ""), "digest": {algorithm: value}})
    return statement(RECORD_V1, subjects)


def annotations_hash(annotations: Mapping[str, str]) -> str:
    """The SHA-256, in hex, of annotations but the signature's in :func:`canonical` form."""
    return hashlib.sha256(canonical({key: text for key, text in annotations.items() if key != SIGNATURE})).hexdigest()


def statement(kind: str, subjects: Sequence[object], predicate: Mapping[str, object] | None = None) -> bytes:
    """A statement in canonical form; ``kind`` is its predicate's type."""
    document: dict[str, object] = {"_type": TYPE, "predicateType": kind, "subject": subjects}
    return canonical(document if predicate is None else document | {"predicate": predicate})


def canonical(document: object) -> bytes:
    """JSON with sorted keys and no spaces, in UTF-8: what ``jq -cjS`` writes."""
    try:
        return msgspec.json.encode(document, order="deterministic")
    except UnicodeEncodeError:  # half of a surrogate pair, which is no text: a question mark, as records write it
        text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return text.encode(errors="replace")
