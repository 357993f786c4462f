"""Which tags a change moves: anchors first, then the environment tag, then the floating ones."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from msgspec import Struct

from tagflow.domain.lines import lines_of, winner
from tagflow.domain.own_tags import pin_tag
from tagflow.domain.plan import Move
from tagflow.domain.reference import Digest, Repository
from tagflow.domain.snapshot import Lookup, Observation, Snapshot, TagLookup, Target
from tagflow.domain.state import StackEntry
from tagflow.domain.tagging import Kind, TagScheme
from tagflow.domain.versions import Version
from tagflow.errors import Refused


class TagMoves(Struct, frozen=True):
    """Computes the moves of one target's tags."""

    snapshot: Snapshot
    seen: Observation

    @property
    def repository(self) -> Repository:
        """Where the tags are."""
        return self.seen.target.repository

    @property
    def scheme(self) -> TagScheme:
        """The tag engine."""
        return self.snapshot.scheme

    def digest(self, tag: str) -> Digest | None:
        """Where a tag stands."""
        return self.snapshot.digest(self.repository, tag)

    def move(self, tag: str, kind: Kind, after: Digest | None) -> Move:
        """One tag from where it stands to where it is wanted."""
        return Move(self.seen.image, str(self.repository), tag, kind, self.digest(tag), after)

    def anchor(self, tag: str, kind: Kind, digest: Digest) -> Move:
        """A tag that never moves.

        :raises Refused: ``tag.immutable`` where it stands elsewhere.
        """
        move = self.move(tag, kind, digest)
        if move.action == "move":
            raise immutable(move.repository, tag, move.before, digest)
        return move

    def anchors(self, version: Version, digest: Digest) -> list[Move]:
        """Version and combined tag of a release that enters.

        :raises Refused: ``tag.immutable`` where one stands elsewhere, or is gone and the history says of what it was:
            somebody's cleanup removes tags, and leaves a name that has been given.
        """
        environment = self.seen.target.environment.name
        was = self.seen.recalled(version)
        if was and digest and all(entry.digest != digest for entry in was):
            raise taken(str(self.repository), environment, was[0], digest)
        return [
            self.anchor(self.scheme.version_tag(version), "version", digest),
            self.anchor(self.scheme.combined_tag(version, environment), "combined", digest),
        ]

    def pins(self, digest: Digest | None) -> list[Move]:
        """The pin for the digest that the environment tag leaves, unless a combined tag holds it."""
        left = self.seen.standing.digest
        if left is None or left == digest:
            return []
        version = self.scheme.parse_label(self.seen.standing.version)
        holder = self.seen.combined.get(version) if version else None
        if holder is not None and self.digest(holder) == left:
            return []
        return [self.anchor(pin_tag(left), "pin", left)]

    def environment(self, digest: Digest | None) -> Move:
        """The environment tag: the commit point."""
        target = self.seen.target
        return Move(
            target.image.name,
            str(self.repository),
            target.environment.name,
            "environment",
            self.seen.standing.digest,
            digest,
        )

    def floating(
        self, touched: Iterable[Version], admitted: Collection[Version], entering: dict[Version, Digest]
    ) -> list[Move]:
        """The floating tags whose winner may change as the versions ``touched`` come or go.

        ``admitted`` is what is admitted afterwards, ``entering`` the digests of versions whose combined tag is not
        there yet. A line without any winner keeps its tag.
        """
        moves = []
        for tag, line in lines_of(self.scheme, self.seen.target.environment, touched).items():
            best = winner(self.scheme, tag, line, admitted, self.seen.tags)
            if best is None:
                continue
            digest = entering[best] if best in entering else self.digest(self.seen.combined[best])
            if digest is not None:
                moves.append(self.move(tag, "floating", digest))
        return moves


def move_lookups(
    snapshot: Snapshot,
    seen: Observation,
    versions: Iterable[Version],
    admitted: Collection[Version],
    entering: Version | None,
) -> Iterator[Lookup]:
    """What the moves of some versions ask about. ``admitted`` is what will be admitted afterwards; ``entering`` the one
    whose anchors are written: those of a version that only comes back, or goes, stay whatever they are."""
    target, scheme = seen.target, snapshot.scheme
    chosen = list(versions)
    anchored = [] if entering is None else [entering]
    tags = [scheme.version_tag(version) for version in anchored]
    tags += [scheme.combined_tag(version, target.environment.name) for version in anchored]
    running = scheme.parse_label(seen.standing.version)
    if running is not None and running in seen.combined:
        tags.append(seen.combined[running])
    if seen.standing.digest is not None:
        tags.append(pin_tag(seen.standing.digest))
    for tag, line in lines_of(scheme, target.environment, chosen).items():
        best = winner(scheme, tag, line, admitted, seen.tags)
        tags += [tag] + ([seen.combined[best]] if best and best in seen.combined else [])
    yield from (TagLookup(target.repository, tag) for tag in dict.fromkeys(tags))


def early_lookups(snapshot: Snapshot, target: Target, version: Version | None) -> Iterator[Lookup]:
    """What the moves of a version (None: not known yet) will ask about, as far as the tag list alone tells.

    The version that runs is most likely the highest that ran. Where it is another one, its tag is asked for later.
    """
    scheme = snapshot.scheme
    combined = scheme.combined(snapshot.tags[target.repository], target.environment.name)
    highest = max((known for known in combined if known != version), default=None)
    tags = [
        *lines_of(scheme, target.environment, [version] if version else []),
        *([] if highest is None else [combined[highest]]),
    ]
    yield from (TagLookup(target.repository, tag) for tag in tags)


def taken(repository: str, environment: str, was: StackEntry, wanted: Digest) -> Refused:
    """The refusal to give a name again that was given to something else, although no tag says so any more."""
    return Refused(
        "tag.immutable",
        f"{repository}: {was.version} is {was.digest} in the history of {environment}; {wanted} was to get this name",
        hint="Give the new build a new version (`tagflow next`), or bring in what it was. No option moves a release.",
    )


def immutable(repository: str, tag: str, actual: Digest | None, wanted: Digest, of_daemon: str = "") -> Refused:
    """The refusal to move a tag that never moves. ``of_daemon`` is the ID of a daemon's image, whose manifest has no
    digest before it is pushed: the two are of different things, and are not to be compared."""
    other = f"the image {of_daemon[:19]} of the Docker Engine, another one," if of_daemon else f"{wanted}"
    return Refused(
        "tag.immutable",
        f"{repository}:{tag} stands at {actual} and never moves; {other} was to get this name",
        hint="Give the new build a new version (`tagflow next`). No option moves a release.",
    )
