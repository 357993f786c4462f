"""Keys in a service or device: what securesystemslib signs with. The private half never leaves it.

A run asks for the public key once, and once for each signature; nothing of that goes to a registry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from threading import Lock
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tagflow.domain.keys import PublicKey, from_info, unwrap
from tagflow.errors import UsageError
from tagflow.trust.failures import failed, invalid, not_installed

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
