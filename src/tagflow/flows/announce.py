"""Announce: the records of a release, composed from what was decided and what was seen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from tagflow.domain.history import Entry, Parent, Ran, Record, Release, Standing, State, fingerprint
from tagflow.domain.plan import Plan, Step
from tagflow.domain.tagging import RecordTag
from tagflow.flows import records
from tagflow.flows.context import Context
from tagflow.flows.decision import UNNUMBERED, Prospect
from tagflow.flows.observe import Observer, Place, Sight


@dataclass(frozen=True)
class Herald:
    """Writes the records of one release."""

    context: Context
    plan: Plan
    release: Release
    adoption: Release

    def announce(self, step: Step, prospect: Prospect) -> Entry:
        """Write an image's records: what is adopted, where something is, then the intent. Returns the last."""
        place, standing = prospect.sight.place, prospect.sight.standing
        parents, seen, first = standing.heads, prospect.sight.records, prospect.sight.is_new
        if step.adopts:
            adopted = self._write(place, self._adopted(prospect), parents, seen, first=first)
            parents, seen, first = (adopted,), seen | {adopted.tag}, False
        draft = replace(
            self._draft(place, _numbered(prospect.state, self.release, self.adoption)),
            action=step.action,
            version=step.version,
            digest=step.digest,
            previous_version=step.previous_version,
            previous_digest=step.previous_digest,
        )
        if prospect.since is not None:
            draft = replace(draft, state=replace(draft.state, since=prospect.since))
        return self._write(place, draft, parents, seen, first=first)

    def abort(self, entry: Entry, place: Place, *, left: bool) -> Entry | None:
        """Write that an announced change did not take place, after its environment tag was put back.

        ``left``: the tag had moved meanwhile, or may have; else what runs has been there all the time.
        Nothing is written while another writer's announcement is open beside it: naming that one as a parent would
        take it for settled. The fork stays visible, and the next release joins it. But where another writer found the
        tag moved, took this one for settled, and wrote its own record after it, that is set right.
        """
        observer = Observer(self.context)
        sight = observer.sights([place])[place]
        if not _is_open(entry, sight.standing, left=left):
            return None
        record = entry.record
        before = standing_before(observer, sight, entry)
        state = _without(entry, before, sight.standing).aborted(record.version)
        if before.condition == "interrupted" and record.action != "abort":
            # It was announced after another writer's change, which was put back since: that one arrived as little.
            taken = before.head
            assert taken is not None
            before = standing_before(observer, replace(sight, standing=before), taken)
            state = before.state.aborted(taken.record.version).aborted(record.version)
        head = before.head
        draft = replace(
            self._draft(place, state),
            action="abort",
            version=head.record.version if head else None,
            digest=head.record.digest if head else None,
            previous_version=record.version,
            previous_digest=record.digest,
            release=record.release,
        )
        if head and not left and head.record.digest == sight.standing.digest:
            draft = replace(draft, state=replace(draft.state, since=head.record.state.since))
        return self._write(place, draft, sight.standing.heads, sight.records)

    def _adopted(self, prospect: Prospect) -> Record:
        standing = prospect.sight.standing
        assert standing.digest is not None
        found = Ran(prospect.adopted, standing.digest, self.adoption)
        head = standing.head
        return replace(
            self._draft(prospect.sight.place, standing.state.adopted(found)),
            action="adopt",
            version=found.version,
            digest=found.digest,
            previous_version=head.record.version if head else None,
            previous_digest=head.record.digest if head else None,
            release=self.adoption,
            overrides=(),
        )

    def _draft(self, place: Place, state: State) -> Record:
        now = self.context.now()
        return Record(
            environment=place.environment.name,
            repository=place.repository.path if place.repository.is_layout else str(place.repository),
            action="promote",
            version=None,
            digest=None,
            previous_version=None,
            previous_digest=None,
            release=self.release,
            members=self.plan.members,
            actor=self.context.actor,
            reason=self.plan.request.reason,
            overrides=self.plan.request.overrides,
            at=now,
            parents=(),
            state=replace(state, since=now),
            intent=self.plan.intent,
        )

    def _write(
        self, place: Place, draft: Record, parents: Sequence[Entry], seen: Iterable[RecordTag], *, first: bool = False
    ) -> Entry:
        record = replace(
            draft,
            parents=tuple(Parent(parent.tag, parent.digest) for parent in parents),
            state=replace(draft.state, seen=fingerprint(seen)),
        )
        return records.write(self.context.stores(place.history), record, first=first)


def standing_before(observer: Observer, sight: Sight, entry: Entry) -> Standing:
    """Where an image stood before one of its heads was announced: its parents are heads again."""
    others = tuple(head for head in sight.standing.heads if head.tag != entry.tag)
    parents = observer.entries(sight.place.history, [parent.tag for parent in entry.record.parents])
    named = {parent.tag for head in others for parent in head.record.parents}
    heads = others + tuple(parent for tag, parent in parents.items() if tag not in named)
    digest = sight.standing.digest
    return Standing(entry.record.previous_digest if digest == entry.record.digest else digest, heads)


def _without(entry: Entry, before: Standing, standing: Standing) -> State:
    """The state before an announcement. Where others wrote after it, their holds are not its own."""
    if entry in standing.heads:
        return before.state
    kept = [head.record.state.holds for head in before.heads if head not in standing.heads]
    return replace(before.state, holds=before.state.holds - entry.record.state.holds.difference(*kept))


def _is_open(entry: Entry, standing: Standing, *, left: bool) -> bool:
    """Whether it is for the writer of an announcement to say that it did not take place."""
    others = [head for head in standing.heads if head.tag != entry.tag]
    if len(others) == len(standing.heads):
        # Others wrote after it. Where they say that what it announced runs, they saw its tag before it was put back.
        return left and all(head.record.digest == entry.record.digest != standing.digest for head in others)
    return all(head.record.digest == standing.digest for head in others)


def _numbered(state: State, release: Release, adoption: Release) -> State:
    """Name the releases of the entries that came in with this run: the running one's, and the adoption's below it."""
    top = len(state.stack) - 1
    stack = tuple(
        replace(ran, release=release if index == top else adoption) if ran.release == UNNUMBERED else ran
        for index, ran in enumerate(state.stack)
    )
    return replace(state, stack=stack)
