"""The core knows no command line: what it asks for is spelt as options by the command line alone."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache

from tagflow.cli.spelling import TYPED, WITHOUT_WAIT, typed
from tests.project.source import Module, modules

COMMAND = re.compile(r"`[^`]* [^`]*`")
"""A whole command may be told to everybody: it is typed in a shell."""
OPTION = re.compile(r"(?<![\w-])--[a-z]")
LEFT = {
    "config/environment.py",  # the schema describes the commands of users, and an option in backticks
    "config/load.py",  # how a policy is found is one rule for a program and a shell
    "config/template.py",  # the file that `init` writes
    "pin/edit.py",
}
COMMANDS = ("tagflow ", "aws ", "--form ", "… --form ")
"""Texts that are a command, to be put between backticks."""


def texts(module: Module) -> Iterator[str]:
    """The texts of a module that somebody may read: what is put into them is an ellipsis; no docstrings."""
    within: set[int] = set()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Expr):
            within.add(id(node.value))
        if isinstance(node, ast.JoinedStr):
            within |= {id(it) for it in ast.walk(node)} - {id(node)}
    for node in ast.walk(module.tree):
        if id(node) in within:
            continue
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(it.value) if isinstance(it, ast.Constant) else "…" for it in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@cache
def core() -> list[tuple[Module, str]]:
    """Every text of the core: read when a test asks, not by every worker that collects it."""
    return [(module, text) for module in modules() if module.room != "cli" for text in texts(module)]


def test_no_text_of_the_core_speaks_of_options() -> None:
    bare = [(it.place, text, COMMAND.sub("", text)) for it, text in core() if it.place not in LEFT]
    found = [(place, text) for place, text, rest in bare if " " in rest.strip() and OPTION.search(rest)]
    assert [it for it in found if not it[1].startswith(COMMANDS)] == []


def test_what_is_spelt_is_said() -> None:
    said = "\n".join(text for _, text in core())
    assert [phrase for phrase in (*TYPED, *WITHOUT_WAIT) if phrase not in said] == []


def test_spelling_twice_changes_nothing() -> None:
    assert all(typed(it) == it for it in TYPED.values())
