"""Observe: what the stores hold, asked once and in parallel, kept for the length of one run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from tagflow.domain.history import Entry, Standing, find_heads
from tagflow.domain.policy import Environment, Image
from tagflow.domain.reference import Digest, Repository
from tagflow.domain.tagging import RecordTag, TagScheme, parse_record_tag
from tagflow.domain.version import Version
from tagflow.errors import NotFound
from tagflow.flows.context import Context
from tagflow.flows.parallel import each
from tagflow.flows.records import decode


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


class Observer:
    """Asks the stores, each thing once."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._scheme = context.scheme
        self._tags: dict[Repository, frozenset[str]] = {}
        self._digests: dict[tuple[Repository, str], Digest | None] = {}
        self._entries: dict[tuple[Repository, RecordTag], Entry] = {}

    def place(self, image: Image, environment: Environment) -> Place:
        """Where an image lives in an environment."""
        policy = self._context.policy
        return Place(
            image, environment, policy.repository(image, environment), policy.history_repository(image, environment)
        )

    def sights(self, places: Sequence[Place]) -> dict[Place, Sight]:
        """Look at some places: two round trips for all of them together, where no history is forked."""
        repositories = dict.fromkeys(repository for it in places for repository in (it.repository, it.history))
        listing = [("tags", repository, "") for repository in repositories if repository not in self._tags]
        resolving = [
            ("resolve", it.repository, it.environment.name)
            for it in places
            if (it.repository, it.environment.name) not in self._digests
        ]
        each(self._ask, listing + resolving, threads=self._context.threads)
        seen = dict(zip(places, each(self._sight, places, threads=self._context.threads), strict=True))
        # A record is written before its tag moves. So a tag that no record explains may have moved between the two
        # questions: the list that is asked for after the tag tells.
        strange = [it for it in places if seen[it].standing.condition == "unrecorded"]
        each(self._ask, {("tags", it.history, "") for it in strange}, threads=self._context.threads)
        return seen | dict(zip(strange, each(self._sight, strange, threads=self._context.threads), strict=True))

    def list_all(self, repositories: Iterable[Repository]) -> None:
        """Ask for the tags of repositories, side by side, so that :meth:`tags` answers at once."""
        fresh = [("tags", repository, "") for repository in repositories if repository not in self._tags]
        each(self._ask, fresh, threads=self._context.threads)

    def look_up(self, tags: Iterable[tuple[Repository, str]]) -> None:
        """Ask for the digests of tags, side by side, so that :meth:`digest` answers at once."""
        fresh = [("resolve", *key) for key in dict.fromkeys(tags) if key not in self._digests]
        each(self._ask, fresh, threads=self._context.threads)

    def digest(self, repository: Repository, tag: str) -> Digest | None:
        """Where a tag stands; None where there is none."""
        if (repository, tag) not in self._digests:
            self._ask(("resolve", repository, tag))
        return self._digests[repository, tag]

    def tags(self, repository: Repository) -> frozenset[str]:
        """All tags of a repository."""
        if repository not in self._tags:
            self._ask(("tags", repository, ""))
        return self._tags[repository]

    def entries(self, repository: Repository, tags: Sequence[RecordTag]) -> dict[RecordTag, Entry]:
        """Read records; those that are gone are left out.

        :raises Conflict: ``history.broken``.
        """
        self.read_all((repository, tag) for tag in tags)
        return {tag: self._entries[repository, tag] for tag in tags if (repository, tag) in self._entries}

    def read_all(self, records: Iterable[tuple[Repository, RecordTag]]) -> None:
        """Read records of any repositories, side by side, so that :meth:`entries` answers at once.

        :raises Conflict: ``history.broken``.
        """
        fresh = [it for it in dict.fromkeys(records) if it not in self._entries]
        found = each(lambda it: (it, self._read(*it)), fresh, threads=self._context.threads)
        self._entries.update({it: entry for it, entry in found if entry is not None})

    def _ask(self, question: tuple[str, Repository, str]) -> None:
        kind, repository, tag = question
        store = self._context.stores(repository)
        if kind == "tags":
            self._tags[repository] = frozenset(store.tags())
        else:
            self._digests[repository, tag] = store.resolve(tag)

    def _sight(self, place: Place) -> Sight:
        records = record_tags(self._tags[place.history], place.environment)
        heads = find_heads(records, lambda tags: self.entries(place.history, tags))
        standing = Standing(self._digests[place.repository, place.environment.name], heads)
        return Sight(place, self._scheme, self._tags[place.repository], records, standing)

    def _read(self, repository: Repository, tag: RecordTag) -> Entry | None:
        try:
            manifest = self._context.stores(repository).get(str(tag))
        except NotFound:
            return None
        return decode(tag, manifest)


def record_tags(tags: Iterable[str], environment: Environment) -> frozenset[RecordTag]:
    """The records of an environment among the tags of a repository."""
    found = (parse_record_tag(tag) for tag in tags)
    return frozenset(tag for tag in found if tag is not None and tag.environment == environment.name)
