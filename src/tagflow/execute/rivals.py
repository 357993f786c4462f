"""Phase 3: a look at who else has announced something, and the election: of several releases at most one goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from msgspec import structs

from tagflow.decide.ballot import Ballot, finishes, has_arrived, left_to_a_finisher, taken_over
from tagflow.decide.election import Outcome, Verdict, elect, stopped_by
from tagflow.errors import TagflowError, combine
from tagflow.execute import anchors, endings
from tagflow.execute.underway import Underway


def win(run: Underway) -> None:
    """List again; go on only if every release that the decision had not seen was taken back by its own run.

    The first of several waits for that, the others give way at once. Then what was decided is decided again.
    """
    if not run.announced:
        return
    patience = run.context.elapsed() + run.context.timing.wait
    while True:
        looked_at = run.context.elapsed()
        ballots = look(run)
        waited = run.context.elapsed() >= patience
        outcome = elect(ballots, waited=waited)
        ballots = run.lookout.pass_over(ballots)
        if outcome.verdict is not Verdict.WAIT or waited:
            break
        run.context.wait("another release came at the same time", run.context.timing.poll)
    if outcome.verdict is not Verdict.WON:
        # Hands off what others took over: what becomes of it is for them. The other images give way.
        run.written -= {image for image, ballot in ballots.items() if taken_over(ballot) is not None}
        run.written -= left_to_a_finisher(ballots)
        raise endings.overtaken(run, outcome)
    refuse_stopped(run, ballots)
    errors = _decide_again(run)
    if errors:
        raise combine(list(errors))
    run.lookout.take_in(ballots)
    run.looked_at = dict.fromkeys(run.announced, looked_at)
    _keep_what_arrived(run, ballots)
    for move in run.pending("environment"):
        run.ledger.look(move)


def elect_again(run: Underway, ballots: dict[str, Ballot]) -> tuple[Outcome, dict[str, Ballot]]:
    """Judge this release once more by a look at some of its images, after it has won; and what was looked at last.

    Another run that is to finish the same release may have built on this one in one image, and not in another: all of
    them are looked at then, and its record in the first is waited for; and so is what one that gave way puts back.
    """
    outcome = elect(ballots, again=True)
    others = any(finishes(it, ballot) for ballot in ballots.values() for it in ballot.unseen.values())
    if outcome.verdict not in (Verdict.STOP, Verdict.WAIT) or not others:
        return outcome, ballots
    moves = (move for move in (*run.ledger.changed, *run.ledger.doubtful) if move.kind == "environment")
    moved = {move.image: move.after for move in moves}
    patience = run.context.elapsed() + run.context.timing.wait
    while True:
        looked = run.lookout.unseen(run.lookout.ballots(run.announced))
        everywhere = {
            image: structs.replace(it, before=it.digest) if image in moved and moved[image] == it.digest else it
            for image, it in looked.items()
        }
        waited = run.context.elapsed() >= patience
        outcome = elect(everywhere, again=True, waited=waited)
        if outcome.verdict is not Verdict.WAIT or waited:
            return outcome, {image: looked[image] for image in ballots}
        run.context.wait("another release came at the same time", run.context.timing.poll)


def _keep_what_arrived(run: Underway, ballots: Mapping[str, Ballot]) -> None:
    """Where the run whose release is finished here has moved the tag by itself meanwhile, it is not moved again."""
    there = {image: ballot.digest for image, ballot in ballots.items() if has_arrived(ballot, waited=True)}
    for image, digest in there.items():
        run.announced[image] = structs.replace(run.announced[image], before=digest)
    run.plan = replace(
        run.plan,
        moves=tuple(
            replace(move, before=move.after) if move.kind == "environment" and move.image in there else move
            for move in run.plan.moves
        ),
    )


def look(run: Underway) -> dict[str, Ballot]:
    """All that was written since the decision. Whether the tags that this run creates once it has won are there already
    is seen in the same round."""
    return run.lookout.ballots(run.announced, beside=anchors.to_create(run))


def _decide_again(run: Underway) -> Sequence[TagflowError]:
    recheck = run.execution.recheck
    return recheck(run.lookout.observer) if recheck else ()


def refuse_stopped(run: Underway, ballots: Mapping[str, Ballot]) -> None:
    """Give way to a hold or freeze that came since the decision."""
    for step in run.plan.steps:
        if step.image not in ballots:
            continue
        stop = stopped_by(step, ballots[step.image].unseen.values(), run.waived)
        if stop is not None:
            raise endings.stopped(stop, step)
