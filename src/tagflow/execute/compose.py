"""The record writer: the records of one release, composed from what was decided and what was seen."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from tagflow.context import Context
from tagflow.decide.ballot import Ballot, gone, taken_back
from tagflow.decide.carry import (
    built_on_by,
    carried,
    carrying,
    carrying_on,
    everything,
    noted_beside,
    numbered,
    parents_below,
    resumed_head,
    still_open,
    taken_below,
    tops,
    with_notes,
)
from tagflow.decide.decision import Prospect, adopting
from tagflow.domain.history import NOTES, RELEASES, Entry, Parent, Record, fingerprint
from tagflow.domain.own_tags import RecordTag, parse_record_tag, record_tag
from tagflow.domain.plan import Plan, Step
from tagflow.domain.records import ARTIFACT_TYPE, to_annotations
from tagflow.domain.snapshot import Target
from tagflow.domain.state import Release, State
from tagflow.errors import StoreError
from tagflow.execute.sign import signed
from tagflow.stores.artifact import artifact, as_image, write_empty
from tagflow.stores.port import Manifest, Store, TypeRefused
from tagflow.workers import each

_PAUSES = (0.05, 0.2, 0.5)
"""Seconds before a record that the registry refused for its blob is put again."""


class Written(Struct, frozen=True):
    """A record on its way: what stands under its tag once it has arrived."""

    entry: Entry
    manifest: Manifest


class RecordWriter(Struct, frozen=True):
    """Composes and writes the records of one release. ``plan_id`` is the saved plan that is carried out, or empty,
    ``approvals`` what counted for it."""

    context: Context
    plan: Plan
    release: Release
    adoption: Release
    plan_id: str = ""
    approvals: tuple[str, ...] = ()
    as_images: bool = False
    """Whether the records are to call themselves images; they do so above one that does, in any case."""

    def compose_all(self, steps: Sequence[Step], prospects: Mapping[str, Prospect]) -> dict[str, list[Written]]:
        """The records of every image, by its name. A signature may take a process or a request each."""
        if self.context.signing_key() is None:
            return {step.image: self.compose(step, prospects[step.image]) for step in steps}
        composed = each(
            lambda step: (step.image, self.compose(step, prospects[step.image])), steps, threads=self.context.threads
        )
        return dict(composed)

    def compose(self, step: Step, prospect: Prospect) -> list[Written]:
        """An image's records: what is adopted, where something is, then the announcement."""
        target, standing = prospect.seen.target, prospect.seen.standing
        parents = parents_below(step, standing)
        # What is left on top is not below it: a reader that finds all below named looks no further.
        seen = set(prospect.seen.records) - {it.tag for it in standing.heads if it not in parents}
        composed: list[Written] = []
        if step.adopts:
            composed.append(self._composed(self._adopted(prospect), parents, seen))
            parents = [composed[0].entry]
            seen.add(parents[0].tag)
        # A rollback to what was moved by hand leaves the adopted entry on top.
        top = self.adoption if step.adopts and step.depth == 0 else self.release
        draft = replace(
            self._draft(target, numbered(prospect.state, top, self.adoption)),
            action=step.action,
            version=step.version,
            digest=step.digest,
            previous_version=step.previous_version,
            previous_digest=step.previous_digest,
            subject=step.subject,
            aborts=tuple(tag for name in step.aborts if (tag := parse_record_tag(name))),
            abandons=step.action == "abort",
            finishes=step.action in RELEASES and self.plan.resumes is not None,
        )
        if step.action in NOTES or step.subject is not None:  # an admission that is taken back moved no tag
            draft = carrying(draft, prospect)
        elif prospect.since is not None:
            draft = replace(draft, state=replace(draft.state, since=prospect.since, by=prospect.by))
        composed.append(self._composed(draft, parents, seen))
        return composed

    def compose_abort(
        self, ballot: Ballot, prospect: Prospect, *, moved: bool, lost: Collection[RecordTag] = ()
    ) -> Written:
        """This run's own abort: what it announced did not take place, or is put back (``moved``).

        Where another release remains under way, the abort carries that one on: it must not look settled. That is so
        for a release that this run was to finish, too; not for one that has ``lost``. Where somebody took this run's
        release back, or the one that it was to finish, it goes to where they took it.
        """
        target, announced = prospect.seen.target, ballot.announcement
        record = announced.record
        resumed = resumed_head(prospect, ballot) if self.plan.resumes is None else resumed_head(prospect)
        # What was moved by hand, and is adopted, was not brought in by a release that could be taken back.
        base_gone = taken_below(prospect, ballot) if len(ballot.mine) == 1 else None
        taken = taken_back(ballot) or base_gone
        under_way = [] if moved else still_open(ballot, lost)
        remaining = next(iter(under_way), None)
        # Where the tag does not say which of several goes on, the others stay on top: whichever does is found there.
        arrived = remaining is not None and remaining.record.digest == ballot.digest
        beside = set[RecordTag]() if arrived else {entry.tag for entry in under_way[1:]}
        if remaining is None and taken is None:
            remaining = resumed
        adopted = ballot.mine[0].record if len(ballot.mine) > 1 else None
        base = adopted.state if adopted else prospect.seen.standing.state
        if base_gone is not None:
            base = noted_beside(prospect, gone(ballot))
        state = with_notes(base, ballot.unseen.values())
        draft = replace(
            self._draft(target, state),
            action="abort",
            version=adopted.version if adopted else prospect.seen.standing.wanted,
            digest=record.previous_digest,
            previous_version=record.version,
            previous_digest=record.digest if moved else record.previous_digest,
            aborts=(announced.tag,),
        )
        if record.action in NOTES:
            draft = replace(carrying(draft, prospect), previous_version=record.version)
        elif not moved:
            draft = replace(draft, state=replace(draft.state, since=state.since, by=state.by))
        if taken is not None:
            back = taken.record
            state = replace(with_notes(carried(back.state, base), ballot.unseen.values()), seen="")
            draft = replace(draft, version=back.version, digest=back.digest, state=state)
            if back.follows is not None and not moved:
                draft = replace(draft, previous_digest=back.previous_digest, follows=back.follows)
        if remaining is not None:
            below = built_on_by(remaining, ballot.unseen)
            # What it was built on it has, or has lifted: that must not come back by this run's older view.
            if base is prospect.seen.standing.state and {it.tag for it in prospect.seen.standing.heads} <= below:
                base = remaining.record.state
            draft = carrying_on(draft, remaining, base)
            beside_it = [entry for tag, entry in ballot.unseen.items() if tag not in below]
            draft = replace(draft, state=with_notes(draft.state, beside_it))
            if remaining == resumed:
                return self._composed(draft, tops(prospect, ballot), everything(ballot))
        draft = replace(draft, state=draft.state.aborted(record.version, record.digest))
        parents = [entry for entry in tops(prospect, ballot) if entry.tag not in beside]
        return self._composed(draft, parents, everything(ballot) - beside)

    def compose_again(self, ballot: Ballot, prospect: Prospect, late: Sequence[Entry]) -> Written:
        """This run's abandonment once more, with records that it names beside those that it took back.

        Where another release is under way, which is not abandoned, this carries that one on.
        """
        last = ballot.announcement.record
        first = next(entry.record for entry in ballot.mine if entry.record.abandons)
        aborts = tuple(dict.fromkeys((*last.aborts, *(entry.tag for entry in late))))
        draft = replace(first, aborts=aborts, previous_digest=ballot.digest, at=self.context.now())
        for remaining in still_open(ballot, aborts)[:1]:
            draft = carrying_on(draft, remaining, first.state)
        state = with_notes(draft.state, ballot.unseen.values()).joined(State(void=last.state.void))
        for entry in late:
            state = state.aborted(entry.record.version, entry.record.digest)
        draft = replace(draft, state=state)
        return self._composed(draft, tops(prospect, ballot), everything(ballot))

    def write(self, target: Target, written: Written, *, first: bool = False) -> None:
        """Store a record under its own tag. Writing the same record again changes nothing.

        One request, unless it is the ``first`` record of the repository: all others find the empty blob there.

        :raises TypeRefused: the registry keeps no records but such as call themselves images.
        """
        put_record(self.context, self.context.stores(target.history), written, first=first)

    def write_all(
        self,
        step: Step,
        prospect: Prospect,
        composed: Sequence[Written],
        anew: Callable[[Sequence[Written]], None] = lambda _: None,
    ) -> None:
        """Store an image's records. Where the registry refuses their type, they are composed once more, and ``anew`` is
        told before they are stored: nothing is there of those before."""
        seen = prospect.seen
        try:
            for number, written in enumerate(composed):
                self.write(seen.target, written, first=seen.is_new and not number)
        except TypeRefused:
            if self.as_images:
                raise
            writer = replace(self, as_images=True)
            again = writer.compose(step, prospect)
            anew(again)
            writer.write_all(step, prospect, again)

    def _adopted(self, prospect: Prospect) -> Record:
        standing = prospect.seen.standing
        assert standing.digest is not None
        head = standing.head
        return replace(
            self._draft(prospect.seen.target, adopting(prospect.seen, prospect.adopted, self.adoption)),
            action="adopt",
            version=prospect.adopted,
            digest=standing.digest,
            previous_version=standing.wanted,
            previous_digest=head.record.digest if head else None,
            release=self.adoption,
            overrides=(),
        )

    def _draft(self, target: Target, state: State) -> Record:
        now = self.context.now()
        return Record(
            environment=target.environment.name,
            repository=target.recorded_as,
            action="promote",
            version=None,
            digest=None,
            previous_version=None,
            previous_digest=None,
            release=self.release,
            actor=self.context.actor,
            reason=self.plan.request.reason,
            overrides=self.plan.request.overrides,
            at=now,
            parents=(),
            state=replace(state, since=now, by=self.context.actor),
            intent=self.plan.intent,
            plan=self.plan_id,
            approvals=self.approvals,
        )

    def _composed(self, draft: Record, parents: Sequence[Entry], seen: Iterable[RecordTag]) -> Written:
        named = tuple(Parent(parent.tag, parent.digest) for parent in parents)
        record = replace(draft, parents=named)
        # What stands above it is no record: it would not be among the tags below it, where a reader compares.
        below = fingerprint(tag for tag in seen if tag.sequence < record.sequence)
        record = replace(record, state=replace(draft.state, seen=below))
        as_images = self.as_images or any(parent.as_image for parent in parents)
        unsigned = to_annotations(record)
        if as_images:
            unsigned = as_image(ARTIFACT_TYPE, unsigned)
        annotations, proof = signed(self.context, record, unsigned)
        manifest = artifact(ARTIFACT_TYPE, annotations)
        tag = record_tag(record.environment, record.sequence, manifest.digest)
        return Written(Entry(tag, manifest.digest, record, proof, as_images), manifest)


def put_record(context: Context, store: Store, written: Written, *, first: bool) -> None:
    """Store one record under its tag."""
    put_artifact(context, store, written.manifest, str(written.entry.tag), first=first)


def put_artifact(context: Context, store: Store, manifest: Manifest, tag: str, *, first: bool) -> None:
    """Store a manifest that names the empty blob. ``first``: the blob is certainly not there yet."""
    if first:
        write_empty(store)
    for pause in _PAUSES:
        try:
            store.put(manifest, tag)
            return
        except StoreError as error:
            # The empty blob is not there, or is being written: distribution 2.8 shows others half of an upload.
            if not error.code.startswith(("blob.", "manifest.")):
                raise
            context.sleep(pause)
            write_empty(store)
    store.put(manifest, tag)
