"""Which digest of which version a promotion takes, and from where; which version a digest is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from tagflow.decide.targets import Wanted, source_of
from tagflow.domain.policy import Environment, find_environment
from tagflow.domain.reference import Digest, Repository
from tagflow.domain.snapshot import Lookup, Observation, Snapshot, TagLookup, Target, refuse_broken
from tagflow.domain.standing import Interrupted, Unrecorded
from tagflow.domain.state import Hold
from tagflow.domain.tagging import same_version
from tagflow.domain.versions import Version
from tagflow.domain.versions.natural import NATURAL
from tagflow.errors import Conflict, NotFound, Refused, TagflowError, UsageError, on_one_line

_MOST = 64
"""How many tags of each kind are looked at: an adoption is rare, yet must not ask for ten thousand digests."""


def identify(snapshot: Snapshot, seen: Observation) -> str | None:
    """The version tag of what the environment tag stands at: from the stack, else by comparing tags; else None."""
    digest, scheme = seen.standing.digest, seen.scheme
    if digest is None:
        return None
    known = next((entry for entry in reversed(seen.standing.state.stack) if entry.digest == digest), None)
    if known is not None:
        return known.version
    repository = seen.target.repository
    for version, tag in _candidates(seen):
        if snapshot.digest(repository, tag) == digest:
            return scheme.version_tag(version)
    return None


def identify_lookups(seen: Observation) -> Iterator[Lookup]:
    """What :func:`identify` asks about, where it is asked: where the environment tag was moved by hand."""
    standing = seen.standing
    if not isinstance(standing.position, Unrecorded) or standing.digest is None:
        return
    if any(entry.digest == standing.digest for entry in standing.state.stack):
        return
    for _, tag in _candidates(seen):
        yield TagLookup(seen.target.repository, tag)


def _candidates(seen: Observation) -> list[tuple[Version, str]]:
    return sorted(seen.combined.items(), reverse=True)[:_MOST] + seen.scheme.versions(seen.tags)[:_MOST]


class Choice(Struct, frozen=True):
    """One image's version, as it is spelt in the registry, its digest, and the repository that has it.

    ``bringing``: its content comes from elsewhere, and is not in the target's registry yet.
    """

    seen: Observation
    version: Version
    digest: Digest
    source: Repository
    bringing: bool = False

    @property
    def label(self) -> str:
        """The version tag."""
        return self.seen.scheme.version_tag(self.version)

    @property
    def image(self) -> str:
        """The image's name."""
        return self.seen.image


class Route(Struct, frozen=True):
    """One image on its way into one environment: what was observed of its target, and of each source."""

    snapshot: Snapshot
    target: Observation
    sources: tuple[Observation, ...] = ()

    def choose(self, wanted: Wanted) -> Choice | None:
        """The digest to promote; None where ``from`` runs nothing of the image.

        :raises TagflowError: ``version.not_found``, ``promotion.order``, ``tag.conflict``,
            ``promotion.from_ambiguous``, ``environment.unrecorded``, ``history.broken`` of a source.
        """
        refuse_broken(self.sources)
        if wanted.version is not None:
            return self._named(wanted.version)
        running = self.running()
        if not running:
            return None
        if any(version != running[0] for version in running):
            self._disagree(f"run {', '.join(map(self._tag, running))}")
        return self._named(running[0])

    def running(self) -> list[Version]:
        """The versions that the sources run.

        :raises Conflict: ``environment.unrecorded`` where one runs what nothing tells the version of.
        """
        return [version for version in map(self._running, self.sources) if version is not None]

    def spell(self, version: Version) -> Version:
        """The version as it is written in the registry; as typed, where it is not there yet.

        :raises Conflict: ``version.spelling`` where two spellings stand at different digests.
        :raises UsageError: where its tags would be ambiguous.
        """
        scheme = self.snapshot.scheme
        spellings = scheme.spellings(version, {tag for seen in (*self.sources, self.target) for tag in seen.tags})
        if len(spellings) > 1:
            self._compare(spellings)
        chosen = spellings[0] if spellings else version
        scheme.check(chosen)
        return chosen

    def _named(self, version: Version) -> Choice:
        version = self.spell(version)
        if not self.sources:
            return self._first(version)
        admitted = [seen for seen in self.sources if version in seen.admitted]
        if not admitted:
            raise self._not_admitted(version)
        choices = [self._from(seen, version) for seen in admitted]
        if any(choice.digest != choices[0].digest for choice in choices):
            self._disagree(f"have {self._tag(version)} at different digests")
        here = [choice for choice in choices if choice.source == self.target.target.repository]
        return (here or choices)[0]

    def _first(self, version: Version) -> Choice:
        target, tag = self.target.target, self._tag(version)
        digest = self.snapshot.digest(target.repository, tag)
        if digest is None:
            raise NotFound(
                "version.not_found",
                f"{target.image.name} has no {tag} in {target.repository}",
                hint=self._written_otherwise(version)
                or f"Bring it in: `tagflow push {tag} {target.image.name}=docker-daemon:{target.image.name}`,"
                f" or push {target.repository}:{tag} with any tool.",
            )
        return Choice(self.target, version, digest, target.repository)

    def _from(self, seen: Observation, version: Version) -> Choice:
        repository, combined = seen.target.repository, seen.combined[version]
        tag = self._tag(version)
        digest = self.snapshot.digest(repository, combined)
        if digest is None:
            raise NotFound("version.not_found", f"{repository}:{combined} has gone", hint="Run the command again.")
        release = self.snapshot.digest(repository, tag)
        if release is not None and release != digest:
            raise Conflict(
                "tag.conflict",
                f"{repository}: {tag} stands at {release}, but {combined} at {digest}: one of them was moved by hand",
                hint="`tagflow verify` shows what the history says; move the wrong one back.",
            )
        return Choice(self.target, version, digest, repository)

    def _not_admitted(self, version: Version) -> TagflowError:
        image, tag = self.target.image, self._tag(version)
        environment = self.target.target.environment.name
        sources = [seen.target.environment.name for seen in self.sources]
        if not any(self._knows(seen, version) for seen in (*self.sources, self.target)):
            repositories = dict.fromkeys(str(seen.target.repository) for seen in self.sources)
            return NotFound(
                "version.not_found",
                f"{image} has no {tag} in {' or '.join(repositories)}",
                hint=self._written_otherwise(version)
                or f"Look at `tagflow status {image}`; a new build comes in by `tagflow push {tag} {image}=SOURCE`.",
            )
        reasons = [self._reason(seen, version) for seen in self.sources]
        held = {
            name: hold for seen, name in zip(self.sources, sources, strict=True) if (hold := self._hold(seen, version))
        }
        message = f"{image} {tag} cannot go to {environment}: {'; '.join(reasons)}"
        first = f"tagflow promote {image}={tag} --to {self._next_stop(version)}"
        if _goes_back(self.sources[0], tag):  # what it goes back to counts again once it has arrived
            first = f"tagflow rollback {sources[0]}"
        return Refused(
            "promotion.order",
            message,
            hint=f"First `{first}`.",
            details=[
                {
                    "code": "promotion.order",
                    "image": image,
                    "message": message,
                    "version": tag,
                    "from": sources,
                    "held": [*held],
                    "held_as": next((hold.version for hold in held.values()), None),
                }
            ],
        )

    def _next_stop(self, version: Version) -> str:
        """The environment that a version enters next on its way, as far as the tags tell: the first after one in which
        it has been."""
        policy, image = self.snapshot.policy, self.target.target.image
        stop = self.sources[0].target.environment
        while stop.sources:
            before = [find_environment(policy, name) for name in stop.sources]
            if any(self._has_been(version, policy.repository(image, it), it.name) for it in before):
                break
            stop = before[0]
        return stop.name

    def _has_been(self, version: Version, repository: Repository, environment: str) -> bool:
        """Whether a version has its combined tag; taken for granted where the tags were not listed."""
        tags = self.snapshot.tags.get(repository)
        return tags is None or version in self.snapshot.scheme.combined(tags, environment)

    def _hold(self, seen: Observation, version: Version) -> Hold | None:
        """The hold because of which a version, or another one of the same bytes, is not admitted to an environment."""
        if version not in seen.combined or seen.excludes(version) != "held":
            return None
        return hold_of(seen, version, self.snapshot.digest(seen.target.repository, seen.combined[version]))

    def _written_otherwise(self, version: Version) -> str:
        """The build that stands there under the same version, written otherwise than the policy writes it; or empty."""
        wanted, image = NATURAL.find(version.tag), self.target.image
        for seen in (*self.sources, self.target):
            for tag in sorted(seen.tags):
                if wanted is not None and NATURAL.find(tag) == wanted and seen.scheme.read(tag) is None:
                    source = source_of(seen.target.repository, tag)
                    return (
                        f"There is {tag}, which this policy does not read: "
                        f"`tagflow push {self._tag(version)} {image}={source}` takes it."
                    )
        return ""

    def _knows(self, seen: Observation, version: Version) -> bool:
        return bool(self.snapshot.scheme.spellings(version, seen.tags))

    def _reason(self, seen: Observation, version: Version) -> str:
        name = seen.target.environment.name
        excluded = seen.excludes(version) if version in seen.combined else ""
        hold = self._hold(seen, version) if excluded == "held" else None
        why = ": it was rolled back there"
        if hold and hold.by:
            why = f": {on_one_line(hold.reason)}, by {on_one_line(hold.by)}"
        if hold is not None and seen.scheme.recall(hold.version) != version:
            name += f" as {hold.version}, which is the same bytes"
        return {
            "held": f"it is held in {name}{why}",
            "void": f"its release to {name} was abandoned",
            "announced": f"its release to {name} is not finished",
            "unsigned": f"no signed record of {name} names it",
            "contradicted": f"its tag in {name} is not at the digest that the history tells of",
        }.get(excluded, f"it is not admitted to {name}")

    def _running(self, seen: Observation) -> Version | None:
        standing = seen.standing
        if standing.digest is None:
            return None
        by_hand = isinstance(standing.position, Unrecorded)
        label = identify(self.snapshot, seen) if by_hand else standing.version
        version = seen.scheme.recall(label)
        if version is None or version.parts < seen.scheme.fewest_parts:
            message = f"{seen.target.name} runs {label}, and this policy does not read that as a version"
            if label is None:
                message = (
                    f"nothing tells which version {seen.target.name} runs ({standing.digest}): it was moved by hand"
                )
            raise Conflict(
                "environment.unrecorded",
                message,
                hint=f"Name the version: {seen.image}=VERSION.",
            )
        return version

    def _tag(self, version: Version) -> str:
        return self.snapshot.scheme.version_tag(version)

    def _disagree(self, how: str) -> None:
        names = [seen.target.environment.name for seen in self.sources]
        raise UsageError(
            "promotion.from_ambiguous",
            f"{self.target.image}: {' and '.join(names)} {how}",
            hint=f"Choose where from: {' or '.join(names)}.",
        )

    def _compare(self, spellings: Sequence[Version]) -> None:
        stands: dict[str, set[Digest]] = {}
        for seen in (*self.sources, self.target):
            for tag in map(self._tag, spellings):
                digest = self.snapshot.digest(seen.target.repository, tag)
                if digest is not None:
                    stands.setdefault(tag, set()).add(digest)
        if len(stands) > 1 and len(set().union(*stands.values())) > 1:
            raise same_version({tag: min(digests) for tag, digests in stands.items()})


def hold_of(seen: Observation, version: Version, digest: Digest | None = None) -> Hold | None:
    """The hold that a version is under, in any spelling, or its digest."""
    holds, scheme = sorted(seen.standing.state.holds, key=lambda hold: hold.version), seen.scheme
    named = [hold for hold in holds if scheme.recall(hold.version) == version]
    same = [hold for hold in holds if digest and hold.digest == digest]
    return next(iter(named or same), None)


def version_lookups(
    snapshot: Snapshot, version: Version, target: Target, sources: Sequence[Target]
) -> Iterator[Lookup]:
    """Where the tags of a version stand, in every spelling; of the one that it comes from, what is there."""
    scheme, origin = snapshot.scheme, sources[0] if sources else target
    for each in dict.fromkeys((target, *sources)):
        for spelling in scheme.spellings(version, snapshot.tags[each.repository]):
            combined = scheme.combined_tag(spelling, each.environment.name)
            comes_from = combined if sources else scheme.version_tag(spelling)
            for tag in (scheme.version_tag(spelling), combined):
                yield TagLookup(each.repository, tag, content=each == origin and tag == comes_from)


def sources_of(environments: Iterable[Environment], target: Environment, chosen: str) -> list[Environment]:
    """The environments that a promotion to ``target`` may come from; just ``chosen`` where the user names one."""
    allowed = [environment for environment in environments if environment.name in target.sources]
    return [environment for environment in allowed if chosen in ("", environment.name)]


def wrong_source(target: Environment, chosen: str) -> Refused | None:
    """The refusal (``promotion.order``) where the policy does not promote from the environment that the user names."""
    if not chosen or chosen in target.sources:
        return None
    way = f"from {' or '.join(target.sources)}" if target.sources else "by `tagflow push`"
    return Refused(
        "promotion.order",
        f"{target.name} is not promoted from {chosen}, but {way}",
        hint="The order of promotion stands in promotion.yaml (`environments`, `from`).",
    )


def _goes_back(seen: Observation, tag: str) -> bool:
    """Whether a rollback to a version, or an abort, is under way there."""
    head = seen.standing.head
    under_way = isinstance(seen.standing.position, Interrupted) and head is not None
    return under_way and head is not None and head.record.version == tag and head.record.action in ("rollback", "abort")
