"""What verify found."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from tagflow.cli.fold import FEW, counted, listed, template
from tagflow.cli.hints import merged
from tagflow.cli.text import cell as one_line
from tagflow.cli.text import hung, is_fancy, styled

if TYPE_CHECKING:
    from tagflow.decide.audit import Finding


def findings(found: Iterable[Finding]) -> str:
    """A block for each kind of finding, with its images and the command that mends it; a finding of its own where it
    is about few images."""
    fancy = is_fancy(sys.stdout)
    everything = list(found)
    names = list(dict.fromkeys(it.image for it in everything))
    groups: dict[object, list[Finding]] = {}
    for it in everything:
        groups.setdefault(_kind(it), []).append(it)
    blocks: list[str] = []
    for several in groups.values():
        if len({it.image for it in several}) > FEW:
            blocks.append(_many(several, names, fancy))
        else:
            blocks += [_one(it, fancy) for it in several]
    return "\n".join(blocks)


def _kind(it: Finding) -> object:
    """What findings have in common that differ in the image only."""
    return it.environment, it.problem, it.tag, template(it.detail, it.image), template(_text(it.repair), it.image)


def _text(repair: str) -> str:
    """A command without what it is about: targets stand for the image."""
    return " ".join(word for word in repair.split() if "=" not in word)


def _one(it: Finding, fancy: bool) -> str:
    where = one_line(f"{it.image} in {it.environment}" + (f": {it.tag}" if it.tag else ""))
    lines = [f"{styled(it.problem, 'yellow', fancy)}  {where}"]
    lines += [f"  {hung(one_line(it.detail), 2)}"] if it.detail else []
    lines += [f"  expected {one_line(it.expected)}"] if it.expected else []
    lines += [f"  actual   {one_line(it.actual)}"] if it.actual else []
    return "\n".join([*lines, f"  repair   {one_line(it.repair)}"])


def _many(several: Sequence[Finding], names: Sequence[str], fancy: bool) -> str:
    first = several[0]
    images = list(dict.fromkeys(it.image for it in several))
    where = one_line(f"{counted(images)} in {first.environment}" + (f": {first.tag}" if first.tag else ""))
    lines = [f"{styled(first.problem, 'yellow', fancy)}  {where}", f"  {hung(one_line(listed(images)), 2)}"]
    if first.detail:
        lines.append(f"  {hung(one_line(first.detail.replace(first.image, 'the image')), 2)}")
    repair = merged([f"`{it.repair}`" for it in several], names).replace("`", "")
    return "\n".join([*lines, f"  repair   {one_line(repair)}"])
