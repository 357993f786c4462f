"""What an error needs to know before, or although, the command line could not be parsed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tagflow.cli.session import Session

_VALUED = ("--policy", "--timeout")
_SHORT_VALUED = "fn"
"""Short options that take a value, beside -o."""


def guess_session(arguments: Sequence[str]) -> Session:
    """The command and the output format, as far as they can be read."""
    output: str | None = None
    command = ""
    rest = iter(arguments)
    for word in rest:
        if word == "--":
            break
        if word == "--output":
            output = next(rest, output)
        elif word.startswith("--output="):
            output = word.removeprefix("--output=")
        elif word in _VALUED:
            next(rest, None)
        elif word.startswith("-") and not word.startswith("--"):
            output = _short(word[1:], rest) or output
        elif not word.startswith("-"):
            command = command or word
    return Session(command=command, output=output)


def _short(letters: str, rest: Iterator[str]) -> str | None:
    """The output format in a group of short options, ``-vojson`` or ``-vo json``."""
    for position, letter in enumerate(letters):
        value = letters[position + 1 :]
        if letter == "o":
            return value or next(rest, None)
        if letter in _SHORT_VALUED:
            if not value:
                next(rest, None)
            return None
    return None
