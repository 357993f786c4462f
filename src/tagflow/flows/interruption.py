"""A release that was announced and not finished: who belongs to it, and the ways out."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping

from tagflow.domain.history import Record, Release
from tagflow.domain.policy import Policy
from tagflow.errors import Conflict
from tagflow.flows.observe import Place, Sight


def interrupted(sights: Mapping[Place, Sight]) -> list[Sight]:
    """The images whose last release was announced and not finished; those of the latest such release first.

    Of one that was being abandoned, the images of which that is written down come before those still to follow.
    """
    found = [sight for sight in sights.values() if sight.standing.condition == "interrupted"]
    return sorted(found, key=lambda sight: (-_number(sight), not _is_abandoned(sight)))


def under_way(sights: Mapping[Place, Sight]) -> list[Sight]:
    """All images with a record of the latest interrupted release: those that arrived too.

    An image whose part was taken back already has an ``abort`` record of that release: it is as if never announced.
    """
    broken = interrupted(sights)
    head = broken[0].standing.head if broken else None
    if head is None:
        return []
    same = (head.record.release.id, head.record.action)
    heads = ((sight, sight.standing.head) for sight in sights.values())
    return [sight for sight, it in heads if it and (it.record.release.id, it.record.action) == same]


def announces_again(policy: Policy, sight: Sight) -> bool:
    """Whether finishing an interrupted release writes a second record.

    Where a ``soak`` measures stays, a version must not be taken for one that arrived when it was announced first.
    """
    return sight.standing.condition == "interrupted" and policy.measures_stays(sight.place.environment.name)


def resumed(record: Record | None) -> tuple[Release | None, tuple[tuple[str, str], ...]]:
    """Of a release that is being finished: its name, and where it wanted each of its members."""
    return (None, ()) if record is None else (record.release, record.intent)


def finish_command(environment: str, intent: Iterable[tuple[str, str]], overrides: Iterable[str], reason: str) -> str:
    """The promote that finishes a release. What it set aside is asked again for members that no record tells of yet."""
    words = ["tagflow", "promote", *(f"{image}={wanted}" for image, wanted in intent), "--to", environment]
    set_aside = [word for rule in overrides for word in ("--override", rule)]
    return shlex.join([*words, *set_aside, "--reason", reason] if set_aside else words)


def way_on(record: Record) -> str:
    """The command that finishes the release of which a record tells."""
    if record.action in ("rollback", "abort"):
        return f"tagflow rollback {record.environment}"
    return finish_command(record.environment, record.intent, record.overrides, record.reason)


def refuse_interrupted(sights: Mapping[Place, Sight]) -> Conflict:
    """Another change while a release is not finished: the error with both ways out."""
    members = under_way(sights)
    head = members[0].standing.head
    assert head is not None
    environment = head.record.environment
    goes_back = head.record.action in ("rollback", "abort")
    names = ", ".join(sight.place.image.name for sight in interrupted(sights))
    return Conflict(
        "release.interrupted",
        f"release {head.record.release.number} in {environment} was announced by {head.record.actor} and is not"
        f" finished ({names}): it is still under way, or died",
        hint=f"Finish it: `{way_on(head.record)}`."
        + ("" if goes_back else f" Abandon it: `tagflow rollback {environment}`."),
    )


def _is_abandoned(sight: Sight) -> bool:
    head = sight.standing.head
    return head is not None and head.record.action == "abort"


def _number(sight: Sight) -> int:
    head = sight.standing.head
    return head.record.release.number if head else 0
