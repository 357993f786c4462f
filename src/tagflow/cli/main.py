"""The entry point. What needs no command at all is answered before anything else is imported."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # as typing has it, without waiting for typing
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

_ROOMY = 80
"""Columns from which on help is always laid out the same."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run tagflow and end the process with its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if (told := _known(given)) is not None:
        try:
            print(told, flush=True)
        except OSError:
            pass  # told below, in the way of every other command
        else:
            return
    from tagflow.cli.process import main as whole

    whole(given)


def run(arguments: Sequence[str], now: Callable[[], datetime] | None = None) -> int:
    """Run one command line, by another clock if one is given; the exit status."""
    from tagflow.cli.process import run as whole

    return whole(arguments, now)


def _known(given: Sequence[str]) -> str | None:
    """What is to be printed, where no command has to be built to know it: help, the version, and most words that
    complete a line."""
    if sys.stdout is None:
        return None
    if "_TAGFLOW_COMPLETE" in os.environ:
        from tagflow.cli.completion.quick import answer

        return answer(os.environ)
    if list(given) == ["--version"]:
        from tagflow import __version__

        return f"tagflow {__version__}"
    if given and given[-1] in ("--help", "-h") and len(given) <= 2 and _is_roomy():
        from tagflow.cli.help_text import TEXTS

        return TEXTS.get(given[0] if len(given) == 2 else "")
    return None


def _is_roomy() -> bool:
    """Whether the text fits as it is."""
    try:
        columns = int(os.environ.get("COLUMNS", "")) or _ROOMY
    except ValueError:
        try:
            columns = os.get_terminal_size(sys.stdout.fileno()).columns
        except (OSError, ValueError):
            columns = _ROOMY
    return columns >= _ROOMY
