"""Signed records: a signature among a record's annotations, and what it proves.

The annotation holds a DSSE envelope over an in-toto statement about all other annotations. So it costs no request, it
comes and goes with its record, and what a record says of its parents (their whole digests) is signed too: who trusts
one record knows which it follows.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from tagflow.domain.history import Proof
from tagflow.domain.keys import PublicKey, Signer
from tagflow.errors import StoreError
from tagflow.trust.crypto import Check, normalized, signed_by
from tagflow.trust.envelope import IN_TOTO, SIGNATURE, Envelope, Signature, decode_envelope, record_statement


def sign(annotations: Mapping[str, str], key: PublicKey, make: Callable[[bytes], bytes]) -> dict[str, str]:
    """Annotations with a signature among them, sorted by name: the one order in which signed ones are accepted.

    ``make`` signs a message with the private half of ``key``.

    :raises StoreError: ``signing.failed`` where it made something else.
    """
    clean = {name: text.encode(errors="replace").decode() for name, text in annotations.items() if name != SIGNATURE}
    envelope = sign_payload(record_statement(clean), key, make)
    return dict(sorted((clean | {SIGNATURE: envelope.text}).items()))


def sign_payload(payload: bytes, key: PublicKey, make: Callable[[bytes], bytes]) -> Envelope:
    """A payload in an envelope with one signature.

    :raises StoreError: ``signing.failed`` where ``make`` made no signature by ``key``.
    """
    message = Envelope(payload, ()).message
    made = make(message)
    if not signed_by(key, message, made):
        # An agent or a service that holds another key by now: what nobody believes must not be written.
        raise StoreError(
            "signing.failed", "what was signed is not by the key that was asked to", hint="Run `tagflow doctor`."
        )
    return Envelope(payload, (Signature(key.key_id, normalized(key, made)),))


def judge(
    annotations: Mapping[str, str], signers: Sequence[Signer], allowed: Collection[str], check: Check = signed_by
) -> Proof:
    """What the signature among ``annotations`` proves. ``signers`` are the names and keys of the policy, ``allowed``
    the names that may sign here. Pure but for ``check``, which is asked whether a signature is by a key.

    Whatever could be written in more than one way is accepted in one only, so that nobody without a key can make a
    second record out of a signed one.
    """
    text = annotations.get(SIGNATURE)
    if text is None:
        return Proof("unsigned", why="is not signed")
    try:
        envelope = decode_envelope(text)
    except ValueError:
        return _forged("carries a signature that cannot be read")
    if envelope.payload_type != IN_TOTO or len(envelope.signatures) != 1 or envelope.text != text:
        return _forged("carries a signature that tagflow does not write")
    if envelope.payload != record_statement(annotations):
        return _forged("does not say what was signed")
    signature = envelope.signatures[0]
    for signer in sorted(signers, key=lambda it: it.name not in allowed):
        if signer.key.key_id != signature.key_id:
            continue
        if not check(signer.key, envelope.message, signature.content):
            return _forged(f"is not signed by the key of {signer.name}, as it claims")
        if not _one_form(signer.key, signature.content):
            return _forged("carries a signature that tagflow does not write")
        if signer.name not in allowed:
            return Proof("unknown_signer", signer.name, f"is signed by {signer.name}, who may not sign here")
        return Proof(signer=signer.name)
    return Proof("unknown_signer", why=f"is signed by a key that the policy does not know ({signature.key_id[:80]})")


def _forged(why: str) -> Proof:
    return Proof("forged", why=why)


def _one_form(key: PublicKey, signature: bytes) -> bool:
    try:
        return normalized(key, signature) == signature
    except ValueError:
        return False
