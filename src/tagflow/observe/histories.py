"""The histories of an observer: which records are listed, what was read of them, and which of them count."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from threading import Lock
from typing import TypedDict

from tagflow.context import Context
from tagflow.domain.counting import Doubtful, Read, as_doubtful, counting, find_counting_heads
from tagflow.domain.history import Entry, find_heads
from tagflow.domain.own_tags import RecordTag, parse_record_tag
from tagflow.domain.policy import Environment
from tagflow.domain.reference import Digest, Repository
from tagflow.domain.snapshot import Target, named_by, target_of
from tagflow.errors import HistoryBroken, HistoryElsewhere, HistoryNewer, NotFound, StoreError, TagflowError
from tagflow.observe.records import Signatures, fetch, fetch_signed
from tagflow.observe.refusals import Refusals
from tagflow.stores.port import Store
from tagflow.workers import each

Spot = tuple[Repository, RecordTag]
"""A record, and the repository in which it is kept."""


_OF_ONE_RECORD = frozenset({"layout.corrupt", "layout.unsupported"})
"""Where the list could be read, and one record cannot, that is trouble for its image only."""


class Signed(TypedDict, total=False):
    """The fields of an observation that only a signed history has."""

    named: frozenset[tuple[str, Digest]]
    doubtful: tuple[Doubtful, ...]


class Histories:
    """Lists and reads records, each once. ``store`` opens a repository, and ``refusals`` hears of those that cannot be
    read. Safe for use by several threads."""

    def __init__(self, context: Context, store: Callable[[Repository], Store], refusals: Refusals) -> None:
        self._context, self._store, self._refusals = context, store, refusals
        self._recorded: dict[Repository, Mapping[str, frozenset[RecordTag]]] = {}
        self._entries: dict[Spot, Entry] = {}
        self._doubtful: dict[Spot, Doubtful] = {}
        self._unread: dict[Spot, TagflowError] = {}
        self._asked: set[Spot] = set()
        self._lock = Lock()
        self._listed_again: dict[Repository, frozenset[str]] = {}
        self._signed = {it.name: it for it in context.policy.environments if it.signed_by}
        """The environments whose records are signed."""

    def again(self, store: Callable[[Repository], Store], refusals: Refusals) -> Histories:
        """Histories that are listed anew; what was read of a record never changes."""
        other = Histories(self._context, store, refusals)
        other._entries, other._doubtful = self._entries, self._doubtful
        return other

    # --- lists -------------------------------------------------------------------------------------------------

    def list(self, repository: Repository, tags: Iterable[str]) -> None:
        """Take the tags of a repository as they were just listed."""
        self._recorded[repository] = record_tags(tags)

    def records(self, target: Target) -> frozenset[RecordTag]:
        """The tags of a target's records, as they were listed last."""
        return self._recorded[target.history].get(target.environment.name, frozenset())

    def has_listed(self, target: Target) -> bool:
        """Whether the tags of a target's records have been listed."""
        return target.history in self._recorded

    def is_empty(self, repository: Repository) -> bool:
        """Whether a repository has no record of any environment."""
        return not self._recorded[repository]

    # --- records -----------------------------------------------------------------------------------------------

    def learn(self, repository: Repository, entries: Iterable[Entry]) -> None:
        """Take records that were just written as read, and as listed where the repository was."""
        listed = dict(self._recorded.get(repository, {}))
        for entry in entries:
            self._entries[repository, entry.tag] = entry
            listed[entry.tag.environment] = listed.get(entry.tag.environment, frozenset()) | {entry.tag}
        if repository in self._recorded:
            self._recorded[repository] = listed

    def is_asked(self, repository: Repository, tag: RecordTag) -> bool:
        """Whether a record was asked for, be it there or not."""
        return (repository, tag) in self._asked

    def ask(self, repository: Repository, tag: RecordTag) -> None:
        """Read one record; why it cannot be read is kept."""
        spot = (repository, tag)
        if spot not in self._entries and spot not in self._doubtful:
            with self._refusals.noting(repository):
                self._read(spot)
        self._asked.add(spot)

    def ask_all(self, spots: Iterable[Spot]) -> None:
        """Read some records side by side, those that were not asked for yet."""
        fresh = [spot for spot in spots if spot not in self._asked]
        each(lambda spot: self.ask(*spot), fresh, threads=self._context.threads)

    def why_unread(self, repository: Repository, tag: RecordTag) -> TagflowError | None:
        """Why a record that was asked for could not be read."""
        return self._unread.get((repository, tag))

    def counting(self, repository: Repository, records: Sequence[RecordTag]) -> dict[RecordTag, Entry]:
        """Those of some records that were read and count."""
        names = {tag.environment for tag in records}
        counted = {name: self._counting(repository, name, records) for name in names}
        return {tag: counted[tag.environment][tag] for tag in records if tag in counted[tag.environment]}

    def all_counting(self) -> dict[Spot, Entry]:
        """All records that were read, without those of signed histories that do not count."""
        if not self._signed:
            return dict(self._entries)
        found = {spot: entry for spot, entry in self._entries.items() if spot[1].environment not in self._signed}
        for repository in self._recorded:
            for name in self._signed:
                found |= {(repository, tag): it for tag, it in self._counting(repository, name).items()}
        return found

    # --- what they say -----------------------------------------------------------------------------------------

    def heads(self, target: Target) -> tuple[Entry, ...]:
        """The heads of a history; what it takes to tell them is read once."""
        history, listed = target.history, self.records(target)
        if target.environment.signed_by:

            def read_any(tags: Sequence[RecordTag]) -> dict[RecordTag, Read]:
                self.ask_all((history, tag) for tag in tags)
                return {it.tag: it for tag in tags for it in self._found(history, tag)}

            return find_counting_heads(listed, read_any)

        def read(tags: Sequence[RecordTag]) -> dict[RecordTag, Entry]:
            self.ask_all((history, tag) for tag in tags)
            return {tag: self._entries[history, tag] for tag in tags if (history, tag) in self._entries}

        return find_heads(listed, read)

    def top(self, target: Target) -> tuple[tuple[Entry, ...], tuple[Entry, ...]]:
        """The heads of a history; and where it is forked, the records that they name, each read once."""
        heads, history = self.heads(target), target.history
        if len(heads) < 2:
            return heads, ()
        named = {parent.tag: parent.digest for head in heads for parent in head.record.parents}
        self.ask_all((history, tag) for tag in named)
        found = (self._entries.get((history, tag)) for tag in named)
        return heads, tuple(it for it in found if it is not None and it.digest == named[it.tag])

    def why_broken(self, target: Target, heads: Sequence[Entry]) -> TagflowError | None:
        """Why the history cannot be believed: a tag of a record's shape that is none, and that no head sets aside."""
        ignored = {tag for head in heads for tag in head.record.state.ignored}
        unread = [tag for tag in self.records(target) if (target.history, tag) in self._unread and tag not in ignored]
        return self._unread[target.history, max(unread, key=_rank)] if unread else None

    def why_elsewhere(self, target: Target, heads: Sequence[Entry]) -> TagflowError | None:
        """Why an empty history is not the history: records of the environment stand beside the image, from before the
        policy kept them apart. In a signed one nothing is admitted without a record, and nobody stops it by a tag."""
        beside = self._recorded.get(target.repository, {}).get(target.environment.name)
        if heads or not beside or target.history == target.repository or target.environment.signed_by:
            return None
        return HistoryElsewhere(str(target.repository), str(max(beside, key=_rank)), str(target.history))

    def signed(self, target: Target) -> Signed:
        """What a signed history says of itself beside its heads, as far as it was read."""
        if not target.environment.signed_by:
            return {}
        counted = self._counting(target.history, target.environment.name)
        ignored = {tag for head in self.heads(target) for tag in head.record.state.ignored}
        rest = self.records(target) - counted.keys() - ignored
        doubtful = [as_doubtful(it) for tag in sorted(rest, key=str) for it in self._found(target.history, tag)]
        return {"named": named_by(counted.values()), "doubtful": tuple(doubtful)}

    def prove(self, targets: Iterable[Target], tags: Mapping[Repository, frozenset[str]]) -> None:
        """Read the whole history of a signed environment where its heads do not name every version that has a combined
        tag there: it was admitted long ago, or somebody else made that tag. ``tags`` are those of each repository."""
        doubted = [it for it in targets if it.environment.signed_by and self._leaves_unnamed(it, tags[it.repository])]
        self.ask_all((target.history, tag) for target in doubted for tag in self.records(target))

    # --- inside ------------------------------------------------------------------------------------------------

    def _read(self, spot: Spot) -> None:
        try:
            found = self._fetch(*spot)
        except NotFound:
            self._miss(*spot)
        except (HistoryBroken, HistoryNewer) as error:
            self._unread[spot] = error
        except StoreError as error:
            if not (error.code.startswith("manifest.") or error.code in _OF_ONE_RECORD):
                raise
            self._unread[spot] = HistoryBroken(str(spot[0]), str(spot[1]), error.message)
        else:
            if isinstance(found, Entry):
                self._entries[spot] = found
            else:
                self._doubtful[spot] = found

    def _miss(self, repository: Repository, tag: RecordTag) -> None:
        """Note a record that was listed, is by a list of this moment, and is not there: the holds that it may tell of
        must not be passed over. What was removed meanwhile is just gone; and in a signed history nobody without a key
        is to stop anything, by removing content either: `verify --expect` finds what is lost there."""
        listed = self._recorded.get(repository, {}).get(tag.environment, frozenset())
        if tag not in listed or tag.environment in self._signed:
            return
        with self._lock:
            if repository not in self._listed_again:
                self._listed_again[repository] = frozenset(self._store(repository).tags())
        if str(tag) in self._listed_again[repository]:
            self._unread[repository, tag] = HistoryBroken(str(repository), str(tag), "it is listed, and is not there")

    def _fetch(self, repository: Repository, tag: RecordTag) -> Read:
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

    def _found(self, repository: Repository, tag: RecordTag) -> Sequence[Read]:
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
        return counting(read, whole=all(tag in known or (repository, tag) in self._asked for tag in listed))

    def _leaves_unnamed(self, target: Target, tags: frozenset[str]) -> bool:
        scheme = self._context.scheme
        known = {scheme.parse_label(label) for label, _ in named_by(self.heads(target))}
        return any(it not in known for it in scheme.combined(tags, target.environment.name))


def _rank(tag: RecordTag) -> tuple[int, str]:
    return tag.sequence, str(tag)


def record_tags(tags: Iterable[str]) -> Mapping[str, frozenset[RecordTag]]:
    """The records of each environment among the tags of a repository."""
    found: dict[str, set[RecordTag]] = {}
    for tag in tags:
        record = parse_record_tag(tag)
        if record is not None:
            found.setdefault(record.environment, set()).add(record)
    return {environment: frozenset(records) for environment, records in found.items()}
