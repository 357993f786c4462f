"""Execute: any plan, in the one order of writes that survives dying anywhere, so that at most one of several runs wins.

1. objects; 2. for all images their records, the intent written ahead; 3. look again, and elect; 4. version tags, then
combined and pin tags; 5. the environment tags, each the commit point of its image; 6. look again; 7. floating tags,
from what then stands. Each phase ends before the next begins. An abandonment waits in the place of 3 and 4. Where a
look is too old for a commit, that image is looked at and elected once more. docs/protocol.md says why there are looks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct, field

from tagflow.context import Context
from tagflow.domain.history import Entry
from tagflow.errors import Detail, StoreError, TagflowError
from tagflow.execute import abandon, anchors, announce, arrival, back, endings, objects, rivals
from tagflow.execute.commit import Commit
from tagflow.execute.ledger import differing
from tagflow.execute.underway import Execution, Underway


class Result(Struct, frozen=True):
    """What executing a plan came to; ``heads`` are the records that it left on top, by image, ``differing`` the
    environment and floating tags that differ from before, or may, as data."""

    release: str | None
    applied: bool
    compensated: bool = False
    number: int | None = None
    heads: Mapping[str, Entry] = field(default_factory=dict)
    differing: Sequence[Detail] = ()


def execute(context: Context, execution: Execution) -> Result:
    """Carry out a decision that nothing refuses.

    :raises Overtaken: another release of the same images came first, or took this one back.
    :raises TagflowError: what failed, where no environment or floating tag differs from before.
    :raises PartlyApplied: where one does; the message lists each with its digest before and now.
    :raises Interrupted: on Ctrl-C, with the message of either.

    The ``result`` of the error holds a :class:`Result`.
    """
    run = Underway(context, execution)
    try:
        _carry_out(run)
    except KeyboardInterrupt:
        raise _with_result(run, endings.interrupted(run)) from None
    except TagflowError as error:
        told = endings.unchanged(run, error) if isinstance(error, StoreError) and run.announced else error
        raise _with_result(run, told)  # noqa: B904
    return _result(run, applied=True)


def _carry_out(run: Underway) -> None:
    """All phases, in their order."""
    objects.bring(run)
    objects.get_manifests(run)
    objects.see_removals(run)
    _or_abort(run, announce.announce)
    if run.abandons:
        _or_abort(run, abandon.wait)
    else:
        _or_abort(run, rivals.win)
        _or_abort(run, anchors.create_all)
    Commit(run).move_all()
    arrival.look_again(run)
    arrival.move_floating(run)


def _or_abort(run: Underway, phase: Callable[[Underway], None]) -> None:
    """Run a phase before the commit points; where it fails, say in the history that nothing came of it."""
    try:
        phase(run)
    except TagflowError:
        if not run.abandons:
            back.abort_all(run, moved=frozenset())
        raise


def _with_result(run: Underway, error: TagflowError) -> TagflowError:
    error.result = _result(run, applied=False)
    return error


def _result(run: Underway, *, applied: bool) -> Result:
    release = run.release if run.plan.steps else None
    return Result(
        release.id if release else None,
        applied=applied,
        compensated=run.ledger.compensated,
        number=release.number if release else None,
        heads={image: it.mine[-1] for image, it in run.announced.items()},
        differing=differing(run.ledger),
    )
