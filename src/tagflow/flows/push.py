"""push: builds come in as a version, and enter the first environment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tagflow.domain.plan import Request
from tagflow.domain.reference import Digest
from tagflow.domain.tagging import scratch_tag
from tagflow.domain.version import Version
from tagflow.errors import StoreError, UsageError, combine
from tagflow.flows.admit import Admission
from tagflow.flows.choose import Choice, Road, named
from tagflow.flows.context import Context
from tagflow.flows.decision import Decision, Origin
from tagflow.flows.interruption import interrupted
from tagflow.flows.judge import judge_all
from tagflow.flows.moves import guesses, immutable
from tagflow.flows.observe import Observer, Place, Question, Sight
from tagflow.flows.parallel import each
from tagflow.flows.sources import Source, archive, open_source, parse_source
from tagflow.flows.travel import clear
from tagflow.stores.docker.names import is_image
from tagflow.stores.port import Manifest

UNKNOWN = Digest("")
"""The digest of an image that the daemon has not pushed yet."""


@dataclass(frozen=True)
class Workspace:
    """Where relative sources are looked for, and a directory for temporary files that outlives the decision."""

    base: Path
    scratch: Path
    dry_run: bool = False

    def file(self, name: str) -> Path:
        """A temporary file."""
        return self.scratch / name


@dataclass(frozen=True)
class Delivery:
    """One ``NAME=SOURCE`` argument."""

    image: str
    source: Source


def parse_deliveries(arguments: Sequence[str]) -> list[Delivery]:
    """Read ``NAME=SOURCE`` arguments.

    :raises UsageError: ``source.missing``, ``source.invalid``.
    """
    if not arguments:
        raise UsageError("source.missing", "no NAME=SOURCE: nothing says what to push", hint="Name at least one image.")
    found: dict[str, Delivery] = {}
    for argument in arguments:
        name, equals, text = argument.partition("=")
        if not equals or not name or not text:
            raise UsageError(
                "source.invalid", f"{argument!r} is not NAME=SOURCE", hint="frontend=docker-daemon:frontend"
            )
        if name in found:
            raise UsageError("source.invalid", f"{name!r} is named twice", hint="Name each image once.")
        found[name] = Delivery(name, parse_source(text))
    return list(found.values())


def decide_push(
    context: Context, version: str, deliveries: Sequence[Delivery], request: Request, work: Workspace
) -> Decision:
    """What ``push VERSION NAME=SOURCE…`` would do.

    Outside a dry run, images of a daemon go to the registry under a scratch tag first, once the rules have said yes:
    only the daemon's push tells their digest.

    :raises UsageError: ``version.invalid``, ``version.precision``, ``version.ambiguous``.
    :raises NotFound: ``image.not_found``, ``source.not_found``.
    """
    wanted = context.scheme.parse_version(version)
    each(lambda it: context.image(it.image), deliveries, threads=1)
    environment = context.environment(request.environment)
    observer = Observer(context)
    places = [observer.place(image, environment) for image in context.policy.images]
    observer.list_all(it.repository for it in places)
    names = {it.image for it in deliveries}
    coming = [it for it in places if it.image.name in names]
    sights = observer.sights(places, _foreseen(context, observer, wanted, coming))
    by_name = {place.image.name: sight for place, sight in sights.items()}
    pushes = [_Push(context, observer, wanted, by_name[it.image], it.source, work) for it in deliveries]
    found = each(_Push.choose, pushes, threads=context.threads)
    origins = {choice.image: origin for choice, origin in found if origin is not None}
    choices = [choice for choice, _ in found]
    admission = Admission(context, request, observer, sights, "push")
    if work.dry_run or all(choice.digest for choice in choices):
        return admission.decide(choices, origins)
    resuming = bool(interrupted(sights))
    refusals = judge_all(context, observer, request, choices, origins, resuming=resuming)
    if refusals:
        raise combine(refusals)
    brought = each(lambda pair: pair[0].bring(pair[1]), list(zip(pushes, choices, strict=True)), threads=4)
    return admission.decide(brought, origins)


def _foreseen(context: Context, observer: Observer, version: Version, places: Sequence[Place]) -> Iterator[Question]:
    """What will be asked about the version: it need not wait for the records."""
    for place in places:
        found = named(observer, context.scheme, version, place, ())
        yield from (replace(question, content=False) for question in found)
        yield from guesses(observer, context.scheme, place, version)


@dataclass(frozen=True)
class _Push:
    """One image on its way in."""

    context: Context
    observer: Observer
    wanted: Version
    sight: Sight
    source: Source
    work: Workspace

    def choose(self) -> tuple[Choice, Origin | None]:
        """The digest that the version has, or gets; and where its content comes from, where it is not there yet."""
        version = Road(self.observer, self.context.scheme, self.sight, ()).spell(self.wanted)
        tag = self.context.scheme.version_tag(version)
        repository = self.sight.place.repository
        present = self.observer.digest(repository, tag) if tag in self.sight.tags else None
        if self.source.transport == "docker-daemon:":
            return self._from_daemon(version, present)
        return self._from_store(version, present, open_source(self.context, self.source, self.work.base))

    def bring(self, choice: Choice) -> Choice:
        """Push a daemon's image under a scratch tag, where its digest is not known yet, and learn the digest."""
        if choice.digest:
            return choice
        engine, repository = self.context.engine(), self.sight.place.repository
        image_id = engine.image_id(self.source.text)
        tag = scratch_tag(image_id)
        pushed = engine.push(self.source.text, repository, tag, self.context.progress)
        store = self.context.stores(repository)
        manifest = store.get(pushed)
        clear(store, tag, pushed)
        if not is_image(manifest, image_id):
            raise StoreError(
                "engine.push_mismatch",
                f"{repository}@{pushed} is not the image {image_id} that was pushed",
                hint="Somebody else wrote there, or the daemon changed the image. Push again.",
            )
        return replace(choice, digest=manifest.digest, bringing=False)

    def _from_store(self, version: Version, present: Digest | None, origin: Origin) -> tuple[Choice, Origin | None]:
        manifest = origin.store.get(origin.reference)
        repository = self.sight.place.repository
        if present is None:
            return Choice(self.sight, version, manifest.digest, origin.store.repository, bringing=True), origin
        if manifest.digest != present and not self._is_archived(manifest, present):
            raise immutable(str(repository), self.context.scheme.version_tag(version), present, manifest.digest)
        return Choice(self.sight, version, present, repository), None

    def _is_archived(self, manifest: Manifest, present: Digest) -> bool:
        """Whether an archive holds the image that is there, its layers compressed in another way."""
        if self.source.transport == "oci:" or self.source.transport == "docker://":
            return False
        there = self.context.stores(self.sight.place.repository).get(present)
        return (
            there.config is not None and manifest.config is not None and there.config.digest == manifest.config.digest
        )

    def _from_daemon(self, version: Version, present: Digest | None) -> tuple[Choice, Origin | None]:
        engine, repository = self.context.engine(), self.sight.place.repository
        image_id = engine.image_id(self.source.text)
        if present is not None:
            if not is_image(self.context.stores(repository).get(present), image_id):
                raise immutable(str(repository), self.context.scheme.version_tag(version), present, image_id)
            return Choice(self.sight, version, present, repository), None
        if repository.is_layout:
            file = self.work.file(f"{self.sight.place.image.name.replace('/', '_')}.tar")
            engine.save_to(self.source.text, file)
            return self._from_store(version, None, archive(file))
        return Choice(self.sight, version, UNKNOWN, repository, bringing=True), None
