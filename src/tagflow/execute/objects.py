"""Phase 1: blobs and manifests, before anything says that they are there."""

from __future__ import annotations

from tagflow.decide.decision import Origin
from tagflow.domain.reference import Digest
from tagflow.execute.daemon import through_daemon
from tagflow.execute.underway import Underway
from tagflow.stores.port import Manifest
from tagflow.stores.transfer.copy import Copier, PreparedCopy
from tagflow.workers import each


def bring(run: Underway) -> None:
    """Bring what enters to where it is wanted, with what hangs on it."""
    targets = {choice.image: choice.seen.target.repository for choice in run.decision.entering}
    origins = run.decision.origins
    # What came through the daemon is not sent again below; what hangs on it, which no daemon carries, is.
    through_daemon(run.context, run.plan.steps, origins, targets)
    if not origins:
        return
    with Copier(run.context.progress, threads=run.context.threads) as copier:

        def prepare(image: str) -> PreparedCopy:
            origin: Origin = origins[image]
            source = run.execution.opened.get(origin.repository) or run.context.stores(origin.repository)
            target = run.context.stores(run.repository(image))
            return copier.prepare(source, target, origin.reference, run.context.policy.referrers)

        # All are found before any is sent: what one is refused for must not leave another's signatures behind.
        prepared = each(prepare, origins, threads=run.context.threads)
        each(copier.send, prepared, threads=run.context.threads)


def see_removals(run: Underway) -> None:
    """See that every tag can be removed that is to be: once an abandonment is announced that cannot be carried out,
    there is no way on and no way back.

    :raises StoreError: ``tag.undeletable``.
    """
    for move in run.pending("environment"):
        if move.after is None and move.before is not None:
            run.store(move.image).refuse_untag(move.tag)


def get_manifests(run: Underway) -> None:
    """Have every manifest at hand that a tag will move to, before anything is announced."""
    wanted = {(move.image, move.after) for move in run.plan.moves if move.action != "keep" and move.after is not None}

    def get(key: tuple[str, Digest]) -> tuple[tuple[str, Digest], Manifest]:
        return key, run.execution.observer.manifest(run.repository(key[0]), key[1])

    run.manifests |= dict(each(get, wanted, threads=run.context.threads))
