"""push: builds come in as a version, and enter the first environment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from msgspec import Struct

from tagflow.decide.admission import Admission, admission_lookups
from tagflow.decide.decision import Decision, Origin
from tagflow.decide.interrupted import announcement_lookups
from tagflow.decide.moves import early_lookups, immutable
from tagflow.decide.selection import Choice, Route, identify_lookups, version_lookups
from tagflow.domain.plan import Request
from tagflow.domain.policy import Environment, Image
from tagflow.domain.reference import Digest
from tagflow.domain.snapshot import ImageLookup, Lookup, Snapshot, TagLookup, Target, target_of
from tagflow.domain.tagging import TagScheme
from tagflow.domain.versions import Version
from tagflow.errors import TagflowError, UsageError, combine

UNKNOWN = Digest("")
"""The digest of an image that the daemon has not pushed yet."""


class Build(Struct, frozen=True):
    """One build that is to come in.

    ``digest`` is empty where only pushing it tells. ``origin`` is where its content can be copied from. ``same`` are
    digests in the target's repository that hold the same image although their bytes differ (a daemon's image, or an
    archive whose layers are compressed in another way); ``name`` is what messages call it.
    """

    image: Image
    digest: Digest
    origin: Origin | None = None
    same: frozenset[Digest] = frozenset()
    name: str = ""


class Delivery(Struct, frozen=True):
    """A request to push, read against the policy."""

    request: Request
    version: Version
    environment: Environment
    images: tuple[Image, ...]

    def targets(self, scheme: TagScheme) -> list[Target]:
        """What is to be observed: every image in the first environment."""
        return [target_of(scheme.policy, image, self.environment) for image in scheme.policy.images]


def push_lookups(snapshot: Snapshot, delivery: Delivery, builds: Sequence[Build], now: datetime) -> Iterator[Lookup]:
    """What :func:`decide_push` asks about. ``builds`` is empty until the sources were looked at."""
    environment = delivery.environment
    for image in delivery.images:
        target = target_of(snapshot.policy, image, environment)
        for lookup in version_lookups(snapshot, delivery.version, target, ()):
            assert isinstance(lookup, TagLookup)
            yield TagLookup(lookup.repository, lookup.tag)
        yield from early_lookups(snapshot, target, delivery.version)
    if not snapshot.observations:
        return
    yield from announcement_lookups(snapshot, environment)
    choices: list[Choice] = []
    for build in builds:
        seen = snapshot.of(build.image, environment)
        yield from identify_lookups(seen)
        try:
            choice = choose(snapshot, delivery, build)
        except (TagflowError, KeyError):
            continue  # what is refused asks for nothing more; what was not looked up is asked for in this round
        choices.append(choice)
        if choice.digest and not choice.bringing:
            yield ImageLookup(choice.source, choice.digest, "parts")
    yield from admission_lookups(snapshot, environment, choices, now)


def choose(snapshot: Snapshot, delivery: Delivery, build: Build) -> Choice:
    """The digest that the version has already, or gets.

    :raises Refused: ``tag.immutable`` where another build has that version.
    """
    seen = snapshot.of(build.image, delivery.environment)
    version = Route(snapshot, seen).spell(delivery.version)
    repository, tag = seen.target.repository, snapshot.scheme.version_tag(version)
    present = snapshot.digest(repository, tag)
    if present is None:
        source = build.origin.repository if build.origin else repository
        return Choice(seen, version, build.digest, source, bringing=build.origin is not None or not build.digest)
    if present != build.digest and present not in build.same:
        raise immutable(str(repository), tag, present, Digest(build.digest), of_daemon=build.name)
    return Choice(seen, version, present, repository)


def present_digest(snapshot: Snapshot, delivery: Delivery, image: Image) -> Digest | None:
    """The digest that the version has already, or None.

    :raises TagflowError: ``version.spelling``, ``version.ambiguous``, ``version.precision``.
    """
    seen = snapshot.of(image, delivery.environment)
    version = Route(snapshot, seen).spell(delivery.version)
    return snapshot.digest(seen.target.repository, snapshot.scheme.version_tag(version))


def decide_push(
    snapshot: Snapshot, delivery: Delivery, builds: Sequence[Build], policy_digest: str, now: datetime
) -> Decision:
    """What ``push VERSION NAME=SOURCE…`` would do.

    What is missing of an image that is there already is sent again, from where it still is whole.

    :raises UsageError: ``version.invalid``, ``version.precision``, ``version.ambiguous``.
    """
    choices: list[Choice] = []
    origins: dict[str, Origin] = {}
    errors: list[TagflowError] = []
    for build in builds:
        try:
            choice = choose(snapshot, delivery, build)
        except TagflowError as error:
            errors.append(error)
            continue
        choices.append(choice)
        heals = bool(snapshot.gone.get((choice.source, choice.digest))) and choice.digest == build.digest
        if build.origin is not None and (choice.bringing or heals):
            origins[choice.image] = build.origin
    usage = [error for error in errors if isinstance(error, UsageError)]
    if usage:
        raise combine(usage)
    admission = Admission(snapshot, delivery.request, delivery.environment, policy_digest, "push", now)
    chosen = {choice.image for choice in choices}
    others = {build.image.name for build in builds} - chosen
    return admission.decide(choices, origins, errors=errors, others=others)
