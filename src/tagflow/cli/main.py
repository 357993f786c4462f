"""The entry point. What needs no command at all is answered before anything else is imported."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # as typing has it, without waiting for typing
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

_INTERRUPTED = 130
_WORDS = "interrupted: no environment or floating tag differs from before"
_ROOMY = 80
"""Columns from which on help is always laid out the same."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run tagflow and end the process with its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if (told := _known(given)) is not None:
            try:
                print(told, flush=True)
            except OSError:
                pass  # told below, in the way of every other command
            else:
                return
        _hear_early(given)
        given = _with_reasons(given)
        from tagflow.cli.process import main as whole
        from tagflow.cli.process import prepare

        prepare()
    except KeyboardInterrupt:
        _tell_interrupted(given)
        sys.exit(_INTERRUPTED)
    whole(given)


def _hear_early(given: Sequence[str]) -> None:
    """End at once where a signal comes while tagflow is imported: nothing was begun, what was half imported cannot be
    imported again for sure, and Python swallows an exception that comes amid the locks of an import."""
    import signal

    def end(_signal: int, _frame: object) -> None:
        _tell_interrupted(given)
        os._exit(_INTERRUPTED)

    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, end)


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


def _with_reasons(given: Sequence[str]) -> list[str]:
    """The arguments, with each reason as it was typed. What names files stays as the system gave it."""
    told = list(given)
    for index, word in enumerate(given):
        is_reason = word.startswith("--reason=") or (index > 0 and given[index - 1] == "--reason")
        if is_reason and not word.isascii():
            from tagflow.wiring import as_typed

            told[index] = as_typed(word)
    return told


def _tell_interrupted(given: Sequence[str]) -> None:
    """One line, and the document where one was asked for, before there is anything that tells of other errors."""
    command, output = _asked_for(given)
    if output == "json":
        begun = f'{{"tagflow": 1, "command": "{command}", "ok": false, "exit_code": {_INTERRUPTED}, "result": null'
        error = f'{{"code": "run.interrupted", "message": "{_WORDS}", "hint": "", "details": []}}'
        _write(1, f'{begun}, "error": {error}}}\n')
    _write(2, f"error[run.interrupted]: {_WORDS}\n")


def _asked_for(given: Sequence[str]) -> tuple[str, str]:
    """The command and the output, as far as they can be read without what reads them for good."""
    command, output, before = "", "", ""
    for word in given:
        if word == "--":
            break
        if before in ("-o", "--output"):
            output = word
        elif word.startswith("--output="):
            output = word.partition("=")[2]
        elif not before and not word.startswith("-"):
            command = command or (word if word.isascii() and word.isalpha() else "")
        group = word[1:] if word[:1] == "-" and word[1:2] != "-" and not before else ""
        letter = next((it for it in group if it in "ofn"), "")
        value = group.partition(letter)[2] if letter else ""
        output = value if letter == "o" and value else output
        takes = word in ("--output", "--policy", "--timeout") or (letter and not value)
        before = "" if before or not takes else (word if word.startswith("--") else f"-{letter}")
    return command, output


def _write(stream: int, text: str) -> None:
    try:
        os.write(stream, text.encode())
    except OSError:
        return  # nobody reads it


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
