"""The Docker Engine through the Docker SDK: images just built, push to a registry, pull to this machine.

The daemon is no :class:`~tagflow.stores.port.Store`: it knows images by ID and cannot name a manifest. Whoever pushes
or transfers compares the digest that is returned with what the registry shows then.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from types import TracebackType

from tagflow.domain.reference import Digest, Repository, normal_platform, parse_reference
from tagflow.errors import NotFound, StoreError
from tagflow.stores.archive.writer import IMAGE_CONFIGS, archive_of, counted, for_platform, whole
from tagflow.stores.docker.events import GONE_HINT, Failure, Vanished, failing, follow
from tagflow.stores.docker.link import Connect, Link
from tagflow.stores.docker.local import LocalImages
from tagflow.stores.docker.names import docker_name, in_full, is_image, only_platform, registry_name, without_tag
from tagflow.stores.files import publish, room_for
from tagflow.stores.port import OCI_MANIFEST, Manifest, Progress, Pushed, Silence, Store
from tagflow.stores.registry.auth.credentials import Credential
from tagflow.stores.registry.auth.docker_config import HUB_KEY
from tagflow.stores.registry.vendors import HUB
from tagflow.stores.stream import chunks_of

__all__ = ["Engine", "SdkAuth", "docker_name", "is_image", "sdk_auth"]

SdkAuth = Mapping[str, str]
"""``username`` and ``password``, or ``identitytoken``, and ``serveraddress`` (Docker Engine API, "Authentication")."""

_CONTAINERD = "io.containerd.snapshotter"
_TRIES = 5
"""How often another run may remove what is being pushed: it does so once, at its end."""
_FEW = 5
"""So many names are offered."""


def sdk_auth(credential: Credential | None, host: str) -> SdkAuth | None:
    """A credential as the SDK wants it. It says for which ``host`` it is: with the containerd image store, a daemon
    takes one without for Docker Hub's (moby, PR 46779)."""
    if credential is None:
        return None
    address = {"serveraddress": HUB_KEY if host == HUB else host}
    if credential.identity_token:
        return {"identitytoken": credential.identity_token, **address}
    if credential.registry_token:
        return {"registrytoken": credential.registry_token, **address}
    return {"username": credential.username, "password": credential.password, **address}


def _anonymous(_: Repository) -> SdkAuth | None:
    return None


class Engine:
    """One daemon. Safe for use by several threads; the SDK is imported and the daemon called when first needed.

    ``credential`` gives what to log in with; the daemon sends it to that repository's registry. ``deadline`` is a time
    of :func:`time.monotonic` after which nothing is waited for, but that what a method leaves in the daemon is cleared
    away. Every method raises :class:`StoreError`: ``engine.unavailable`` where the daemon is not there,
    ``engine.timeout`` where it keeps silent, or the deadline is over.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        *,
        credential: Callable[[Repository], SdkAuth | None] = _anonymous,
        deadline: float | None = None,
        connect: Connect | None = None,
    ) -> None:
        self._credential = credential
        self._link = Link(environ, deadline, connect)
        self._local = LocalImages(self._link)

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections."""
        self._link.close()

    def image_id(self, name: str) -> Digest:
        """The ID of a local image, by name, name and tag, or ID.

        :raises UsageError: ``reference.invalid``.
        :raises NotFound: ``source.not_found``.
        """
        parse_reference(name)
        local = self._local.find(name)
        if local is None:
            hint = self._under_other_tags(name) or "`docker images` lists what is there; build or pull it first."
            raise NotFound("source.not_found", f"the Docker Engine has no image {in_full(name)}", hint=hint)
        return local.id

    def _under_other_tags(self, name: str) -> str:
        """What to name where a name was given without its tag, which then is ``latest``, or with one that is not
        there; empty where there is no image of that name."""
        repository = without_tag(name)
        with self._link.calling(failing("engine.failed", f"list the images of {repository}")) as client:
            there = [it for it in client.names_of(repository) if without_tag(it) == repository]
        if not there:
            return ""
        told = ", ".join(f"docker-daemon:{it}" for it in there[:_FEW])
        more = f" or {len(there) - _FEW} more" if len(there) > _FEW else ""
        return f"There is {told}{more}: name the tag."

    @cached_property
    def platform(self) -> str:
        """``os/architecture`` of the machine on which images run."""
        with self._link.calling(failing("engine.failed", "tell its version")) as client:
            version = client.version()
        return f"{version['Os']}/{version['Arch']}"

    @cached_property
    def has_containerd(self) -> bool:
        """Whether images live in the containerd image store, which keeps manifests, instead of a graph driver."""
        with self._link.calling(failing("engine.failed", "describe itself")) as client:
            status = client.info().get("DriverStatus") or []
        return any(str(value).startswith(_CONTAINERD) for pair in status for value in pair)

    def would_change(self, manifest: Manifest) -> str:
        """Why the daemon would surely change the digest of what travels through it; empty where it may not."""
        if manifest.is_index:
            return "it is an index of several platforms, and the Docker Engine takes one of them"
        if manifest.config is None or manifest.config.media_type not in IMAGE_CONFIGS:
            return "it is not a container image, and the Docker Engine takes nothing else"
        if manifest.media_type == OCI_MANIFEST and not self.has_containerd:
            return (
                "it is an OCI manifest, and a Docker Engine without the containerd image store pushes Docker manifests"
            )
        return ""

    def platform_here(self, name: str) -> Digest | None:
        """The manifest of the only platform that is here of an index, and would be pushed alone. None where the image
        is whole or no index, where several platforms are here, and where the daemon does not tell (before Docker 28).
        """
        with self._link.calling(failing("engine.failed", f"look up {name}")) as client:
            return only_platform(client.manifests_of(name))

    def push(self, name: str, repository: Repository, tag: str, progress: Progress) -> Pushed:
        """Push a local image (name or ID) under exactly one tag; returns the digest that the registry was given.

        The local name HOST/PATH:TAG that this takes is what it was before afterwards (a scratch tag goes), except that
        an image which has no other name keeps it: the daemon would delete the image with its last name.

        :raises NotFound: ``source.not_found``.
        :raises StoreError: ``engine.push_failed``.
        """
        image = self.image_id(name)
        with self._local.named(image, repository, tag):
            return self._push(image, repository, tag, progress)

    def pull(self, repository: Repository, digest: Digest, progress: Progress, platform: str = "") -> Digest:
        """Pull by digest, by default for the daemon's own platform; returns the image ID.

        :raises NotFound: ``manifest.not_found``, ``platform.not_found``.
        :raises StoreError: ``engine.pull_failed``.
        """
        return self._pull(repository, digest, progress, platform)[0]

    def tag(self, image_id: str, repository: Repository, tag: str) -> None:
        """Give a local image the name REPOSITORY:TAG, whatever had it before.

        :raises StoreError: ``engine.failed``.
        """
        self._local.tag(image_id, repository, tag)

    def transfer(self, source: Repository, digest: Digest, target: Repository, tag: str, progress: Progress) -> Digest:
        """Let an image travel through the daemon: pull by digest, push under ``tag``; returns the digest that the
        registry was given, which the caller compares. What was not here before is removed again.

        Another run may do the same with the same image at the same time: what it removes of what this one needs is
        brought in again.

        :raises NotFound: ``manifest.not_found``.
        :raises StoreError: ``engine.pull_failed``, ``engine.push_failed``.
        """
        for _ in range(_TRIES - 1):
            with suppress(Vanished):
                return self._transfer(source, digest, target, tag, progress)
        return self._transfer(source, digest, target, tag, progress)

    def save_to(self, name: str, path: Path) -> Digest:
        """Write a local image to the file ``path`` as `docker save` does, but without its names; returns its ID.

        :raises NotFound: ``source.not_found``.
        :raises StoreError: ``engine.save_failed``.
        """
        image, failure = self.image_id(name), failing("engine.save_failed", f"save {name} to {path.name}")
        try:
            publish(path, whole(self._saved(image, failure), failure), durable=False)
        except OSError as exc:  # of this machine's disk: what the daemon fails at is translated where it is called
            temporary = tempfile.gettempdir()
            place = temporary if path.is_relative_to(temporary) else str(path.parent)
            message = f"{name} cannot be written to {place}: {(exc.strerror or str(exc)).lower()}"
            raise StoreError("engine.save_failed", message, hint=room_for(place)) from exc
        return image

    def load(self, path: Path, progress: Progress) -> Digest:
        """Load an archive of one image, as `docker save` writes it; returns the image ID.

        :raises StoreError: ``engine.load_failed``.
        """
        try:
            with path.open("rb") as file:
                progress.expect(path.stat().st_size)
                return self._load(counted(chunks_of(file), progress), path.name)
        except OSError as exc:
            message = f"{path} cannot be read: {(exc.strerror or str(exc)).lower()}"
            raise StoreError("engine.load_failed", message) from exc

    def load_from(self, store: Store, manifest: Manifest, progress: Progress, platform: str = "") -> Digest:
        """Bring an image of any store into the daemon; out of an index, the one for ``platform``, by default the
        daemon's own. Returns the image ID, checked to mean that manifest.

        :raises NotFound: ``platform.not_found``, ``blob.not_found``.
        :raises StoreError: ``engine.load_failed``, ``manifest.invalid``, ``blob.invalid``.
        """
        chosen = for_platform(store, manifest, platform or self.platform) if manifest.is_index else manifest
        what = f"{store.repository}@{chosen.digest}"
        image = self._load(archive_of(store, chosen, progress), what)
        if not is_image(chosen, image):
            raise failing("engine.load_failed", f"load {what}")(f"it became {image}")
        return image

    def strange_platform(self, image: Digest, platform: str = "") -> str:
        """Which platform a local image is for, where that is another than ``platform``, by default the daemon's own:
        an image that is no index comes as it is."""
        local = self._local.find(image)
        found = normal_platform(local.platform) if local else ""
        wanted = normal_platform(platform or self.platform)
        return "" if f"{found}/".startswith(f"{wanted}/") or f"{wanted}/".startswith(f"{found}/") else found

    def _pull(self, repository: Repository, digest: Digest, progress: Progress, platform: str) -> tuple[Digest, bool]:
        """The image ID, and whether it was not here before: only the daemon can tell where others remove it."""
        name, auth = registry_name(repository), self._auth(repository)
        failure = failing("engine.pull_failed", f"pull {name}@{digest}", absent=f"{repository} has no {digest}")
        with self._link.calling(failure) as client:
            events = client.pull(
                name, tag=digest, platform=platform or None, stream=True, decode=True, auth_config=auth
            )
            outcome = follow(self._link.in_time(events), progress)
        if outcome.error:
            raise failure(outcome.error)
        image = self._local.find(f"{name}@{digest}")
        if image is None:
            raise Vanished("engine.pull_failed", f"{name}@{digest} is gone from the Docker Engine", hint=GONE_HINT)
        return image.id, outcome.is_new

    def _transfer(self, source: Repository, digest: Digest, target: Repository, tag: str, progress: Progress) -> Digest:
        pulled = f"{registry_name(source)}@{digest}"
        known = self._local.find(pulled) is not None
        try:
            image, is_new = self._pull(source, digest, progress, "")
            known = known and not is_new
            # Known by another run's pull alone, the image goes with our name once that run has removed its own.
            with self._local.named(image, target, tag, keep=lambda: known and self._local.find(pulled) is not None):
                return self._push(image, target, tag, progress).digest
        finally:
            if not known:
                with self._link.clearing():
                    self._local.remove(pulled)

    def _push(self, image: Digest, repository: Repository, tag: str, progress: Progress) -> Pushed:
        """Push an image by the name that it was given. A scratch tag is the same for the same image: another run that
        has ended removes it, and it is given again."""
        for _ in range(_TRIES - 1):
            with suppress(Vanished):
                return self._push_name(repository, tag, progress)
            self._local.tag(image, repository, tag)
        return self._push_name(repository, tag, progress)

    def _push_name(self, repository: Repository, tag: str, progress: Progress) -> Pushed:
        name, auth = registry_name(repository), self._auth(repository)
        failure = failing("engine.push_failed", f"push {name}:{tag}")
        with self._link.calling(failure) as client:
            events = client.push(name, tag=tag, stream=True, decode=True, auth_config=auth)
            outcome = follow(self._link.in_time(events), progress)
        if outcome.error or outcome.digest is None:
            raise failure(outcome.error or "it did not say which digest it pushed")
        return Pushed(outcome.digest, outcome.part_of)

    def _load(self, chunks: Iterator[bytes], what: str) -> Digest:
        failure = failing("engine.load_failed", f"load {what}")
        with self._link.calling(failure) as client:
            outcome = follow(self._link.in_time(client.load_image(chunks)), Silence())
        if outcome.error:
            raise failure(outcome.error)
        images = {self.image_id(name) for name in outcome.loaded}
        if len(images) != 1:
            raise failure(f"it holds {len(images)} images, expected one")
        return images.pop()

    def _saved(self, image: Digest, failure: Failure) -> Iterator[bytes]:
        with self._link.calling(failure) as client:
            yield from client.get_image(image)

    def _auth(self, repository: Repository) -> dict[str, str]:
        """Never None, which would send the SDK to look for itself; empty is anonymous."""
        return dict(self._credential(repository) or {})
