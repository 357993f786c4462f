"""verify --running: what runs somewhere, against what an environment should run. Nothing but the registry is asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from msgspec.structs import replace

from tagflow.context import Context
from tagflow.decide.finding import Finding
from tagflow.domain.reference import Digest, Repository
from tagflow.domain.running import Build, Comparison, Difference, Seen, Wanted, compare, name_of
from tagflow.domain.snapshot import Observation, Target, target_of
from tagflow.domain.tagging import TagScheme
from tagflow.domain.versions import Version
from tagflow.errors import NotFound
from tagflow.observe.observer import Observer
from tagflow.pin.written import Names, names
from tagflow.workers import each

_NAMED = 3
"""So many containers are named; of more, how many there are."""


@dataclass(frozen=True)
class Running:
    """What came of it: ``findings``, how many containers run what they should (``agreeing``), and ``notes``."""

    findings: tuple[Finding, ...]
    agreeing: int
    notes: tuple[str, ...]


def check_running(context: Context, environment: str, seen: Sequence[Seen], file: str) -> Running:
    """Compare what runs, as kubectl or docker printed it, with what an environment should run.

    ``file`` is what its user calls that. An image that it does not show is no finding.
    """
    chosen = context.environment(environment)
    known = names(context.policy, chosen)
    shown = {image for one in seen for it in one.references if (image := known.image(name_of(it))) is not None}
    if not shown:
        return Running((), 0, (f"{file} shows no container of an image of the policy",))
    targets = [target_of(context.policy, context.image(it), chosen) for it in context.image_names if it in shown]
    check = _Check(Observer(context), context.scheme, known, seen)
    found = check.compare(targets)
    findings = tuple(_finding(context.scheme, environment, check.wanted[it.image], it) for it in found.differences)
    return Running(findings, found.agreeing, tuple(_notes(environment, found)))


class _Check:
    """One comparison, that looks closer where something differs."""

    def __init__(self, observer: Observer, scheme: TagScheme, known: Names, seen: Sequence[Seen]) -> None:
        self._observer, self._scheme, self._known, self._seen = observer, scheme, known, seen
        self.wanted: dict[str, Wanted] = {}
        self._labels: frozenset[str | None] = frozenset()
        """Version tags of what ran, as they were written then."""

    def compare(self, targets: Sequence[Target]) -> Comparison:
        """Compare. Most nodes name the digest that the environment names; which platforms and configurations it has is
        read only where one does not."""
        observations = self._observer.observe(targets).observations
        self.wanted = {it.image: _wanted(self._scheme, it) for it in observations.values()}
        states = [it.standing.state for it in observations.values()]
        self._labels = frozenset(entry.version for state in states for entry in (*state.stack, *state.admitted))
        repositories = {target.image.name: target.repository for target in targets}
        found = self._compared()
        for deep in (False, True):
            strange = dict.fromkeys(it.image for it in found.differences)
            if not strange:
                break
            look = partial(self._opened, repositories, deep)
            self.wanted |= {it.image: it for it in each(look, strange, threads=self._observer.threads)}
            found = self._compared()
        return found

    def _compared(self) -> Comparison:
        return compare(self._seen, self.wanted, self._known.image, self._fixed_version)

    def _fixed_version(self, tag: str) -> Version | None:
        """The version of a tag that never moves."""
        meaning = self._scheme.read(tag) if tag else None
        if meaning is not None and meaning.kind in ("version", "combined"):
            return meaning.version
        return self._scheme.recall(tag) if tag in self._labels else None

    def _opened(self, repositories: Mapping[str, Repository], deep: bool, image: str) -> Wanted:
        """The same builds with the digests of their platforms, and ``deep``: of their configurations too."""
        repository, wanted = repositories[image], self.wanted[image]

        def opened(build: Build) -> Build:
            return replace(build, digests=frozenset(self._digests(repository, build.digest, deep)))

        return replace(
            wanted,
            build=None if wanted.build is None else opened(wanted.build),
            before=tuple(map(opened, wanted.before)),
        )

    def _digests(self, repository: Repository, digest: Digest, deep: bool) -> Iterable[Digest]:
        try:
            manifest = self._observer.manifest(repository, digest)
        except NotFound:
            return
        if manifest.config is not None:
            yield manifest.config.digest
        for child in manifest.children:
            yield child.digest
            if deep and child.is_manifest:
                yield from self._digests(repository, child.digest, deep)


def _wanted(scheme: TagScheme, seen: Observation) -> Wanted:
    standing, image = seen.standing, seen.image
    if standing.digest is None:
        return Wanted(image, None)
    ran: dict[Digest, str | None] = {}
    for head in standing.heads:
        if head.record.previous_digest is not None:
            ran[head.record.previous_digest] = head.record.previous_version
        if head.record.digest is not None:
            ran.setdefault(head.record.digest, head.record.version)
    for entry in reversed(standing.state.stack[-2:]):
        ran.setdefault(entry.digest, entry.version)
    ran.pop(standing.digest, None)
    before = tuple(Build(digest, scheme.recall(version)) for digest, version in ran.items())
    return Wanted(image, Build(standing.digest, scheme.recall(standing.version)), before)


def _finding(scheme: TagScheme, environment: str, wanted: Wanted, it: Difference) -> Finding:
    told = [_containers(it.where)]
    if it.is_before:
        known = next((b.version for b in wanted.before if it.actual in {b.digest, *b.digests} and b.version), None)
        version = f", {scheme.version_tag(known)}" if known is not None else ""
        told.append(f"what {environment} ran before{version}: a rollout may be under way")
    return Finding(
        image=it.image,
        environment=environment,
        problem="running.differs",
        expected=None if wanted.build is None else wanted.build.digest,
        actual=it.actual,
        repair=f"tagflow pin {environment} FILE…",
        detail="; ".join(told),
    )


def _notes(environment: str, found: Comparison) -> Iterable[str]:
    for it in found.unclear:
        yield (
            f"{it.image}: {_containers(it.where)}: {it.reference} moves, and nobody tells its digest here;"
            f" `tagflow pin {environment} FILE…` writes one that does not"
        )


def _containers(where: Sequence[str]) -> str:
    more = len(where) - _NAMED
    return "; ".join(where[:_NAMED]) + (f"; {more} more" if more > 0 else "")


def agreement(found: Running, environment: str) -> str:
    """What to say where nothing differs."""
    count = "1 container runs" if found.agreeing == 1 else f"{found.agreeing} containers run"
    return f"{count} what {environment} should run." if found.agreeing else ""
