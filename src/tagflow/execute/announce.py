"""Phase 2: the intent, written ahead, in a record for each image."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from tagflow.domain.history import Entry
from tagflow.domain.plan import Step
from tagflow.execute.compose import Written
from tagflow.execute.looks import Announced
from tagflow.execute.underway import Underway
from tagflow.workers import each


def announce(run: Underway) -> None:
    """Write the records of images whose tags will move before those of images that are there already.

    The first say by themselves that something is under way; the others are like done as soon as they are written.
    """
    _wait_out_others(run)
    composed = run.writer.compose_all(run.plan.steps, run.decision.prospects)
    before = {move.image: move.before for move in run.plan.moves if move.kind == "environment"}
    for step in run.plan.steps:
        prospect = run.decision.prospects[step.image]
        at = before.get(step.image, prospect.seen.standing.digest)
        run.announced[step.image] = Announced(prospect, _entries(composed[step.image]), at)
    moving = {move.image for move in run.pending("environment")}
    first = [step for step in run.plan.steps if step.image in moving]
    there = [step for step in run.plan.steps if step.image not in moving]
    for steps in (first, there):
        each(lambda step: _write(run, step, composed[step.image]), steps, threads=run.context.threads)


def _write(run: Underway, step: Step, composed: Sequence[Written]) -> None:
    def anew(again: Sequence[Written]) -> None:
        run.announced[step.image] = replace(run.announced[step.image], mine=_entries(again))

    run.written.add(step.image)
    run.writer.write_all(step, run.decision.prospects[step.image], composed, anew)
    run.is_known = True


def _entries(composed: Sequence[Written]) -> tuple[Entry, ...]:
    return tuple(written.entry for written in composed)


def _wait_out_others(run: Underway) -> None:
    """What an abandoned run sent may arrive until a moment after its abandonment, and what a run sent whose release
    another one finished: wait for that moment too."""
    if run.abandons:
        return
    fence, skew = run.context.timing.fence, run.context.timing.skew
    waits: list[float] = []
    for prospect in run.decision.prospects.values():
        if run.is_exact(prospect.seen.image):
            continue
        standing = prospect.seen.standing
        # What was abandoned still stands: whoever abandoned it has waited, and puts it back only now.
        twice = standing.digest in standing.state.void_digests
        over = (2 if twice else 1) * fence + skew
        ages = run.lookout.ages_of_takeovers(prospect, over, run.plan.resumes)
        waits += [min(fence, over - age) for age in ages]
    if waits:
        run.context.wait("what another run has sent may still arrive", max(waits))
