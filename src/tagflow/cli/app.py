"""The command line as a whole: global options, and the commands, each imported when it is named."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from tagflow import __version__
from tagflow.cli.commands import COMMANDS
from tagflow.cli.options import Output, PolicyFile, Timeout, Verbose, registered
from tagflow.cli.session import Session
from tagflow.errors import UsageError


class _Commands(TyperGroup):
    """Knows the names of all commands, and builds the one that is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - the signature is click's
        """The names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - the signature is click's
        """One command, or None."""
        return build(cmd_name) if cmd_name in COMMANDS else None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that the first word names; Typer would suggest only commands that are built already.

        :raises UsageError: ``usage.invalid``.
        """
        if not ctx.resilient_parsing and args[0] not in COMMANDS and not args[0].startswith("-"):
            raise unknown(args[0])
        return super().resolve_command(ctx, args)


def unknown(word: str) -> UsageError:
    """There is no such command."""
    from difflib import get_close_matches

    near = " or ".join(f"`tagflow {it}`" for it in get_close_matches(word, COMMANDS))
    hint = f"Did you mean {near}?" if near else "`tagflow --help` lists the commands."
    return UsageError("usage.invalid", f"{word!r} is no command", hint=hint)


def build(name: str) -> Any:
    """The command of that name."""
    import_module(f"tagflow.cli.commands.{COMMANDS[name]}")
    return registered(name)


app = typer.Typer(
    name="tagflow",
    help="Promote container images from environment to environment, bit for bit, and go back in seconds.",
    cls=_Commands,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(context: typer.Context, asked: bool) -> None:
    if asked:
        context.obj.emit({"version": __version__}, lambda: f"tagflow {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=False)
def root(
    context: typer.Context,
    policy_file: PolicyFile = None,
    output: Output = None,
    verbose: Verbose = False,
    timeout: Timeout = None,
    version: Annotated[  # noqa: ARG001 - it acts by its callback
        bool,
        typer.Option("--version", is_eager=True, callback=_version, help="Say which tagflow this is."),
    ] = False,
) -> None:
    """Global options, before the command."""
    now = context.obj.now if isinstance(context.obj, Session) else None
    context.obj = Session(policy_file=policy_file, output=output, verbose=verbose, timeout=timeout, now=now)
