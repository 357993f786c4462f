"""status: which version runs where."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from msgspec import Struct
from msgspec.structs import replace

from tagflow.context import Context
from tagflow.decide.finish import before_lookups, standing_before
from tagflow.decide.interrupted import Unfinished, announcement, announcement_lookups, unfinished, way_on
from tagflow.decide.selection import identify, identify_lookups
from tagflow.domain.history import Proof
from tagflow.domain.reference import Digest
from tagflow.domain.snapshot import Lookup, Observation, Snapshot, Target, target_of
from tagflow.domain.standing import Broken, Condition, Interrupted, Late, Recorded, Standing, Unrecorded
from tagflow.domain.state import Freeze, Hold, Release, State
from tagflow.domain.versions import Version
from tagflow.errors import NotFound, UsageError, suggestion, whole
from tagflow.observe.observer import Observer

_DIGEST = re.compile("(?:sha256:)?([0-9a-f]{7,64})")
"""How a digest may be named: by its first digits, as git lets a commit be named. Decimal ones may be a version too."""
_FEW = 3
"""So many images are named in a note."""


@dataclass(frozen=True)
class Cell:
    """One image in one environment.

    ``holds`` are the versions that are held here, ``held`` says by whom and why; ``frozen`` the freeze that somebody
    ordered, while it lasts. ``wanted`` is the version that an unfinished release wants, or that was recorded before
    somebody moved the tag by hand; ``way_on`` the command that finishes an unfinished release, empty where none can
    be told; ``found`` the version of a digest that no record tells of; ``beside``
    the releases that were announced by somebody who had not seen the one that runs, as ``v1.2.0 by ann``; ``detail``
    says what is wrong where a record can't be read; ``is_by_hand``: no record that counts says that this should run;
    ``leads_back``: a rollback without a target leads to other bytes; ``came_by``: the release that it undoes.
    Where records are signed, ``proof`` is that of the head,
    ``doubtful`` how many records do not count.
    """

    environment: str
    version: str | None
    digest: Digest | None
    since: datetime | None
    by: str | None
    state: Condition
    holds: tuple[str, ...]
    held: tuple[Hold, ...] = ()
    frozen: Freeze | None = None
    wanted: str | None = None
    way_on: str = ""
    found: str | None = None
    detail: str = ""
    heads: int = 1
    beside: tuple[str, ...] = ()
    proof: Proof | None = None
    doubtful: int = 0
    is_by_hand: bool = False
    leads_back: bool = False
    came_by: Release | None = None

    @property
    def signer(self) -> str | None:
        """Whose key signed for what runs; None where nobody has to, or nobody known did: no record vouches for what was
        moved by hand, or is announced and has not arrived."""
        return (self.proof.signer or None) if self.proof and self.state == "recorded" else None


@dataclass(frozen=True)
class Row:
    """One image."""

    image: str
    environments: tuple[Cell, ...]


class Filter(Struct, frozen=True):
    """What the arguments of ``status`` narrow it to; an empty set means all."""

    environments: frozenset[str] = frozenset()
    images: frozenset[str] = frozenset()
    versions: frozenset[Version] = frozenset()
    digests: frozenset[str] = frozenset()

    @property
    def narrows_cells(self) -> bool:
        """Whether only some cells of a row are asked for."""
        return bool(self.versions or self.digests)


def status(context: Context, names: Sequence[str]) -> list[Row]:
    """What runs where, narrowed by environments, images, versions or digests.

    :raises NotFound: ``status.unknown`` for a word that is none of these.
    :raises TagflowError: where repositories cannot be read; its ``result`` holds the rows of the others.
    """
    narrow, targets = asked(context, names)
    observer = Observer(context)
    return whole(*observer.readable(targets, lambda seen: _rows(context, observer, seen, narrow)))


def look(context: Context, observer: Observer, names: Sequence[str]) -> list[Row]:
    """:func:`status`, by an observer that is asked for more afterwards, of all that is asked for or of nothing."""
    narrow, targets = asked(context, names)
    return _rows(context, observer, targets, narrow)


def asked(context: Context, names: Sequence[str]) -> tuple[Filter, list[Target]]:
    """What the arguments narrow it to, and the images in the environments that are left, image by image."""
    narrow = parse_filter(context, names)
    images = [image for image in context.policy.images if not narrow.images or image.name in narrow.images]
    environments = [
        environment
        for environment in context.policy.environments
        if not narrow.environments or environment.name in narrow.environments
    ]
    return narrow, [target_of(context.policy, image, environment) for image in images for environment in environments]


def parse_filter(context: Context, names: Sequence[str]) -> Filter:
    """Tell environments, images, versions and digests apart; the policy sees to it that no word is two of them."""
    environments = {environment.name for environment in context.policy.environments}
    images = {image.name for image in context.policy.images}
    found: dict[str, set[str]] = {"environments": set(), "images": set(), "digests": set()}
    versions: set[Version] = set()
    for name in names:
        if not name.strip():
            raise UsageError(
                "target.missing", "an argument is empty", hint="An unset variable? Leave it out to see all."
            )
        version = context.scheme.find_version(name)
        digest = _DIGEST.fullmatch(name)
        if name in environments:
            found["environments"].add(name)
        elif name in images:
            found["images"].add(name)
        elif digest is not None:
            found["digests"].add(digest[1])
            versions |= {version} if version else set()  # digits alone may be either
        elif version is None:
            raise NotFound(
                "status.unknown",
                f"{name!r} is no environment, image, version or digest",
                hint=suggestion(name, environments | images)
                or "A digest is given by at least seven hex digits, with or without sha256: before them.",
            )
        else:
            versions.add(context.scheme.parse_version(name))
    return Filter(
        frozenset(found["environments"]), frozenset(found["images"]), frozenset(versions), frozenset(found["digests"])
    )


def _rows(context: Context, observer: Observer, targets: Sequence[Target], narrow: Filter) -> list[Row]:
    snapshot = observer.observe(targets, status_lookups)
    now = context.now()
    environments = dict.fromkeys(target.environment for target in targets)
    releases = [release for environment in environments for release in unfinished(snapshot, environment)]
    rows = []
    for image, several in groupby(targets, key=lambda target: target.image):
        cells = [_cell(snapshot, snapshot.observations[target], releases, now) for target in several]
        kept = tuple(cell for cell in cells if matches(context, narrow, cell))
        if kept or not narrow.narrows_cells:
            rows.append(Row(image.name, kept))
    return rows


def status_lookups(snapshot: Snapshot) -> Iterator[Lookup]:
    """What status asks beside tags and heads: what ran before an unfinished release, what was moved by hand."""
    environments = {target.environment.name: target.environment for target in snapshot.observations}
    for environment in environments.values():
        yield from announcement_lookups(snapshot, environment)
        seen = [it for target, it in snapshot.observations.items() if target.environment == environment]
        for observation in seen:
            yield from identify_lookups(observation)
        for release in unfinished(snapshot, environment):
            yield from before_lookups(snapshot, release)


def _cell(snapshot: Snapshot, seen: Observation, releases: Iterable[Unfinished], now: datetime) -> Cell:
    standing = seen.standing
    position, state = standing.position, standing.state
    tells = _telling(snapshot, seen)
    frozen = state.freeze if state.freeze and (state.freeze.until is None or now < state.freeze.until) else None
    wanted = standing.wanted if isinstance(position, Interrupted | Unrecorded | Late) else None
    if isinstance(position, Interrupted):
        entry = announcement(snapshot, seen)
        wanted = entry.record.version if entry else wanted
    return Cell(
        environment=seen.target.environment.name,
        version=standing.version if isinstance(position, Recorded) else None,
        digest=standing.digest,
        since=tells.since if tells else None,
        by=tells.by or None if tells else None,
        state=standing.condition,
        holds=tuple(sorted(hold.version for hold in state.holds)),
        held=tuple(sorted(state.holds, key=lambda hold: hold.version)),
        frozen=frozen,
        wanted=wanted,
        way_on=_way_on(seen, releases),
        found=_found(snapshot, seen),
        detail=position.error.message if isinstance(position, Broken) else "",
        heads=len(standing.heads),
        beside=tuple(f"{it.record.version or 'nothing'} by {it.record.actor}" for it in standing.rivals),
        proof=standing.head.proof if standing.head else None,
        doubtful=len(seen.doubtful),
        is_by_hand=_is_by_hand(snapshot, seen, standing),
        leads_back=standing.leads_back,
        came_by=standing.came_by,
    )


def _way_on(seen: Observation, releases: Iterable[Unfinished]) -> str:
    environment = seen.target.environment
    here = (it for it in releases if it.environment == environment and seen.image in it.open)
    return next(("" if _is_left_to_a_person(it) else way_on(it) for it in here), "")


def _is_left_to_a_person(release: Unfinished) -> bool:
    return release.is_tangled or release.is_for_its_source or release.is_held or release.is_doubted


def _found(snapshot: Snapshot, seen: Observation) -> str | None:
    """Which version runs where the head record does not say it."""
    match seen.standing.position:
        case Interrupted():
            return seen.standing.version
        case Unrecorded() | Late():
            try:
                return identify(snapshot, seen)
            except KeyError:
                return None
    return None


def _is_by_hand(snapshot: Snapshot, seen: Observation, standing: Standing) -> bool:
    """Whether no record that counts says that what stands there should run.

    A release writes down what it finds there. Where records are signed that does not let it in: it is in no stack.
    """
    match standing.position:
        case Unrecorded() | Late():
            return standing.digest is not None
        case Recorded() if seen.named is not None:
            top = standing.state.top
            return top is None or top.digest != standing.digest
        case Interrupted() if seen.named is not None:
            entry = announcement(snapshot, seen)
            before = standing_before(snapshot, seen, [entry]) if entry else standing
            return not isinstance(before.position, Interrupted) and _is_by_hand(snapshot, seen, before)
    return False


def _telling(snapshot: Snapshot, seen: Observation) -> State | None:
    """The state that tells since when what runs has been running: the head's, or while a release is not finished that
    of the record before it."""
    standing = seen.standing
    match standing.position:
        case Recorded(head):
            state = head.record.state
            return state if state.by else replace(state, by=head.record.actor)
        case Interrupted():
            entry = announcement(snapshot, seen)
            before = standing_before(snapshot, seen, [entry]).head if entry else None
            if before is not None and before.record.digest == standing.digest:
                state = before.record.state
                return state if state.by else replace(state, by=before.record.actor)
    return None


def tell_doubts(context: Context, doubted: Iterable[tuple[str, str]]) -> None:
    """Warn that records do not count, of images that are named with their environment: what was pushed over a record
    hides what it told, and whoever shows nothing of the history shows what is left of it."""
    found: dict[str, list[str]] = {}
    for environment, image in doubted:
        found.setdefault(environment, []).append(image)
    for environment, images in found.items():
        told = ", ".join(images) if len(images) <= _FEW else f"{len(images)} images"
        context.warn(
            f"note: {environment} has records that do not count: {told}; `tagflow verify {environment}` tells more"
        )


def doubted(rows: Iterable[Row]) -> Iterator[tuple[str, str]]:
    """The environments and images of some rows that have records which do not count."""
    return ((cell.environment, row.image) for row in rows for cell in row.environments if cell.doubtful)


def matches(context: Context, narrow: Filter, cell: Cell) -> bool:
    """Whether a cell is one of those that are asked for."""
    if not narrow.narrows_cells:
        return True
    version = context.scheme.recall(cell.version)
    digits = (cell.digest or "").removeprefix("sha256:")
    return version in narrow.versions or any(digits.startswith(digest) for digest in narrow.digests if digits)
