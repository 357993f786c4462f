"""Dead Simple Signing Envelope (DSSE v1): what is signed, and what a signature is kept in.

https://github.com/secure-systems-lab/dsse: the signature is over the pre-authentication encoding of type and payload,
so that nobody has to agree on a canonical JSON.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

IN_TOTO = "application/vnd.in-toto+json"
LARGEST = 256 * 1024
"""Characters of an envelope that are read at most."""
MOST = 64
"""Signatures of an envelope that are read at most: each is checked against each key."""


@dataclass(frozen=True)
class Signature:
    """One signature; ``key_id`` says which key probably made it, and proves nothing."""

    key_id: str
    content: bytes


@dataclass(frozen=True)
class Envelope:
    """A payload and the signatures over it."""

    payload: bytes
    signatures: tuple[Signature, ...]
    payload_type: str = IN_TOTO

    @property
    def message(self) -> bytes:
        """What is signed."""
        return encode_message(self.payload_type, self.payload)

    @property
    def text(self) -> str:
        """The envelope as JSON: the same envelope is always the same text."""
        document = {
            "payload": b64encode(self.payload).decode(),
            "payloadType": self.payload_type,
            "signatures": [
                {"keyid": signature.key_id, "sig": b64encode(signature.content).decode()}
                for signature in self.signatures
            ],
        }
        return json.dumps(document, separators=(",", ":"), ensure_ascii=False)


def encode_message(payload_type: str, payload: bytes) -> bytes:
    """The pre-authentication encoding: ``DSSEv1 LENGTH TYPE LENGTH PAYLOAD``, lengths of bytes in decimal."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def decode_envelope(text: str) -> Envelope:
    """Read an envelope.

    :raises ValueError: where it is none.
    """
    if len(text) > LARGEST:
        raise ValueError("too large")
    try:
        document: Any = json.loads(text)
        entries = _need(document["signatures"], list)
        if len(entries) > MOST:
            raise ValueError("too many signatures")
        signatures = tuple(map(_signature, entries))
        payload = b64decode(_need(document["payload"], str), validate=True)
        return Envelope(payload, signatures, _need(document["payloadType"], str))
    except (TypeError, KeyError, AttributeError, RecursionError) as exc:
        raise ValueError("this is no envelope") from exc


def _signature(entry: Mapping[str, Any]) -> Signature:
    return Signature(_need(entry.get("keyid", ""), str), b64decode(_need(entry["sig"], str), validate=True))


def _need(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise TypeError(kind.__name__)
    return value
