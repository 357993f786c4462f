"""Looks: what a run sees of others between its steps. docs/protocol.md says what each of them proves."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from tagflow.context import Context
from tagflow.decide.ballot import Ballot, gone, is_open, mistaken
from tagflow.decide.decision import Prospect
from tagflow.domain.history import RELEASES, Entry
from tagflow.domain.own_tags import RecordTag
from tagflow.domain.reference import Digest, Repository
from tagflow.domain.snapshot import Observation, TagLookup
from tagflow.domain.state import Release
from tagflow.observe.histories import record_tags
from tagflow.observe.observer import Observer


class Announced(Struct, frozen=True):
    """One image whose records this run writes, or has written: its prospect, and where its environment tag was to be
    found."""

    prospect: Prospect
    mine: tuple[Entry, ...]
    before: Digest | None


class Lookout:
    """Looks at the histories and environment tags of a run's images, and remembers what the election took in."""

    def __init__(self, context: Context, observer: Observer) -> None:
        self._context = context
        self.observer = observer
        self._taken_in: dict[str, dict[RecordTag, Entry]] = {}
        self._passed: dict[str, frozenset[RecordTag]] = {}

    def ballots(
        self,
        announced: Mapping[str, Announced],
        *,
        since_election: bool = False,
        stands: Mapping[str, Digest | None] | None = None,
        beside: Iterable[TagLookup] = (),
    ) -> dict[str, Ballot]:
        """What has been written since the decision (or since the election) beside this run's own records, and where
        the environment tags stand now. ``stands`` says where some of them do, by image: those are not asked for.
        ``beside`` are other tags that are looked at in the same round."""
        # Several images are put back side by side, and each looks by itself: nobody else's look may come in between.
        observer = self.observer.again()
        targets = {image: it.prospect.seen.target for image, it in announced.items()}
        for image, digest in (stands or {}).items():
            observer.assume(targets[image].repository, targets[image].environment.name, digest)
        observer.look(list(targets.values()), beside)
        # List and look go side by side. A record is written before its tag moves, so where a tag is not where this run
        # expects it, a list that is read after the look tells why.
        moved = [
            targets[image]
            for image, it in announced.items()
            if image not in (stands or {})
            and observer.digest(targets[image]) != (it.mine[-1].record.digest if since_election else it.before)
        ]
        observer.list_again(moved)
        self.observer = observer
        return {image: self._ballot(observer, image, it, since_election) for image, it in announced.items()}

    def ages_of_takeovers(self, prospect: Prospect, within: float, finishing: Release | None) -> Iterator[float]:
        """The ages, in seconds, of the records on top by which somebody took over a release of another run: abandoned
        it, or finished it. What that run sent before it could see them may still be on its way.

        Only of those younger than ``within``. A note or a loser's abort on top hides none: what it stands on counts.
        Whoever is ``finishing`` the same release wants the same digest as all who finish it.
        """
        now, history = self._context.now(), prospect.seen.target.history
        below = {entry.tag: entry for entry in prospect.seen.standing.heads}
        passed = set[RecordTag]()
        while below:
            tag, entry = below.popitem()
            passed.add(tag)
            record = entry.record
            age = abs((now - record.at).total_seconds())
            if age >= within:
                continue
            if record.abandons or (record.finishes and record.release != finishing):
                yield age
            elif record.action not in RELEASES:
                # Many losers' aborts name one another: each of them is looked at once, not once for each way to it.
                parents = {parent.tag for parent in record.parents}
                below |= self.observer.read(history, sorted(parents - passed, key=str))

    def lost(self, announced: Announced, ballot: Ballot) -> frozenset[RecordTag]:
        """Of the releases among unseen records, those that can't win any more: what runs was brought in by a release on
        which this run was built, and they were not. Their own runs give way to it; where those have died, nobody is to
        take them for under way."""
        seen = announced.prospect.seen
        rivals = [it for it in open_releases({seen.image: ballot}) if it.record.digest != ballot.digest]
        base = self._release_below(seen, ballot.digest) if rivals else None
        if base is None or base.tag in gone(ballot):
            return frozenset()
        return frozenset(it.tag for it in rivals if not self._is_above(seen.target.history, it, base))

    def _release_below(self, seen: Observation, digest: Digest | None) -> Entry | None:
        """The latest release among what a decision has seen, below notes and aborts, if it is of this digest. Where it
        saw a fork, what the tag shows is what runs, whatever else was announced beside it."""
        todo = _showing(seen.standing.heads, digest)
        taken_back: set[RecordTag] = set()
        while todo:
            entry = todo.pop(max(todo, key=lambda tag: todo[tag].rank))
            record = entry.record
            if record.action in RELEASES and entry.tag not in taken_back:
                return entry if record.digest == digest else None
            taken_back.update(record.aborts)
            parents = self.observer.read(seen.target.history, [parent.tag for parent in record.parents])
            todo |= _showing([it for it in parents.values() if it.tag not in taken_back], digest) or parents
        return None

    def _is_above(self, history: Repository, entry: Entry, base: Entry) -> bool:
        """Whether a record has another among its ancestors."""
        todo, passed = {entry.tag: entry}, set[RecordTag]()
        while todo:
            tag, one = todo.popitem()
            if tag == base.tag:
                return True
            passed.add(tag)
            parents = {it.tag for it in one.record.parents if it.tag.sequence >= base.tag.sequence}
            todo |= self.observer.read(history, sorted(parents - passed, key=str))
        return False

    def pass_over(self, ballots: Mapping[str, Ballot]) -> dict[str, Ballot]:
        """These ballots without the releases that were built on this one by mistake and gave way; later ones do without
        them as well."""
        for image, ballot in ballots.items():
            self._passed[image] = mistaken(ballot)
        return {image: replace(ballot, passed=self._passed[image]) for image, ballot in ballots.items()}

    def take_in(self, ballots: Mapping[str, Ballot]) -> None:
        """Note what the election has seen: a later look tells what came since."""
        for image, ballot in ballots.items():
            self._taken_in[image] = dict(ballot.unseen)

    def unseen(self, ballots: Mapping[str, Ballot]) -> dict[str, Ballot]:
        """These ballots with all that came since the decision, the election's included."""
        return {
            image: replace(ballot, unseen={**self._taken_in.get(image, {}), **ballot.unseen})
            for image, ballot in ballots.items()
        }

    def is_news_to(self, announced: Announced, observer: Observer) -> bool:
        """Whether somebody else's look lists a record of this target that no look here has taken in yet."""
        target = announced.prospect.seen.target
        return observer.has_listed(target) and bool(set(observer.records(target)) - self._known_of(announced))

    def is_news(self, announced: Announced, tags: Collection[str]) -> bool:
        """Whether a list of tags has a record of this target that no look has taken in yet."""
        target = announced.prospect.seen.target
        listed = record_tags(tags).get(target.environment.name, frozenset())
        return not listed <= self._known_of(announced)

    @staticmethod
    def lost_of(announced: Announced, tags: Collection[str]) -> list[RecordTag]:
        """The records of this run that a list of tags, which lacks nothing, does not have."""
        listed = record_tags(tags).get(announced.prospect.seen.target.environment.name, frozenset())
        return [entry.tag for entry in announced.mine if entry.tag not in listed]

    def _known_of(self, announced: Announced) -> frozenset[RecordTag]:
        seen = announced.prospect.seen
        own = {entry.tag for entry in announced.mine}
        return seen.records | own | self._taken_in.get(seen.image, {}).keys()

    def _ballot(self, observer: Observer, image: str, it: Announced, since_election: bool) -> Ballot:
        target, known = it.prospect.seen.target, it.prospect.seen.records
        own = {entry.tag for entry in it.mine}
        taken_in = self._taken_in.get(image, {}).keys() if since_election else set()
        listed = observer.records(target)
        fresh = [tag for tag in listed if tag not in known | own | taken_in]
        entries = observer.read(target.history, sorted(fresh, key=str))
        passed = self._passed.get(image, frozenset())
        return Ballot(it.mine, known | taken_in, it.before, entries, observer.digest(target), listed & own, passed)


def _showing(entries: Iterable[Entry], digest: Digest | None) -> dict[RecordTag, Entry]:
    """Those of several entries that say what a tag shows; all of them where none does."""
    known = {entry.tag: entry for entry in entries}
    return {tag: entry for tag, entry in known.items() if entry.record.digest == digest} or known


def open_releases(ballots: Mapping[str, Ballot]) -> Sequence[Entry]:
    """The releases among unseen records that their own runs have not taken back."""
    return [entry for it in ballots.values() for entry in it.unseen.values() if is_open(entry, it.unseen)]


def not_abandoned(ballots: Mapping[str, Ballot]) -> list[Entry]:
    """The open releases that this run's own aborts do not name."""
    named = {tag for ballot in ballots.values() for entry in ballot.mine for tag in entry.record.aborts}
    return [entry for entry in open_releases(ballots) if entry.tag not in named]
