"""push: builds come in as a version, and enter the first environment."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from msgspec import Struct, field
from msgspec.structs import replace

from tagflow.context import Context
from tagflow.decide.decision import Decision, Origin
from tagflow.decide.push import UNKNOWN, Build, Delivery, decide_push, present_digest, push_lookups
from tagflow.domain.own_tags import scratch_tag
from tagflow.domain.plan import Outcome, Request
from tagflow.domain.reference import Digest, Repository, digest_of
from tagflow.domain.snapshot import Snapshot, target_of
from tagflow.errors import StoreError, TagflowError, UsageError
from tagflow.execute.daemon import clear, prepare
from tagflow.execute.sign import need_key
from tagflow.observe.observer import Observer
from tagflow.stores.docker.names import is_image
from tagflow.stores.port import Manifest, Store
from tagflow.verbs.plans import Proposal, with_doubts
from tagflow.verbs.release import Options, conclude, settle
from tagflow.verbs.sources import OpenedSource, Source, archive, open_source, parse_source
from tagflow.workers import each


class Workspace(Struct, frozen=True):
    """Where relative sources are looked for, and a directory for temporary files that outlives the decision."""

    base: Path
    scratch: Path
    dry_run: bool = False

    def file(self, name: str) -> Path:
        """A temporary file."""
        return self.scratch / name


class Named(Struct, frozen=True):
    """One ``NAME=SOURCE`` argument."""

    image: str
    source: Source


def parse_deliveries(arguments: Sequence[str]) -> list[Named]:
    """Read ``NAME=SOURCE`` arguments.

    :raises UsageError: ``source.missing``, ``source.invalid``.
    """
    if not arguments:
        raise UsageError("source.missing", "no NAME=SOURCE: nothing says what to push", hint="Name at least one image.")
    found: dict[str, Named] = {}
    for argument in arguments:
        name, equals, text = argument.partition("=")
        if not equals or not name or not text:
            raise UsageError(
                "source.invalid",
                f"{argument!r} is not NAME=SOURCE",
                hint="For example frontend=docker-daemon:frontend:TAG.",
            )
        if name in found:
            raise UsageError("source.invalid", f"{name!r} is named twice", hint="Name each image once.")
        found[name] = Named(name, parse_source(text))
    return list(found.values())


def push(context: Context, request: Request, work: Workspace, options: Options | None = None) -> Outcome:
    """Bring builds in as a version, into the first environment. ``request.targets`` are VERSION and NAME=SOURCE….

    :raises TagflowError: every reason at once why not, or what failed.
    """
    need_key(context, context.environment(request.environment))
    version, *arguments = request.targets
    named = parse_deliveries(arguments)
    brought: dict[str, Build] = {}
    return conclude(
        context, lambda: propose_push(context, version, named, request, work, brought), options or Options()
    )


def propose_push(
    context: Context,
    version: str,
    named: Sequence[Named],
    request: Request,
    work: Workspace,
    brought: dict[str, Build] | None = None,
) -> Proposal:
    """Observe and decide.

    Outside a dry run, images of a daemon go to the registry under a scratch tag first, once the rules have said yes:
    only the daemon's push tells their digest. ``brought`` remembers them, so that deciding again pushes nothing again.

    :raises UsageError: ``version.invalid``, ``version.precision``, ``version.ambiguous``.
    :raises NotFound: ``image.not_found``, ``source.not_found``.
    """
    brought = {} if brought is None else brought
    wanted = context.scheme.parse_version(version)
    images = [context.image(it.image) for it in named]
    delivery = Delivery(request, wanted, context.environment(request.environment), tuple(images))
    opening = _Opening(context, work, delivery)
    now = context.now()
    first = Observer(context)
    targets = delivery.targets(context.scheme)
    snapshot = first.observe(targets, lambda known: push_lookups(known, delivery, (), now))
    builds = each(lambda it: brought.get(it.image) or opening.look(snapshot, it), named, threads=context.threads)
    observer = Observer(context, opening.stores)
    snapshot = observer.continue_from(first).observe(targets, lambda known: push_lookups(known, delivery, builds, now))

    def decide(at: datetime) -> Decision:
        return decide_push(snapshot, delivery, builds, context.policy_digest, at)

    def recheck(_: Observer) -> Sequence[TagflowError]:
        """What stands in the environment was judged by the election; the clock has moved on while layers travelled."""
        return decide(context.now()).refusals

    decision = with_doubts(decide(now), snapshot)
    proposal = Proposal(decision, observer, opening.stores, recheck)
    if work.dry_run or all(build.digest for build in builds):
        return proposal
    settle(context, proposal)
    sources = {it.image: it.source for it in named}
    known = each(lambda build: opening.bring(build, sources[build.image.name]), builds, threads=4)
    brought |= {build.image.name: build for build in known}
    return propose_push(context, version, named, request, work, brought)


class _Opening(Struct, frozen=True):
    """Sources as they are opened. ``stores`` collects those that are not in the policy."""

    context: Context
    work: Workspace
    delivery: Delivery
    stores: dict[Repository, Store] = field(default_factory=dict)

    def look(self, snapshot: Snapshot, named: Named) -> Build:
        """What a source holds: the digest where it can be told, and what it equals of what is there already."""
        image = self.context.image(named.image)
        repository = self._repository(named.image)
        present = present_digest(snapshot, self.delivery, image)
        if named.source.transport != "docker-daemon:":
            return self._from_store(named, present, open_source(self.context, named.source, self.work.base))
        engine = self.context.engine()
        image_id = engine.image_id(named.source.text)
        if present is not None:
            there = self.context.stores(repository).get(present)
            is_same = is_image(there, image_id) or engine.platform_here(named.source.text) == present
            same = frozenset([present]) if is_same else frozenset[Digest]()
            return Build(image, present if same else UNKNOWN, same=same, name=image_id)
        if repository.is_layout:
            # By its hash: of `team/api` and `team_api`, one would be saved over the other.
            file = self.work.file(f"{digest_of(named.image.encode()).partition(':')[2]}.tar")
            engine.save_to(named.source.text, file)
            return self._from_store(named, None, archive(file))
        return Build(image, UNKNOWN, name=image_id)

    def bring(self, build: Build, source: Source) -> Build:
        """Push a daemon's image under a scratch tag, where its digest is not known yet, and learn the digest."""
        if build.digest:
            return build
        engine, repository = self.context.engine(), self._repository(build.image.name)
        image_id = engine.image_id(source.text)
        tag, store = scratch_tag(image_id), self.context.stores(repository)
        prepare(store)
        pushed = engine.push(source.text, repository, tag, self.context.progress)
        manifest = store.get(pushed.digest)
        clear(store, tag, pushed.digest)
        if pushed.part_of == image_id:
            self.context.warn(
                f"note: {build.image.name}: the Docker Engine has one platform of {source.text} and pushed that alone; "
                f"`docker://HOST/REPO@{image_id}` brings in all that are at its origin"
            )
        elif not is_image(manifest, image_id):
            raise StoreError(
                "engine.push_mismatch",
                f"{repository}@{pushed.digest} is not the image {image_id} that was pushed",
                hint="Somebody else wrote there, or the daemon changed the image. Push again.",
            )
        return replace(build, digest=manifest.digest, name="")

    def _from_store(self, named: Named, present: Digest | None, opened: OpenedSource) -> Build:
        manifest = opened.store.get(opened.reference)
        repository = opened.store.repository
        if repository != self._repository(named.image):
            self.stores[repository] = opened.store
        same: frozenset[Digest] = frozenset()
        if present is not None and present != manifest.digest and self._is_archived(named, manifest, present):
            same = frozenset([present])
        return Build(self.context.image(named.image), manifest.digest, Origin(repository, opened.reference), same)

    def _is_archived(self, named: Named, manifest: Manifest, present: Digest) -> bool:
        """Whether an archive holds the image that is there, its layers compressed in another way."""
        if named.source.transport in ("oci:", "docker://"):
            return False
        there = self.context.stores(self._repository(named.image)).get(present)
        return (
            there.config is not None and manifest.config is not None and there.config.digest == manifest.config.digest
        )

    def _repository(self, image: str) -> Repository:
        return target_of(self.context.policy, self.context.image(image), self.delivery.environment).repository


def first_environment(context: Context) -> str:
    """Where builds come in."""
    return context.policy.environments[0].name
