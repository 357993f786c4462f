"""Which digest of which version a promotion takes, and from where: the rules of the road."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tagflow.domain.policy import Environment
from tagflow.domain.reference import Digest, Repository
from tagflow.domain.tagging import TagScheme, same_version
from tagflow.domain.version import Version
from tagflow.errors import Conflict, NotFound, Refused, TagflowError, UsageError
from tagflow.flows.identify import identify
from tagflow.flows.observe import Observer, Place, Question, Sight
from tagflow.flows.targets import Wish


@dataclass(frozen=True)
class Choice:
    """One image's version, as it is spelt in the registry, its digest, and the repository that has it."""

    sight: Sight
    version: Version
    digest: Digest
    source: Repository
    bringing: bool = False

    @property
    def label(self) -> str:
        """The version tag."""
        return self.sight.scheme.version_tag(self.version)

    @property
    def image(self) -> str:
        """The image's name."""
        return self.sight.place.image.name


@dataclass(frozen=True)
class Road:
    """What is known of one image on its way into one environment: the target, and each place it may come from."""

    observer: Observer
    scheme: TagScheme
    target: Sight
    sources: tuple[Sight, ...]

    def choose(self, wish: Wish) -> Choice | None:
        """The digest to promote; None where ``from`` runs nothing of the image.

        :raises TagflowError: ``version.not_found``, ``promotion.order``, ``tag.conflict``,
            ``promotion.from_ambiguous``, ``environment.unrecorded``.
        """
        if wish.version is not None:
            return self._named(wish.version)
        running = [version for version in map(self._running, self.sources) if version is not None]
        if not running:
            return None
        if any(version != running[0] for version in running):
            self._disagree(f"run {', '.join(map(self.scheme.version_tag, running))}")
        return self._named(running[0])

    def wanted(self, wish: Wish) -> list[Question]:
        """What :meth:`choose` asks for."""
        versions = [wish.version] if wish.version else [v for v in map(self._running, self.sources) if v is not None]
        sources = [sight.place for sight in self.sources]
        return [
            question
            for version in versions
            for question in named(self.observer, self.scheme, version, self.target.place, sources)
        ]

    def spell(self, version: Version) -> Version:
        """The version as it is written in the registry; as typed, where it is not there yet.

        :raises Conflict: ``version.spelling`` where two spellings stand at different digests.
        :raises UsageError: where its tags would be ambiguous.
        """
        places = (*self.sources, self.target)
        spellings = self.scheme.spellings(version, {tag for sight in places for tag in sight.tags})
        if len(spellings) > 1:
            self._compare(spellings)
        chosen = spellings[0] if spellings else version
        self.scheme.check(chosen)
        return chosen

    def _named(self, version: Version) -> Choice:
        version = self.spell(version)
        if not self.sources:
            return self._first(version)
        admitted = [sight for sight in self.sources if version in sight.admitted]
        if not admitted:
            raise self._not_admitted(version)
        choices = [self._from(sight, version) for sight in admitted]
        if any(choice.digest != choices[0].digest for choice in choices):
            self._disagree(f"have {self.scheme.version_tag(version)} at different digests")
        here = [choice for choice in choices if choice.source == self.target.place.repository]
        return (here or choices)[0]

    def _first(self, version: Version) -> Choice:
        place = self.target.place
        tag = self.scheme.version_tag(version)
        digest = self.observer.digest(place.repository, tag) if tag in self.target.tags else None
        if digest is None:
            raise NotFound(
                "version.not_found",
                f"{place.image.name} has no {tag} in {place.repository}",
                hint=f"Bring it in: `tagflow push {tag} {place.image.name}=docker-daemon:{place.image.name}`,"
                f" or push {place.repository}:{tag} with any tool.",
            )
        return Choice(self.target, version, digest, place.repository)

    def _from(self, sight: Sight, version: Version) -> Choice:
        repository, combined = sight.place.repository, sight.combined[version]
        tag = self.scheme.version_tag(version)
        digest = self.observer.digest(repository, combined)
        if digest is None:
            raise NotFound("version.not_found", f"{repository}:{combined} has gone", hint="Run the command again.")
        release = self.observer.digest(repository, tag) if tag in sight.tags else None
        if release is not None and release != digest:
            raise Conflict(
                "tag.conflict",
                f"{repository}: {tag} stands at {release}, but {combined} at {digest}: one of them was moved by hand",
                hint="`tagflow verify` shows what the history says; move the wrong one back.",
            )
        return Choice(self.target, version, digest, repository)

    def _not_admitted(self, version: Version) -> TagflowError:
        image, tag = self.target.place.image.name, self.scheme.version_tag(version)
        environment = self.target.place.environment.name
        sources = [sight.place.environment.name for sight in self.sources]
        if not any(self._knows(sight, version) for sight in (*self.sources, self.target)):
            repositories = dict.fromkeys(str(sight.place.repository) for sight in self.sources)
            return NotFound(
                "version.not_found",
                f"{image} has no {tag} in {' or '.join(repositories)}",
                hint=f"Look at `tagflow status {image}`; a new build comes in by `tagflow push {tag} {image}=SOURCE`.",
            )
        reasons = [self._reason(sight, version) for sight in self.sources]
        message = f"{image} {tag} cannot go to {environment}: {'; '.join(reasons)}"
        return Refused(
            "promotion.order",
            message,
            hint=f"First `tagflow promote {image}={tag} --to {sources[0]}`.",
            details=[{"code": "promotion.order", "image": image, "message": message}],
        )

    def _knows(self, sight: Sight, version: Version) -> bool:
        return bool(self.scheme.spellings(version, sight.tags))

    def _reason(self, sight: Sight, version: Version) -> str:
        name = sight.place.environment.name
        listed = sight.lists_out(version) if version in sight.combined else ""
        return {
            "held": f"it was rolled back in {name} and is held there",
            "void": f"its release to {name} was abandoned",
            "announced": f"its release to {name} is not finished",
        }.get(listed, f"it is not admitted to {name}")

    def _running(self, sight: Sight) -> Version | None:
        standing, place = sight.standing, sight.place
        if standing.digest is None:
            return None
        unrecorded = standing.condition == "unrecorded"
        version = self.scheme.parse_label(identify(self.observer, sight) if unrecorded else standing.version)
        if version is None:
            raise Conflict(
                "environment.unrecorded",
                f"nothing tells which version {place.told} runs ({standing.digest}): it was moved by hand",
                hint=f"Name the version: {place.image.name}=VERSION.",
            )
        return version

    def _disagree(self, how: str) -> None:
        names = [sight.place.environment.name for sight in self.sources]
        raise UsageError(
            "promotion.from_ambiguous",
            f"{self.target.place.image.name}: {' and '.join(names)} {how}",
            hint=f"Choose one: --from {' or --from '.join(names)}.",
        )

    def _compare(self, spellings: Sequence[Version]) -> None:
        stands: dict[str, set[Digest]] = {}
        for sight in (*self.sources, self.target):
            for tag in map(self.scheme.version_tag, spellings):
                digest = self.observer.digest(sight.place.repository, tag) if tag in sight.tags else None
                if digest is not None:
                    stands.setdefault(tag, set()).add(digest)
        if len(stands) > 1 and len(set().union(*stands.values())) > 1:
            raise same_version({tag: min(digests) for tag, digests in stands.items()})


def named(
    observer: Observer, scheme: TagScheme, version: Version, target: Place, sources: Sequence[Place]
) -> list[Question]:
    """Where the tags of a version stand, in every spelling; of the one that it comes from, what is there."""
    origin = sources[0] if sources else target
    found = []
    for place in dict.fromkeys((target, *sources)):
        for spelling in scheme.spellings(version, observer.tags(place.repository)):
            combined = scheme.combined_tag(spelling, place.environment.name)
            comes_from = combined if sources else scheme.version_tag(spelling)
            for tag in (scheme.version_tag(spelling), combined):
                found.append(Question(place.repository, tag, content=place == origin and tag == comes_from))
    return found


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
