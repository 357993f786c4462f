"""Which tags a change moves: anchors first, then the environment tag, then the floating ones."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from tagflow.domain.floating import lines_of, winner
from tagflow.domain.plan import Move
from tagflow.domain.reference import Digest, Repository
from tagflow.domain.tagging import Kind, TagScheme, pin_tag
from tagflow.domain.version import Version
from tagflow.errors import Refused
from tagflow.flows.observe import Observer, Place, Question, Sight


@dataclass(frozen=True)
class Mover:
    """Computes the moves at one place."""

    observer: Observer
    scheme: TagScheme
    sight: Sight

    @property
    def repository(self) -> Repository:
        """Where the tags are."""
        return self.sight.place.repository

    def stands(self, tag: str) -> Digest | None:
        """Where a tag stands; not asked for where the tag list has none."""
        return self.observer.digest(self.repository, tag) if tag in self.sight.tags else None

    def move(self, tag: str, kind: Kind, after: Digest | None) -> Move:
        """One tag from where it stands to where it is wanted."""
        return Move(self.sight.place.image.name, str(self.repository), tag, kind, self.stands(tag), after)

    def anchor(self, tag: str, kind: Kind, digest: Digest) -> Move:
        """A tag that never moves.

        :raises Refused: ``tag.immutable`` where it stands elsewhere.
        """
        move = self.move(tag, kind, digest)
        if move.action == "move":
            raise immutable(move.repository, tag, move.before, digest)
        return move

    def anchors(self, version: Version, digest: Digest) -> list[Move]:
        """Version and combined tag of a release that enters."""
        environment = self.sight.place.environment.name
        return [
            self.anchor(self.scheme.version_tag(version), "version", digest),
            self.anchor(self.scheme.combined_tag(version, environment), "combined", digest),
        ]

    def pins(self, digest: Digest | None) -> list[Move]:
        """The pin for the digest that the environment tag leaves, unless a combined tag holds it."""
        left = self.sight.standing.digest
        if left is None or left == digest:
            return []
        version = self.scheme.parse_label(self.sight.standing.version)
        holder = self.sight.combined.get(version) if version else None
        if holder is not None and self.stands(holder) == left:
            return []
        return [self.anchor(pin_tag(left), "pin", left)]

    def environment(self, digest: Digest | None) -> Move:
        """The environment tag: the commit point."""
        place = self.sight.place
        return Move(
            place.image.name,
            str(self.repository),
            place.environment.name,
            "environment",
            self.sight.standing.digest,
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
        for tag, line in lines_of(self.scheme, self.sight.place.environment, touched).items():
            best = winner(self.scheme, tag, line, admitted)
            if best is None:
                continue
            digest = entering[best] if best in entering else self.stands(self.sight.combined[best])
            if digest is not None:
                moves.append(self.move(tag, "floating", digest))
        return moves

    def wanted(self, versions: Iterable[Version], admitted: Collection[Version]) -> list[Question]:
        """What the moves of some versions ask for, so that it is asked side by side."""
        place, environment = self.sight.place, self.sight.place.environment
        chosen = list(versions)
        tags = [self.scheme.version_tag(version) for version in chosen]
        tags += [self.scheme.combined_tag(version, environment.name) for version in chosen]
        running = self.scheme.parse_label(self.sight.standing.version)
        if running is not None and running in self.sight.combined:
            tags.append(self.sight.combined[running])
        if self.sight.standing.digest is not None:
            tags.append(pin_tag(self.sight.standing.digest))
        for tag, line in lines_of(self.scheme, environment, chosen).items():
            best = winner(self.scheme, tag, line, admitted)
            tags += [tag] + ([self.sight.combined[best]] if best and best in self.sight.combined else [])
        return [Question(place.repository, tag) for tag in dict.fromkeys(tags)]


def guesses(observer: Observer, scheme: TagScheme, place: Place, version: Version | None) -> list[Question]:
    """What the moves of a version (None: not known yet) will ask for, as far as the tag list alone tells.

    The version that runs is most likely the highest that ran. Where it is another one, its tag is asked for later.
    """
    combined = scheme.combined(observer.tags(place.repository), place.environment.name)
    ran = max((known for known in combined if known != version), default=None)
    tags = [
        *lines_of(scheme, place.environment, [version] if version else []),
        *([] if ran is None else [combined[ran]]),
    ]
    return [Question(place.repository, tag) for tag in tags]


def immutable(repository: str, tag: str, actual: Digest | None, wanted: Digest) -> Refused:
    """The refusal to move a tag that never moves."""
    return Refused(
        "tag.immutable",
        f"{repository}:{tag} stands at {actual} and never moves; {wanted} was to get this name",
        hint="Give the new build a new version (`tagflow next`). No option moves a release.",
    )
