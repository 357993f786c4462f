"""Manifests of one repository: looked at, read and written, each checked against its digest."""

from __future__ import annotations

from collections.abc import Callable

from tagflow.domain.reference import Digest, is_digest
from tagflow.errors import NotFound, Refused, StoreError
from tagflow.stores.port import (
    MANIFEST_LIMIT,
    MANIFEST_TYPES,
    Manifest,
    TypeRefused,
    UnreadableManifest,
    read_manifest,
)
from tagflow.stores.registry.answers import (
    content_digest,
    content_type,
    explanation,
    is_immutable,
    names_unknown_parts,
    refusal,
    refuses_type,
)
from tagflow.stores.registry.features import Heads
from tagflow.stores.registry.http.failures import invalid
from tagflow.stores.registry.http.pace import Transient
from tagflow.stores.registry.http.transport import Answer
from tagflow.stores.registry.session import MANIFESTS, Session
from tagflow.stores.stream import matches

_FOREIGN = (
    "Some layers of this image live elsewhere (`urls`, as those of Windows): let the registry accept that (in"
    " distribution: validation.manifests.urls.allow), or push the image with `allow-nondistributable-artifacts`."
)
_OF_ITS_CONTENT = ("manifest.incomplete", "registry.rejected")
"""A right that is missing has nothing to do with layers."""


class Manifests:
    """The manifests of one repository. ``heads`` is what is known of its registry. Safe for use by several threads."""

    def __init__(self, session: Session, heads: Heads) -> None:
        self._session, self._heads = session, heads
        self._repository = session.repository

    def look(self, reference: str) -> Digest | None:
        """The digest of what is at a tag or digest, or None: by a HEAD, for registries count a GET as a pull.

        :raises StoreError: ``manifest.digest_mismatch``, ``registry.*``, ``auth.denied``.
        """
        answer = None if self._heads.refused else self._session.read("HEAD", self._path(reference), accept=MANIFESTS)
        if answer and self._heads.believed(answer):
            if answer.status == 404:
                return None
            self._expect(answer, f"look for {reference}")
            if digest := self._stated(answer, reference):
                return digest
        try:
            found = self.get(reference)
        except NotFound:
            return None
        if answer:
            self._heads.contradicted(answer)
        return Digest(reference) if is_digest(reference) else found.digest

    def get(self, reference: str) -> Manifest:
        """The manifest at a tag or digest, hashed here.

        :raises NotFound: ``manifest.not_found``.
        :raises UnreadableManifest: what is stored there is none, or of a type that tagflow does not move.
        :raises StoreError: ``manifest.digest_mismatch``, ``registry.*``, ``auth.denied``.
        """
        answer = self._session.read("GET", self._path(reference), accept=MANIFESTS, limit=MANIFEST_LIMIT)
        if answer.status == 404:
            raise NotFound("manifest.not_found", f"{self._repository} has no manifest {reference}")
        self._expect(answer, f"read manifest {reference}")
        wanted = Digest(reference) if is_digest(reference) else content_digest(answer)
        if wanted and not matches(answer.body, wanted):
            raise self._mismatch(reference, wanted)
        stated = content_type(answer)
        try:
            return read_manifest(answer.body, stated, f"{self._repository}: {reference}", wanted)
        except UnreadableManifest as error:
            if wanted or stated.startswith("application/vnd."):
                raise
            # A page of whatever stands before the registry: that must not pass for what somebody stored.
            raise invalid(answer.url, f"answers with what is no manifest: {self._repository}, {reference}") from error

    def put(self, manifest: Manifest, tag: str | None, before: Callable[[], None] | None = None) -> bool:
        """Store a manifest, by digest or under a tag, by one try: somebody may have moved the tag before another one.
        Whether the registry lists it by itself under what it refers to (distribution-spec 1.1, ``OCI-Subject``).
        ``before`` as in :class:`Request`.

        :raises Transient: it may have arrived, or not.
        :raises Refused: ``tag.immutable``.
        :raises StoreError: ``manifest.digest_mismatch``, ``manifest.incomplete``, ``repository.not_found``,
            ``registry.*``, ``auth.denied``.
        :raises TypeRefused: the registry does not know its artifact type.
        """
        reference = tag or manifest.digest
        answer = self._session.write(
            "PUT",
            self._path(reference),
            headers={"Content-Type": manifest.media_type},
            body=manifest.content,
            once=True,
            before=before,
        )
        if answer.ok:
            self._check_stored(answer, manifest, reference)
        else:
            self._check_refused(answer, manifest, tag)
        return "OCI-Subject" in answer.headers

    def _check_stored(self, answer: Answer, manifest: Manifest, reference: str) -> None:
        """201 with the digest is the proof; where the digest is missing, or the status is another, a look is: one that
        finds something else may be answered by a replica that lags behind."""
        stated = content_digest(answer) if answer.status == 201 else None
        stored = stated or self.look(reference)
        if stored is None:
            raise Transient(refusal(answer, self._repository, f"store manifest {reference}"))
        if not matches(manifest.content, stored):
            error = self._mismatch(reference, manifest.digest)
            raise error if stated else Transient(error)

    def _check_refused(self, answer: Answer, manifest: Manifest, tag: str | None) -> None:
        """A refused PUT is none where the tag has the digest already: ECR refuses even that to an immutable tag."""
        actual = self.look(tag) if tag and 400 <= answer.status < 500 and answer.status != 404 else None
        if actual == manifest.digest:
            return
        if actual and is_immutable(answer, self._repository.host):
            raise Refused(
                "tag.immutable",
                f"{self._repository}:{tag} is immutable in the registry and stands at {actual}",
                hint="Except this tag from the registry's rule for immutable tags, or choose another version.",
            )
        reference = tag or manifest.digest
        error = refusal(answer, self._repository, f"store manifest {reference}")
        if names_unknown_parts(answer):
            message = f"{self._repository}: cannot store manifest {reference} before its parts ({explanation(answer)})"
            error = StoreError("manifest.incomplete", message, hint="Run the command again.")
        if error.code == "registry.rejected" and refuses_type(answer, manifest):
            raise TypeRefused(error.code, error.message, hint=error.hint)
        if error.code in _OF_ITS_CONTENT and any(blob.foreign for blob in manifest.blobs):
            raise StoreError(error.code, error.message, hint=_FOREIGN)
        raise error

    def _stated(self, answer: Answer, reference: str) -> Digest | None:
        """The digest in an answer to a HEAD; None where it says too little to be believed."""
        digest = content_digest(answer)
        if not is_digest(reference):
            return digest
        if digest is None:
            return Digest(reference) if content_type(answer) in MANIFEST_TYPES else None
        if digest.partition(":")[0] == reference.partition(":")[0] and digest != reference:
            raise self._mismatch(reference, Digest(reference))
        return Digest(reference)

    def _path(self, reference: str) -> str:
        return f"manifests/{reference}"

    def _expect(self, answer: Answer, doing: str) -> None:
        if answer.status != 200:
            raise refusal(answer, self._repository, doing)

    def _mismatch(self, reference: str, wanted: Digest) -> StoreError:
        return StoreError(
            "manifest.digest_mismatch",
            f"{self._repository}: the content of {reference} does not have the digest {wanted}",
            hint="The registry, or something on the way to it, changes manifests.",
        )
