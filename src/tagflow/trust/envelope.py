"""What is signed, an in-toto statement, and what signatures are kept in: DSSE, and those of ``ssh-keygen``.

OpenSSH's PROTOCOL.sshsig. What is signed is not the message but its hash, with a namespace, so that a signature made
for one purpose serves no other. Security keys (FIDO) sign that together with flags and a counter (PROTOCOL.u2f).

https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md. A statement follows from what it is about, byte
for byte: who verifies writes it anew and compares, so no field of it can say anything else.

https://github.com/secure-systems-lab/dsse: the signature is over the pre-authentication encoding of type and payload,
so that nobody has to agree on a canonical JSON.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from tagflow.domain.keys import Fields, unwrap

NAMESPACE = "tagflow"
_MAGIC = b"SSHSIG"
_HASHES = ("sha256", "sha512")
_TOUCHED = 0x01
"""The flag of a security key that somebody was there and touched it."""


class SshSignature(Struct, frozen=True):
    """One signature: the ``blob`` of the key that it says made it, how the message was hashed, the ``kind`` of the
    signature inside and its content, and what a security key adds (``extra``)."""

    blob: bytes
    hash: str
    kind: str
    content: bytes
    extra: bytes = b""

    @property
    def encoded(self) -> bytes:
        """The signature as ssh-keygen writes it, without armor."""
        inner = _string(self.kind.encode()) + _string(self.content) + self.extra
        parts = (self.blob, NAMESPACE.encode(), b"", self.hash.encode(), inner)
        return _MAGIC + (1).to_bytes(4, "big") + b"".join(map(_string, parts))

    @property
    def touched(self) -> bool:
        """Whether a security key says that somebody touched it."""
        return bool(self.extra) and bool(self.extra[0] & _TOUCHED)

    def signed(self, message: bytes) -> bytes:
        """What the key has signed."""
        digest = hashlib.new(self.hash, message).digest()
        signed = _MAGIC + b"".join(map(_string, (NAMESPACE.encode(), b"", self.hash.encode(), digest)))
        if not self.extra:
            return signed
        key = Fields(self.blob)
        if key.text().startswith("sk-ecdsa"):
            key.string()
        key.string()
        return hashlib.sha256(key.string()).digest() + self.extra + hashlib.sha256(signed).digest()


def decode_signature(content: bytes) -> SshSignature:
    """Take a signature apart.

    :raises ValueError: where it is none, is for another namespace, or is not written in the one way to write it.
    """
    reader = Fields(content)
    if reader.take(len(_MAGIC)) != _MAGIC or reader.number() != 1:
        raise ValueError("no signature of ssh")
    blob, namespace, _, hashed, inner = (reader.string() for _ in range(5))
    reader.end()
    parts = Fields(inner)
    kind, raw = parts.text(), parts.string()
    extra = parts.take(5) if kind.startswith("sk-") else b""
    parts.end()
    found = SshSignature(blob, hashed.decode("ascii"), kind, raw, extra)
    if namespace != NAMESPACE.encode() or found.hash not in _HASHES or found.encoded != content:
        raise ValueError("another namespace or hash")
    return found


def unarmor(text: str) -> bytes:
    """The signature out of what ``ssh-keygen -Y sign`` writes.

    :raises ValueError: where it is none.
    """
    label, content = unwrap(text)
    if label != "SSH SIGNATURE" or not content:
        raise ValueError("no signature of ssh")
    return content


def _string(content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + content


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


IN_TOTO = "application/vnd.in-toto+json"
LARGEST = 256 * 1024
"""Characters of an envelope that are read at most."""
MOST = 64
"""Signatures of an envelope that are read at most: each is checked against each key."""


class Signature(Struct, frozen=True):
    """One signature; ``key_id`` says which key probably made it, and proves nothing."""

    key_id: str
    content: bytes


class Envelope(Struct, frozen=True):
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
