"""The images that a daemon has, by their names: looked up, named for a while, removed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tagflow.domain.reference import Digest, Repository
from tagflow.stores.docker.events import failing
from tagflow.stores.docker.link import Link
from tagflow.stores.docker.names import LocalImage, docker_name, local_image, registry_name

_SCRATCH = "_tagflow.try."
"""What scratch tags begin with: no user names an image so."""


class LocalImages:
    """What a daemon has. Safe for use by several threads; every method raises what :class:`Link` does, and
    :class:`StoreError` ``engine.failed``."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def find(self, name: str) -> LocalImage | None:
        """An image by name, name and tag, or ID; None where there is none."""
        with self._link.calling(failing("engine.failed", f"look up {name}")) as client:
            attributes = client.find_image(name)
        return local_image(attributes) if attributes is not None else None

    def tag(self, image_id: str, repository: Repository, tag: str) -> None:
        """Give an image the name REPOSITORY:TAG, whatever had it before."""
        name = f"{docker_name(repository)}:{tag}"
        with self._link.calling(failing("engine.failed", f"tag {image_id} as {name}")) as client:
            client.tag(image_id, docker_name(repository), tag, force=True)

    def remove(self, name: str) -> None:
        """Take a name away; with its last name an image goes."""
        with self._link.calling(failing("engine.failed", f"remove {name}")) as client:
            client.remove_image(name, noprune=True)

    @contextmanager
    def named(
        self, image: Digest, repository: Repository, tag: str, *, keep: Callable[[], bool] = lambda: True
    ) -> Iterator[None]:
        """Let an image have a name for a while, which then is what it was before. ``keep`` is asked at the end whether
        the image must not be deleted together with the name.

        A scratch tag is tagflow's own: it goes, also where a run that was killed has left it.
        """
        name = f"{registry_name(repository)}:{tag}"
        before = None if tag.startswith(_SCRATCH) else self.find(name)
        try:
            self.tag(image, repository, tag)
            yield
        finally:
            with self._link.clearing():
                if before is None:
                    if self.find(name) is None:  # by another run; what the daemon has noted of a push goes with a name
                        self.tag(image, repository, tag)
                    self._untag(name, keep=keep())
                elif before.id != image:
                    self.tag(before.id, repository, tag)

    def _untag(self, name: str, *, keep: bool) -> None:
        local = self.find(name)
        if local is not None and (not keep or local.has_other_name(name)):
            self.remove(name)
