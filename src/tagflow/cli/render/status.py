"""status as text: the matrix and what to type next; of one environment or image everything that is known."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING

from msgspec import Struct

from tagflow.cli.hints import shorter
from tagflow.cli.line import Line, Option, naming, read
from tagflow.cli.render.matrix import DIFFERS, STYLES, full, matrix, version
from tagflow.cli.render.releases import short
from tagflow.cli.text import FEW, age, columns, counted, fitted, hung, is_fancy, listed, minute, styled, table
from tagflow.cli.text import cell as one_line
from tagflow.domain.rules import is_frozen
from tagflow.domain.tagging import TagScheme
from tagflow.errors import TagflowError

if TYPE_CHECKING:
    from tagflow.domain.policy import Environment, Policy
    from tagflow.verbs.status import Cell, Row


class Note(Struct, frozen=True):
    """Something that is so for some images, and the commands for it, each with what it does."""

    text: str
    images: tuple[str, ...] = ()
    commands: tuple[tuple[str, str], ...] = ()
    alarms: bool = True
    style: str = "yellow"


def notes(rows: Sequence[Row], policy: Policy, now: datetime) -> list[Note]:
    """What to know and to do, by environment."""
    found: list[Note] = []
    names = [image.name for image in policy.images]
    for environment in policy.environments:
        cells = [(row.image, cell) for row in rows for cell in row.environments if cell.environment == environment.name]
        found += _odd(environment, cells, names, now)
    return [*found, *_ahead(rows, policy, names, now)]


def _odd(
    environment: Environment, cells: Sequence[tuple[str, Cell]], names: Sequence[str], now: datetime
) -> Iterator[Note]:
    groups: dict[tuple[str, str, str], list[tuple[str, Cell]]] = {}
    held: dict[str, list[str]] = {}
    forked: dict[str, list[str]] = {}
    frozen = None
    unsigned, doubted = list[str](), list[str]()
    for image, cell in cells:
        unsigned += [image] if cell.proof is not None and not cell.proof.good else []
        doubted += [image] if cell.doubtful else []
        if cell.state not in ("recorded", "empty"):
            groups.setdefault((cell.state, _said(cell), cell.way_on), []).append((image, cell))
        for label in cell.holds:
            held.setdefault(label, []).append(image)
        for release in cell.beside:
            forked.setdefault(release, []).append(image)
        frozen = frozen or cell.frozen
    for (state, said, _), members in groups.items():
        told = full(members[0][1]) if len(members) == 1 else said
        images = tuple(image for image, _ in members)
        style = "yellow" if state == "unrecorded" else "red"
        commands = tuple(_ways_out(environment.name, state, [cell for _, cell in members], images, names))
        yield Note(f"{environment.name}: {told}", images, commands, style=style)
    if frozen:
        until = f" until {minute(frozen.until)}" if frozen.until else ""
        lift = str(Line("freeze", (environment.name,), (Option("--lift"), Option("--reason", "WHY"))))
        told = f"{environment.name} is frozen{until} by {frozen.by}, {age(frozen.at, now)} ago: {frozen.reason}"
        yield Note(told, commands=((lift, "lifts it"),))
    by_name = dict(cells)
    # While a release is not finished, none of its members goes back alone.
    stuck = any(cell.state == "interrupted" for _, cell in cells)
    back = frozenset(image for image, cell in cells if cell.leads_back and not stuck)
    at_once = len(cells) == len(names) and len({cell.came_by for _, cell in cells}) == 1
    for label, several in held.items():
        running = tuple(image for image in several if _runs(by_name[image], label))
        if running:
            told = f"{environment.name} runs {label}, which is held there"
            yield Note(
                told, running, (_way_back(environment.name, running, names if at_once else (), back),), style="red"
            )
        rest = tuple(image for image in several if image not in running)
        if rest:
            yield Note(f"{environment.name} holds {label}", rest)
    for told, several in forked.items():
        join = str(Line("verify", (environment.name,), (Option("--repair"),)))
        told = f"{environment.name}: {told} was announced beside what runs, and neither had seen the other"
        yield Note(told, tuple(several), ((join, "joins the two histories"),))
    verify = str(Line("verify", (environment.name,)))
    if unsigned:
        yield Note(f"{environment.name}: no record is signed yet, so all count", tuple(unsigned))
    if doubted:
        told = f"{environment.name} has records that do not count"
        yield Note(told, tuple(doubted), ((verify, "tells more"),), style="red")


def _way_back(environment: str, images: Sequence[str], last: Sequence[str], back: frozenset[str]) -> tuple[str, str]:
    """The command where images run what is held. ``last``: the images of the last release, where all came by it;
    ``back``: those that can go back."""
    if not back.issuperset(images):
        return str(Line("verify", (environment,))), "tells more"
    if len(images) == len(last):
        return str(Line("rollback", (environment,))), "goes back"
    if len(images) > FEW:
        return str(Line("verify", (environment,))), "tells more"
    return str(Line("rollback", (environment, *images))), "goes back"


def _runs(cell: Cell, label: str) -> bool:
    """Whether what runs is a version that is held there, or its bytes."""
    digests = {hold.digest for hold in cell.held if hold.version == label}
    return cell.version == label or (cell.digest is not None and cell.digest in digests)


def _said(cell: Cell) -> str:
    """What is the matter, the same for all images that run what no version is known of."""
    known = cell.version or cell.found or not cell.digest
    return full(cell) if known else full(cell).replace(version(cell), "unknown builds", 1)


def _ways_out(
    environment: str, state: str, cells: Sequence[Cell], images: Sequence[str], names: Sequence[str]
) -> Iterator[tuple[str, str]]:
    if state == "interrupted":
        way_on, rollback = read(shlex.split(cells[0].way_on)[1:]), str(Line("rollback", (environment,)))
        if way_on.command not in ("", "rollback"):
            yield str(shorter(way_on, names)), "finishes it"
            yield rollback, "abandons it"
        else:
            yield rollback, "finishes it" if way_on.command else "settles it"
    elif state == "unrecorded":
        known = [f"{image}={version(cell)}" for image, cell in zip(images, cells, strict=True)
                 if cell.found]  # fmt: skip
        if all(cell.wanted for cell in cells):
            back = [f"{image}={cell.wanted}" for image, cell in zip(images, cells, strict=True)]
            yield str(shorter(Line("rollback", (environment, *back)), names)), "puts it back"
        if len(known) == len(images):
            yield str(shorter(Line("promote", tuple(known), (Option("--to", environment),)), names)), "keeps it"
    elif state == "late":
        yield str(Line("verify", (environment,), (Option("--repair"),))), "puts it back"
    else:
        yield str(Line("verify", (environment,))), "tells more"


def _ahead(rows: Sequence[Row], policy: Policy, names: Sequence[str], now: datetime) -> Iterator[Note]:
    """Releases that wait in the environment before: the promotion that takes them on."""
    scheme = TagScheme(policy)
    for environment in policy.environments:
        if len(environment.sources) != 1 or any(is_frozen(window, now) for window in environment.freeze):
            continue
        source = environment.sources[0]
        if any(
            it.state == "interrupted" for row in rows for it in row.environments if it.environment == environment.name
        ):
            continue  # its members may be among those that wait, and nothing else is promoted beside it
        waiting: dict[str, list[str]] = {}
        for row in rows:
            cells = {cell.environment: cell for cell in row.environments}
            before, here = cells.get(source), cells.get(environment.name)
            if before is not None and here is not None and _goes_on(scheme, environment, before, here, now):
                waiting.setdefault(str(before.version), []).append(row.image)
        targets = {image: label for label, images in waiting.items() for image in images}
        if not targets:
            continue
        options = [Option("--to", environment.name)]
        options += [Option("--save-plan", "plan.json")] if environment.approvals else []
        line = Line("promote", tuple(f"{image}={it}" for image, it in targets.items()), tuple(options))
        if len(waiting) == 1 and len(targets) == len(rows) == len(names):
            line = line.saying("promote", list(waiting), line.options)
        elif len(targets) > _FEW_TARGETS:
            line = line.saying("promote", (), (Option("--all"), *line.options))
        told = ", ".join(waiting) if len(waiting) <= _FEW_TARGETS else f"{len(waiting)} versions"
        yield Note(
            f"{told} may go on from {source} to {environment.name}", tuple(targets), ((str(line), ""),), alarms=False
        )


_FEW_TARGETS = 3


def _goes_on(scheme: TagScheme, environment: Environment, before: Cell, here: Cell, now: datetime) -> bool:
    """Whether a promotion would bring something new: recorded before, higher than here, and nothing that is seen
    refuses it: no hold of it or of its bytes, there or here, no soak that is not over, no rule about pre-releases."""
    if before.state != "recorded" or here.state not in ("recorded", "empty") or not before.version:
        return False
    if before.digest == here.digest or here.frozen or _soaks(environment, before, now):
        return False
    if any(before.version in it.holds or before.digest in {hold.digest for hold in it.held} for it in (before, here)):
        return False
    with suppress(TagflowError, TypeError):
        there, running = scheme.recall(before.version), scheme.recall(here.version)
        if there is not None and there.is_prerelease and not environment.prereleases:
            return False
        return there is None or here.version is None or (running is not None and there > running)
    return False


def _soaks(environment: Environment, before: Cell, now: datetime) -> bool:
    """Whether what runs in the environment before has to stay there for some more time."""
    return environment.soak is not None and before.since is not None and now - before.since < environment.soak


_ASIDE = 20
"""Columns before a command, and behind it for what it does."""


def status(
    rows: Sequence[Row], policy: Policy, now: datetime, *, advise: bool = True, policy_file: str | None = None
) -> str:
    """Image × environment; ``advise``: with what is out of the ordinary, and the commands to type next, under the
    ``policy_file`` that the user named. Empty where no row is to be shown."""
    if not any(row.environments for row in rows):
        return ""
    fancy = is_fancy(sys.stdout)
    told = notes(rows, policy, now) if advise else []
    environments = {cell.environment for row in rows for cell in row.environments}
    if len(rows) == 1 or len(environments) == 1:
        lines = _details(rows, now, fancy)
    else:
        frozen = [cell.environment for row in rows for cell in row.environments if cell.frozen]
        lines = matrix(rows, frozen, fancy)
        if any(DIFFERS in line for line in lines):
            lines.append(styled(fitted(f"{DIFFERS} another version than most images have there", 2), "dim", fancy))
    return "\n".join([*lines, *_told(told, fancy, policy_file)])


def _details(rows: Sequence[Row], now: datetime, fancy: bool) -> list[str]:
    """Everything that is known of each cell, a line each."""
    header = ["IMAGE", "ENVIRONMENT", "VERSION", "DIGEST", "SINCE", "AGE", "BY", "STATE"]
    body = [
        [
            styled(one_line(row.image), "bold", fancy),
            cell.environment,
            version(cell) if cell.version or cell.state != "recorded" else "-",
            short(cell.digest),
            minute(cell.since),
            age(cell.since, now),
            one_line(cell.by or "-"),
            _state(cell, fancy),
        ]
        for row in rows
        for cell in row.environments
    ]
    return [table(header, body, fancy, spare=["DIGEST", "SINCE", "BY", "AGE"])]


def _state(cell: Cell, fancy: bool) -> str:
    told = full(cell) if cell.state in STYLES else cell.state
    told = styled(one_line(told), STYLES.get(cell.state, ""), fancy)
    proof = f"; {one_line(cell.proof.told)}" if cell.proof and cell.state == "recorded" else ""
    return told + proof + (f"; holds {one_line(', '.join(cell.holds))}" if cell.holds else "")


def _told(found: Sequence[Note], fancy: bool, policy_file: str | None) -> Iterator[str]:
    if found:
        yield ""
    for note in found:
        sign = styled("!", note.style, fancy) if note.alarms else styled("→", "cyan", fancy)
        names = f": {one_line(listed(note.images))}" if len(note.images) <= FEW and note.images else ""
        count = f" ({counted(note.images)})" if len(note.images) > FEW else ""
        yield f"{sign} {hung(one_line(note.text + names + count), 2)}"
        # What a command does stands behind it as a comment, so that the whole line can be pasted into a shell.
        commands = [(naming(policy_file, command), does) for command, does in note.commands]
        wide = max((len(command) for command, _ in commands), default=0)
        gap = wide if wide + _ASIDE <= columns() else 0
        for command, does in commands:
            aside = f"{' ' * (gap - len(command))}  {styled(f'# {does}', 'dim', fancy)}" if does else ""
            yield f"    {styled(one_line(command), 'bold', fancy)}{aside}"
