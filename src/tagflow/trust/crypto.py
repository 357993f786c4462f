"""Whether a signature is by a key, by cryptography, imported late, and what is said where a key is no good.

Whoever sees a signature (r, s) can write (r, n - s), which verifies too. A record with the twin would be another
manifest with the same content: a copy of an old record that no record names, and that looks like a head. So tagflow
writes the lower s, in DER's one form, and accepts nothing else in a record.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from tagflow.domain.keys import KEY_INVALID, Fields, PublicKey
from tagflow.errors import StoreError, UsageError, with_extra
from tagflow.trust.envelope import SshSignature, decode_signature

VARIABLE = "TAGFLOW_SIGN_KEY"
FORMS = "file:PATH, env:NAME, ssh:PUBLIC_KEY_FILE, awskms:…, gcpkms:…, azurekms:…, hv:… or hsm:…"


def not_installed(package: str = "cryptography", requirement: str = with_extra("sign")) -> UsageError:
    """The error that says what to install."""
    return UsageError(
        "signing.not_installed",
        f"the policy or $TAGFLOW_SIGN_KEY asks for signatures, and {package} is not installed",
        hint=f"pip install '{requirement}'",
    )


def missing_key(environment: str, why: str = "the records of {} are signed (`signed_by`)") -> UsageError:
    """The refusal of a run that would write what does not count; ``why`` says so of an environment."""
    return UsageError(
        "signing.no_key", f"{why.format(environment)}, and this run has no key", hint=f"Set ${VARIABLE} to {FORMS}."
    )


def foreign_key(environment: str, allowed: Sequence[str]) -> UsageError:
    """The refusal of a run with a key that nobody would believe there."""
    return invalid(
        f"is none of the keys that may sign in {environment}",
        f"The policy names {', '.join(allowed)} there (`signed_by`); a key of ssh is listed as `ssh`, others as `key`.",
    )


def failed(why: str, hint: str = "Run `tagflow doctor`.") -> StoreError:
    """The error for a key that was opened and does not sign."""
    return StoreError("signing.failed", f"the key of ${VARIABLE} did not sign: {why}", hint=hint)


def invalid(what: str, hint: str) -> UsageError:
    """The error for what the variable names; ``what`` goes on after its name."""
    return UsageError(KEY_INVALID, f"${VARIABLE} {what}", hint=hint)


ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Of the group (SEC 2, secp256r1)."""


def decode_der(content: bytes) -> tuple[int, int]:
    """r and s.

    :raises ValueError: where it is not the DER of two positive numbers below the order.
    """
    if len(content) < 2 or content[0] != 0x30 or content[1] != len(content) - 2:
        raise ValueError("no signature")
    first, rest = _integer(content[2:])
    second, rest = _integer(rest)
    if rest or not (0 < first < ORDER and 0 < second < ORDER) or encode_der(first, second) != content:
        raise ValueError("no signature")
    return first, second


def encode_der(first: int, second: int) -> bytes:
    """r and s as an ECDSA-Sig-Value (RFC 3279)."""
    body = b"".join(b"\x02" + bytes([len(part)]) + part for part in (number(first), number(second)))
    return b"\x30" + bytes([len(body)]) + body


def number(value: int) -> bytes:
    """A positive number, with a zero byte before it where its first bit is set: as DER and ssh write it."""
    return value.to_bytes(value.bit_length() // 8 + 1, "big")


def lower(second: int) -> int:
    """The lower of s and its twin."""
    return min(second, ORDER - second)


def _integer(content: bytes) -> tuple[int, bytes]:
    if len(content) < 2 or content[0] != 0x02 or not 0 < content[1] <= len(content) - 2:
        raise ValueError("no signature")
    end = 2 + content[1]
    return int.from_bytes(content[2:end], "big"), content[end:]


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
    """A signature in the one form in which a record may carry it.

    :raises ValueError: where it is none.
    """
    if key.algorithm != "ecdsa-p256":
        return signature
    if key.form == "pem":
        first, second = decode_der(signature)
        return encode_der(first, lower(second))
    parts = decode_signature(signature)
    first, second = _mpints(parts.content)
    content = b"".join(len(part).to_bytes(4, "big") + part for part in map(number, (first, lower(second))))
    return SshSignature(parts.blob, parts.hash, parts.kind, content, parts.extra).encoded


def _plain(parts: SshSignature) -> bytes:
    """The signature inside an ssh signature as cryptography reads it."""
    key_type = Fields(parts.blob).text()
    expected = _RSA_HASHES if key_type == "ssh-rsa" else (key_type,)
    if parts.kind not in expected:
        raise ValueError(parts.kind)
    return encode_der(*_mpints(parts.content)) if "ecdsa" in parts.kind else parts.content


def _mpints(content: bytes) -> tuple[int, int]:
    reader = Fields(content)
    first, second = (int.from_bytes(reader.string(), "big") for _ in range(2))
    reader.end()
    if not (0 < first < ORDER and 0 < second < ORDER):
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
