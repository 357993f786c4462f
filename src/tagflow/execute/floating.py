"""Floating tags: they follow what stands once the environment tags have moved, whoever moved them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress

from tagflow.context import Context
from tagflow.domain.history import Entry
from tagflow.domain.lines import lines_of, winner
from tagflow.domain.plan import Move, Plan
from tagflow.domain.policy import Line
from tagflow.domain.reference import Repository
from tagflow.domain.snapshot import Lookup, Observation, Snapshot, TagLookup, Target, target_of
from tagflow.domain.versions import Version
from tagflow.errors import StoreError, TagflowError
from tagflow.execute.ledger import Ledger, Progress
from tagflow.observe.observer import Observer
from tagflow.stores.port import TagMoved
from tagflow.workers import each

_FOLLOWED = 5
"""How often floating tags are followed where other releases move them at the same time."""

Lines = Mapping[Target, Mapping[str, Line]]
"""The floating tags of each target that a release may move."""


def follow_floating(
    context: Context, plan: Plan, observer: Observer, ledger: Ledger, own: Mapping[Repository, Sequence[Entry]]
) -> Observer | None:
    """Put floating tags where they belong by what stands now; then look whether that is still so.

    ``own`` are this run's records, by the repository that keeps them. Returns who looked last; None where nobody did.

    :raises TagflowError: what failed; the ledger says what moved.
    """
    lines = _lines(context, plan)
    if not lines:
        return None
    targets = list(lines)
    if not own:
        observer = observer.again()
    unseen = [target for target in targets if target.history not in own]
    if unseen:
        observer.look(unseen)
    _take_as_listed(context, plan, observer, own)
    for _ in range(_FOLLOWED):
        moves = _moves(observer, targets, lines)
        if moves:
            _move_all(context, ledger, observer, moves)
        if not own and not moves:
            return None
        before = _basis(context, observer, targets)
        observer = look_while_floating(observer, targets)
        _take_as_listed(context, plan, observer, own)
        if _basis(context, observer, targets) == before and not _moved_meanwhile(moves, ledger):
            break
    return observer


def _basis(context: Context, observer: Observer, targets: Sequence[Target]) -> object:
    """All that floating tags follow from. The combined tags belong to it: a release whose record was read before may
    have put its own since, and moved its environment tag."""
    return [
        (
            observer.records(target),
            observer.digest(target),
            context.scheme.combined(observer.tags(target.repository), target.environment.name),
        )
        for target in targets
    ]


def look_while_floating(observer: Observer, targets: Sequence[Target]) -> Observer:
    """Whether another release came while floating tags were moved: it may have seen them before they moved."""
    again = observer.again()
    again.look(targets)
    return again


def floating_moves(snapshot: Snapshot, seen: Observation, lines: Mapping[str, Line]) -> Iterator[Move]:
    """Where the floating tags of a target belong, for those that stand elsewhere; a line without a winner keeps its
    tag."""
    repository = seen.target.repository
    for tag, line in lines.items():
        best = winner(snapshot.scheme, tag, line, seen.followed, seen.tags)
        wanted = snapshot.digest(repository, seen.combined[best]) if best is not None else None
        actual = snapshot.digest(repository, tag)
        if wanted is not None and wanted != actual:
            yield Move(seen.image, str(repository), tag, "floating", actual, wanted)


def _lines(context: Context, plan: Plan) -> Lines:
    """The floating tags that the versions of a plan touch."""
    environment = context.environment(plan.request.environment)
    if not environment.floating:
        return {}
    scheme = context.scheme
    found: dict[Target, dict[str, Line]] = {}
    touched: dict[str, set[Version]] = {}
    for step in plan.steps:
        labels = (step.version, step.previous_version)
        versions = {version for label in labels if (version := scheme.parse_label(label))}
        touched.setdefault(step.image, set()).update(versions)
    for move in plan.moves:
        touched.setdefault(move.image, set())
    for image, versions in touched.items():
        target = target_of(context.policy, context.image(image), environment)
        lines = lines_of(scheme, environment, versions)
        for move in plan.moves:
            meaning = scheme.read(move.tag) if move.image == image and move.kind == "floating" else None
            if meaning is not None and meaning.line is not None:
                lines[move.tag] = meaning.line
        if lines:
            found[target] = lines
    return found


def _moves(observer: Observer, targets: Sequence[Target], lines: Lines) -> list[Move]:
    def wanted(snapshot: Snapshot) -> Iterator[Lookup]:
        for target in targets:
            seen = snapshot.observations[target]
            for tag, line in lines[target].items():
                yield TagLookup(target.repository, tag)
                best = winner(snapshot.scheme, tag, line, seen.followed, seen.tags)
                if best is not None:
                    yield TagLookup(target.repository, seen.combined[best])

    snapshot = observer.snapshot(targets, wanted)
    return [
        move for target in targets for move in floating_moves(snapshot, snapshot.observations[target], lines[target])
    ]


def _take_as_listed(
    context: Context, plan: Plan, observer: Observer, own: Mapping[Repository, Sequence[Entry]]
) -> None:
    """What this run wrote stands there, whatever a list shows that lags behind: its records; and combined tags, which
    never move: where this run saw or put one, nobody needs to ask."""
    for repository, entries in own.items():
        observer.learn(repository, entries)
    environment = context.environment(plan.request.environment)
    for move in plan.moves:
        if move.kind == "combined" and move.after:
            repository = context.policy.repository(context.image(move.image), environment)
            observer.assume(repository, move.tag, move.after)


def _move_all(context: Context, ledger: Ledger, observer: Observer, moves: Sequence[Move]) -> None:
    environment_of: dict[str, Repository] = {}
    for move in moves:
        environment_of[move.image] = next(
            name for name in _repositories(context, move.image) if str(name) == move.repository
        )

    def place(group: Sequence[Move]) -> None:
        """Several tags at one digest, in one request where the registry can; each is checked afterwards."""
        begun = [ledger.begin(move) for move in group]
        if not all(begun):
            return
        repository, after = environment_of[group[0].image], group[0].after
        assert after is not None
        store = context.stores(repository)
        if store.place(observer.manifest(repository, after), {move.tag: move.before for move in group}, looked=True):
            ledger.place(group)

    def send(move: Move) -> None:
        assert move.after is not None
        if not ledger.begin(move):
            return
        repository = environment_of[move.image]
        store = context.stores(repository)
        looked = not ledger.placed(move)
        # No fence: one that arrives late is wrong until somebody looks, and nothing else follows from it.
        try:
            store.move(move.tag, observer.manifest(repository, move.after), move.before, looked=looked)
        except TagMoved:
            ledger.failed(move)  # another release moved it: the next look tells where it belongs
            return
        except StoreError as error:
            if ledger.judge(move, error, store.resolve(move.tag)) is not Progress.DONE:
                raise
            return
        except TagflowError:
            ledger.failed(move)
            raise
        ledger.done(move)

    place_together(moves, place, threads=context.threads)
    each(send, moves, threads=context.threads)


def _moved_meanwhile(moves: Iterable[Move], ledger: Ledger) -> bool:
    """Whether a move found its tag elsewhere."""
    done = set(ledger.changed)
    return any(move not in done for move in moves)


def _repositories(context: Context, image: str) -> Iterator[Repository]:
    for environment in context.policy.environments:
        yield context.policy.repository(context.image(image), environment)


__all__ = ["floating_moves", "follow_floating", "look_while_floating"]

Place = Callable[[Sequence[Move]], None]


def place_together(moves: Iterable[Move], place: Place, *, threads: int) -> None:
    """Place what can be placed together. It fails silently: each tag is moved by itself afterwards, which finds it in
    place, or moves it and tells what is wrong."""

    def attempt(group: Sequence[Move]) -> None:
        with suppress(StoreError):
            place(group)

    groups: defaultdict[tuple[str, str], list[Move]] = defaultdict(list)
    for move in moves:
        if move.after is not None:
            groups[move.image, move.after].append(move)
    each(attempt, [group for group in groups.values() if len(group) > 1], threads=threads)
