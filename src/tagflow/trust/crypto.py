"""Whether a signature is by a key: the one thing that needs cryptography, which is imported when it is first asked."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from tagflow.domain.keys import Fields, PublicKey
from tagflow.errors import UsageError
from tagflow.trust import ecdsa
from tagflow.trust.failures import not_installed
from tagflow.trust.sshsig import SshSignature, decode_signature

Check = Callable[[PublicKey, bytes, bytes], bool]
"""Whether a signature over a message is by a key."""

_RSA_HASHES = {"rsa-sha2-256": "SHA256", "rsa-sha2-512": "SHA512"}


def signed_by(key: PublicKey, message: bytes, signature: bytes) -> bool:
    """Whether ``signature`` over ``message`` is by ``key``. Whatever is no signature at all is not.

    :raises UsageError: ``signing.not_installed``; ``signing.key_invalid`` where the key is none (a point that is not on
        the curve).
    """
    if key.form == "pem":
        return _verify(_load(key), key.algorithm, message, signature)
    try:
        parts = decode_signature(signature)
        content = _plain(parts)
    except ValueError:
        return False
    if parts.blob != key.content or (key.security_key and not parts.touched):
        return False
    return _verify(_load(key), _RSA_HASHES.get(parts.kind, key.algorithm), parts.signed(message), content)


def normalized(key: PublicKey, signature: bytes) -> bytes:
    """A signature in the one form in which a record may carry it (:mod:`tagflow.trust.ecdsa`).

    :raises ValueError: where it is none.
    """
    if key.algorithm != "ecdsa-p256":
        return signature
    if key.form == "pem":
        first, second = ecdsa.decode_der(signature)
        return ecdsa.encode_der(first, ecdsa.lower(second))
    parts = decode_signature(signature)
    first, second = _mpints(parts.content)
    content = b"".join(len(part).to_bytes(4, "big") + part for part in map(ecdsa.number, (first, ecdsa.lower(second))))
    return SshSignature(parts.blob, parts.hash, parts.kind, content, parts.extra).encoded


def _plain(parts: SshSignature) -> bytes:
    """The signature inside an ssh signature as cryptography reads it."""
    key_type = Fields(parts.blob).text()
    expected = _RSA_HASHES if key_type == "ssh-rsa" else (key_type,)
    if parts.kind not in expected:
        raise ValueError(parts.kind)
    return ecdsa.encode_der(*_mpints(parts.content)) if "ecdsa" in parts.kind else parts.content


def _mpints(content: bytes) -> tuple[int, int]:
    reader = Fields(content)
    first, second = (int.from_bytes(reader.string(), "big") for _ in range(2))
    reader.end()
    if not (0 < first < ecdsa.ORDER and 0 < second < ecdsa.ORDER):
        raise ValueError("no signature")
    return first, second


def _verify(key: Any, how: str, message: bytes, signature: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, padding

    try:
        if how == "ed25519":
            key.verify(signature, message)
        elif how == "ecdsa-p256":
            key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
        else:
            key.verify(signature, message, padding.PKCS1v15(), getattr(hashes, how)())
    except InvalidSignature:
        return False
    return True


@lru_cache(maxsize=256)
def _load(key: PublicKey) -> Any:
    try:
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    except ImportError as exc:
        raise not_installed() from exc
    try:
        if key.algorithm == "ed25519":
            return ed25519.Ed25519PublicKey.from_public_bytes(bytes.fromhex(key.point))
        if key.algorithm == "rsa":
            exponent, modulus = (int(part, 16) for part in key.point.split(":"))
            return rsa.RSAPublicNumbers(exponent, modulus).public_key()
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + bytes.fromhex(key.point))
    except ValueError as exc:
        raise UsageError(
            "signing.key_invalid", f"the public key {key.key_id} is none", hint="Write it into the policy anew."
        ) from exc
