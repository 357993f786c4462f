"""A command line as it was typed: its command, the words behind it, its options with their values."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

_VALUED = frozenset(
    {"--policy", "--output", "--timeout", "--to", "--from", "--reason", "--override", "--save-plan", "--wait",
     "--receipt", "--approval", "--out", "--until", "--limit", "--since", "--at", "--html", "--running", "--expect",
     "--form", "--env", "--image", "--registry", "-f", "-o", "-n"}
)  # fmt: skip
"""Options that take a value, of whichever command: a command that does not know one is corrected, too."""
POLICY = ("-f", "--policy")
"""What names the policy."""
_COMMAND = re.compile(r"`(tagflow [^`]*)`")


class Option(Struct, frozen=True):
    """An option, and its value; None of a flag."""

    name: str
    value: str | None = None

    def words(self) -> tuple[str, ...]:
        """As it is typed."""
        return (self.name,) if self.value is None else (self.name, self.value)


class Line(Struct, frozen=True):
    """``before`` are the global options before ``command``; ``words`` the arguments, without options; ``options``
    those behind the command."""

    command: str = ""
    words: tuple[str, ...] = ()
    options: tuple[Option, ...] = ()
    before: tuple[Option, ...] = ()

    def value(self, name: str) -> str | None:
        """The value of an option; the last one counts, as everywhere."""
        return next((it.value for it in reversed(self.options) if it.name == name), None)

    def without(self, *names: str) -> tuple[Option, ...]:
        """The options behind the command, but for these."""
        return tuple(it for it in self.options if it.name not in names)

    def saying(self, command: str, words: Sequence[str], options: Sequence[Option]) -> Line:
        """Another command, after the same global options."""
        return replace(self, command=command, words=tuple(words), options=tuple(options))

    def __str__(self) -> str:
        """What to type in a POSIX shell."""
        before = [word for it in self.before for word in it.words()]
        after = [word for it in self.options for word in it.words()]
        dashed = any(word.startswith("-") for word in self.words)
        words = [*after, "--", *self.words] if dashed else [*self.words, *after]
        return shlex.join(["tagflow", *before, *filter(None, [self.command]), *words])


def read(arguments: Sequence[str]) -> Line:
    """Read arguments as the parser of the command line would, without knowing its commands."""
    line = Line()
    rest = iter(arguments)
    for word in rest:
        if word == "--":
            words = list(rest)
            command = line.command or (words.pop(0) if words else "")
            return replace(line, command=command, words=(*line.words, *words))
        if word.startswith("-") and word != "-":
            options = tuple(_options(word, rest))
            if line.command:
                line = replace(line, options=(*line.options, *options))
            else:
                line = replace(line, before=(*line.before, *options))
        elif not line.command:
            line = replace(line, command=word)
        else:
            line = replace(line, words=(*line.words, word))
    return line


def _options(word: str, rest: Iterator[str]) -> Iterator[Option]:
    """The options of one word: several where short ones stand together, ``-vo json``."""
    if word.startswith("--"):
        name, equals, value = word.partition("=")
        yield Option(name, value if equals else next(rest, None) if name in _VALUED else None)
        return
    for position, letter in enumerate(word[1:], start=2):
        name = f"-{letter}"
        if name in _VALUED:
            yield Option(name, word[position:] or next(rest, None))
            return
        yield Option(name)


def under(policy: str | None, text: str) -> str:
    """A text in which each command in backticks names the policy that the user named."""
    return _COMMAND.sub(lambda match: f"`{naming(policy, match[1])}`", text)


def naming(policy: str | None, command: str) -> str:
    """A command that names the policy that the user named: without it, another would be found, or none. What is no
    command of tagflow's stays."""
    if not policy or not command.startswith("tagflow "):
        return command
    try:
        line = read(shlex.split(command)[1:])
    except ValueError:  # a command that is cut has quotes that do not close
        line = Line()
    options = {it.name for it in (*line.before, *line.options)}
    if options.intersection((*POLICY, "--help", "--version")):
        return command
    return command.replace("tagflow", f"tagflow -f {shlex.quote(policy)}", 1)
