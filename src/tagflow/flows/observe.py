"""Observe: what the stores hold, asked once and in parallel, kept for the length of one run."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial

from tagflow.domain.history import Entry, Standing, find_heads
from tagflow.domain.policy import Environment, Image
from tagflow.domain.reference import Digest, Repository
from tagflow.domain.tagging import RecordTag, TagScheme, parse_record_tag
from tagflow.domain.version import Version
from tagflow.errors import NotFound
from tagflow.flows.context import Context
from tagflow.flows.parallel import each, run_all
from tagflow.flows.records import decode
from tagflow.stores.port import Manifest


@dataclass(frozen=True)
class Place:
    """One image in one environment: where its tags and its records live."""

    image: Image
    environment: Environment
    repository: Repository
    history: Repository

    @property
    def told(self) -> str:
        """``frontend in prod``."""
        return f"{self.image.name} in {self.environment.name}"


@dataclass(frozen=True)
class Sight:
    """What was seen at one place."""

    place: Place
    scheme: TagScheme
    tags: frozenset[str]
    records: frozenset[RecordTag]
    standing: Standing
    is_new: bool = False
    """Whether no environment has any record where this one's are kept."""

    @cached_property
    def combined(self) -> Mapping[Version, str]:
        """The versions that have a combined tag here, and that tag."""
        return self.scheme.combined(self.tags, self.place.environment.name)

    def lists_out(self, version: Version) -> str:
        """Why a version with a combined tag is not admitted here (``held``, ``void``, ``announced``), or empty."""
        label = next(iter(self.listed_as(version)), None)
        return self.standing.lists_out(label or self.scheme.version_tag(version))

    def listed_as(self, version: Version) -> tuple[str, ...]:
        """The spellings in which a version is listed as held or void here."""
        listed = self.standing.state.holds | self.standing.state.void
        return tuple(sorted(label for label in listed if self.scheme.parse_label(label) == version))

    @cached_property
    def admitted(self) -> frozenset[Version]:
        """The versions that are admitted here: combined tag there, neither held nor void."""
        return frozenset(version for version in self.combined if not self.lists_out(version))


@dataclass(frozen=True)
class Question:
    """Where does a tag stand? ``content``: the manifest is wanted too, which takes no further request."""

    repository: Repository
    tag: str
    content: bool = False

    @property
    def key(self) -> tuple[Repository, str]:
        """What is asked about."""
        return self.repository, self.tag


class Observer:
    """Asks the stores, each thing once."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._scheme = context.scheme
        self._tags: dict[Repository, frozenset[str]] = {}
        self._recorded: dict[Repository, Mapping[str, frozenset[RecordTag]]] = {}
        self._digests: dict[tuple[Repository, str], Digest | None] = {}
        self._entries: dict[tuple[Repository, RecordTag], Entry] = {}
        self._manifests: dict[tuple[Repository, Digest], Manifest] = {}

    def place(self, image: Image, environment: Environment) -> Place:
        """Where an image lives in an environment."""
        policy = self._context.policy
        return Place(
            image, environment, policy.repository(image, environment), policy.history_repository(image, environment)
        )

    def sights(self, places: Sequence[Place], beside: Iterable[Question] = ()) -> dict[Place, Sight]:
        """Look at some places: two round trips for all of them together, where no history is forked.

        First the tags, then what they name: environment tags and records, and along with these what is asked for
        ``beside``. A tag that the list does not have is not asked for.
        """
        self.list_all(repository for it in places for repository in (it.repository, it.history))
        tags = [Question(it.repository, it.environment.name) for it in places]
        asking: list[Callable[[], object]] = [partial(self._ask, it) for it in self._fresh([*tags, *beside])]
        reading: list[Callable[[], object]] = [partial(self._heads, place) for place in places]
        run_all(asking + reading, threads=self._context.threads)
        seen = {place: self._sight(place) for place in places}
        # A record is written before its tag moves. So a tag that no record explains may have moved between the two
        # questions: the list that is asked for after the tag tells.
        strange = [it for it in places if seen[it].standing.condition == "unrecorded"]
        each(self._list, {it.history for it in strange}, threads=self._context.threads)
        each(self._heads, strange, threads=self._context.threads)
        return seen | {place: self._sight(place) for place in strange}

    def list_all(self, repositories: Iterable[Repository]) -> None:
        """Ask for the tags of repositories, side by side, so that :meth:`tags` answers at once."""
        fresh = [repository for repository in dict.fromkeys(repositories) if repository not in self._tags]
        each(self._list, fresh, threads=self._context.threads)

    def look_up(self, questions: Iterable[Question]) -> None:
        """Ask where tags stand, side by side, so that :meth:`digest` answers at once."""
        each(self._ask, self._fresh(questions), threads=self._context.threads)

    def digest(self, repository: Repository, tag: str) -> Digest | None:
        """Where a tag stands; None where there is none."""
        if (repository, tag) not in self._digests:
            self._ask(Question(repository, tag))
        return self._digests[repository, tag]

    def manifest(self, repository: Repository, digest: Digest) -> Manifest:
        """A manifest.

        :raises NotFound: ``manifest.not_found``.
        """
        if (repository, digest) not in self._manifests:
            self._manifests[repository, digest] = self._context.stores(repository).get(digest)
        return self._manifests[repository, digest]

    def records(self, place: Place) -> frozenset[RecordTag]:
        """The tags of all records at a place."""
        self.tags(place.history)
        return self._records(place)

    def tags(self, repository: Repository) -> frozenset[str]:
        """All tags of a repository."""
        if repository not in self._tags:
            self._list(repository)
        return self._tags[repository]

    def entries(self, repository: Repository, tags: Sequence[RecordTag]) -> dict[RecordTag, Entry]:
        """Read records; those that are gone are left out.

        :raises Conflict: ``history.broken``.
        """
        self.read_all((repository, tag) for tag in tags)
        return {tag: self._entries[repository, tag] for tag in tags if (repository, tag) in self._entries}

    def read_all(self, records: Iterable[tuple[Repository, RecordTag]]) -> None:
        """Read records of any number of repositories, side by side, so that :meth:`entries` answers at once.

        :raises Conflict: ``history.broken``.
        """
        fresh = [key for key in dict.fromkeys(records) if key not in self._entries]
        each(lambda key: self._read(*key), fresh, threads=self._context.threads)

    def _fresh(self, questions: Iterable[Question]) -> list[Question]:
        """What is not known yet, each tag once; a tag that its repository does not list is known to be nowhere."""
        fresh: dict[tuple[Repository, str], Question] = {}
        for it in questions:
            if it.key in self._digests:
                continue
            if it.tag not in self._tags.get(it.repository, (it.tag,)):
                self._digests[it.key] = None
            elif it.key not in fresh or it.content:
                fresh[it.key] = it
        return list(fresh.values())

    def _ask(self, question: Question) -> None:
        store = self._context.stores(question.repository)
        if not question.content:
            self._digests[question.key] = store.resolve(question.tag)
            return
        try:
            manifest = store.get(question.tag)
        except NotFound:
            self._digests[question.key] = None
            return
        self._digests[question.key] = manifest.digest
        self._manifests[question.repository, manifest.digest] = manifest

    def _list(self, repository: Repository) -> None:
        tags = self._context.stores(repository).tags()
        self._recorded[repository] = record_tags(tags)
        self._tags[repository] = frozenset(tags)

    def _heads(self, place: Place) -> tuple[Entry, ...]:
        """The heads of a history; what it takes to tell them is read once."""
        records = self._records(place)
        return find_heads(records, lambda tags: self.entries(place.history, tags))

    def _sight(self, place: Place) -> Sight:
        tags, digest = self._tags[place.repository], self._digests[place.repository, place.environment.name]
        standing = standing_at(place, self._scheme, tags, digest, self._heads(place))
        is_new = not self._recorded[place.history]
        return Sight(place, self._scheme, tags, self._records(place), standing, is_new)

    def _records(self, place: Place) -> frozenset[RecordTag]:
        return self._recorded[place.history].get(place.environment.name, frozenset())

    def _read(self, repository: Repository, tag: RecordTag) -> None:
        with suppress(NotFound):
            self._entries[repository, tag] = decode(tag, self._context.stores(repository).get(str(tag)))


def standing_at(
    place: Place, scheme: TagScheme, tags: Collection[str], digest: Digest | None, heads: tuple[Entry, ...]
) -> Standing:
    """Where a place stands. A combined tag is written before its environment tag moves: where there is none, and
    somebody moved the environment tag by hand, what was announced last never ran."""
    standing = Standing(digest, heads)
    head = standing.head
    if head is None or digest is None or standing.condition != "unrecorded":
        return standing
    version = scheme.parse_label(head.record.version) if head.record.action in ("push", "promote") else None
    arrived = version is None or version in scheme.combined(tags, place.environment.name)
    return standing if arrived else replace(standing, vain=True)


def record_tags(tags: Iterable[str]) -> Mapping[str, frozenset[RecordTag]]:
    """The records of each environment among the tags of a repository."""
    found: dict[str, set[RecordTag]] = {}
    for tag in tags:
        record = parse_record_tag(tag)
        if record is not None:
            found.setdefault(record.environment, set()).add(record)
    return {environment: frozenset(records) for environment, records in found.items()}
