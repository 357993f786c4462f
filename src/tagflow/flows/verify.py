"""verify: every name against the history."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from tagflow.domain.floating import lines_of, winner
from tagflow.domain.history import Entry, Standing
from tagflow.domain.policy import Line
from tagflow.domain.reference import Digest, Repository
from tagflow.domain.tagging import RecordTag, TagScheme, pin_tag
from tagflow.errors import Conflict, NotFound
from tagflow.flows.context import Context
from tagflow.flows.identify import identify
from tagflow.flows.observe import Observer, Place, Question, Sight, standing_at
from tagflow.flows.parallel import each
from tagflow.flows.records import decode
from tagflow.stores.transfer.copy import missing_parts

Problem = Literal[
    "drift",
    "interrupted",
    "anchor.missing",
    "anchor.moved",
    "content.missing",
    "floating.wrong",
    "floating.stale",
    "history.fork",
    "history.broken",
]


@dataclass(frozen=True)
class Finding:
    """One name that is not as the history says. ``repair`` is the command that mends it, or what a person decides.

    ``tag`` and ``digest`` say what ``verify --repair`` writes by itself; ``detail`` tells more.
    """

    image: str
    environment: str
    problem: Problem
    expected: str | None
    actual: str | None
    repair: str
    tag: str = ""
    detail: str = ""


def verify(context: Context, names: Sequence[str]) -> list[Finding]:
    """Everything that is not as the history says, in all environments or those named."""
    environments = [context.environment(name) for name in names] or list(context.policy.environments)
    observer = Observer(context)
    places = [observer.place(image, environment) for environment in environments for image in context.policy.images]
    observer.list_all(dict.fromkeys(repository for it in places for repository in (it.repository, it.history)))
    observer.look_up(Question(it.repository, it.environment.name) for it in places)
    read = _read_all(context, observer, places)
    checks = [_check(observer, context.scheme, place, read[place]) for place in places]
    observer.look_up(question for check in checks for question in check.questions())
    gone = _missing(context, {(it.place.repository, digest) for it in checks for digest in it.wanted()})
    return [finding for check in checks for finding in check.findings(gone)]


def refuse(findings: Sequence[Finding], result: object) -> Conflict:
    """The error that says that there are findings; ``result`` goes into its JSON document."""
    count = "1 finding" if len(findings) == 1 else f"{len(findings)} findings"
    error = Conflict(
        "verify.findings",
        f"{count}: not everything is as the history says",
        hint="`tagflow verify --repair` mends what needs no judgement; the rest is told with each finding.",
    )
    error.result = result
    return error


_Read = tuple[list[Entry], list[str]]
"""The records of one place that can be read, and why each of the others cannot."""
_Gone = Mapping[tuple[Repository, Digest], list[str]]
"""What of an image is not there."""


def _read_all(context: Context, observer: Observer, places: Sequence[Place]) -> dict[Place, _Read]:
    """Every record of every place, asked for anew, side by side."""

    def read(key: tuple[Place, RecordTag]) -> tuple[Place, Entry | str]:
        place, tag = key
        try:
            return place, decode(tag, context.stores(place.history).get(str(tag)))
        except (NotFound, Conflict) as error:
            return place, error.message

    found: dict[Place, _Read] = {place: ([], []) for place in places}
    keys = [(place, tag) for place in places for tag in sorted(observer.records(place), key=str)]
    for place, entry in each(read, keys, threads=context.threads):
        entries, unread = found[place]
        if isinstance(entry, Entry):
            entries.append(entry)
        else:
            unread.append(entry)
    return found


def _missing(context: Context, wanted: Iterable[tuple[Repository, Digest]]) -> _Gone:
    """What is missing of each image; environments that run the same ask once."""

    def look(key: tuple[Repository, Digest]) -> tuple[tuple[Repository, Digest], list[str]]:
        parts = missing_parts(context.stores(key[0]), key[1], threads=min(4, context.threads))
        return key, [str(part) for part in parts]

    return dict(each(look, wanted, threads=context.threads))


def _check(observer: Observer, scheme: TagScheme, place: Place, read: _Read) -> _Check:
    entries, unread = read
    tags, digest = observer.tags(place.repository), observer.digest(place.repository, place.environment.name)
    standing = standing_at(place, scheme, tags, digest, _heads(entries))
    records = frozenset(entry.tag for entry in entries)
    return _Check(observer, Sight(place, scheme, tags, records, standing), entries, unread)


@dataclass(frozen=True)
class _Check:
    """The check of one image in one environment."""

    observer: Observer
    sight: Sight
    entries: Sequence[Entry]
    unread: Sequence[str]

    @property
    def place(self) -> Place:
        """Where it looks."""
        return self.sight.place

    def questions(self) -> Iterator[Question]:
        """Where which tags stand, as far as the check asks."""
        repository, combined = self.place.repository, self.sight.combined
        for tag, _ in _entered(self.sight, self.entries):
            yield Question(repository, tag)
        for tag, line in _lines(self.sight).items():
            best = winner(self.sight.scheme, tag, line, self.sight.admitted)
            yield Question(repository, tag)
            if best is not None:
                yield Question(repository, combined[best])
        for entry in self.entries:
            if entry.record.action == "adopt" and entry.record.digest is not None:
                yield Question(repository, pin_tag(entry.record.digest))
                if (version := self.sight.scheme.parse_label(entry.record.version)) in combined and version:
                    yield Question(repository, combined[version])

    def wanted(self) -> dict[Digest, str | None]:
        """What must be whole, and its version: what runs, and what a rollback may go back to."""
        standing = self.sight.standing
        wanted = {ran.digest: ran.version for ran in standing.state.stack}
        if standing.digest is not None:
            wanted.setdefault(standing.digest, standing.version)
        return wanted

    def findings(self, gone: _Gone) -> Iterator[Finding]:
        """What is wrong, in the order in which it should be mended."""
        yield from _broken(self)
        yield from _branches(self)
        yield from _tag(self)
        anchors = dict(_expected_anchors(self))
        yield from _anchors(self, anchors)
        yield from _content(self, gone)
        if self.entries or self.sight.combined:
            yield from _floating(self, anchors)

    def finding(
        self,
        problem: Problem,
        expected: str | None,
        actual: str | None,
        repair: str,
        *,
        tag: str = "",
        detail: str = "",
    ) -> Finding:
        """A finding here."""
        return Finding(
            self.place.image.name, self.place.environment.name, problem, expected, actual, repair, tag, detail
        )

    @property
    def mend(self) -> str:
        """The command that mends what needs no judgement."""
        return f"tagflow verify {self.place.environment.name} --repair"


def _broken(check: _Check) -> Iterator[Finding]:
    repair = "a person must find out who changed the records: tagflow never does"
    for detail in check.unread:
        yield check.finding("history.broken", None, None, repair, detail=detail)
    known = {(entry.tag, entry.digest) for entry in check.entries}
    for entry in check.entries:
        for parent in entry.record.parents:
            if (parent.tag, parent.digest) not in known:
                detail = f"{entry.tag} names {parent.tag}, which is not there"
                yield check.finding("history.broken", parent.digest, None, repair, detail=detail)


def _heads(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    known = list(entries)
    named = {parent.tag for entry in known for parent in entry.record.parents}
    return tuple(sorted((it for it in known if it.tag not in named), key=lambda it: it.place, reverse=True))


def _branches(check: _Check) -> Iterator[Finding]:
    standing = check.sight.standing
    if len(standing.heads) < 2 or standing.head is None:
        return
    others = ", ".join(str(entry.tag) for entry in standing.heads if entry is not standing.head)
    yield check.finding(
        "history.fork", str(standing.head.tag), others, check.mend, detail="two writers at the same time"
    )


def _tag(check: _Check) -> Iterator[Finding]:
    standing, environment, head = check.sight.standing, check.place.environment.name, check.sight.standing.head
    if standing.condition == "interrupted" and head is not None:
        repair = check.mend
        detail = f"{head.record.action} of {head.record.version or 'nothing'} by {head.record.actor}"
        yield check.finding("interrupted", head.record.digest, standing.digest, repair, tag=environment, detail=detail)
    if standing.condition == "unrecorded":
        detail = "moved by hand; the next promotion adopts what runs" if head else "no record tells of it yet"
        expected = head.record.digest if head else None
        yield check.finding("drift", expected, standing.digest, _way_back(check), tag=environment, detail=detail)


def _way_back(check: _Check) -> str:
    """The command that brings an environment tag and its history together again."""
    environment, image, standing = check.place.environment.name, check.place.image.name, check.sight.standing
    head = standing.head
    if head is None:
        version = identify(check.observer, check.sight)
        return f"tagflow promote {image}={version or 'VERSION'} --to {environment}"
    if standing.digest is not None:
        return f"tagflow rollback {environment} {image}"
    if head.record.version:
        return f"tagflow rollback {environment} {image}={head.record.version}"
    return f"a person must put {check.place.repository}:{environment} back at {head.record.digest}"


def _anchors(check: _Check, expected: Mapping[str, Digest]) -> Iterator[Finding]:
    repository = check.place.repository
    for tag, digest in expected.items():
        actual = check.observer.digest(repository, tag) if tag in check.sight.tags else None
        if actual is None:
            yield check.finding("anchor.missing", digest, None, check.mend, tag=tag)
        elif actual != digest:
            repair = f"a person must move {repository}:{tag} back, with the tool that moved it"
            yield check.finding("anchor.moved", digest, actual, repair, tag=tag)


def _expected_anchors(check: _Check) -> Iterator[tuple[str, Digest]]:
    """Version and combined tag of everything that entered, and the pin of everything that left without one."""
    sight, standing = check.sight, check.sight.standing
    entered = dict(_entered(sight, check.entries))
    yield from entered.items()
    held = set(entered.values())
    for entry in check.entries:
        digest = entry.record.digest
        if entry.record.action == "adopt" and digest is not None and digest not in held and digest != standing.digest:
            version = sight.scheme.parse_label(entry.record.version)
            combined = sight.combined.get(version) if version else None
            if combined is None or check.observer.digest(check.place.repository, combined) != digest:
                yield pin_tag(digest), digest


def _entered(sight: Sight, entries: Iterable[Entry]) -> Iterator[tuple[str, Digest]]:
    scheme, environment = sight.scheme, sight.place.environment.name
    for entry in entries:
        record, version = entry.record, scheme.parse_label(entry.record.version)
        if record.digest is None or version is None or record.action not in ("push", "promote"):
            continue
        if sight.lists_out(version) in ("void", "announced") or _is_lost(entry, sight.standing):
            continue
        yield scheme.version_tag(version), record.digest
        yield scheme.combined_tag(version, environment), record.digest


def _is_lost(entry: Entry, standing: Standing) -> bool:
    """Whether a record is another writer's head that never arrived."""
    return entry in standing.heads and entry != standing.head


def _content(check: _Check, gone: _Gone) -> Iterator[Finding]:
    """What runs, and what a rollback may go back to, must be whole."""
    for digest, version in check.wanted().items():
        if lost := gone[check.place.repository, digest]:
            repair = f"push {version or digest} again, from wherever it still is whole"
            yield check.finding("content.missing", digest, None, repair, detail="; ".join(lost))


def _lines(sight: Sight) -> dict[str, Line]:
    """The floating tags that there are, or should be."""
    environment = sight.place.environment
    lines: dict[str, Line] = lines_of(sight.scheme, environment, sight.combined)
    for tag in sight.tags:
        meaning = sight.scheme.read(tag)
        if meaning and meaning.kind == "floating" and meaning.line in environment.floating:
            lines.setdefault(tag, meaning.line)
    return lines


def _floating(check: _Check, anchors: Mapping[str, Digest]) -> Iterator[Finding]:
    """Floating tags against the anchors as the history says they are, not as somebody moved or removed them."""
    repository, tags = check.place.repository, check.sight.tags
    sight = replace(check.sight, tags=tags | anchors.keys())
    for tag, line in sorted(_lines(sight).items()):
        best = winner(sight.scheme, tag, line, sight.admitted)
        actual = check.observer.digest(repository, tag) if tag in tags else None
        if best is not None:
            combined = sight.combined[best]
            wanted = anchors.get(combined) or check.observer.digest(repository, combined)
            if wanted is not None and actual != wanted:
                detail = f"{tag} belongs to {sight.scheme.version_tag(best)}"
                yield check.finding("floating.wrong", wanted, actual, check.mend, tag=tag, detail=detail)
        elif actual is not None:
            repair = f"remove {repository}:{tag}, or promote a version of its line"
            yield check.finding(
                "floating.stale", None, actual, repair, tag=tag, detail="no version of its line is left"
            )
