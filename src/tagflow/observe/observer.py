"""The observer: asks the stores, each thing once and side by side, and hands out snapshots."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from msgspec.structs import replace

from tagflow.context import Context
from tagflow.domain.counting import Doubtful
from tagflow.domain.history import Entry
from tagflow.domain.own_tags import RecordTag
from tagflow.domain.reference import Digest, Repository
from tagflow.domain.snapshot import (
    ImageLookup,
    Lookup,
    Observation,
    RecordLookup,
    Snapshot,
    TagLookup,
    Target,
)
from tagflow.domain.standing import Empty, Recorded, Standing
from tagflow.domain.tagging import TagScheme
from tagflow.errors import NotFound, StoreError, TagflowError, combine
from tagflow.observe.contents import Contents
from tagflow.observe.histories import Histories
from tagflow.observe.refusals import Refusals
from tagflow.stores.port import Manifest, Store
from tagflow.workers import attempt, each, run_all

R = TypeVar("R")

Wanted = Callable[[Snapshot], Iterable[Lookup]]
"""The lookups of a request, as far as a snapshot tells: first by tag lists alone, then by standings too."""

_ROUNDS = 8
"""How often a snapshot is asked what is still wanted; each answer may lead to one more question, never to eight."""


def nothing(_snapshot: Snapshot) -> Iterable[Lookup]:
    """Nothing beside tags, heads and environment tags."""
    return ()


class Observer:
    """Asks the stores. ``opened`` are stores beside those of the policy: where a push comes from."""

    def __init__(self, context: Context, opened: Mapping[Repository, Store] | None = None) -> None:
        self._context = context
        self._opened = dict(opened or {})
        self._tags: dict[Repository, frozenset[str]] = {}
        self._digests: dict[tuple[Repository, str], Digest | None] = {}
        self._refusals = Refusals()
        self._histories = Histories(context, self._store, self._refusals)
        self._contents = Contents(context.threads, context.questions)
        self._stood: set[tuple[Repository, Digest]] = set()
        """What tags were seen to stand at: the medium has these manifests."""
        self._known: set[Lookup] = set()
        """What was asked and may have changed since."""

    @property
    def threads(self) -> int:
        """How many things are asked side by side."""
        return self._context.threads

    def again(self) -> Observer:
        """An observer that asks anew for everything that can change, and remembers what cannot."""
        other = Observer(self._context, self._opened)
        other._histories = self._histories.again(other._store, other._refusals)
        other._contents = self._contents
        return other

    def continue_from(self, other: Observer) -> Observer:
        """Take over everything that another observer of the same run was told."""
        self._tags, self._digests, self._histories = other._tags, other._digests, other._histories
        self._contents, self._known, self._refusals = other._contents, other._known, other._refusals
        return self

    def observe(
        self, targets: Sequence[Target], wanted: Wanted = nothing, beside: Iterable[Repository] = ()
    ) -> Snapshot:
        """A snapshot of some targets, with all that a request will ask about.

        Tags are listed first, then asked for what they name: environment tags, heads, and what is ``wanted`` of the
        lists alone. Where a tag is not where the heads say, it is looked at again, list first: a record is written
        before its tag moves, so a list that is read after the tag explains it. ``beside``: more repositories to list.
        """
        self.list_all([*(name for it in targets for name in (it.repository, it.history)), *beside])
        asking = [TagLookup(it.repository, it.environment.name) for it in targets]
        self._fetch([*asking, *wanted(self._snapshot(()))], heads=targets)
        strange = [it for it in targets if not self._is_settled(it)]
        if strange:
            self._look_again(strange)
        self._histories.prove(targets, self._tags)
        return self._settled(targets, wanted)

    def look(self, targets: Sequence[Target], beside: Iterable[TagLookup] = ()) -> None:
        """List the records of some targets and see where their environment tags stand, and where tags ``beside`` them
        do, all in one round. What was assumed is not asked for."""
        repositories = dict.fromkeys(name for it in targets for name in (it.history, it.repository))
        listing = [partial(self._list, name) for name in repositories]
        tags = [*(TagLookup(it.repository, it.environment.name) for it in targets), *beside]
        fresh = [it for it in dict.fromkeys(tags) if it not in self._known]
        seeing = [partial(self._resolve, it.repository, it.tag) for it in fresh]
        run_all([*listing, *seeing], threads=self._context.threads)
        self._known.update(fresh)

    def list_again(self, targets: Sequence[Target]) -> None:
        """List the records of some targets anew; where a tag stands is not asked."""
        repositories = dict.fromkeys(name for it in targets for name in (it.history, it.repository))
        each(self._list, repositories, threads=self._context.threads)

    def learn(self, repository: Repository, entries: Iterable[Entry]) -> None:
        """Take records that were just written as read, and as listed where the repository was."""
        self._histories.learn(repository, entries)

    def assume(self, repository: Repository, tag: str, digest: Digest | None) -> None:
        """Take a tag that never moves to stand where it was seen, or put, in this run; where the tags have been listed,
        it is one of them."""
        self._digests[repository, tag] = digest
        if digest is not None and repository in self._tags:
            self._tags[repository] |= {tag}
        self._known.add(TagLookup(repository, tag))

    def keep(self, repository: Repository, tags: Iterable[str]) -> None:
        """Take tags as listed that were listed before, where they are there still: a list may be cut, or lag behind."""
        for tag in sorted(set(tags) - self.tags(repository)):
            self._resolve(repository, tag)
            self.assume(repository, tag, self._digests[repository, tag])

    def snapshot(self, targets: Sequence[Target], wanted: Wanted = nothing) -> Snapshot:
        """A snapshot from what was listed and seen last; only what is not known yet is asked for."""
        self._fetch([], heads=targets)
        self._histories.prove(targets, self._tags)
        return self._settled(targets, wanted)

    def records(self, target: Target) -> frozenset[RecordTag]:
        """The tags of a target's records, as they were listed last."""
        return self._histories.records(target)

    def has_listed(self, target: Target) -> bool:
        """Whether the tags of a target's records have been listed."""
        return self._histories.has_listed(target)

    def digest(self, target: Target) -> Digest | None:
        """Where a target's environment tag stood when it was looked at last."""
        return self._digests[target.repository, target.environment.name]

    def stands(self, repository: Repository, tag: str) -> Digest | None:
        """Where a tag stood when it was looked at last."""
        return self._digests[repository, tag]

    def list_all(self, repositories: Iterable[Repository]) -> None:
        """List the tags of repositories that are not listed yet, side by side."""
        fresh = [name for name in dict.fromkeys(repositories) if name not in self._tags]
        for name in fresh:  # all are opened before any is asked: where they live, one login may do for several
            self._store(name)
        results = attempt(self._list, fresh, threads=self._context.threads)
        errors = [it for it in results if isinstance(it, TagflowError)]
        answering = {name.host for name in self._tags}
        if any(name in self._refusals and name.host in answering for name in fresh):
            errors = [*(it for it in errors if not isinstance(it, StoreError)), *self._refusals.named()]
        if errors:
            raise combine(errors)

    def readable(
        self, targets: Sequence[Target], look: Callable[[Sequence[Target]], R]
    ) -> tuple[R, list[TagflowError]]:
        """What a look by this observer finds of those of some targets whose repositories can be read, and why those of
        the others cannot. It is called again without those that could not be; what is known by then is not asked again.

        :raises TagflowError: where none can be read, or for another reason.
        """
        refused = self._refusals
        while True:
            known = len(refused)
            rest = [it for it in targets if it.repository not in refused and it.history not in refused]
            if refused and not rest:
                raise combine(refused.errors())
            try:
                return look(rest), [*refused.named()]
            except TagflowError:
                if len(refused) == known:
                    raise

    def tags(self, repository: Repository) -> frozenset[str]:
        """All tags of a repository."""
        self.list_all([repository])
        return self._tags[repository]

    def manifest(self, repository: Repository, digest: Digest) -> Manifest:
        """A manifest.

        :raises NotFound: ``manifest.not_found``.
        """
        return self._contents.manifest(self._store(repository), digest)

    def read(self, repository: Repository, records: Iterable[RecordTag]) -> dict[RecordTag, Entry]:
        """Read records; those that are gone, no records of tagflow's, or do not count, are left out."""
        wanted = list(records)
        self._fetch([RecordLookup(repository, tag) for tag in wanted])
        return self._histories.counting(repository, wanted)

    def read_all(self, records: Iterable[RecordLookup]) -> None:
        """Read records of any number of histories side by side, so that :meth:`read` answers at once."""
        self._fetch(records)

    def doubtful(self, target: Target) -> Sequence[Doubtful]:
        """What stands under the tags of a target's records and does not count, as far as it was read."""
        return self._histories.signed(target).get("doubtful", ())

    def why_unread(self, repository: Repository, tag: RecordTag) -> TagflowError | None:
        """Why a record that was asked for could not be read."""
        return self._histories.why_unread(repository, tag)

    def why_elsewhere(self, target: Target) -> TagflowError | None:
        """Why a history without records is not the history, where the tags of the image have been listed too."""
        return None if self.records(target) else self._histories.why_elsewhere(target, ())

    # --- inside ------------------------------------------------------------------------------------------------

    def _settled(self, targets: Sequence[Target], wanted: Wanted) -> Snapshot:
        """A snapshot for which everything was asked that is wanted by what it says itself: a tag that turns out to be
        elsewhere leads to the next one."""
        snapshot = self._snapshot(targets)
        for _ in range(_ROUNDS):
            fresh = [it for it in dict.fromkeys(wanted(snapshot)) if not self._is_known(it)]
            if not fresh:
                break
            self._fetch(fresh)
            snapshot = self._snapshot(targets)
        return snapshot

    def _fetch(self, lookups: Iterable[Lookup], heads: Sequence[Target] = ()) -> None:
        """Ask for what is not known yet, and for the heads of some histories, all side by side."""
        chosen: dict[object, Lookup] = {}
        for lookup in lookups:
            key: object = (lookup.repository, lookup.tag) if isinstance(lookup, TagLookup) else lookup
            previous = chosen.get(key)
            if not self._is_known(lookup) and not (isinstance(previous, TagLookup) and previous.content):
                chosen[key] = lookup
        whole = [it for it in chosen.values() if isinstance(it, ImageLookup) and it.what == "parts"]
        rest = [it for it in chosen.values() if not (isinstance(it, ImageLookup) and it.what == "parts")]
        if rest:
            self._context.questions.expect(len(rest))
        tasks: list[Callable[[], object]] = [partial(self._ask_counted, lookup) for lookup in rest]
        tasks += [partial(self._histories.top, target) for target in heads]
        if whole:  # one task for all: it has threads of its own, as many for a hundred images as for one
            tasks.append(partial(self._look_whether_whole, whole))
        run_all(tasks, threads=self._context.threads)

    def _is_known(self, lookup: Lookup) -> bool:
        if isinstance(lookup, RecordLookup):
            return self._histories.is_asked(lookup.repository, lookup.tag)
        if isinstance(lookup, ImageLookup):
            return self._contents.is_known(lookup)
        return lookup in self._known

    def _look_again(self, targets: Sequence[Target]) -> None:
        """Look at tags again that were not where the heads said: another run may just be moving them.

        Each look is followed by a list, which explains it; where that list has records that the one before the look
        had not, the tag may have moved since, and it is looked at once more.
        """
        moved = list(targets)
        for _ in range(_ROUNDS):
            before = {it: self.records(it) for it in moved}
            each(lambda it: self._resolve(it.repository, it.environment.name), moved, threads=self._context.threads)
            self.list_again(moved)
            each(self._histories.top, moved, threads=self._context.threads)
            moved = [it for it in moved if self.records(it) != before[it] and not self._is_settled(it)]
            if not moved:
                return

    def _is_settled(self, target: Target) -> bool:
        return isinstance(self._standing(target).position, Recorded | Empty)

    def _look_whether_whole(self, lookups: Sequence[ImageLookup]) -> None:
        images = [(self._store(it.repository), it.digest) for it in lookups]
        self._contents.look_whether_whole(images, self._stood)
        self._contents.note(lookups)

    def _ask_counted(self, lookup: Lookup) -> None:
        self._ask(lookup)
        self._context.questions.advance(1)

    def _ask(self, lookup: Lookup) -> None:
        match lookup:
            case TagLookup(repository, tag, content):
                self._ask_tag(repository, tag, content=content)
                self._known.add(lookup)
            case RecordLookup(repository, record):
                self._histories.ask(repository, record)
            case ImageLookup(repository, digest, what):
                assert what != "parts"  # those are looked for together
                self._contents.examine(self._store(repository), digest, what)
                self._contents.note([lookup])

    def _ask_tag(self, repository: Repository, tag: str, *, content: bool) -> None:
        if tag not in self._tags.get(repository, (tag,)):
            self._digests[repository, tag] = None
        elif not content:
            self._resolve(repository, tag)
        else:
            try:
                with self._refusals.noting(repository):
                    manifest = self._store(repository).get(tag)
            except NotFound:
                self._digests[repository, tag] = None
                return
            self._digests[repository, tag] = manifest.digest
            self._contents.learn(repository, manifest)
            self._stood.add((repository, manifest.digest))

    def _resolve(self, repository: Repository, tag: str) -> None:
        with self._refusals.noting(repository):
            digest = self._digests[repository, tag] = self._store(repository).resolve(tag)
        if digest is not None:
            self._stood.add((repository, digest))

    def _list(self, repository: Repository) -> None:
        with self._refusals.noting(repository):
            tags = self._store(repository).tags()
        self._histories.list(repository, tags)
        self._tags[repository] = frozenset(tags)

    def _standing(self, target: Target) -> Standing:
        digest = self._digests.get((target.repository, target.environment.name))
        heads, parents = self._histories.top(target)
        error = self._histories.why_broken(target, heads) or self._histories.why_elsewhere(target, heads)
        standing = Standing(digest, heads, parents, error=error)
        return _unless_vain(standing, target, self._context.scheme, self._tags[target.repository])

    def _snapshot(self, targets: Sequence[Target]) -> Snapshot:
        digests = dict(self._digests)
        observations = {
            it: Observation(
                it,
                self._context.scheme,
                self._tags[it.repository],
                self.records(it),
                self._standing(it),
                is_new=self._histories.is_empty(it.history),
                digests=digests,
                **self._histories.signed(it),
            )
            for it in targets
        }
        return Snapshot(
            policy=self._context.policy,
            scheme=self._context.scheme,
            observations=observations,
            tags=dict(self._tags),
            digests=digests,
            entries=self._histories.all_counting(),
            **self._contents.told(),
        )

    def _store(self, repository: Repository) -> Store:
        return self._opened.get(repository) or self._context.stores(repository)


def _unless_vain(standing: Standing, target: Target, scheme: TagScheme, tags: frozenset[str]) -> Standing:
    """A standing, as the tags of its repository leave it. A combined tag is written before its environment tag moves:
    where there is none, and somebody moved the environment tag by hand, what was announced last never ran."""
    head = standing.head
    if standing.error is not None or head is None or standing.digest is None or standing.condition != "unrecorded":
        return standing
    label, name = head.record.version, target.environment.name
    version = scheme.parse_label(label) if head.record.action in ("push", "promote") else None
    if label is None or version is None or version in scheme.combined(tags, name):
        return standing
    # Whichever template wrote it then: nothing but separators stands beside the two.
    arrived = any(
        label in tag and name in tag and not any(map(str.isalnum, tag.replace(label, "", 1).replace(name, "", 1)))
        for tag in tags
    )
    return standing if arrived else replace(standing, vain=True)
