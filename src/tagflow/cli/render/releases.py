"""A plan, what a push, promotion, rollback or apply came to, and an approval."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tagflow.cli.text import FEW, columns, counted, hung, is_fancy, listed, styled
from tagflow.cli.text import cell as one_line

if TYPE_CHECKING:
    from tagflow.domain.plan import Move, Outcome, Plan, Step
    from tagflow.domain.reference import Digest
    from tagflow.verbs.approve import Approved

_SIGNS = {"create": ("+", "green"), "move": ("~", "yellow"), "keep": ("=", "dim")}
_SIGN, _WAY = 2, 27
"""Columns of a move's sign, and of two short digests with an arrow between them."""
_SAID = ("hold", "freeze")
"""Commands that move nothing."""
_OWN = ("record", "pin")
"""Kinds of tags that name a digest: they differ from image to image."""


def plan(it: Plan) -> str:
    """A plan as terraform shows one: what is created, what moves from where to where, what stays.

    Images whose tags do the same are one block.
    """
    fancy = is_fancy(sys.stdout)
    finishes = f" (finishes release {it.resumes.number})" if it.resumes else ""
    lines = [styled(f"{it.request.command} → {it.request.environment}", "bold", fancy) + finishes]
    if it.request.reason:
        lines.append(f"  {hung(one_line(f'“{it.request.reason}”'), 2)}")
    if it.request.overrides:
        lines.append(f"  overrides {one_line(', '.join(it.request.overrides))}")
    steps = {step.image: step for step in it.steps}
    groups: dict[object, list[str]] = {}
    idle: list[str] = []
    for image in dict.fromkeys(move.image for move in it.moves):
        if image not in steps and all(move.action == "keep" for move in _of(it, image)):
            idle.append(image)
            continue
        same = tuple((_tag(move), move.action) for move in _of(it, image))
        groups.setdefault((_way(steps.get(image)), same), []).append(image)
    for images in groups.values():
        if len(images) > FEW:
            lines += ["", *_many(it, images, steps, fancy)]
            continue
        for image in images:
            lines += ["", f"  {styled(one_line(image), 'bold', fancy)}  {one_line(_way(steps.get(image)))}"]
            moves = _of(it, image)
            wide = max(len(move.tag) for move in moves)
            lines += [_move(move, wide, fancy) for move in moves]
    if idle:
        lines += ["", f"  unchanged: {styled(hung(one_line(listed(idle)), 13), 'dim', fancy)}"]
    return "\n".join([*lines, "", _count(it)])


def _many(it: Plan, images: Sequence[str], steps: Mapping[str, Step], fancy: bool) -> list[str]:
    told = f"  {styled(counted(images), 'bold', fancy)}  {one_line(_way(steps.get(images[0])))}"
    signs = [f"{styled(*_SIGNS[move.action], fancy)} {_tag(move)}" for move in _of(it, images[0])]
    return [told, f"    {hung(one_line(listed(images)), 4)}", *(f"    {sign}" for sign in signs)]


def _of(it: Plan, image: str) -> list[Move]:
    return [move for move in it.moves if move.image == image]


def _tag(move: Move) -> str:
    return f"a {move.kind} tag" if move.kind in _OWN else move.tag


def _way(step: Step | None) -> str:
    """From which version to which."""
    if step is None:
        return "unchanged"
    if step.action == "admit":
        return f"{step.version} beside {step.previous_version or 'what runs'}"
    adopts = " (moved by hand before; that is recorded first)" if step.adopts else ""
    return f"{way(step)}" + (f" ({step.action})" if step.action in ("adopt", "abort") else adopts)


def way(step: Step) -> str:
    """``v1.2 → v1.3``."""
    before = step.previous_version or ("unknown" if step.previous_digest else "nothing")
    after = step.version or ("unknown" if step.digest else "nothing")
    return f"{before} → {after}"


def outcome(it: Outcome) -> str:
    """What a push, promotion or rollback came to; hold and freeze in one line."""
    fancy = is_fancy(sys.stdout)
    if it.plan.request.command in _SAID:
        return f"{styled('✓', 'green', fancy)} {one_line(_said(it))}" if it.plan.steps else "Nothing to do."
    lines = [plan(it.plan), *_gates(it, fancy)]
    if not it.applied:
        told = f"{it.environment}: {summary(it.plan, ways=True)}" if it.plan.steps else "nothing to do"
        lines.append(
            f"Dry run: nothing was changed.\nIt would be {one_line(told)}."
            if it.plan.changes
            else "Dry run: there is nothing to do."
        )
    elif not it.plan.changes:
        lines.append("Nothing to do.")
    else:
        lines.append(f"{styled('✓', 'green', fancy)} {one_line(_done(it))}")
    return "\n".join(lines)


def _said(it: Outcome) -> str:
    """``staging: v1.1 is held · 40 images``."""
    first = it.plan.steps[0]
    done = {
        "hold": f"{first.version} is held",
        # That it may be promoted again is not said: it may be held still, as the same bytes as another version.
        "unhold": f"the hold of {first.version} is lifted",
        "freeze": "frozen, nothing is promoted there",
        "thaw": "open again",
    }.get(first.action, first.action)
    if first.action in ("hold", "unhold") and len({step.version for step in it.plan.steps}) > 1:
        done = f"{', '.join(dict.fromkeys(step.version or '' for step in it.plan.steps))} are {first.action}"
    return f"{it.environment}: {done} · {counted([step.image for step in it.plan.steps])}"


def _gates(it: Outcome, fancy: bool) -> list[str]:
    passed: dict[str, list[str]] = {}
    for gate in it.gates:
        if gate.passed:
            passed.setdefault(gate.gate, []).append(gate.image)
    return [
        f"{styled('✓', 'green', fancy)} {one_line(counted(images))}: gate {one_line(name)}"
        for name, images in passed.items()
    ]


def _done(it: Outcome) -> str:
    """``prod: v1.3 · 40 images · release 4``."""
    release = it.number or it.release
    parts = [summary(it.plan, ways=it.plan.request.command == "rollback")]
    parts += [counted(it.plan.members)] if it.plan.members else []
    parts += [f"release {release}"] if release else []
    return f"{it.environment}: {' · '.join(parts)}"


def summary(it: Plan, *, ways: bool) -> str:
    """The version that images come to, or from which to which; of several, each with how many, or which.

    >>> from tagflow.domain.plan import Plan, Request, Step
    >>> def step(image: str, version: str) -> Step:
    ...     return Step(image, "r", "promote", version, None, "v1.0", None)
    >>> request = Request("promote", "prod")
    >>> summary(Plan(request, "", (step("a", "v1.1"), step("b", "v1.1")), ()), ways=True)
    'v1.0 → v1.1'
    >>> summary(Plan(request, "", (step("a", "v1.1"), step("b", "v2.0")), ()), ways=False)
    'v1.1 (a), v2.0 (b)'
    """
    found: dict[str, list[str]] = {}
    for step in it.steps:
        told = way(step) if ways else step.version or ("an unknown version" if step.digest else "nothing")
        found.setdefault(told, []).append(step.image)
    if not found:
        return "tags put right"
    if len(found) == 1:
        return next(iter(found))
    ranked = sorted(found.items(), key=lambda item: -len(item[1]))
    first = ", ".join(f"{version} ({counted(images)})" for version, images in ranked[:FEW])
    return first + (f", {len(ranked) - FEW} more" if len(ranked) > FEW else "")


def question(it: Plan) -> str:
    """What is asked before anything moves: ``rollback prod: v1.3 → v1.2, 40 images. Carry it out?``."""
    images = f", {counted(it.members)}" if it.members else ""
    return f"{it.request.command} {it.request.environment}: {summary(it, ways=True)}{images}. Carry it out?"


def _move(move: Move, wide: int, fancy: bool) -> str:
    sign, style = _SIGNS[move.action]
    told = short(move.after) if move.action != "move" else f"{short(move.before)} → {short(move.after)}"
    room = columns() - 4 - _SIGN
    gap = "\n" + " " * (4 + _SIGN + 2) if wide + 2 + _WAY > room else " " * (wide - len(move.tag) + 2)
    return f"    {styled(sign, style, fancy)} {move.tag}{gap}{told}"


def _count(it: Plan) -> str:
    counted = Counter(move.action for move in it.moves)
    return f"Plan: {counted['create']} to create, {counted['move']} to move, {counted['keep']} to keep."


def short(digest: Digest | None) -> str:
    """A digest as far as people compare it."""
    if digest is None:
        return "-"
    return digest.removeprefix("sha256:")[:12] or "(known once pushed)"


def approved(it: Approved) -> str:
    """``✓ approved for prod by alice: registry.example.com/app:_tagflow.approval.…``, and the rules that are open."""
    fancy = is_fancy(sys.stdout)
    done = f"{styled('✓', 'green', fancy)} approved for {one_line(it.environment)} by {one_line(it.signer)}: "
    lines = [done + one_line(it.reference)]
    lines += [f"{styled('!', 'yellow', fancy)} {one_line(str(tally))}" for tally in it.missing]
    lines += [] if it.missing else [f"Nothing more is needed: `{one_line(it.apply)}` carries it out."]
    return "\n".join(lines)
