"""The key of this run: what ``$TAGFLOW_SIGN_KEY`` names, opened when it is first needed.

``file:PATH`` and ``env:NAME`` are PEM; ``ssh:PUBLIC_KEY_FILE`` is signed by ssh-keygen and its agent; others are keys
in a service or device (:mod:`tagflow.trust.remote`). No message repeats what a file or variable holds.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from tagflow.domain.keys import PublicKey, from_info, parse_ssh, unwrap
from tagflow.errors import UsageError
from tagflow.trust.failures import FORMS, VARIABLE, failed, invalid, not_installed
from tagflow.trust.sshsig import NAMESPACE, unarmor

REMOTE = ("awskms", "gcpkms", "azurekms", "hv", "hsm")
_LIMIT = 64 * 1024
_SECONDS = 120.0
"""How long ssh-keygen may take: a security key waits for a touch."""


@dataclass(frozen=True)
class SigningKey:
    """A public key, and what signs a message with its private half. ``sign`` may be called from several threads."""

    public: PublicKey
    sign: Callable[[bytes], bytes]


def open_key(environ: Mapping[str, str]) -> SigningKey | None:
    """The key that the environment names; None where it names none.

    :raises UsageError: ``signing.key_invalid``, ``signing.not_installed``.
    """
    named = environ.get(VARIABLE, "")
    if not named:
        return None
    scheme, _, rest = named.partition(":")
    if scheme == "file":
        return _pem(_read(rest))
    if scheme == "env":
        return _pem(_variable(environ, rest))
    if scheme == "ssh":
        return _ssh(rest, environ)
    if scheme in REMOTE:
        from tagflow.trust.remote import open_remote

        public, sign = open_remote(named, environ)
        return SigningKey(public, sign)
    raise invalid("names no kind of key", f"Write {FORMS}.")


# --- PEM ---------------------------------------------------------------------------------------------------------


def _pem(text: str) -> SigningKey:
    label, _ = unwrap(text)
    if label == "OPENSSH PRIVATE KEY":
        raise invalid("is a key of ssh", "Write ssh: and the file of its public key; ssh-agent keeps the private one.")
    if "PRIVATE KEY" not in label:
        raise invalid(
            "is no private key in PEM", "Make one: `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`."
        )
    if "ENCRYPTED" in text:
        raise invalid("is encrypted", "Decrypt it into a secret of your CI, or keep it in ssh-agent or a KMS.")
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519
    except ImportError as exc:
        raise not_installed() from exc
    try:
        key = serialization.load_pem_private_key(text.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        # Not the cause: what cryptography says of a key is nobody's business in a log.
        raise invalid("cannot be read", "It is not whole, or of a kind that is not supported.") from exc
    if isinstance(key, ed25519.Ed25519PrivateKey):
        sign: Callable[[bytes], bytes] = key.sign
    elif isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
        sign = partial(key.sign, signature_algorithm=ec.ECDSA(hashes.SHA256()))
    else:
        raise invalid("is neither ECDSA P-256 nor Ed25519", "Make a key of one of these kinds.")
    info = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return SigningKey(from_info(info), sign)


def _read(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read(_LIMIT).decode("ascii", "replace")
    except (OSError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "that is no path"
        raise invalid(f"cannot be read: {path!r}: {reason}", "Name a file that this user may read.") from exc


def _variable(environ: Mapping[str, str], name: str) -> str:
    # A name is shown, a value never: `env:` before the key itself is an easy slip.
    text = environ.get(name, "") if name.isidentifier() else ""
    if not text:
        shown = f"${name}, which" if name.isidentifier() and len(name) <= 64 else "a variable that"
        raise invalid(f"names {shown} is not set", "Write the name of an environment variable that holds the PEM.")
    # Some CI services keep a secret on one line.
    return text.replace("\\n", "\n") if "\n" not in text.strip() else text


# --- ssh ---------------------------------------------------------------------------------------------------------


def _ssh(path: str, environ: Mapping[str, str]) -> SigningKey:
    path = os.path.abspath(os.path.expanduser(path))
    text = _read(path)
    if "PRIVATE KEY" in text:
        raise invalid("names a private key", f"Name the public one: ssh:{path}.pub; ssh-agent keeps the private one.")
    try:
        public = parse_ssh(text)
    except UsageError as error:
        raise invalid(f"names {path!r}: {error.message}", error.hint) from error
    return SigningKey(public, partial(_sign_by_ssh, path, dict(environ)))


def _sign_by_ssh(path: str, environ: Mapping[str, str], message: bytes) -> bytes:
    command = ("ssh-keygen", "-q", "-Y", "sign", "-n", NAMESPACE, "-f", path)
    try:
        done = subprocess.run(command, input=message, capture_output=True, env=environ, timeout=_SECONDS, check=False)
        if done.returncode == 0:
            return unarmor(done.stdout.decode("ascii", "replace"))
        why = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
    except FileNotFoundError as exc:
        raise failed("ssh-keygen is not installed") from exc
    except subprocess.TimeoutExpired as exc:
        raise failed(f"ssh-keygen took longer than {_SECONDS:.0f} s") from exc
    except ValueError as exc:
        raise failed("ssh-keygen wrote no signature") from exc
    raise failed(why[0][:200])
