"""Phase 4: the tags that never move: version tags, then combined and pin tags."""

from __future__ import annotations

from functools import partial

from tagflow.domain.plan import Move
from tagflow.domain.snapshot import TagLookup
from tagflow.domain.tagging import Kind
from tagflow.errors import TagflowError, combine
from tagflow.execute import back, endings
from tagflow.execute.underway import Underway
from tagflow.stores.port import TagMoved
from tagflow.workers import each

_OWN: tuple[Kind, ...] = ("combined", "pin")
"""Tags that never move and that are tagflow's alone to write."""


def create_all(run: Underway) -> None:
    """Version tags first: no build that is refused may be left under a combined tag.

    Anybody may push a version tag: it is looked at right before it is written, and read back before anything else
    happens. Nobody else writes the others: the election has looked at them, and they are read back with the
    environment tags. Where nothing was announced there was no election, and there will be no look.
    """
    own = _create_own if run.announced else _create
    for kinds, create in ((("version",), _create), (_OWN, own)):
        each(partial(create, run), run.pending(*kinds), threads=run.context.threads)


def _create(run: Underway, move: Move) -> None:
    assert move.after is not None
    run.store(move.image).create(move.tag, run.manifests[move.image, move.after])


def _create_own(run: Underway, move: Move) -> None:
    assert move.after is not None
    seen = run.lookout.observer.stands(run.repository(move.image), move.tag)
    if seen == move.after:
        return
    looked = seen is None and not run.is_late(run.looked_at.get(move.image, 0.0))
    manifest = run.manifests[move.image, move.after]
    run.store(move.image).move(move.tag, manifest, None, looked=looked, confirm=False)
    run.created.append(move)


def to_create(run: Underway) -> list[TagLookup]:
    """The tags that nobody but tagflow writes and that this run is to create."""
    return [TagLookup(run.repository(move.image), move.tag) for move in run.pending(*_OWN)]


def read_back(run: Underway) -> None:
    """Give everything back where a tag that was created is not where this run put it; a replica may lag behind."""
    elsewhere: list[TagMoved] = []
    for move in run.created:
        assert move.after is not None
        if run.lookout.observer.stands(run.repository(move.image), move.tag) == move.after:
            continue
        try:
            run.store(move.image).confirm(move.tag, move.after, None)
        except TagMoved as error:
            elsewhere.append(error)
        except TagflowError as error:  # nothing says that it is elsewhere
            raise (endings.partly(run, error) if run.ledger.changed else error) from error
    if elsewhere:
        back.give_back(run, combine(elsewhere))
