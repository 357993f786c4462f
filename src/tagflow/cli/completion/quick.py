"""What Tab offers without a command being built: names of commands and of options, which need no policy.

The words stand in a table that `make reference` makes from the commands. What that does not tell for certain is left to
:mod:`tagflow.cli.completion.shells`, which says the same of all lines, later (``tests/cli/test_completion.py`` compares
them). So nothing is imported here that takes time.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as typing has it, without waiting for typing
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_QUOTED = frozenset("'\"\\#$`\n")
"""What a shell reads as more than a letter: such a line is left to who can read it."""


def answer(environ: Mapping[str, str]) -> str | None:
    """What is printed for the shell that asks; None where that is not known here.

    ``environ``: as the scripts set it, ``_TAGFLOW_COMPLETE`` with the line in variables of its shell.
    """
    shell = environ.get("_TAGFLOW_COMPLETE", "").removeprefix("complete_")
    line = environ.get("COMP_WORDS" if shell == "bash" else "_TYPER_COMPLETE_ARGS", "")
    if shell not in ("bash", "zsh", "fish") or not _QUOTED.isdisjoint(line):
        return None
    words = line.split()
    if shell == "bash":
        try:
            at = int(environ.get("COMP_CWORD") or 0)
        except ValueError:
            return None
        ends = at >= len(words)
        words = joined(words[: at + 1])[1:]
    else:
        ends = line.endswith(" ") or len(words) < 2
        words = words[1:]
    found = _candidates(words if ends else words[:-1], "" if ends else words[-1])
    if found is None:
        return None
    plain = shell == "bash"
    return "\n".join(name if plain or not told else f"{name}\t{told}" for name, told in found)


def joined(pieces: Iterable[str]) -> list[str]:
    """Words as they were typed, from the pieces into which bash cut them.

    >>> joined(["tagflow", "push", "v1.0", "app", "=", "oci", ":", "build"])
    ['tagflow', 'push', 'v1.0', 'app=oci:build']
    """
    words: list[str] = []
    glue = False
    for piece in pieces:
        is_break = piece != "" and not piece.strip("=:")
        if words and (glue or is_break):
            words[-1] += piece
        else:
            words.append(piece)
        glue = is_break
    return words


def _candidates(words: Sequence[str], typed: str) -> list[tuple[str, str]] | None:
    """Words and what they mean; None where a value is to be completed, or something is not understood."""
    from tagflow.cli.completion.table import COMMANDS, OPTIONS

    command, options, takes_value = "", OPTIONS[""], False
    given: set[str] = set()
    for word in words:
        if takes_value:
            takes_value = False
        elif word.startswith("-"):
            name, equals, _ = word.partition("=")
            option = next((it for it in options if name in it[0]), None)
            if option is None or (equals and not name.startswith("--")):
                return None
            given.add(option[0][0])
            takes_value = option[2] and not equals
        elif not command:
            if word not in COMMANDS:
                return None
            command, options, given = word, OPTIONS[word], set()
    if takes_value or "=" in typed or "--" in words:
        return None
    if typed.startswith("-"):
        left = (it for it in options if it[3] or it[0][0] not in given)
        return [(name, told) for names, told, _, _ in left for name in names if name.startswith(typed)]
    if command:
        return None
    return [(name, told) for name, told in COMMANDS.items() if name.startswith(typed)]
