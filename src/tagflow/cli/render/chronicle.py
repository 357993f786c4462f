"""The history of an environment: a block a release, newest first."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from tagflow.cli.render.releases import short
from tagflow.cli.text import FEW, counted, fitted, fold, hung, is_fancy, listed, minute, styled
from tagflow.cli.text import cell as one_line

if TYPE_CHECKING:
    from tagflow.verbs.history import History, HistoryEntry

_STYLES = {"promote": "green", "push": "green", "rollback": "yellow", "abort": "red", "adopt": "yellow"}
_FOUND = "found, moved by hand"
_ABOUT = frozenset({"hold", "unhold", "admit", "freeze", "thaw"})
"""Actions that move nothing: there is no way from a version to another."""


def history(it: History, count: int = 0) -> str:
    """Newest first; what is out of the ordinary is said in so many words.

    ``count`` is how many images the policy has: a release of all of them names none.
    """
    fancy = is_fancy(sys.stdout)
    is_quiet = not (it.entries or it.doubts or it.unread)
    if is_quiet and all(now.condition == "empty" for now in it.present):
        return f"Nothing ran in {it.environment} yet."
    if is_quiet and all(now.condition in ("empty", "recorded") for now in it.present):
        return f"Nothing was recorded in {it.environment} since then."
    return "\n\n".join(
        [*_present(it, fancy), *("\n".join(_block(told, count, fancy)) for told in _releases(it.entries))]
    )


def _present(it: History, fancy: bool) -> Iterator[str]:
    """What no record tells."""
    lines = [*it.doubts, *it.unread]
    open_ones = {told.image for told in it.entries if told.open}
    for now in it.present:
        if now.condition == "interrupted" and now.image not in open_ones:
            lines.append(f"{now.image}: what was announced in {it.environment} before is not finished")
        if now.condition == "late":
            where = f"{it.environment} is at {short(now.digest)}"
            lines.append(f"{now.image}: {where}, where a release that was aborted put it late")
        if now.condition == "unrecorded":
            lines.append(f"{now.image}: {it.environment} was moved by hand and is at {short(now.digest)}")
        if now.heads > 1:
            lines.append(f"{now.image}: the history is forked: {now.heads} heads")
    if lines:
        told = fold("\n".join(one_line(line) for line in lines), [now.image for now in it.present])
        sign = styled("!", "yellow", fancy)
        yield "\n".join(line if line.startswith(" ") else f"{sign} {line}" for line in told.splitlines())


def _releases(entries: Sequence[HistoryEntry]) -> list[list[HistoryEntry]]:
    """The records of one release in one way belong together."""
    found: dict[tuple[str, int, str], list[HistoryEntry]] = {}
    for told in entries:
        record = told.entry.record
        found.setdefault((record.release.id, record.release.number, record.action), []).append(told)
    return list(found.values())


def _block(several: Sequence[HistoryEntry], count: int, fancy: bool) -> Iterator[str]:
    first = several[0].entry.record
    last = max((told.entry.record for told in several), key=lambda record: record.at)
    action = styled(_FOUND if first.action == "adopt" else first.action, _STYLES.get(first.action, "bold"), fancy)
    # Whoever found a move by hand and wrote it down has not made it.
    by = f"recorded by {last.actor}" if first.action == "adopt" else f"by {last.actor}"
    release = f"release {first.release.number} ({one_line(first.release.id)[:8]})"
    proofs = dict.fromkeys(told.entry.proof.told for told in several if told.entry.proof)
    by = ", ".join([by, *proofs])
    unfinished = list(dict.fromkeys(told.image for told in several if told.open))
    state = "  " + styled(f"interrupted: {counted(unfinished)}", "red", fancy) if unfinished else ""
    yield fitted(f"{minute(last.at)}  {action}  {one_line(by)}  {styled(release, 'dim', fancy)}{state}", 2)
    if last.reason:
        yield f"  {hung(one_line(f'“{last.reason}”'), 2)}"
    if approvals := several[0].approvals:
        yield f"  approved by {one_line(', '.join(approvals))}"
    if last.overrides:
        yield f"  overrides {one_line(', '.join(last.overrides))}"
    if first.action in _ABOUT:
        yield from _about(several, count, fancy)
    else:
        yield from _ways(several, count, fancy)


def _about(several: Sequence[HistoryEntry], count: int, fancy: bool) -> Iterator[str]:
    """What was held or frozen, and for how long: no tag was moved."""
    found: dict[str, list[str]] = {}
    for item in several:
        record = item.entry.record
        until = record.state.freeze.until if record.action == "freeze" and record.state.freeze else None
        told = f"until {minute(until)}" if until else record.version or ""
        found.setdefault(told, []).append(item.image)
    for told, images in found.items():
        everything = count > FEW and len(images) == count
        many = f"all {count} images" if everything else one_line(counted(images))
        yield fitted(f"  {one_line(told)}{'  ' if told else ''}{styled(many, 'bold', fancy)}", 4)


def _ways(several: Sequence[HistoryEntry], count: int, fancy: bool) -> Iterator[str]:
    """From which version to which, and which images went that way."""
    found: dict[str, list[HistoryEntry]] = {}
    for told in several:
        found.setdefault(_way(told), []).append(told)
    wide = max(map(len, found))
    for way, members in found.items():
        images = list(dict.fromkeys(told.image for told in members))  # each once: it may have been announced again
        if len(members) > FEW:
            everything = len(images) == count
            many = f"all {count} images" if everything else f"{len(images)} images"
            yield f"  {one_line(way).ljust(wide)}  {styled(many, 'bold', fancy)}"
            if not everything:
                yield f"    {hung(one_line(listed(images)), 4)}"
            continue
        for told in members:
            record, tag = told.entry.record, told.entry.tag
            digest = short(record.subject or record.digest)
            yield fitted(
                f"  {one_line(way).ljust(wide)}  {styled(one_line(told.image), 'bold', fancy)}"
                f"  {styled(f'{digest}  #{tag.sequence}', 'dim', fancy)}",
                4,
            )


def _way(told: HistoryEntry) -> str:
    record = told.entry.record
    return f"{record.previous_version or '-'} → {record.version or '-'}"
