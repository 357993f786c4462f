"""What a shell is told when Tab is pressed, and the scripts that make it ask.

Typer (through click) finds out which word of which command is to be completed. This module speaks with the shells: bash
cuts words at ``=`` and ``:``, and what a shell shows beside a word comes without the markup that Typer reads with Rich.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.resources import files
from itertools import pairwise
from typing import Any

from typer import _completion_shared
from typer._click.shell_completion import CompletionItem, ShellComplete, add_completion_class, split_arg_string

from tagflow.cli.completion.quick import joined
from tagflow.cli.session import output
from tagflow.errors import StoreError, UsageError

_VARIABLE = "_TAGFLOW_COMPLETE"
SHELLS = ("bash", "zsh", "fish")
_OPTIONS = ("--show-completion", "--install-completion")


def prepare() -> None:
    """Take the place of Typer's own scripts and answers, for `--show-completion` and `--install-completion` too.

    To be called once the commands are made, for then Typer registers its own.
    """
    for kind in (Bash, Zsh, Fish):
        add_completion_class(kind, kind.name)
    _completion_shared._completion_scripts.update({name: script(name).replace("%", "%%") for name in SHELLS})


def serve(arguments: Sequence[str]) -> bool:
    """Show or install the script for the shell that is named after the option; whether one was.

    Where none is, Typer looks which shell it was called from.

    :raises UsageError: ``usage.invalid`` for a shell that is not known.
    :raises StoreError: ``file.unwritable``.
    """
    for option, shell in pairwise(arguments):
        if option in _OPTIONS and not shell.startswith("-"):
            break
    else:
        return False
    if shell not in _completion_shared._completion_scripts:
        raise UsageError("usage.invalid", f"{shell!r} is no shell that is known", hint=f"Use {', '.join(SHELLS)}.")
    if option == "--show-completion":
        told = _completion_shared.get_completion_script(prog_name="tagflow", complete_var=_VARIABLE, shell=shell)
    else:
        try:
            _, path = _completion_shared.install(shell=shell, prog_name="tagflow")
        except OSError as exc:
            why = f"cannot write {exc.filename}: {exc.strerror}"
            raise StoreError("file.unwritable", why, hint="`--show-completion` prints the script.") from exc
        told = f"Installed {path}. A new {shell} completes tagflow."
    with output():
        print(told, flush=True)
    return True


def script(shell: str) -> str:
    """What a shell of this name is to evaluate."""
    return files("tagflow.cli.completion").joinpath(f"tagflow.{shell}").read_text(encoding="utf-8")


class _Shell(ShellComplete):
    def source_vars(self) -> dict[str, Any]:
        """Nothing: the scripts are whole."""
        return {}

    def source(self) -> str:
        """The script."""
        return script(self.name)


class _Lines(_Shell):
    """A word a line, what it means after a tab. The shell gives the line up to the cursor."""

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the one at the cursor, and that one."""
        line = os.environ.get("_TYPER_COMPLETE_ARGS", "")
        words = split_arg_string(line)[1:]
        if not words or line.endswith(" "):
            return words, ""
        return words[:-1], words[-1]

    def complete(self) -> str:
        """The candidates; of an option and its value in one word, that whole word."""
        args, incomplete = self.get_completion_args()
        option, equals, _ = incomplete.partition("=")
        before = option + equals if option.startswith("-") and equals else ""
        return "\n".join(before + self.format_completion(it) for it in self.get_completions(args, incomplete))

    def format_completion(self, item: CompletionItem) -> str:
        """One line."""
        told = " ".join(str(item.help or "").split())
        return f"{item.value}\t{told}" if told else str(item.value)


class Zsh(_Lines):
    """zsh: cuts no words."""

    name = "zsh"


class Fish(_Lines):
    """fish: cuts no words."""

    name = "fish"


class Bash(_Shell):
    """bash: gives the words one by one, cut where readline cuts them."""

    name = "bash"

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the one at the cursor, and that one, both put together again."""
        typed = split_arg_string(os.environ.get("COMP_WORDS", ""))
        current = int(os.environ.get("COMP_CWORD") or 0)
        words = joined(typed[: current + 1])[1:]
        if current >= len(typed):
            return words, ""
        return words[:-1], words[-1] if words else ""

    def complete(self) -> str:
        """The candidates, without what readline does not replace: everything up to the last place of a cut."""
        args, incomplete = self.get_completion_args()
        cut = max(incomplete.rfind("="), incomplete.rfind(":")) + 1
        values = [str(item.value) for item in self.get_completions(args, incomplete)]
        return "\n".join(it[cut:] if it.startswith(incomplete[:cut]) else it for it in values)

    def format_completion(self, item: CompletionItem) -> str:
        """One line."""
        return str(item.value)
