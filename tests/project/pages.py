"""The documentation, read by tests: its sections, blocks and links."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.project.source import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")])
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)
_MARKED = re.compile(r"^(?:<!-- (not run|exits (\d+)): (.+?) -->\n)?```(\w*)\n(.*?)^```", re.M | re.S)


@dataclass(frozen=True)
class Block:
    """A code block. The comment before it may say that no test runs it, or which exit status it ends with; and why."""

    kind: str
    body: str
    status: int = 0
    left_out: str = ""
    reason: str = ""


def blocks(page: Path, title: str = "") -> list[Block]:
    """The code blocks of a page, or of one section of it."""
    text = section(page, title) if title else page.read_text()
    return [
        Block(kind, body, int(status or 0), reason if mark == "not run" else "", reason)
        for mark, status, reason, kind, body in _MARKED.findall(text)
    ]


def section(page: Path, title: str) -> str:
    """What stands between a heading and the next one."""
    found = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#+ (?![^\n]*\n```)|\Z)", _without_blocks(page), re.M | re.S)
    assert found is not None, title
    text = page.read_text()
    return text[found.start(1) : found.end(1)]


def script(page: Path, *titles: str) -> str:
    """The shell blocks of some sections, one after the other."""
    return "".join(body for title in titles for kind, body in _BLOCK.findall(section(page, title)) if kind == "sh")


def commands(page: Path) -> Iterator[list[str]]:
    """Every tagflow command of the shell blocks, and of what is shown behind a prompt, as its arguments."""
    for kind, body in _BLOCK.findall(page.read_text()):
        for line in body.replace("\\\n", " ").splitlines():
            typed = line.removeprefix("$ ") if line.startswith("$ ") else line if kind == "sh" else ""
            for part in re.split(r"&&|\|\||[;|]", typed):
                words = part.split("do ")[-1].strip()
                if words.startswith("tagflow "):
                    yield shlex.split(words, comments=True)[1:]


def links(page: Path) -> list[str]:
    """The relative links of a page, without their anchors."""
    found = re.findall(r"\]\(([^)\s]+)\)", _without_blocks(page))
    return [link.partition("#")[0] for link in found if "://" not in link and not link.startswith("#")]


def _without_blocks(page: Path) -> str:
    """The text with blanks where code blocks are: a comment in a script is no heading."""
    return _BLOCK.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), page.read_text())
