"""What a decision will want to know, as lookups, and what the stores held when they were asked, as plain values."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import cached_property
from typing import Literal

from msgspec import Struct, field
from msgspec.structs import replace

from tagflow.domain.counting import Doubtful
from tagflow.domain.history import Entry
from tagflow.domain.own_tags import RecordTag
from tagflow.domain.policy import Environment, Image, Policy, find_environment
from tagflow.domain.reference import Digest, Repository
from tagflow.domain.standing import Broken, Recorded, Standing, Unrecorded
from tagflow.domain.state import StackEntry
from tagflow.domain.tagging import TagScheme
from tagflow.domain.versions import Version
from tagflow.errors import TagflowError, combine


class TagLookup(Struct, frozen=True):
    """Where does a tag stand? ``content``: its manifest is wanted too, which takes no further request."""

    repository: Repository
    tag: str
    content: bool = False


class RecordLookup(Struct, frozen=True):
    """What does a record say?"""

    repository: Repository
    tag: RecordTag


class ImageLookup(Struct, frozen=True):
    """What an image says of itself: ``platforms``, ``labels``, ``expiry``; or whether it is whole in all ``parts``."""

    repository: Repository
    digest: Digest
    what: Literal["platforms", "labels", "expiry", "parts"]


Lookup = TagLookup | RecordLookup | ImageLookup


class Target(Struct, frozen=True, dict=True):
    """One image in one environment: where its tags and its records live."""

    image: Image
    environment: Environment
    repository: Repository
    history: Repository

    @cached_property
    def name(self) -> str:
        """``frontend in prod``."""
        return f"{self.image.name} in {self.environment.name}"

    @property
    def recorded_as(self) -> str:
        """What its repository is called in records. A layout can lie anywhere: its path below the registry tells."""
        return self.repository.path if self.repository.is_layout else str(self.repository)


class Observation(Struct, frozen=True, eq=False, dict=True):
    """What was observed of one target. ``records`` are the tags of all its records; ``is_new``: no environment has any
    record where this one's are kept.

    Of a signed history, ``named`` are the versions, with their digests, that records which count name (None: nobody
    has to sign), and ``doubtful`` what stands under the tags of records and does not count.
    """

    target: Target
    scheme: TagScheme
    tags: frozenset[str]
    records: frozenset[RecordTag]
    standing: Standing
    is_new: bool = False
    digests: Mapping[tuple[Repository, str], Digest | None] = field(default_factory=dict)
    named: frozenset[tuple[str, Digest]] | None = None
    doubtful: tuple[Doubtful, ...] = ()

    @property
    def image(self) -> str:
        """The image's name."""
        return self.target.image.name

    @property
    def unsigned(self) -> bool:
        """Whether somebody has to sign here and nobody has yet: all records count, until one is signed."""
        heads = self.standing.heads
        return (
            self.named is not None and bool(heads) and not any(it.proof is not None and it.proof.good for it in heads)
        )

    @property
    def doubted(self) -> bool:
        """Whether something cannot be read, or stands in the place of a record above the head: it may hide one that
        took back what the head tells of, for who may push can push over its tag."""
        head = self.standing.head
        return isinstance(self.standing.position, Broken) or any(
            it.may_hide and (head is None or it.tag.sequence > head.tag.sequence) for it in self.doubtful
        )

    @cached_property
    def combined(self) -> Mapping[Version, str]:
        """The versions that have a combined tag here, and that tag."""
        return self.scheme.combined(self.tags, self.target.environment.name)

    def excludes(self, version: Version) -> str:
        """Why a version with a combined tag is not admitted here, as :meth:`Standing.excludes` says it; ``unsigned``
        where no record that counts names it; or empty."""
        label = next(iter(self.listed_as(version)), None) or self.scheme.version_tag(version)
        tag = self.combined.get(version)
        digest = self.digests.get((self.target.repository, tag)) if tag else None
        return self.standing.excludes(label, digest) or ("" if self.vouches(version, digest) else "unsigned")

    def vouches(self, version: Version, digest: Digest | None = None) -> bool:
        """Whether a record that counts names a version (at ``digest``, where that is known). Where nobody has to sign,
        its combined tag is enough."""
        if self.named is None:
            return True
        return any(self.scheme.parse_label(label) == version and digest in (None, named) for label, named in self.named)

    def recalled(self, version: Version) -> tuple[StackEntry, ...]:
        """What arrived here as a version, newest first, as far as the newest record tells."""
        if not isinstance(self.standing.position, Recorded | Unrecorded) or self.standing.vain:
            return ()  # what was announced may not have come
        state = self.standing.state
        entries = (*reversed(state.stack), *state.admitted)
        return tuple(entry for entry in entries if self.scheme.recall(entry.version) == version)

    def listed_as(self, version: Version) -> tuple[str, ...]:
        """The spellings in which a version is listed as held or void here."""
        state = self.standing.state
        listed = {hold.version for hold in state.holds} | {void.version for void in state.void}
        return tuple(sorted(label for label in listed if self.scheme.recall(label) == version))

    @cached_property
    def admitted(self) -> frozenset[Version]:
        """The versions that are admitted here: combined tag there, neither held nor void."""
        return frozenset(version for version in self.combined if not self.excludes(version))

    def was_admitted(self, version: Version) -> bool:
        """Whether a version was let in here, be it held since or not."""
        return version in self.combined and self.excludes(version) in ("", "held") and self.vouches(version)

    @cached_property
    def followed(self) -> frozenset[Version]:
        """The versions of which floating tags follow the highest: what is admitted by what stands. A rollback that is
        announced beside it holds nothing yet: if it comes to nothing, nobody would put the tags back."""
        return replace(self, standing=replace(self.standing, settled=True)).admitted


class Snapshot(Struct, frozen=True):
    """Everything that a decision may know of the world. Asking it for what was not looked up is a bug, and raises.

    ``digests`` says where tags stand (None: nowhere); a tag that its repository's list does not have is nowhere.
    ``entries`` are records that were read; ``platforms`` and ``labels`` (one mapping for each platform) what images say
    of themselves, ``expiries`` by which label its registry removes the tags of one; ``gone`` the parts that are missing
    of an image; ``unreadable`` why one could not be looked at.
    """

    policy: Policy
    scheme: TagScheme
    observations: Mapping[Target, Observation]
    tags: Mapping[Repository, frozenset[str]]
    digests: Mapping[tuple[Repository, str], Digest | None]
    entries: Mapping[tuple[Repository, RecordTag], Entry] = field(default_factory=dict)
    platforms: Mapping[tuple[Repository, Digest], frozenset[str]] = field(default_factory=dict)
    labels: Mapping[tuple[Repository, Digest], tuple[Mapping[str, str], ...]] = field(default_factory=dict)
    expiries: Mapping[tuple[Repository, Digest], str] = field(default_factory=dict)
    gone: Mapping[tuple[Repository, Digest], tuple[str, ...]] = field(default_factory=dict)
    unreadable: Mapping[tuple[Repository, Digest], TagflowError] = field(default_factory=dict)

    def environment(self, name: str) -> Environment:
        """The environment of that name.

        :raises NotFound: ``environment.not_found``.
        """
        return find_environment(self.policy, name)

    def target(self, image: Image, environment: Environment) -> Target:
        """Where an image lives in an environment."""
        return target_of(self.policy, image, environment)

    def of(self, image: Image, environment: Environment) -> Observation:
        """What was observed of an image in an environment."""
        return self.observations[self.target(image, environment)]

    def all_in(self, environment: Environment) -> list[Observation]:
        """What was observed of every image in an environment, in the policy's order."""
        targets = (self.target(image, environment) for image in self.policy.images)
        return [self.observations[target] for target in targets if target in self.observations]

    def digest(self, repository: Repository, tag: str) -> Digest | None:
        """Where a tag stands, or None."""
        if tag not in self.tags.get(repository, (tag,)):
            return None
        return self.digests[repository, tag]

    def read(self, target: Target, records: Iterable[RecordTag]) -> list[Entry]:
        """Records that were looked up, those that are gone left out."""
        found = (self.entries.get((target.history, tag)) for tag in records)
        return [entry for entry in found if entry is not None]


def named_by(entries: Iterable[Entry]) -> frozenset[tuple[str, Digest]]:
    """The versions that some records let in, with their digests: by their stacks, and by what they announced. What was
    only found there, and adopted, is on the stack or was not let in."""
    found: set[tuple[str, Digest]] = set()
    for entry in entries:
        record = entry.record
        for known in (*record.state.stack, *record.state.admitted):
            if known.version:
                found.add((known.version, known.digest))
        digest = record.subject if record.action == "admit" else record.digest
        if record.action in ("push", "promote", "rollback", "admit") and record.version and digest:
            found.add((record.version, digest))
    return frozenset(found)


def target_of(policy: Policy, image: Image, environment: Environment) -> Target:
    """Where an image lives in an environment."""
    return Target(
        image, environment, policy.repository(image, environment), policy.history_repository(image, environment)
    )


def refuse_broken(observations: Collection[Observation]) -> None:
    """Refuse to decide about images whose history cannot be read.

    :raises TagflowError: ``history.broken``, ``history.newer``.
    """
    errors = [seen.standing.position.error for seen in observations if isinstance(seen.standing.position, Broken)]
    if errors:
        raise combine(errors)


def left_out(observations: Iterable[Observation]) -> list[str]:
    """A note for each image whose history cannot be read, with the record: whoever acts on all acts without it."""
    positions = ((seen.target.name, seen.standing.position) for seen in observations)
    return [
        f"{name}: its history cannot be read, so it is left out ({position.error.message})"
        for name, position in positions
        if isinstance(position, Broken)
    ]
