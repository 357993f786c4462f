"""What an environment runs, for whoever takes it elsewhere: into files, onto a machine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from tagflow.context import Context
from tagflow.domain.reference import Digest
from tagflow.errors import Conflict, NotFound, TagflowError, combine
from tagflow.observe.observer import Observer
from tagflow.pin.edit import Runs
from tagflow.verbs.status import Cell, doubted, look, tell_doubts

_FEW = 5
"""So many targets are named in a command."""


def running(context: Context, environment: str, images: Iterable[str]) -> Mapping[str, Runs]:
    """What an environment runs of some images.

    What somebody moved there by hand is told in a note. Where records are signed it is refused: whoever may push could
    else have anything deployed by digest, with nobody's signature, or what a rollback takes away.

    :raises NotFound: ``environment.empty``.
    :raises Conflict: ``environment.unrecorded`` where it stands at what was taken back, or by hand at what no signed
        record says, or is to leave; ``history.broken``.
    """
    signed = bool(context.environment(environment).signed_by)
    found: dict[str, Runs] = {}
    errors: list[TagflowError] = []
    under_way: list[str] = []
    by_hand: dict[str, Cell] = {}
    rows = look(context, Observer(context), [environment, *images])
    for row in rows:
        cell: Cell = row.environments[0]
        if cell.digest is None:
            errors.append(
                NotFound(
                    "environment.empty",
                    f"{row.image}: nothing runs in {environment}",
                    hint=f"Look at `tagflow status {environment}`.",
                )
            )
            continue
        if cell.state in ("late", "broken"):
            errors.append(_unsure(row.image, environment, cell.state, cell.detail))
            continue
        leaves = cell.state == "interrupted" and cell.digest in {hold.digest for hold in cell.held}
        if signed and leaves and not cell.is_by_hand:
            errors.append(_held(row.image, cell))
            continue
        found[row.image] = Runs(row.image, cell.version or cell.found, Digest(cell.digest))
        under_way += [row.image] if cell.state == "interrupted" else []
        by_hand |= {row.image: cell} if cell.is_by_hand else {}
    if by_hand and signed:
        errors += _by_hand(environment, by_hand)
    if errors:
        raise combine(errors)
    tell_doubts(context, doubted(rows))
    if under_way:
        # A tag that was put back to what the last release replaced looks the same.
        context.warn(
            f"note: a release to {environment} is not finished, or its tag was put back by hand; what stands there now"
            f" counts: {', '.join(under_way)}"
        )
    if by_hand:
        context.warn(
            f"note: {environment} was moved by hand, and no record says that this should run: {', '.join(by_hand)};"
            f" `tagflow status {environment}` shows it"
        )
    return found


def _unsure(image: str, environment: str, state: str, detail: str) -> TagflowError:
    if state == "broken":
        return Conflict("history.broken", f"{image}: {detail}", hint=f"`tagflow verify {environment}` tells more.")
    return Conflict(
        "environment.unrecorded",
        f"{image}: {environment} stands at a digest that was taken back",
        hint=f"First put it right: `tagflow verify {environment} --repair`.",
    )


def _held(image: str, cell: Cell) -> TagflowError:
    """The error for what a rollback holds and the tag stands at: it was put back there, or has not moved yet."""
    return Conflict(
        "environment.unrecorded",
        f"{image}: {cell.environment} stands at {cell.found or cell.digest}, which is held there: the rollback from it"
        " is not finished, or its tag was put back by hand",
        hint=f"First put it right: `{cell.way_on or f'tagflow verify {cell.environment}'}`.",
    )


def _by_hand(environment: str, cells: Mapping[str, Cell]) -> Sequence[TagflowError]:
    """An error for each image, with one hint for all of them."""
    hint = f"`tagflow status {environment}` shows it, and what settles it."
    if all(cell.wanted and cell.state == "unrecorded" for cell in cells.values()):
        targets = [f"{image}={cell.wanted}" for image, cell in cells.items()]
        named = " ".join(targets) if len(targets) <= _FEW else "NAME=VERSION…"
        hint = (
            f"`tagflow status {environment}` shows it. `tagflow rollback {environment} {named}` puts it back; what is"
            " to run there comes by a promotion."
        )
    return [
        Conflict(
            "environment.unrecorded",
            f"{image}: {environment} was moved by hand: no record that counts says that this should run",
            hint=hint,
        )
        for image in cells
    ]
