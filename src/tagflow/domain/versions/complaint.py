"""Why a text is no SemVer version: which part, for what reason, and what to write instead."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tagflow.domain.versions.natural import NATURAL
from tagflow.domain.versions.version import LONGEST, VersionScheme
from tagflow.errors import UsageError

_USUAL = "Write 1.2.3, v1.2.3, 1.2 or v1; a pre-release (1.2.0-rc.1) or build metadata (1.2.3+7) may follow."
_STRANGE = re.compile(r"[^0-9A-Za-z.+_-]")
_COMMIT = 7
"""Digits of the shortest name of a commit that git shows."""


@dataclass(frozen=True)
class _Wrong:
    """What is wrong with a text, and how it would be right: empty where nobody can tell.

    ``natural``: whether the other scheme would read it as it was meant.
    """

    reason: str
    instead: str = ""
    natural: bool = True


def complaint(text: str, scheme: VersionScheme) -> UsageError:
    """The error for a text that is no version under ``scheme``."""
    wrong = _look(text)
    ways = []
    if wrong.instead and scheme.find(wrong.instead) is not None:
        ways.append(f"write {'v' * text.startswith('v')}{wrong.instead}")
    natural = wrong.natural and NATURAL.find(text) is not None
    if natural:
        ways.append("set `versions: natural`")
    told = f"{wrong.reason}; {', or '.join(ways)}" if ways else wrong.reason
    hint = "`versions` stands under `tags` in promotion.yaml." if natural else _USUAL
    return UsageError("version.invalid", f"{text[:LONGEST]!r} is not a version: {told}", hint=hint)


def _look(text: str) -> _Wrong:
    body = text.removeprefix("v")
    strange = _STRANGE.search(text)
    if not text:
        return _Wrong("it is empty")
    if len(text) > LONGEST:
        return _Wrong(f"it is longer than {LONGEST} characters")
    if strange is not None:
        return _Wrong(f"{strange[0]!r} is not allowed in it")
    if not body[:1].isdigit():
        return _Wrong("it does not begin with a number")
    core = re.match(r"[0-9.]+", body)
    assert core is not None
    rest = body[core.end() :]
    return _in_core(core[0], rest) or _in_suffix(core[0], rest)


def _in_core(core: str, rest: str) -> _Wrong | None:
    numbers = core.split(".")
    if "" in numbers:
        dot = rest[:1].isalpha() and numbers.index("") == len(numbers) - 1
        return _Wrong(f"a number is missing in {core}", f"{core[:-1]}-{_dotted(rest)}" if dot else "")
    if len(numbers) > 3:
        return _Wrong(f"{core}: SemVer has three numbers at most, these are {len(numbers)}")
    padded = next((number for number in numbers if len(number) > 1 and number.startswith("0")), None)
    if padded is not None:
        return _Wrong(f"{padded}: no leading zero in SemVer", ".".join(_bare(number) for number in numbers) + rest)
    if rest[:1].isalpha():
        return _Wrong(f"{rest}: SemVer has a hyphen before a pre-release", f"{core}-{_dotted(rest)}")
    return None


def _in_suffix(core: str, rest: str) -> _Wrong:
    before, plus, build = rest.replace("_", "+").partition("+")
    identifiers = before.removeprefix("-").split(".") if before else []
    if "+" in build:
        once = f"{core}{before}+{build.replace('+', '.')}"
        return _Wrong("build metadata begins with + or _, and it stands there twice", once)
    if "" in identifiers or (plus and "" in build.split(".")):
        return _Wrong("something is missing after a separator")
    for place, identifier in enumerate(identifiers):
        if identifier.isdigit() and len(identifier) > 1 and identifier.startswith("0"):
            commit = len(identifier) >= _COMMIT
            right = [*identifiers[:place], f"g{identifier}" if commit else _bare(identifier), *identifiers[place + 1 :]]
            reason = f"{identifier}: no leading zero in a number of a SemVer pre-release"
            return _Wrong(reason, f"{core}-{'.'.join(right)}{plus}{build}", natural=not commit)
    return _Wrong("SemVer does not read it")


def _bare(number: str) -> str:
    return number.lstrip("0") or "0"


def _dotted(text: str) -> str:
    """``rc10`` → ``rc.10``."""
    return re.sub(r"^([A-Za-z]+)([0-9])", r"\1.\2", text)
