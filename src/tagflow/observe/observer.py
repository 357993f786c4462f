"""The observer: asks the stores, each thing once and side by side, and hands out snapshots."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TypedDict

from tagflow.context import Context
from tagflow.domain.counting import Doubtful, Read, as_doubtful, counting, find_counting_heads
from tagflow.domain.history import Entry, find_heads
from tagflow.domain.own_tags import RecordTag, parse_record_tag
from tagflow.domain.policy import Environment
from tagflow.domain.reference import Digest, Repository
from tagflow.domain.snapshot import (
    ImageLookup,
    Lookup,
    Observation,
    RecordLookup,
    Snapshot,
    TagLookup,
    Target,
    named_by,
    target_of,
)
from tagflow.domain.standing import Empty, Recorded, Standing
from tagflow.domain.tagging import TagScheme
from tagflow.errors import HistoryBroken, HistoryNewer, NotFound, StoreError, TagflowError
from tagflow.observe.records import Signatures, fetch, fetch_signed
from tagflow.stores.port import Manifest, Store
from tagflow.stores.transfer.copy import ContentCheck, labels, platforms
from tagflow.workers import each, run_all


class _Signed(TypedDict, total=False):
    """The fields of an observation that only a signed history has."""

    named: frozenset[tuple[str, Digest]]
    doubtful: tuple[Doubtful, ...]


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
        self._recorded: dict[Repository, Mapping[str, frozenset[RecordTag]]] = {}
        self._digests: dict[tuple[Repository, str], Digest | None] = {}
        self._entries: dict[tuple[Repository, RecordTag], Entry] = {}
        self._doubtful: dict[tuple[Repository, RecordTag], Doubtful] = {}
        self._unread: dict[tuple[Repository, RecordTag], TagflowError] = {}
        self._manifests: dict[tuple[Repository, Digest], Manifest] = {}
        self._platforms: dict[tuple[Repository, Digest], frozenset[str]] = {}
        self._labels: dict[tuple[Repository, Digest], tuple[Mapping[str, str], ...]] = {}
        self._gone: dict[tuple[Repository, Digest], tuple[str, ...]] = {}
        self._unreadable: dict[tuple[Repository, Digest], TagflowError] = {}
        self._stood: set[tuple[Repository, Digest]] = set()
        """What tags were seen to stand at: the medium has these manifests."""
        self._check = ContentCheck(context.threads, context.questions)
        self._known: set[Lookup] = set()
        self._signed = {it.name: it for it in context.policy.environments if it.signed_by}
        """The environments whose records are signed."""

    @property
    def threads(self) -> int:
        """How many things are asked side by side."""
        return self._context.threads

    def again(self) -> Observer:
        """An observer that asks anew for everything that can change, and remembers what cannot."""
        other = Observer(self._context, self._opened)
        other._entries, other._doubtful, other._manifests = self._entries, self._doubtful, self._manifests
        other._platforms, other._labels = self._platforms, self._labels
        other._gone, other._unreadable, other._check = self._gone, self._unreadable, self._check
        other._known = {it for it in self._known if isinstance(it, ImageLookup)}
        return other

    def continue_from(self, other: Observer) -> Observer:
        """Take over everything that another observer of the same run was told."""
        self._tags, self._recorded, self._digests = other._tags, other._recorded, other._digests
        self._entries, self._doubtful = other._entries, other._doubtful
        self._unread, self._manifests = other._unread, other._manifests
        self._known = other._known
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
        self._prove(targets)
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
        """Take records that were just written as read."""
        for entry in entries:
            self._entries[repository, entry.tag] = entry

    def assume(self, repository: Repository, tag: str, digest: Digest | None) -> None:
        """Take a tag that never moves to stand where it was seen, or put, in this run."""
        self._digests[repository, tag] = digest
        self._known.add(TagLookup(repository, tag))

    def snapshot(self, targets: Sequence[Target], wanted: Wanted = nothing) -> Snapshot:
        """A snapshot from what was listed and seen last; only what is not known yet is asked for."""
        self._fetch([], heads=targets)
        self._prove(targets)
        return self._settled(targets, wanted)

    def records(self, target: Target) -> frozenset[RecordTag]:
        """The tags of a target's records, as they were listed last."""
        return self._records(target)

    def has_listed(self, target: Target) -> bool:
        """Whether the tags of a target's records have been listed."""
        return target.history in self._recorded

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
        each(self._list, fresh, threads=self._context.threads)

    def tags(self, repository: Repository) -> frozenset[str]:
        """All tags of a repository."""
        self.list_all([repository])
        return self._tags[repository]

    def manifest(self, repository: Repository, digest: Digest) -> Manifest:
        """A manifest.

        :raises NotFound: ``manifest.not_found``.
        """
        key = (repository, digest)
        if key not in self._manifests:
            self._manifests[key] = self._store(repository).get(digest)
        return self._manifests[key]

    def read(self, repository: Repository, records: Iterable[RecordTag]) -> dict[RecordTag, Entry]:
        """Read records; those that are gone, no records of tagflow's, or do not count, are left out."""
        wanted = list(records)
        self._fetch([RecordLookup(repository, tag) for tag in wanted])
        signed = {name: self._counting(repository, name, wanted) for name in {tag.environment for tag in wanted}}
        return {tag: signed[tag.environment][tag] for tag in wanted if tag in signed[tag.environment]}

    def read_all(self, records: Iterable[RecordLookup]) -> None:
        """Read records of any number of histories side by side, so that :meth:`read` answers at once."""
        self._fetch(records)

    def why_unread(self, repository: Repository, tag: RecordTag) -> TagflowError | None:
        """Why a record that was asked for could not be read."""
        return self._unread.get((repository, tag))

    # --- inside ------------------------------------------------------------------------------------------------

    def _settled(self, targets: Sequence[Target], wanted: Wanted) -> Snapshot:
        """A snapshot for which everything was asked that is wanted by what it says itself: a tag that turns out to be
        elsewhere leads to the next one."""
        snapshot = self._snapshot(targets)
        for _ in range(_ROUNDS):
            fresh = [it for it in dict.fromkeys(wanted(snapshot)) if it not in self._known]
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
            if lookup not in self._known and not (isinstance(previous, TagLookup) and previous.content):
                chosen[key] = lookup
        whole = [it for it in chosen.values() if isinstance(it, ImageLookup) and it.what == "parts"]
        rest = [it for it in chosen.values() if not (isinstance(it, ImageLookup) and it.what == "parts")]
        if rest:
            self._context.questions.expect(len(rest))
        tasks: list[Callable[[], object]] = [partial(self._ask_counted, lookup) for lookup in rest]
        tasks += [partial(self._heads, target) for target in heads]
        if whole:  # one task for all: it has threads of its own, as many for a hundred images as for one
            tasks.append(partial(self._look_whether_whole, whole))
        run_all(tasks, threads=self._context.threads)
        self._known.update(chosen.values())

    def _look_again(self, targets: Sequence[Target]) -> None:
        """Look at tags again that were not where the heads said: another run may just be moving them.

        Each look is followed by a list, which explains it; where that list has records that the one before the look
        had not, the tag may have moved since, and it is looked at once more.
        """
        moved = list(targets)
        for _ in range(_ROUNDS):
            before = {it: self._records(it) for it in moved}
            each(lambda it: self._resolve(it.repository, it.environment.name), moved, threads=self._context.threads)
            self.list_again(moved)
            each(self._heads, moved, threads=self._context.threads)
            moved = [it for it in moved if self._records(it) != before[it] and not self._is_settled(it)]
            if not moved:
                return

    def _is_settled(self, target: Target) -> bool:
        return isinstance(self._standing(target).position, Recorded | Empty)

    def _ask_counted(self, lookup: Lookup) -> None:
        self._ask(lookup)
        self._context.questions.advance(1)

    def _ask(self, lookup: Lookup) -> None:
        match lookup:
            case TagLookup(repository, tag, content):
                self._ask_tag(repository, tag, content=content)
            case RecordLookup(repository, record):
                self._read(repository, record)
            case ImageLookup(repository, digest, what):
                self._examine(repository, digest, what)

    def _ask_tag(self, repository: Repository, tag: str, *, content: bool) -> None:
        if tag not in self._tags.get(repository, (tag,)):
            self._digests[repository, tag] = None
        elif not content:
            self._resolve(repository, tag)
        else:
            try:
                manifest = self._store(repository).get(tag)
            except NotFound:
                self._digests[repository, tag] = None
                return
            self._digests[repository, tag] = manifest.digest
            self._manifests[repository, manifest.digest] = manifest
            self._stood.add((repository, manifest.digest))

    def _resolve(self, repository: Repository, tag: str) -> None:
        digest = self._digests[repository, tag] = self._store(repository).resolve(tag)
        if digest is not None:
            self._stood.add((repository, digest))

    def _read(self, repository: Repository, tag: RecordTag) -> None:
        if (repository, tag) in self._entries or (repository, tag) in self._doubtful:
            return
        try:
            found = self._fetch_record(repository, tag)
            if isinstance(found, Entry):
                self._entries[repository, tag] = found
            else:
                self._doubtful[repository, tag] = found
        except NotFound:
            return
        except (HistoryBroken, HistoryNewer) as error:
            self._unread[repository, tag] = error
        except StoreError as error:
            if not error.code.startswith("manifest."):
                raise
            self._unread[repository, tag] = HistoryBroken(str(repository), str(tag), error.message)

    def _fetch_record(self, repository: Repository, tag: RecordTag) -> Read:
        environment = self._signed.get(tag.environment)
        store = self._store(repository)
        if environment is None:
            return fetch(store, tag)
        names = self._recorded_as(environment)
        signers = self._context.policy.signers
        return fetch_signed(store, tag, Signatures(signers, environment.signed_by, names.get(repository, "")))

    def _recorded_as(self, environment: Environment) -> Mapping[Repository, str]:
        """What the repository of each image of an environment is called in its records, by where these are kept."""
        policy = self._context.policy
        targets = (target_of(policy, image, environment) for image in policy.images)
        return {target.history: target.recorded_as for target in targets}

    def _examine(self, repository: Repository, digest: Digest, what: str) -> None:
        """Look into an image. What cannot be read is an error of this image, told by whoever needs to know."""
        key = (repository, digest)
        try:
            store = self._store(repository)
            if what == "platforms":
                self._platforms[key] = platforms(store, self.manifest(repository, digest))
            else:
                self._labels[key] = tuple(given for _, given in labels(store, self.manifest(repository, digest)))
        except TagflowError as error:
            self._unreadable[key] = error

    def _look_whether_whole(self, images: Iterable[ImageLookup]) -> None:
        """Look for everything that some images are made of; what they have in common is asked for once."""
        stores = [(self._store(it.repository), it.digest) for it in images]
        for image, parts in self._check.look(stores, self._stood).items():
            if isinstance(parts, TagflowError):
                self._unreadable[image] = parts
            else:
                self._gone[image] = tuple(map(str, parts))

    def _list(self, repository: Repository) -> None:
        tags = self._store(repository).tags()
        self._recorded[repository] = record_tags(tags)
        self._tags[repository] = frozenset(tags)

    def _heads(self, target: Target) -> tuple[Entry, ...]:
        """The heads of a history; what it takes to tell them is read once."""
        if target.environment.signed_by:
            return self._counting_heads(target)

        def read(tags: Sequence[RecordTag]) -> dict[RecordTag, Entry]:
            self._ask_for(target.history, tags)
            return {tag: self._entries[target.history, tag] for tag in tags if (target.history, tag) in self._entries}

        return find_heads(self._records(target), read)

    def _counting_heads(self, target: Target) -> tuple[Entry, ...]:
        def read(tags: Sequence[RecordTag]) -> dict[RecordTag, Read]:
            self._ask_for(target.history, tags)
            return {it.tag: it for tag in tags for it in self._found(target.history, tag)}

        return find_counting_heads(self._records(target), read)

    def _ask_for(self, repository: Repository, tags: Iterable[RecordTag]) -> None:
        fresh = [RecordLookup(repository, tag) for tag in tags]
        each(self._ask, [it for it in fresh if it not in self._known], threads=self._context.threads)
        self._known.update(fresh)

    def _found(self, repository: Repository, tag: RecordTag) -> list[Read]:
        found: Read | None = self._entries.get((repository, tag)) or self._doubtful.get((repository, tag))
        return [] if found is None else [found]

    def _counting(
        self, repository: Repository, environment: str, asked: Iterable[RecordTag] = ()
    ) -> Mapping[RecordTag, Entry]:
        """The records that were read and count: of those of an environment that are listed, and those ``asked`` for."""
        own = [tag for tag in asked if tag.environment == environment]
        if environment not in self._signed:
            return {tag: self._entries[repository, tag] for tag in own if (repository, tag) in self._entries}
        listed = self._recorded.get(repository, {}).get(environment, frozenset())
        read = [it for tag in listed.union(own) for it in self._found(repository, tag)]
        known = {it.tag for it in read}
        return counting(read, whole=all(tag in known or RecordLookup(repository, tag) in self._known for tag in listed))

    def _prove(self, targets: Sequence[Target]) -> None:
        """Read the whole history of a signed environment where its heads do not name every version that has a combined
        tag there: it was admitted long ago, or somebody else made that tag."""
        signed = [it for it in targets if it.environment.signed_by]
        doubted = [it for it in signed if self._unnamed(it)]
        each(
            self._ask,
            [
                lookup
                for target in doubted
                for tag in self._records(target)
                if (lookup := RecordLookup(target.history, tag)) not in self._known
            ],
            threads=self._context.threads,
        )
        self._known.update(RecordLookup(it.history, tag) for it in doubted for tag in self._records(it))

    def _unnamed(self, target: Target) -> bool:
        scheme = self._context.scheme
        known = {scheme.parse_label(label) for label, _ in named_by(self._heads(target))}
        return any(it not in known for it in scheme.combined(self._tags[target.repository], target.environment.name))

    def _standing(self, target: Target) -> Standing:
        digest = self._digests.get((target.repository, target.environment.name))
        heads = self._heads(target)
        return standing_of(
            target, self._context.scheme, self._tags[target.repository], digest, heads, self._broken(target, heads)
        )

    def _broken(self, target: Target, heads: Sequence[Entry]) -> TagflowError | None:
        """Why the history cannot be believed: a tag of a record's shape that is none, and that no head sets aside."""
        ignored = {tag for head in heads for tag in head.record.state.ignored}
        unread = [tag for tag in self._records(target) if (target.history, tag) in self._unread and tag not in ignored]
        return self._unread[target.history, max(unread, key=lambda tag: (tag.sequence, str(tag)))] if unread else None

    def _snapshot(self, targets: Sequence[Target]) -> Snapshot:
        digests = dict(self._digests)
        observations = {
            it: Observation(
                it,
                self._context.scheme,
                self._tags[it.repository],
                self._records(it),
                self._standing(it),
                is_new=not self._recorded[it.history],
                digests=digests,
                **self._signatures(it),
            )
            for it in targets
        }
        return Snapshot(
            policy=self._context.policy,
            scheme=self._context.scheme,
            observations=observations,
            tags=dict(self._tags),
            digests=digests,
            entries=self._all_counting(),
            platforms=dict(self._platforms),
            labels=dict(self._labels),
            gone=dict(self._gone),
            unreadable=dict(self._unreadable),
        )

    def _signatures(self, target: Target) -> _Signed:
        """What a signed history says of itself beside its heads, as far as it was read."""
        if not target.environment.signed_by:
            return {}
        counted = self._counting(target.history, target.environment.name)
        ignored = {tag for head in self._heads(target) for tag in head.record.state.ignored}
        rest = self._records(target) - counted.keys() - ignored
        doubtful = [as_doubtful(it) for tag in sorted(rest, key=str) for it in self._found(target.history, tag)]
        return {"named": named_by(counted.values()), "doubtful": tuple(doubtful)}

    def _all_counting(self) -> dict[tuple[Repository, RecordTag], Entry]:
        """All records that were read, without those of signed histories that do not count."""
        if not self._signed:
            return dict(self._entries)
        found = {key: entry for key, entry in self._entries.items() if key[1].environment not in self._signed}
        for repository in self._recorded:
            for name in self._signed:
                found |= {(repository, tag): it for tag, it in self._counting(repository, name).items()}
        return found

    def _records(self, target: Target) -> frozenset[RecordTag]:
        return self._recorded[target.history].get(target.environment.name, frozenset())

    def _store(self, repository: Repository) -> Store:
        return self._opened.get(repository) or self._context.stores(repository)


def standing_of(
    target: Target,
    scheme: TagScheme,
    tags: frozenset[str],
    digest: Digest | None,
    heads: tuple[Entry, ...],
    error: TagflowError | None = None,
) -> Standing:
    """Where a target stands. A combined tag is written before its environment tag moves: where there is none, and
    somebody moved the environment tag by hand, what was announced last never ran."""
    standing = Standing(digest, heads, error=error)
    head = standing.head
    if error is not None or head is None or digest is None or standing.condition != "unrecorded":
        return standing
    version = scheme.parse_label(head.record.version) if head.record.action in ("push", "promote") else None
    arrived = version is None or version in scheme.combined(tags, target.environment.name)
    return standing if arrived else replace(standing, vain=True)


def record_tags(tags: Iterable[str]) -> Mapping[str, frozenset[RecordTag]]:
    """The records of each environment among the tags of a repository."""
    found: dict[str, set[RecordTag]] = {}
    for tag in tags:
        record = parse_record_tag(tag)
        if record is not None:
            found.setdefault(record.environment, set()).add(record)
    return {environment: frozenset(records) for environment, records in found.items()}
