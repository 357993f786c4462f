"""verify: every name against the history."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from tagflow.domain.floating import lines_of, winner
from tagflow.domain.history import Entry, Standing
from tagflow.domain.policy import Line
from tagflow.domain.reference import Digest
from tagflow.domain.tagging import RecordTag, pin_tag
from tagflow.errors import Conflict, NotFound, TagflowError
from tagflow.flows.context import Context
from tagflow.flows.identify import identify
from tagflow.flows.observe import Observer, Place, Sight, record_tags
from tagflow.flows.parallel import each
from tagflow.flows.records import decode
from tagflow.stores.transfer.copy import missing

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
    found = each(lambda place: list(_Check(context, observer, place).findings()), places, threads=context.threads)
    return [finding for findings in found for finding in findings]


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


@dataclass(frozen=True)
class _Check:
    """The check of one image in one environment."""

    context: Context
    observer: Observer
    place: Place

    def findings(self) -> Iterator[Finding]:
        """What is wrong, in the order in which it should be mended."""
        entries, broken = self._read()
        yield from broken
        heads = _heads(entries)
        digest = self.observer.digest(self.place.repository, self.place.environment.name)
        standing = Standing(digest, heads)
        sight = Sight(
            self.place,
            self.context.scheme,
            self.observer.tags(self.place.repository),
            frozenset(entry.tag for entry in entries),
            standing,
        )
        yield from _branches(self, standing)
        yield from _tag(self, sight)
        anchors = dict(_expected_anchors(self, sight, entries))
        yield from _anchors(self, sight, anchors)
        yield from _content(self, standing)
        if entries or sight.combined:
            yield from _floating(self, sight, anchors)

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

    def _read(self) -> tuple[list[Entry], list[Finding]]:
        """All records that can be read, and a finding for each that cannot."""
        tags = sorted(record_tags(self.observer.tags(self.place.history), self.place.environment), key=str)
        results = each(self._record, tags, threads=self.context.threads)
        entries = [entry for entry, _ in results if entry is not None]
        broken = [finding for _, finding in results if finding is not None]
        known = {(entry.tag, entry.digest) for entry in entries}
        for entry in entries:
            for parent in entry.record.parents:
                if (parent.tag, parent.digest) not in known:
                    broken.append(self._broken(parent.digest, f"{entry.tag} names {parent.tag}, which is not there"))
        return entries, broken

    def _record(self, tag: RecordTag) -> tuple[Entry | None, Finding | None]:
        store = self.context.stores(self.place.history)
        try:
            return decode(tag, store.get(str(tag))), None
        except (NotFound, Conflict) as error:
            return None, self._broken(None, error.message)

    def _broken(self, expected: Digest | None, detail: str) -> Finding:
        repair = "a person must find out who changed the records: tagflow never does"
        return self.finding("history.broken", expected, None, repair, detail=detail)


def _heads(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    known = list(entries)
    named = {parent.tag for entry in known for parent in entry.record.parents}
    return tuple(sorted((it for it in known if it.tag not in named), key=lambda it: it.place, reverse=True))


def _branches(check: _Check, standing: Standing) -> Iterator[Finding]:
    if len(standing.heads) < 2 or standing.head is None:
        return
    others = ", ".join(str(entry.tag) for entry in standing.heads if entry is not standing.head)
    yield check.finding(
        "history.fork", str(standing.head.tag), others, check.mend, detail="two writers at the same time"
    )


def _tag(check: _Check, sight: Sight) -> Iterator[Finding]:
    standing, environment, head = sight.standing, check.place.environment.name, sight.standing.head
    if standing.condition == "interrupted" and head is not None:
        repair = check.mend
        detail = f"{head.record.action} of {head.record.version or 'nothing'} by {head.record.actor}"
        yield check.finding("interrupted", head.record.digest, standing.digest, repair, tag=environment, detail=detail)
    if standing.condition == "unrecorded":
        detail = "moved by hand; the next promotion adopts what runs" if head else "no record tells of it yet"
        expected = head.record.digest if head else None
        yield check.finding("drift", expected, standing.digest, _way_back(check, sight), tag=environment, detail=detail)


def _way_back(check: _Check, sight: Sight) -> str:
    """The command that brings an environment tag and its history together again."""
    environment, image, head = check.place.environment.name, check.place.image.name, sight.standing.head
    if head is None:
        version = identify(check.observer, sight)
        return f"tagflow promote {image}={version or 'VERSION'} --to {environment}"
    if sight.standing.digest is not None:
        return f"tagflow rollback {environment} {image}"
    if head.record.version:
        return f"tagflow rollback {environment} {image}={head.record.version}"
    return f"a person must put {check.place.repository}:{environment} back at {head.record.digest}"


def _anchors(check: _Check, sight: Sight, expected: Mapping[str, Digest]) -> Iterator[Finding]:
    repository = check.place.repository
    check.observer.look_up((repository, tag) for tag in expected if tag in sight.tags)
    for tag, digest in expected.items():
        actual = check.observer.digest(repository, tag) if tag in sight.tags else None
        if actual is None:
            yield check.finding("anchor.missing", digest, None, check.mend, tag=tag)
        elif actual != digest:
            repair = f"a person must move {repository}:{tag} back, with the tool that moved it"
            yield check.finding("anchor.moved", digest, actual, repair, tag=tag)


def _expected_anchors(check: _Check, sight: Sight, entries: Sequence[Entry]) -> Iterator[tuple[str, Digest]]:
    """Version and combined tag of everything that entered, and the pin of everything that left without one."""
    scheme, environment, standing = sight.scheme, check.place.environment.name, sight.standing
    held: set[Digest] = set()
    for entry in entries:
        record, version = entry.record, sight.scheme.parse_label(entry.record.version)
        if record.digest is None or version is None or record.action not in ("push", "promote"):
            continue
        if sight.lists_out(version) in ("void", "announced") or _is_lost(entry, standing):
            continue
        held.add(record.digest)
        yield scheme.version_tag(version), record.digest
        yield scheme.combined_tag(version, environment), record.digest
    for entry in entries:
        digest = entry.record.digest
        if entry.record.action == "adopt" and digest is not None and digest not in held and digest != standing.digest:
            version = scheme.parse_label(entry.record.version)
            combined = sight.combined.get(version) if version else None
            if combined is None or check.observer.digest(check.place.repository, combined) != digest:
                yield pin_tag(digest), digest


def _is_lost(entry: Entry, standing: Standing) -> bool:
    """Whether a record is another writer's head that never arrived."""
    return entry in standing.heads and entry != standing.head


def _content(check: _Check, standing: Standing) -> Iterator[Finding]:
    """What runs, and what a rollback may go back to, must be whole."""
    wanted = {ran.digest: ran.version for ran in standing.state.stack}
    if standing.digest is not None:
        wanted.setdefault(standing.digest, standing.version)
    store = check.context.stores(check.place.repository)
    for digest, version in wanted.items():
        try:
            gone = missing(store, digest)
        except TagflowError as error:
            gone = [error.message]
        if gone:
            repair = f"push {version or digest} again, from wherever it still is whole"
            yield check.finding("content.missing", digest, None, repair, detail="; ".join(gone))


def _floating(check: _Check, sight: Sight, anchors: Mapping[str, Digest]) -> Iterator[Finding]:
    """Floating tags against the anchors as the history says they are, not as somebody moved or removed them."""
    scheme, repository = sight.scheme, check.place.repository
    sight = replace(sight, tags=sight.tags | anchors.keys())
    lines: dict[str, Line] = lines_of(scheme, check.place.environment, sight.combined)
    for tag in sight.tags:
        meaning = scheme.read(tag)
        if meaning and meaning.kind == "floating" and meaning.line in check.place.environment.floating:
            lines.setdefault(tag, meaning.line)
    for tag, line in sorted(lines.items()):
        best = winner(scheme, tag, line, sight.admitted)
        actual = check.observer.digest(repository, tag) if tag in sight.tags else None
        if best is not None:
            combined = sight.combined[best]
            wanted = anchors.get(combined) or check.observer.digest(repository, combined)
            if wanted is not None and actual != wanted:
                detail = f"{tag} belongs to {scheme.version_tag(best)}"
                yield check.finding("floating.wrong", wanted, actual, check.mend, tag=tag, detail=detail)
        elif actual is not None:
            repair = f"remove {repository}:{tag}, or promote a version of its line"
            yield check.finding(
                "floating.stale", None, actual, repair, tag=tag, detail="no version of its line is left"
            )
