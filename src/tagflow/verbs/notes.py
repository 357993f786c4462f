"""hold and freeze: without moving a tag, a version or a whole environment is taken out of promotion."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from tagflow.context import Context
from tagflow.decide.notes import Note, decide_note, note_lookups, read_freeze, read_hold, under_way
from tagflow.domain.plan import Outcome, Request, Step
from tagflow.domain.state import Release
from tagflow.errors import Conflict, on_one_line
from tagflow.execute.compose import RecordWriter
from tagflow.execute.sign import need_key
from tagflow.observe.observer import Observer
from tagflow.workers import each


def hold(context: Context, request: Request, *, lift: bool = False) -> Outcome:
    """Take versions out of promotion to an environment, or let them in again.

    :raises TagflowError: ``version.not_found``, ``reason.missing``, …; ``release.interrupted`` where a release of that
        version stayed under way: the hold stands, from now on.
    """
    return _note(context, read_hold(context.scheme, request, context.actor, lift=lift))


def freeze(context: Context, request: Request, *, lift: bool = False, until: datetime | None = None) -> Outcome:
    """Let nothing be promoted to an environment (``until``: an aware datetime), or end that.

    :raises TagflowError: ``reason.missing``, ``time.invalid`` for an end that is not to come, …;
        ``release.interrupted`` where a release stayed under way: the freeze stands, from now on.
    """
    note = read_freeze(context.scheme, request, context.actor, context.now(), lift=lift, until=until)
    return _note(context, note)


def _note(context: Context, note: Note) -> Outcome:
    need_key(context, note.environment)
    observer = Observer(context)
    now = context.now()
    snapshot = observer.observe(
        note.targets(context.scheme), lambda known: note_lookups(known, note), note.repositories(context.scheme)
    )
    decision = decide_note(snapshot, note, context.policy_digest, now)
    plan = decision.plan
    for text in decision.notes:
        context.warn(f"note: {text}")
    outcome = Outcome(note.environment.name, plan, applied=True, notes=decision.notes)
    if not plan.steps:
        return outcome
    release = Release(context.new_id(), decision.number + 1)
    writer = RecordWriter(context, plan, release, release)
    composed = writer.compose_all(plan.steps, decision.prospects)

    def write(step: Step) -> None:
        writer.write_all(step, decision.prospects[step.image], composed[step.image])

    each(write, plan.steps, threads=context.threads)
    outcome = replace(outcome, release=release.id, number=release.number)
    _wait_for_releases(context, note, observer, outcome)
    return outcome


def _wait_for_releases(context: Context, note: Note, observer: Observer, outcome: Outcome) -> None:
    """Wait until the releases that the note concerns, and that had not seen it, are complete or were taken back.

    :raises Conflict: ``release.interrupted`` where one is still under way when the wait ends.
    """
    patience = context.elapsed() + context.timing.wait
    targets = note.targets(context.scheme)
    while True:
        observer = observer.again()
        snapshot = observer.observe(targets, lambda known: note_lookups(known, note), note.repositories(context.scheme))
        releases = under_way(snapshot, note, outcome.plan.steps)
        if not releases:
            return
        if context.elapsed() >= patience:
            record = releases[0].entry.record
            error = Conflict(
                "release.interrupted",
                f"written down, from now on; release {record.release.number} in {note.environment.name} by"
                f" {on_one_line(record.actor)} is still under way, or died",
                hint=f"Look at `tagflow status {note.environment.name}`.",
            )
            error.result = outcome
            raise error
        context.wait("a release that has not seen it is under way", context.timing.poll)
