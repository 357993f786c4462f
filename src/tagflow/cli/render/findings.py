"""What verify and doctor found, and what pull fetched."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from tagflow.cli.hints import merged
from tagflow.cli.line import naming, under
from tagflow.cli.text import FEW, columns, counted, fold, hung, is_fancy, listed, nameless, styled, template
from tagflow.cli.text import cell as one_line

if TYPE_CHECKING:
    from tagflow.decide.finding import Finding
    from tagflow.verbs.doctor import Diagnosis
    from tagflow.verbs.pull import Pulled

_DIGEST = re.compile(r"\bsha(?:256|512):[0-9a-f]+")
_OWN_TAG = re.compile(r"_tagflow\.(?:(pin)\.[0-9a-f]{12}|[a-z0-9-]+\.\d{6}\.[0-9a-f]{12})")
_ADDRESS = re.compile(r"\S+/\S+:(?=[\w.-]+(?:\s|,|$))")
"""The repository before a tag: many images have as many."""
_AT = re.compile(rf" (?:back )?at {_DIGEST.pattern}$")
_PERSON = "a person must "


def findings(found: Iterable[Finding], policy_file: str | None = None) -> str:
    """A block for each kind of finding, with its images and the command that mends it, under the ``policy_file`` that
    the user named; a finding of its own where it is about few images. What is wrong of one image in several
    environments is told once, too."""
    fancy = is_fancy(sys.stdout)
    everything = _across(found)
    names = list(dict.fromkeys(it.image for it in everything))
    groups: dict[object, list[Finding]] = {}
    for it in everything:
        groups.setdefault(_kind(it), []).append(it)
    blocks: list[str] = []
    for several in groups.values():
        if len({it.image for it in several}) > FEW:
            blocks.append(_many(several, names, fancy, policy_file))
        else:
            blocks += [_one(it, fancy, policy_file) for it in several]
    return "\n".join(blocks)


def mended(lines: Iterable[str], names: Sequence[str]) -> list[str]:
    """What a repair did, or would do: of many images once.

    >>> mended([f"prod: {it}: would put latest at sha256:{'0' * 64}" for it in "abcd"], "abcd")
    ['prod: 4 images: would put latest right', '  a, b, c, d']
    """
    told = list(lines)
    folded = fold("\n".join(_AT.sub(" right", line) for line in told), names).splitlines()
    return folded if len(folded) < len(told) else told


def _across(found: Iterable[Finding]) -> list[Finding]:
    """The findings, those as one that say the same of one image in several environments."""
    groups: dict[Finding, list[str]] = {}
    for it in found:
        groups.setdefault(replace(it, environment=""), []).append(it.environment)
    return [replace(it, environment=", ".join(names)) for it, names in groups.items()]


def _kind(it: Finding) -> object:
    """What findings have in common that differ in the image only, and in what follows from it: digests, addresses."""
    detail, repair = (template(_any(text), it.image) for text in (it.detail, _text(it.repair)))
    return it.environment, it.problem, _any(it.tag), detail, repair


def _any(text: str) -> str:
    """A text without what names one image's content."""
    return _OWN_TAG.sub(lambda it: f"a {it[1] or 'record'} tag", _DIGEST.sub("what is expected", text))


def _text(repair: str) -> str:
    """What is to be done, without what it is about: targets stand for the image, and so do addresses."""
    if repair.startswith(_PERSON):
        return _ADDRESS.sub("", _any(repair))
    return " ".join(word for word in repair.split() if "=" not in word)


def _one(it: Finding, fancy: bool, policy_file: str | None) -> str:
    where = one_line(f"{it.image} in {it.environment}" + (f": {it.tag}" if it.tag else ""))
    lines = [f"{styled(it.problem, 'yellow', fancy)}  {hung(where, len(it.problem) + 2)}"]
    lines += [f"  {hung(one_line(it.detail), 2)}"] if it.detail and it.detail != f"manifest {it.expected}" else []
    lines += [f"  expected {one_line(it.expected)}"] if it.expected else []
    lines += [f"  actual   {one_line(it.actual)}"] if it.actual else []
    return "\n".join([*lines, f"  repair   {_repair(naming(policy_file, it.repair))}"])


def _many(several: Sequence[Finding], names: Sequence[str], fancy: bool, policy_file: str | None) -> str:
    first = several[0]
    images = list(dict.fromkeys(it.image for it in several))
    where = one_line(f"{counted(images)} in {first.environment}" + (f": {_any(first.tag)}" if first.tag else ""))
    lines = [f"{styled(first.problem, 'yellow', fancy)}  {hung(where, len(first.problem) + 2)}"]
    lines.append(f"  {hung(one_line(listed(images)), 2)}")
    if first.detail:
        detail = _any(first.detail).replace("manifest what is expected", "the manifest")
        lines.append(f"  {hung(one_line(nameless(detail, first.image)), 2)}")
    if first.repair.startswith(_PERSON):
        repair = nameless(_text(first.repair), first.image)
    else:
        repair = under(policy_file, merged([f"`{it.repair}`" for it in several], names)).replace("`", "")
    return "\n".join([*lines, f"  repair   {_repair(repair)}"])


def _repair(text: str) -> str:
    """A command stays in one line, so that it can be copied; what a person must do is read."""
    return hung(one_line(text), 11) if text.startswith(_PERSON) else one_line(text)


_WAY = 27
"""Columns that a name in front of a text must leave."""


def diagnoses(found: Iterable[Diagnosis]) -> str:
    """What doctor found: a block each registry; what makes it unusable stands out from what is only to be known."""
    fancy = is_fancy(sys.stdout)
    return "\n\n".join(_diagnosis(it, fancy) for it in found)


def _diagnosis(it: Diagnosis, fancy: bool) -> str:
    state = styled("usable", "green", fancy) if it.usable else styled("cannot be used", "red", fancy)
    lines = [f"{styled(one_line(it.registry), 'bold', fancy)}  {state}"]
    wide = max((len(check.check) for check in it.checks), default=0)
    if columns() < 2 * wide + _WAY:
        wide = 0  # each name is told where it ends: there is no room for a column
    for check in it.checks:
        sign, style = ("✓", "green") if check.ok else ("✗", "red") if check.essential else ("!", "yellow")
        detail = hung(one_line(check.detail), wide + 6) if wide else hung(one_line(f"{check.check}: {check.detail}"), 4)
        name = f"{check.check.ljust(wide)}  " if wide else ""
        lines.append(f"  {styled(sign, style, fancy)} {name}{detail}")
    return "\n".join(lines)


def pulled(images: Iterable[Pulled]) -> str:
    """What is on this machine now."""
    return "\n".join(f"{it.reference}  {it.digest}" for it in images)
