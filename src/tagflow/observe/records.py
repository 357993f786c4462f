"""Records out of a repository."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from tagflow.domain.counting import Doubtful, Read
from tagflow.domain.history import Entry, Proof
from tagflow.domain.keys import Signer
from tagflow.domain.own_tags import RecordTag
from tagflow.domain.records import read_record
from tagflow.errors import HistoryBroken, HistoryNewer
from tagflow.stores.artifact import TYPE, artifact, stated_type
from tagflow.stores.port import Manifest, Store, UnreadableManifest


class Signatures(Struct, frozen=True):
    """What the records of one image in one environment are held against: the keys of the policy, who may sign there,
    and what the image's repository is called in its records."""

    signers: Sequence[Signer]
    allowed: Sequence[str]
    repository: str


def fetch(store: Store, tag: RecordTag) -> Entry:
    """Read one record.

    :raises NotFound: ``manifest.not_found``.
    :raises HistoryBroken: where it is no record that tagflow wrote.
    :raises HistoryNewer: where a later version of tagflow wrote it.
    """
    return _read(store, tag, store.get(str(tag)))


def fetch_signed(store: Store, tag: RecordTag, signatures: Signatures) -> Read:
    """Read one record of a signed history; what is none, or is signed and not in its place, is :class:`Doubtful`. One
    without a good signature counts where a record above it does, so it is read all the same.

    :raises NotFound: ``manifest.not_found``.
    :raises HistoryNewer: where a later version of tagflow wrote it, and who may has signed it.
    :raises UsageError: ``signing.not_installed``.
    """
    try:
        manifest = store.get(str(tag))
    except UnreadableManifest as error:  # anything else may hide a good one, which may tell of a hold
        return Doubtful(tag, None, Proof("forged", why=f"cannot be read: {error.message}"))
    proof = _prove(manifest, signatures)
    if proof.fault == "forged":
        return Doubtful(tag, manifest.digest, proof)
    try:
        entry = _read(store, tag, manifest)
    except HistoryBroken as error:
        return Doubtful(tag, manifest.digest, Proof("forged", proof.signer, error.why))
    except HistoryNewer:
        if not proof.good:
            return Doubtful(tag, manifest.digest, proof)
        raise
    if proof.good and entry.record.repository != signatures.repository:
        why = f"was signed for {entry.record.repository}, another repository"
        return Doubtful(tag, manifest.digest, Proof("forged", proof.signer, why))
    return replace(entry, proof=proof)


def _prove(manifest: Manifest, signatures: Signatures) -> Proof:
    from tagflow.trust.records import judge  # only where somebody has to sign

    proof = judge(manifest.annotations, signatures.signers, signatures.allowed)
    if proof.good and _written(manifest) != manifest.content:
        # The same annotations in other bytes: a second record out of a signed one, which no record names.
        return Proof("forged", proof.signer, "is a signed record in other bytes than tagflow writes")
    return proof


def _read(store: Store, tag: RecordTag, manifest: Manifest) -> Entry:
    entry = read_record(str(store.repository), tag, manifest.digest, stated_type(manifest), manifest.annotations)
    return replace(entry, as_image=TYPE in manifest.annotations)


def _written(manifest: Manifest) -> bytes:
    """The same signed record as tagflow writes it."""
    return artifact(stated_type(manifest), dict(sorted(manifest.annotations.items()))).content
