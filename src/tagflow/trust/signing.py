"""The key of this run: what ``$TAGFLOW_SIGN_KEY`` names, a file or a service, opened when first needed.

A run asks for the public key once, and once for each signature; nothing of that goes to a registry.

``file:PATH`` and ``env:NAME`` are PEM; ``ssh:PUBLIC_KEY_FILE`` is signed by ssh-keygen and its agent; others are keys
in a service or device (:mod:`tagflow.trust.signing`). No message repeats what a file or variable holds.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from threading import Lock
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from msgspec import Struct

from tagflow.domain.keys import PublicKey, block, from_info, parse_ssh, unwrap
from tagflow.errors import StoreError, UsageError
from tagflow.trust.crypto import FORMS, VARIABLE, failed, invalid, not_installed
from tagflow.trust.envelope import NAMESPACE, unarmor

PIN = "TAGFLOW_SIGN_PIN"


def open_remote(named: str, environ: Mapping[str, str]) -> tuple[PublicKey, Callable[[bytes], bytes]]:
    """The public key that a URI of securesystemslib names, and what signs with its private half.

    :raises UsageError: ``signing.key_invalid``, ``signing.not_installed``.
    """
    try:
        known: Any = import_module("securesystemslib.signer")
        from securesystemslib.exceptions import UnsupportedLibraryError
    except ImportError as exc:
        raise not_installed("securesystemslib", "securesystemslib[crypto]") from exc
    scheme = named.partition(":")[0]

    def pin(_name: str) -> str:
        return environ.get(PIN, "")

    try:
        uri, public = _import(known, named, pin)
        signer = known.Signer.from_priv_key_uri(uri, public, pin)
        key = from_info(_info(public.keyval["public"]))
    except UnsupportedLibraryError as exc:
        raise not_installed(f"what {scheme}: needs", f"securesystemslib[{_EXTRAS[scheme]}]") from exc
    except UsageError:
        raise
    except Exception as exc:  # each service has errors of its own, and securesystemslib passes them on
        raise invalid(f"cannot be used ({scheme}: {type(exc).__name__})", _ADVICE[scheme]) from exc
    return key, partial(_sign_remotely, signer, Lock(), scheme)


_EXTRAS = {"awskms": "awskms", "gcpkms": "gcpkms", "azurekms": "azurekms", "hv": "vault", "hsm": "hsm"}
_ADVICE = {
    "awskms": "It is a key's id, ARN or alias, with kms:GetPublicKey and kms:Sign, of the kind ECC_NIST_P256.",
    "gcpkms": "It is the whole name of a key's version, of the kind EC_SIGN_P256_SHA256.",
    "azurekms": "It is azurekms://NAME.vault.azure.net/keys/KEY/VERSION, a P-256 key.",
    "hv": "It is the name of an ed25519 key of Vault's transit engine ($VAULT_ADDR, $VAULT_TOKEN).",
    "hsm": f"It is hsm:KEY_ID?label=TOKEN, a P-256 key; $PYKCS11LIB names the module, ${PIN} holds the PIN.",
}


def _import(known: Any, named: str, pin: Callable[[str], str]) -> tuple[str, Any]:
    """Ask for the public key: securesystemslib's URI, and its key."""
    scheme, _, rest = named.partition(":")
    if scheme == "awskms":
        return named, known.AWSSigner.import_(rest)[1]
    if scheme == "gcpkms":
        return named, known.GCPSigner.import_(rest)[1]
    if scheme == "azurekms":
        parts = urlsplit(named)
        vault, name = str(parts.hostname).partition(".")[0], parts.path.split("/")[2]
        return named, known.AzureSigner.import_(vault, name)[1]
    if scheme == "hv":
        uri, public = known.VaultSigner.import_(rest.partition("/")[0])
        return str(uri), public
    parts = urlsplit(named)
    label = dict(parse_qsl(parts.query)).get("label")
    return named, known.HSMSigner.import_(int(parts.path) if parts.path else None, label, pin)[1]


def _info(public: str) -> bytes:
    """The SubjectPublicKeyInfo of what securesystemslib calls a public key: PEM, or for Ed25519 the bare key in hex."""
    label, content = unwrap(public)
    return content if label else bytes.fromhex("302a300506032b6570032100" + public)


def _sign_remotely(signer: Any, lock: Lock, scheme: str, message: bytes) -> bytes:
    try:
        with lock:  # a device has one session, and not every client may be shared
            return bytes.fromhex(signer.sign(message).signature)
    except Exception as exc:
        raise failed(f"{scheme}: {type(exc).__name__}") from exc


REMOTE = ("awskms", "gcpkms", "azurekms", "hv", "hsm")
_LIMIT = 64 * 1024
_LONGEST_SHOWN = 120
"""Letters of a path that an error repeats: what is longer may be a key."""
_SECONDS = 120.0
"""How long ssh-keygen may take: a security key waits for a touch."""
_PROMPT = "Enter passphrase: "


class SigningKey(Struct, frozen=True):
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
        public, sign = open_remote(named, environ)
        return SigningKey(public, sign)
    raise invalid("names no kind of key", f"Write {FORMS}.")


# --- PEM ---------------------------------------------------------------------------------------------------------


def _pem(text: str) -> SigningKey:
    label, lines = block(text, "PRIVATE KEY")
    if label == "OPENSSH PRIVATE KEY":
        raise invalid("is a key of ssh", "Write ssh: and the file of its public key; ssh-agent keeps the private one.")
    if "PRIVATE KEY" not in label:
        raise invalid(
            "is no private key in PEM", "Make one: `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`."
        )
    if any("ENCRYPTED" in line for line in lines):
        raise invalid("is encrypted", "Decrypt it into a secret of your CI, or keep it in ssh-agent or a KMS.")
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519
    except ImportError as exc:
        raise not_installed() from exc
    try:
        key = serialization.load_pem_private_key("\n".join(lines).encode(), password=None)
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
        if "-----" in path or "\n" in path:  # an easy slip in CI, and the error would print it
            hint = "Write env:NAME, and the key into the variable of that name."
            raise invalid("holds a key itself, and no path", hint) from None
        reason = exc.strerror if isinstance(exc, OSError) else "that is no path"
        shown = repr(path) if len(path) <= _LONGEST_SHOWN else "what it names"
        raise invalid(f"cannot be read: {shown}: {reason}", "Name a file that this user may read.") from exc


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
    raise _unsigned(path, why[0].removeprefix(_PROMPT)[:200])


def _unsigned(path: str, why: str) -> StoreError:
    """The error for a key of ssh that ssh-keygen does not sign with: without an agent it has nobody to ask for a
    passphrase, and its question is no reason."""
    if "passphrase" in why:
        private = shlex.quote(path.removesuffix(".pub"))
        return failed("it is encrypted, and no ssh-agent has it", f"Give it to the agent: `ssh-add {private}`.")
    return failed(why, "`ssh-add -l` shows which keys the agent has; `ssh-add FILE` gives it one.")
