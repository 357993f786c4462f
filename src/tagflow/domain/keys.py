"""Public keys as values: read from PEM or from ssh's one-line form, told apart by what they are, not by their names.

Nothing here verifies anything, and no cryptography is imported: a policy with signers is loaded at every start.
"""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from functools import cached_property
from typing import Literal

from msgspec import Struct

from tagflow.errors import UsageError

KEY_INVALID = "signing.key_invalid"
Algorithm = Literal["ecdsa-p256", "ed25519", "rsa"]
Form = Literal["pem", "ssh"]

_P256_HEAD = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004")
_ED25519_HEAD = bytes.fromhex("302a300506032b6570032100")
"""A SubjectPublicKeyInfo up to the key itself (RFC 5480, with an uncompressed point; RFC 8410)."""

_FEWEST_RSA_BITS = 2048
_SSH_TYPES: dict[str, Algorithm] = {
    "ssh-ed25519": "ed25519",
    "sk-ssh-ed25519@openssh.com": "ed25519",
    "ecdsa-sha2-nistp256": "ecdsa-p256",
    "sk-ecdsa-sha2-nistp256@openssh.com": "ecdsa-p256",
    "ssh-rsa": "rsa",
}
SSH_TYPES = tuple(_SSH_TYPES)
_ADVICE_PEM = "Write a public key: `openssl pkey -in KEY -pubout`, for ECDSA P-256 or Ed25519."
_ADVICE_SSH = 'Write the line of the .pub file: "ssh-ed25519 AAAA…".'


class PublicKey(Struct, frozen=True, dict=True):
    """A public key. ``data`` is what its form has at its heart, in base64: of PEM the SubjectPublicKeyInfo, of ssh the
    key blob (RFC 4253 section 6.6); ``point`` the key itself in hex, the same in either form."""

    form: Form
    algorithm: Algorithm
    data: str
    point: str
    security_key: bool = False

    @property
    def identity(self) -> str:
        """What tells keys apart: one key has one identity, in whichever form and under how many names it is listed."""
        return f"{self.algorithm}:{self.point}"

    @cached_property
    def key_id(self) -> str:
        """The ``keyid`` of signatures: the fingerprint that ``ssh-keygen -l`` shows, or the SHA-256 of the
        SubjectPublicKeyInfo in hex, as ``openssl pkey -pubin -outform DER | sha256sum`` gives."""
        content = hashlib.sha256(self.content).digest()
        if self.form == "pem":
            return content.hex()
        return "SHA256:" + b64encode(content).decode().rstrip("=")

    @property
    def content(self) -> bytes:
        """``data`` as bytes."""
        return b64decode(self.data)

    @property
    def text(self) -> str:
        """The key as OpenSSL or ssh-keygen read it."""
        if self.form == "ssh":
            return f"{ssh_type(self.content)} {self.data}"
        lines = "\n".join(self.data[start : start + 64] for start in range(0, len(self.data), 64))
        return f"-----BEGIN PUBLIC KEY-----\n{lines}\n-----END PUBLIC KEY-----\n"


class Signer(Struct, frozen=True):
    """A name of the policy, and its key."""

    name: str
    key: PublicKey


def parse_pem(text: str) -> PublicKey:
    """A public key out of a PEM file (RFC 7468): ECDSA P-256 or Ed25519.

    :raises UsageError: ``signing.key_invalid``. No message repeats what the file says.
    """
    label, content = unwrap(text, "PUBLIC KEY", "PRIVATE KEY")
    if "PRIVATE" in label:
        raise _invalid("this is a private key", f"It belongs in no policy. {_ADVICE_PEM}")
    if label != "PUBLIC KEY":
        raise _invalid("this is not a public key in PEM", _ADVICE_PEM)
    return from_info(content)


def from_info(content: bytes) -> PublicKey:
    """A public key out of its SubjectPublicKeyInfo, in DER.

    :raises UsageError: ``signing.key_invalid``.
    """
    data = b64encode(content).decode()
    if content.startswith(_ED25519_HEAD) and len(content) == len(_ED25519_HEAD) + 32:
        return PublicKey("pem", "ed25519", data, content[len(_ED25519_HEAD) :].hex())
    if content.startswith(_P256_HEAD) and len(content) == len(_P256_HEAD) + 64:
        return PublicKey("pem", "ecdsa-p256", data, content[len(_P256_HEAD) :].hex())
    raise _invalid("this key is neither ECDSA P-256 nor Ed25519", _ADVICE_PEM)


def parse_ssh(text: str) -> PublicKey:
    """A public key in ssh's one-line form, ``TYPE BASE64 [COMMENT]``.

    :raises UsageError: ``signing.key_invalid``.
    """
    if "PRIVATE KEY" in text:
        raise _invalid("this is a private key", f"It belongs in no policy. {_ADVICE_SSH}")
    words = text.split(maxsplit=2)
    if len(words) < 2:
        raise _invalid("this is not a public key of ssh", _ADVICE_SSH)
    if words[0] not in _SSH_TYPES:
        raise _invalid(
            f"ssh keys of the type {words[0][:60]!r} are not supported", f"There is: {', '.join(SSH_TYPES)}."
        )
    try:
        content = b64decode(words[1], validate=True)
        key = from_blob(content)
    except ValueError as exc:
        raise _invalid("this is not a public key of ssh", _ADVICE_SSH) from exc
    if ssh_type(content) != words[0]:
        raise _invalid("this is not a public key of ssh", _ADVICE_SSH)
    return key


def from_blob(content: bytes) -> PublicKey:
    """A public key out of ssh's key blob.

    :raises ValueError: where it is none, or not written in the one way that there is to write it.
    :raises UsageError: ``signing.key_invalid`` for an RSA key that is too short.
    """
    reader = Fields(content)
    kind = reader.text()
    algorithm = _SSH_TYPES.get(kind)
    if algorithm is None:
        raise ValueError(kind)
    if algorithm == "rsa":
        exponent, modulus = reader.string(), reader.string()
        point = f"{exponent.hex()}:{modulus.hex()}"
        if modulus[:1] >= b"\x80" or modulus[:2] < b"\x00\x80" or exponent[:1] in (b"", b"\x00"):
            raise ValueError(kind)
        if len(modulus.lstrip(b"\x00")) * 8 < _FEWEST_RSA_BITS:
            raise _invalid("this RSA key is too short", f"Use ssh-ed25519, or RSA of {_FEWEST_RSA_BITS} bits or more.")
    else:
        if algorithm == "ecdsa-p256" and reader.text() != "nistp256":
            raise ValueError(kind)
        raw = reader.string()
        if algorithm == "ecdsa-p256":
            if raw[:1] != b"\x04":
                raise ValueError(kind)
            raw = raw[1:]
        if len(raw) != {"ed25519": 32, "ecdsa-p256": 64}[algorithm]:
            raise ValueError(kind)
        point = raw.hex()
    security_key = kind.startswith("sk-")
    if security_key:
        reader.string()
    reader.end()
    return PublicKey("ssh", algorithm, b64encode(content).decode(), point, security_key)


def unwrap(text: str, *endings: str) -> tuple[str, bytes]:
    """The block between a BEGIN and an END line (RFC 7468) that :func:`block` finds: its label, and what it holds."""
    label, lines = block(text, *endings)
    try:
        return label, b64decode("".join(lines[1:-1]), validate=True)
    except ValueError:
        return label, b""


def block(text: str, *endings: str) -> tuple[str, list[str]]:
    """The first block of a PEM file whose label ends with one of some words; else, or where none is given, the first
    of all. Its label, and its lines with those of BEGIN and END; empty where there is none.

    OpenSSL writes the parameters of a curve in front of a key, and others write certificates there.
    """
    lines = [line.strip() for line in text.splitlines()]
    found: list[tuple[str, list[str]]] = []
    for begin, line in enumerate(lines):
        label = line.removeprefix("-----BEGIN ").removesuffix("-----")
        end = f"-----END {label}-----"
        if line == f"-----BEGIN {label}-----" and end in lines[begin:]:
            found.append((label, lines[begin : lines.index(end, begin) + 1]))
    return next((it for it in found if it[0].endswith(endings)), found[0] if found else ("", []))


def ssh_type(blob: bytes) -> str:
    """The type that a key blob names, ``ssh-ed25519`` for example."""
    return Fields(blob).text()


class Fields:
    """Reads the fields of ssh's wire format one after another (RFC 4251 section 5). Raises ValueError at its end."""

    def __init__(self, content: bytes) -> None:
        self._rest = content

    def take(self, count: int) -> bytes:
        """So many bytes."""
        if len(self._rest) < count:
            raise ValueError("cut short")
        taken, self._rest = self._rest[:count], self._rest[count:]
        return taken

    def number(self) -> int:
        """An unsigned number of 32 bits."""
        return int.from_bytes(self.take(4), "big")

    def string(self) -> bytes:
        """Bytes, after their length."""
        return self.take(self.number())

    def text(self) -> str:
        """A string of ASCII."""
        return self.string().decode("ascii")

    def end(self) -> None:
        """Nothing follows."""
        if self._rest:
            raise ValueError("too long")


def _invalid(message: str, hint: str) -> UsageError:
    return UsageError(KEY_INVALID, message, hint=hint)
