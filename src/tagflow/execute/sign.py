"""The key of a run: whether it may write here, and the signature of each record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tagflow.context import Context
from tagflow.domain.history import Proof, Record
from tagflow.domain.policy import Environment

if TYPE_CHECKING:
    from tagflow.trust.signing import SigningKey


def signed(context: Context, record: Record, annotations: Mapping[str, str]) -> tuple[Mapping[str, str], Proof | None]:
    """The annotations of a record, signed where this run has a key, and what that proves (None: nobody has to sign).

    :raises StoreError: ``signing.failed``.
    """
    key, environment = context.signing_key(), context.environment(record.environment)
    if key is None:
        return annotations, Proof("unsigned") if environment.signed_by else None
    from tagflow.trust.records import sign  # only where there is a key

    proof = Proof(signer=_name(context, environment, key)) if environment.signed_by else None
    return sign(annotations, key.public, key.sign), proof


def need_key(context: Context, environment: Environment) -> None:
    """Refuse to begin what would write records that do not count. Nothing is looked at where nobody has to sign.

    :raises UsageError: ``signing.no_key``; ``signing.key_invalid`` where the key is none of those that may sign here.
    """
    if not environment.signed_by:
        return
    from tagflow.trust.crypto import foreign_key, missing_key

    key = context.signing_key()
    if key is None:
        raise missing_key(environment.name)
    if not _name(context, environment, key):
        raise foreign_key(environment.name, environment.signed_by)


def _name(context: Context, environment: Environment, key: SigningKey) -> str:
    """The name under which the key of this run may sign in an environment; empty where it may not."""
    signers = {it.name: it for it in context.policy.signers if it.name in environment.signed_by}
    # The same form, too: the signature of one key as PEM is none of that key as ssh's.
    return next((it.name for it in signers.values() if it.key.key_id == key.public.key_id), "")
