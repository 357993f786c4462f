"""The audit: every name against the history, by a snapshot that has read all of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from msgspec.structs import replace

from tagflow.decide.audited import Audited
from tagflow.decide.finding import Finding, Problem
from tagflow.decide.interrupted import announcement
from tagflow.decide.selection import identify, identify_lookups
from tagflow.domain.lines import winner
from tagflow.domain.reference import Digest, Repository
from tagflow.domain.snapshot import ImageLookup, Lookup, RecordLookup, Snapshot, Target
from tagflow.domain.standing import Broken, Empty, Interrupted, Late, Recorded, Unrecorded
from tagflow.errors import HistoryElsewhere, TagflowError

_FAULTS: Mapping[str, Problem] = {
    "unsigned": "record.unsigned",
    "forged": "record.forged",
    "unknown_signer": "record.unknown_signer",
}
_HIDDEN = "its tag is named after another record: one that stood there is hidden, or there never was one"
"""Who may push can push over a record's tag: what it told, a hold or a rollback, is gone from the history."""


def audit(
    snapshot: Snapshot, targets: Iterable[Target], unread: Mapping[Target, tuple[str, ...]], *, deep: bool = False
) -> list[Finding]:
    """Everything that is not as the history says; ``unread`` says why records of a target could not be read. ``deep``:
    every image that a rollback may go back to was looked at whole.
    """
    audits = [_Audit(snapshot, snapshot.observations[target], unread.get(target, ()), deep=deep) for target in targets]
    return [finding for it in audits for finding in it.findings()]


def unseen_contents(snapshot: Snapshot, targets: Iterable[Target], *, deep: bool = False) -> list[TagflowError]:
    """Why content could not be looked at that :func:`audit` asks for: that is no finding."""
    wanted = {
        (target.repository, digest)
        for target in targets
        for digest in Audited(snapshot, snapshot.observations[target], deep=deep).wanted()
    }
    return [error for image, error in snapshot.unreadable.items() if image in wanted]


def audit_lookups(snapshot: Snapshot, targets: Iterable[Target], *, deep: bool = False) -> Iterator[Lookup]:
    """What :func:`audit` asks: every record, the tags that they speak of, and whether images are whole."""
    for target in targets:
        seen = snapshot.observations.get(target)
        if seen is None:
            continue
        yield from (RecordLookup(target.history, tag) for tag in sorted(seen.records, key=str))
        yield from identify_lookups(seen)
        one = Audited(snapshot, seen, deep=deep)
        yield from one.lookups()
        # A tag that was seen to stand at an image has seen its manifest, too: content comes after the names.
        if all((target.repository, tag) in snapshot.digests for tag in seen.combined.values()):
            yield from (ImageLookup(target.repository, digest, "parts") for digest in one.wanted())


def older_images(snapshot: Snapshot, targets: Iterable[Target]) -> int:
    """How many images a rollback may go back to of which :func:`audit` looks at the names alone, unless it is deep."""
    looked_at: set[tuple[Repository, Digest]] = set()
    known: set[tuple[Repository, Digest]] = set()
    for target in targets:
        seen = snapshot.observations[target]
        looked_at.update((target.repository, digest) for digest in Audited(snapshot, seen).wanted())
        known.update((target.repository, digest) for digest in Audited(snapshot, seen, deep=True).wanted())
    return len(known - looked_at)


class _Audit(Audited, frozen=True, dict=True):
    """The audit of one target: what its history says against where its names stand."""

    def findings(self) -> Iterator[Finding]:
        """What is wrong, in the order in which it should be mended."""
        yield from self._broken()
        yield from self._branches()
        yield from self._environment_tag()
        yield from self._running()
        anchors = dict(self.expected_anchors())
        yield from self._anchors(anchors)
        yield from self._content()
        if self.entries or self.seen.combined:
            yield from self._floating(anchors)

    def _broken(self) -> Iterator[Finding]:
        person = "a person must find out who changed the records: tagflow never does"
        position = self.seen.standing.position
        blocks = isinstance(position, Broken)
        if isinstance(position, Broken) and isinstance(position.error, HistoryElsewhere):
            repair = "a person must copy them to where the policy looks, or let history.repository say where they are"
            yield self.finding("history.broken", None, None, repair, detail=position.error.message)
        for detail in self.unread:
            repair = f"{self.mend} sets it aside, once you know who pushed it" if blocks else person
            yield self.finding("history.broken", None, None, repair, detail=detail)
        yield from self._doubtful()
        known = {(entry.tag, entry.digest) for entry in self.entries}
        for entry in self.entries:
            for parent in entry.record.parents:
                if (parent.tag, parent.digest) not in known:
                    detail = f"{entry.tag} names {parent.tag}, which is not there"
                    problem: Problem = "history.broken" if self.seen.named is None else "history.truncated"
                    yield self.finding(problem, parent.digest, None, person, detail=detail)

    def _doubtful(self) -> Iterator[Finding]:
        """What stands under the tags of records, and is not signed by who may."""
        settled = isinstance(self.seen.standing.position, Recorded | Empty)
        for it in self.seen.doubtful:
            repair = f"{self.mend} lists it as ignored, once you know who pushed it"
            if not settled:
                repair = "a person must find out who pushed it: it does not count, and stops nobody"
            problem = _FAULTS[it.proof.fault or "forged"]
            detail = it.proof.why
            if it.digest is not None and it.may_hide:
                detail += f"; {_HIDDEN}"
            yield self.finding(problem, None, it.digest, repair, tag=str(it.tag), detail=detail)
        if self.seen.unsigned:
            repair = "a person must see that the history is true; what is written here next, signed, vouches for it"
            for head in self.seen.standing.heads:
                detail = "no record of this history is signed, so all of them count"
                yield self.finding("record.unsigned", None, head.digest, repair, tag=str(head.tag), detail=detail)

    def _branches(self) -> Iterator[Finding]:
        standing = self.seen.standing
        if len(standing.heads) < 2 or standing.head is None:
            return
        others = ", ".join(str(entry.tag) for entry in standing.heads if entry is not standing.head)
        yield self.finding(
            "history.fork", str(standing.head.tag), others, self.mend, detail="two writers at the same time"
        )

    def _environment_tag(self) -> Iterator[Finding]:
        standing, environment = self.seen.standing, self.target.environment.name
        match standing.position:
            case Interrupted(head):
                begun = announcement(self.snapshot, self.seen) or head  # the head may be a hold that came on top
                detail = f"{begun.record.action} of {standing.wanted or 'nothing'} by {begun.record.actor}"
                yield self.finding(
                    "interrupted", head.record.digest, standing.digest, self.mend, tag=environment, detail=detail
                )
            case Late(head):
                detail = "a PUT of a release that was taken back arrived late; a repair puts it back"
                yield self.finding(
                    "drift", head.record.digest, standing.digest, self.mend, tag=environment, detail=detail
                )
            case Unrecorded(head):
                told = head is not None and self.has_told
                detail = "moved by hand; the next promotion adopts what runs" if told else "no record tells of it yet"
                if standing.digest is None:
                    detail = "removed by hand: nothing stands there"
                expected = head.record.digest if head else None
                yield self.finding("drift", expected, standing.digest, self._way_back(), tag=environment, detail=detail)

    def _way_back(self) -> str:
        """The command that brings an environment tag and its history together again."""
        environment, image, standing = self.target.environment.name, self.seen.image, self.seen.standing
        head = standing.head
        if head is None or (standing.digest is not None and not self.has_told):
            version = identify(self.snapshot, self.seen)
            if standing.state.held(version, standing.digest):
                return self._away()  # a promotion of what is held is refused
            return f"tagflow promote {image}={version or 'VERSION'} --to {environment}"
        if standing.digest is not None:
            return f"tagflow rollback {environment} {image}"
        if standing.wanted:
            return f"tagflow rollback {environment} {image}={standing.wanted}"
        return f"a person must put {self.target.repository}:{environment} back at {head.record.digest}"

    def _away(self) -> str:
        """The command that leaves what runs. Where the history tells of nothing that ran, a rollback has to be told
        where to: to the highest version that other tools let in."""
        environment, image, seen = self.target.environment.name, self.seen.image, self.seen
        if self.has_told and seen.standing.leads_back:
            return f"tagflow rollback {environment} {image}"
        others = [it for it in seen.admitted if self.digest(seen.combined[it]) not in (None, seen.standing.digest)]
        if others:
            return f"tagflow rollback {environment} {image}={seen.scheme.version_tag(max(others))}"
        return f"tagflow promote {image}=VERSION --to {environment}"

    def _running(self) -> Iterator[Finding]:
        """What runs must be neither held nor another image than its version's combined tag says."""
        standing, environment, scheme = self.seen.standing, self.target.environment.name, self.seen.scheme
        if standing.digest is None or isinstance(standing.position, Broken):
            return
        label = standing.version
        hold = standing.state.held(label, standing.digest)
        if hold is not None:
            detail = f"{hold.version} is held" + (f" by {hold.by}: {hold.reason}" if hold.by else "")
            yield self.finding("running.held", None, standing.digest, self._away(), tag=environment, detail=detail)
        version = scheme.parse_label(label)
        combined = self.seen.combined.get(version) if version is not None else None
        anchored = self.digest(combined) if combined is not None else None
        if anchored is not None and anchored != standing.digest:
            detail = f"{combined} is another image than {environment} runs as {label}"
            repair = f"tagflow rollback {environment} {self.seen.image}"
            yield self.finding("running.unanchored", anchored, standing.digest, repair, tag=environment, detail=detail)

    def _anchors(self, expected: Mapping[str, Digest]) -> Iterator[Finding]:
        repository = self.target.repository
        for tag, digest in expected.items():
            actual = self.digest(tag)
            if actual is None:
                yield self.finding("anchor.missing", digest, None, self.mend, tag=tag)
            elif actual != digest:
                repair = f"a person must move {repository}:{tag} back, with the tool that moved it"
                yield self.finding("anchor.moved", digest, actual, repair, tag=tag)
        yield from self._forged()

    def _forged(self) -> Iterator[Finding]:
        """A combined tag that no record speaks of, in an environment whose records tell what ran."""
        for version in self.untold:
            tag = self.seen.combined[version]
            detail = "no record tells how it came here"
            repair = f"a person must find out who made {self.target.repository}:{tag}, and remove it"
            yield self.finding("anchor.moved", None, self.digest(tag), repair, tag=tag, detail=detail)

    def _content(self) -> Iterator[Finding]:
        """What runs, and where a rollback leads, must be whole."""
        for digest, version in self.wanted().items():
            if lost := self.snapshot.gone.get((self.target.repository, digest)):
                name = version or digest
                repair = f"push {name} again, from wherever it still is whole"
                if version:
                    repair = f"tagflow push {version} {self.seen.image}=SOURCE, from wherever it still is whole"
                yield self.finding("content.missing", digest, None, repair, detail="; ".join(lost))

    def _floating(self, anchors: Mapping[str, Digest]) -> Iterator[Finding]:
        """Floating tags against the anchors as the history says they are, not as somebody moved or removed them."""
        if isinstance(self.seen.standing.position, Interrupted | Broken):
            return  # what it comes to decides, and it is told
        repository = self.target.repository
        seen = replace(self.seen, tags=self.seen.tags | anchors.keys(), digests={})
        told = {tag: anchors.get(tag) or self.digest(tag) for tag in seen.combined.values()}
        seen = replace(seen, digests={(repository, tag): it for tag, it in told.items()})
        # No name is put at what verify itself does not trust.
        trusted = seen.followed.difference(self.untold)
        for tag, line in sorted(self.lines(seen).items()):
            best = winner(seen.scheme, tag, line, trusted, seen.tags)
            actual = self.digest(tag)
            if best is not None:
                combined = seen.combined[best]
                wanted = anchors.get(combined) or self.digest(combined)
                if wanted is not None and actual != wanted:
                    detail = f"{tag} belongs to {seen.scheme.version_tag(best)}"
                    yield self.finding("floating.wrong", wanted, actual, self.mend, tag=tag, detail=detail)
            elif actual is not None:
                repair = f"tagflow promote {self.seen.image}=VERSION --to {self.target.environment.name}"
                detail = "no version of its line is left: promote one, or remove the tag"
                yield self.finding("floating.stale", None, actual, repair, tag=tag, detail=detail)
