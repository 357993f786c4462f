"""What runs somewhere, against what an environment should run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from tagflow.domain.reference import Digest
from tagflow.domain.seen import Seen
from tagflow.domain.versions import Version


@dataclass(frozen=True)
class Build:
    """One build of an image: ``version`` where it is known, and every digest by which a machine may call it.

    These are the index, the manifests of its platforms and their configurations, as far as they were looked up.
    """

    digest: Digest
    version: Version | None = None
    digests: frozenset[Digest] = frozenset()

    def is_it(self, digest: Digest | None, version: Version | None) -> bool:
        """Whether a digest, or where none is told a version, means this build."""
        if digest is not None:
            return digest == self.digest or digest in self.digests
        return version is not None and version == self.version


@dataclass(frozen=True)
class Wanted:
    """What an environment should run of an image (None: nothing), and what ran before that or was to run."""

    image: str
    build: Build | None
    before: tuple[Build, ...] = ()


@dataclass(frozen=True)
class Difference:
    """Containers of an image that run something else. ``actual``: a digest, or a reference where no digest is told.

    ``is_before``: it is what the environment ran before, so that a rollout may be under way.
    """

    image: str
    actual: str
    is_before: bool
    where: tuple[str, ...]


@dataclass(frozen=True)
class Unclear:
    """Containers of an image under a tag that moves, of which nobody tells the digest."""

    image: str
    reference: str
    where: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """What came of it. ``agreeing``: how many containers run what they should; ``others``: of images not known here."""

    differences: tuple[Difference, ...]
    unclear: tuple[Unclear, ...]
    agreeing: int
    others: int


def compare(
    seen: Iterable[Seen],
    wanted: Mapping[str, Wanted],
    image_of: Callable[[str], str | None],
    version_of: Callable[[str], Version | None],
) -> Comparison:
    """Compare containers with what should run; ``wanted`` has every image that ``image_of`` names.

    ``image_of`` tells the image of a repository as it is written; ``version_of`` the version of a tag that never moves,
    and None of any other.
    """
    differences: dict[tuple[str, str, bool], list[str]] = {}
    unclear: dict[tuple[str, str], list[str]] = {}
    agreeing = others = 0
    for one in seen:
        found = next(((image, it) for it in one.references if (image := image_of(name_of(it))) is not None), None)
        if found is None:
            others += 1
            continue
        image, reference = found
        version = next((known for it in one.references if (known := version_of(tag_of(it))) is not None), None)
        it = wanted[image]
        if it.build is not None and it.build.is_it(one.digest, version):
            agreeing += 1
        elif it.build is not None and one.digest is None and version is None:
            unclear.setdefault((image, reference), []).append(one.where)
        else:
            is_before = any(build.is_it(one.digest, version) for build in it.before)
            differences.setdefault((image, one.digest or reference, is_before), []).append(one.where)
    return Comparison(
        tuple(Difference(*key, tuple(where)) for key, where in differences.items()),
        tuple(Unclear(*key, tuple(where)) for key, where in unclear.items()),
        agreeing,
        others,
    )


def name_of(reference: str) -> str:
    """The repository in a reference, as it is written there."""
    rest = reference.partition("@")[0]
    slash = rest.rfind("/") + 1
    return rest[:slash] + rest[slash:].partition(":")[0]


def tag_of(reference: str) -> str:
    """The tag in a reference; empty where it has none."""
    rest = reference.partition("@")[0]
    return rest[rest.rfind("/") + 1 :].partition(":")[2]
