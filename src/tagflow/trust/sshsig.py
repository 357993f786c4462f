"""Signatures of ``ssh-keygen -Y sign``, taken apart and put together.

OpenSSH's PROTOCOL.sshsig. What is signed is not the message but its hash, with a namespace, so that a signature made
for one purpose serves no other. Security keys (FIDO) sign that together with flags and a counter (PROTOCOL.u2f).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from tagflow.domain.keys import Fields, unwrap

NAMESPACE = "tagflow"
_MAGIC = b"SSHSIG"
_HASHES = ("sha256", "sha512")
_TOUCHED = 0x01
"""The flag of a security key that somebody was there and touched it."""


@dataclass(frozen=True)
class SshSignature:
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
