"""An abandonment, in the place of the election: until what was abandoned has come to rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from msgspec import structs

from tagflow.decide.ballot import Ballot, hides_abandonment
from tagflow.decide.election import Outcome, Verdict
from tagflow.domain.history import Entry
from tagflow.domain.plan import Move
from tagflow.execute import endings, rivals
from tagflow.execute.looks import not_abandoned
from tagflow.execute.underway import LOOKS, Underway


def wait(run: Underway) -> None:
    """After the aborts are written: until what the abandoned run sent has arrived or never will, and until
    releases that had not seen the aborts have given way.

    Where somebody began to finish the abandoned release, not having seen the aborts, that is abandoned as well.
    """
    patience = run.context.elapsed() + run.context.timing.wait
    extended, tries = True, LOOKS
    while True:
        if extended and not all(run.is_exact(image) for image in run.announced):
            run.context.wait("what the abandoned release has sent may still arrive", run.context.timing.fence)
            patience = run.context.elapsed() + run.context.timing.wait
        looked_at = run.context.elapsed()
        ballots = rivals.look(run)
        others = not_abandoned(ballots)
        if not others:
            tangled = {it: () for it, ballot in ballots.items() if hides_abandonment(ballot)}
            if tangled and tries:
                _abandon_again(run, ballots, tangled)
                extended, tries = False, tries - 1
                continue
            break
        extended = _abandon_finishers(run, ballots)
        if extended:
            continue
        if run.context.elapsed() >= patience:
            run.written.clear()
            image = next(it for it, ballot in ballots.items() if others[0] in ballot.unseen.values())
            raise endings.overtaken(run, Outcome(Verdict.YIELD, others[0], image))
        run.context.wait("another release has not given way yet", run.context.timing.poll)
    run.lookout.take_in(ballots)
    run.looked_at = dict.fromkeys(run.announced, looked_at)
    _aim(run, ballots)


def _abandon_finishers(run: Underway, ballots: Mapping[str, Ballot]) -> bool:
    """Abandon what was announced meanwhile to finish a release that is abandoned here; whether there was any."""
    gone = {entry.record.release.id for entry in _abandoned(run)}
    late = {
        image: [entry for entry in not_abandoned({image: ballot}) if entry.record.release.id in gone]
        for image, ballot in ballots.items()
    }
    found = {image: entries for image, entries in late.items() if entries}
    _abandon_again(run, ballots, found)
    return bool(found)


def _abandon_again(run: Underway, ballots: Mapping[str, Ballot], late: Mapping[str, Sequence[Entry]]) -> None:
    """Write the abandonment once more in some images, above all that is there, with what else it takes back."""
    for image, entries in late.items():
        announced = run.announced[image]
        written = run.writer.compose_again(ballots[image], announced.prospect, entries)
        run.writer.write(announced.prospect.seen.target, written)
        run.announced[image] = structs.replace(announced, mine=(*announced.mine, written.entry))


def _abandoned(run: Underway) -> list[Entry]:
    """The records that this run takes back."""
    found: list[Entry] = []
    for announced in run.announced.values():
        tags = {tag for entry in announced.mine for tag in entry.record.aborts}
        read = run.lookout.observer.read(announced.prospect.seen.target.history, sorted(tags, key=str))
        found += read.values()
    return found


def _aim(run: Underway, ballots: Mapping[str, Ballot]) -> None:
    """Move only tags that stand at a digest that was taken back, now or earlier; no other is ours."""
    moves: list[Move] = []
    for move in run.plan.moves:
        ballot = ballots.get(move.image)
        if move.kind != "environment" or ballot is None:
            moves.append(move)
            continue
        record = ballot.announcement.record
        taken = run.lookout.observer.read(
            run.announced[move.image].prospect.seen.target.history, sorted(record.aborts, key=str)
        )
        void = record.state.void_digests | {move.before} | {entry.record.digest for entry in taken.values()}
        if ballot.digest == move.after or ballot.digest not in void:
            continue
        moves.append(replace(move, before=ballot.digest))
    run.plan = replace(run.plan, moves=tuple(moves))
    missing = {
        (m.image, m.after) for m in moves if m.action != "keep" and m.after and (m.image, m.after) not in run.manifests
    }
    for image, digest in missing:
        run.manifests[image, digest] = run.execution.observer.manifest(run.repository(image), digest)
