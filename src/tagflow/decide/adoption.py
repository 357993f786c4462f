"""What becomes of a history when an environment tag is found that somebody moved by hand."""

from __future__ import annotations

from tagflow.domain.history import Hold, Release, StackEntry, State
from tagflow.domain.snapshot import Observation

BY_HAND = "moved by hand: no signed record tells of it"


def adopting(seen: Observation, label: str | None, release: Release) -> State:
    """The checkpoint once what runs is written down. It goes on the stack, so that a rollback can return to it.

    Not where records are signed: who may push must not get into the history what nobody signed for. There it is held,
    by its version where no other bytes have that, and by its digest; what a counting record names is as it was.
    """
    standing = seen.standing
    assert standing.digest is not None
    if seen.named is None:
        return standing.state.adopted(StackEntry(label, standing.digest, release))
    if any(digest == standing.digest for _, digest in seen.named):
        return standing.state
    taken = {known for known, _ in seen.named}
    name = label if label is not None and label not in taken else standing.digest
    return standing.state.holding(Hold(name, standing.digest, "somebody", None, BY_HAND))
