"""Phases 6 and 7: a look at what came in between, then the floating tags, from what then stands."""

from __future__ import annotations

from functools import partial

from tagflow.decide.ballot import Ballot, built_on, taken_back
from tagflow.decide.election import arrive
from tagflow.domain.history import Entry
from tagflow.domain.plan import Move
from tagflow.domain.reference import Digest, Repository
from tagflow.domain.snapshot import TagLookup
from tagflow.errors import Conflict, Overtaken, TagflowError
from tagflow.execute import anchors, back, endings
from tagflow.execute.floating import follow_floating
from tagflow.execute.underway import Underway
from tagflow.observe.observer import Observer
from tagflow.stores.port import TagMoved
from tagflow.workers import each


def look_again(run: Underway) -> None:
    """See whether anything came between the election and the environment tags that undoes this release."""
    if not run.announced:
        return
    try:
        ballots = look(run)
    except TagflowError as error:
        # The tags are where this run put them, and nothing says that they must not be.
        raise (endings.partly(run, error) if run.ledger.changed else error) from error
    steps, after = {step.image: step for step in run.plan.steps}, run.after()
    found = {image: arrive(ballot, steps[image], after[image], run.waived) for image, ballot in ballots.items()}
    undone = {image: it.taken_back for image, it in found.items() if it.taken_back is not None}
    if undone:
        back.give_way(run, ballots, undone)
    if not run.abandons:
        anchors.read_back(run)
    moved = [image for image, it in found.items() if it.tag_moved]
    stopped = {image: it.stopped for image, it in found.items() if it.stopped is not None}
    if moved and not run.abandons:
        environment = run.plan.request.environment
        back.give_back(
            run,
            Conflict(
                "tag.moved",
                f"{', '.join(moved)} in {environment}: the tag was moved by somebody else at the same moment",
                hint="Look at `tagflow status`, then run the command again.",
            ),
        )
    if stopped and not run.abandons:
        image, stop = next(iter(stopped.items()))
        back.give_back(run, endings.stopped(stop, steps[image]))


def look(run: Underway) -> dict[str, Ballot]:
    """List once more, and read back what was written, side by side: where a tag stands at what this run put there,
    an older list is as good as a younger one. Where it does not, the list is read again: that explains it.
    """
    changed = {move.image: move for move in run.ledger.changed if move.kind == "environment"}
    untouched = {image: it.before for image, it in run.announced.items() if image not in changed}
    removed: dict[str, Digest | None] = {image: None for image, move in changed.items() if move.after is None}
    stands = untouched | removed | run.moved_on
    created = [TagLookup(run.repository(move.image), move.tag) for move in run.created]
    ballots = run.lookout.ballots(run.announced, since_election=True, stands=stands, beside=created)
    lagging = [
        move
        for image, move in changed.items()
        if image not in stands and ballots[image].digest == move.before and not _explained(ballots[image])
    ]
    if not lagging:
        return ballots
    each(partial(_wait_for_replicas, run), lagging, threads=run.context.threads)
    stands |= {image: ballots[image].digest for image in changed if image not in stands}
    stands |= {move.image: move.after for move in lagging} | run.moved_on
    return run.lookout.ballots(run.announced, since_election=True, stands=stands, beside=created)


def _wait_for_replicas(run: Underway, move: Move) -> None:
    """A tag stands where it was before, and no record says why: one that was read may lag behind."""
    assert move.after is not None
    try:
        run.store(move.image).confirm(move.tag, move.after, move.before)
    except TagMoved as error:
        run.moved_on[move.image] = error.actual


def move_floating(run: Underway) -> None:
    """Let the floating tags follow what stands then."""
    try:
        last = follow_floating(run.context, run.plan, run.lookout.observer, run.ledger, _own_entries(run))
        if last is not None and not run.abandons:
            _look_at_the_end(run, last)
    except Overtaken:
        raise
    except TagflowError as error:
        if run.ledger.changed or run.ledger.doubtful:
            raise endings.partly(run, error) from error
        raise


def _look_at_the_end(run: Underway, last: Observer) -> None:
    """Where the last look lists what is new, somebody may have taken this release back while its floating tags were
    moved."""
    news = {image: it for image, it in run.announced.items() if run.lookout.is_news_to(it, last)}
    if not news:
        return
    ballots = run.lookout.ballots(news, since_election=True)
    undone = {image: by for image, ballot in ballots.items() if (by := taken_back(ballot)) is not None}
    if undone:
        back.give_way(run, ballots, undone)


def _own_entries(run: Underway) -> dict[Repository, list[Entry]]:
    """This run's records, by where they are kept: nobody needs to ask for them."""
    return {it.prospect.seen.target.history: list(it.mine) for it in run.announced.values()}


def _explained(ballot: Ballot) -> bool:
    """Whether a record says why the environment tag is not where this run put it."""
    return taken_back(ballot) is not None or built_on(ballot) is not None
