"""Where an environment lived before, and what it may have been called: what was held or frozen there stays behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tagflow.decide.selection import Choice
from tagflow.domain.own_tags import recorded_in
from tagflow.domain.policy import Environment
from tagflow.domain.snapshot import Snapshot
from tagflow.errors import few

_LEFT = "what was held or frozen there is not here"


def former_notes(snapshot: Snapshot, environment: Environment, choices: Sequence[Choice]) -> list[str]:
    """What is said where images enter an environment in which they have no history yet, and may have had one under
    another name or in another registry, by what was listed; the same of several images once."""
    policy, name = snapshot.policy, environment.name
    known = {it.name for it in policy.environments}
    moved: dict[str, dict[str, None]] = {}
    renamed: dict[str, dict[str, None]] = {}
    for choice in choices:
        if choice.seen.records:
            continue
        image = choice.seen.target.image
        for other in policy.environments:
            found = recorded_in(snapshot.tags.get(policy.repository(image, other), ()))
            if other.registry.place == environment.registry.place:
                for unknown in found - known:
                    renamed.setdefault(unknown, {})[choice.image] = None
            elif name in found:
                place = f"{other.registry.host}/{other.registry.namespace}".rstrip("/")
                moved.setdefault(place, {})[choice.image] = None
    return [
        *_notes(moved, f"a history of {name} stands in %s, too: {_LEFT}"),
        *_notes(
            renamed, f"a history of %s stands beside it, which the policy does not know. If that was {name}, {_LEFT}"
        ),
    ]


def _notes(images: Mapping[str, Mapping[str, None]], told: str) -> list[str]:
    return [f"{few([*names])}: {told.replace('%s', what)}" for what, names in sorted(images.items())]
