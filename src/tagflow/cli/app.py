"""The command line as a whole: shared options, and the commands, each imported when it is named."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from tagflow import __version__
from tagflow.cli.commands import COMMANDS
from tagflow.cli.completion import words
from tagflow.cli.line import read
from tagflow.cli.session import Session, output
from tagflow.errors import UsageError

PolicyFile = Annotated[
    str | None,
    typer.Option(
        "--policy", "-f", metavar="FILE", help="The policy; default $TAGFLOW_POLICY, else the nearest promotion.yaml."
    ),
]
Output = Annotated[
    str | None,
    typer.Option(
        "--output", "-o", metavar="text|json", help="What standard output carries.", autocompletion=words.outputs
    ),
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show each request on standard error.")]
Timeout = Annotated[
    str | None,
    typer.Option("--timeout", metavar="DURATION", help="Give up after so long in all, for example 90s or 5m."),
]


def _version(context: typer.Context, asked: bool) -> None:
    if asked:
        context.obj.emit({"version": __version__}, lambda: f"tagflow {__version__}")
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", is_eager=True, callback=_version, help="Say which tagflow this is.")
]

_GLOBALS: dict[str, Any] = {
    "policy_file": PolicyFile,
    "output": Output,
    "verbose": Verbose,
    "timeout": Timeout,
    "shows_version": Version,
}


class _Helpful:
    """Shows its help as every command shows its result: whoever closes standard output, or fills the disk, is told."""

    def get_help_option(self, ctx: Any) -> Any:
        """The option, with what is done for it."""
        option = super().get_help_option(ctx)  # type: ignore[misc]
        if option is not None:
            option.callback = _show_help
        return option


def _show_help(context: Any, _option: Any, asked: bool) -> None:
    if asked and not context.resilient_parsing:
        with output():
            print(context.get_help(), flush=True)
        raise typer.Exit


class _Command(_Helpful, TyperCommand):
    """Writes ``rollback ENV`` where Typer would write ``rollback {ENV}``, and takes one value once. Whether a file
    can be read, who reads it says, of all files and by its own code."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        for it in self.params:
            if hasattr(it.type, "readable"):
                it.type.readable = False

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words behind the command.

        :raises UsageError: ``usage.invalid`` where the last of two values would win in silence, or a value is empty.
        """
        if not ctx.resilient_parsing:
            _refuse_twice(self.params, args)
            _refuse_empty(args)
        return list(super().parse_args(ctx, args))

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return [piece[1:-1] if piece.startswith("{") else piece for piece in super().collect_usage_pieces(ctx)]


def _refuse_twice(parameters: Iterable[Any], args: Sequence[str]) -> None:
    for it in parameters:
        if it.param_type_name != "option" or it.multiple or it.is_flag or it.name in _GLOBALS:
            continue
        values = [option.value for option in read(["command", *args]).options if option.name in it.opts]
        if len(values) > 1:
            told = " and ".join(repr(value) for value in values)
            raise UsageError("usage.invalid", f"{it.opts[0]} is given more than once: {told}", hint="Give it once.")


def _refuse_empty(args: Sequence[str]) -> None:
    """An empty value is one that a script has lost: what it asks for would be left out in silence."""
    for option in read(["command", *args]).options:
        if option.value == "" and option.name != "--reason":
            raise _empty(option.name)


def _empty(name: str) -> UsageError:
    return UsageError("usage.invalid", f"{name} has an empty value", hint="An unset variable? Leave out the option.")


def _refuse_dashes(given: Mapping[str, object]) -> None:
    """``-`` is no file: what is written there would lie in one of that name. Two options take it for a stream."""
    for name, value in given.items():
        files = value if isinstance(value, list) else [value]
        if name != "html" and any(isinstance(it, Path) and str(it) == "-" for it in files):
            hint = "Name a file. Where one is piped, that is /dev/stdin or /dev/stdout."
            raise UsageError("usage.invalid", "'-' names no file here", hint=hint)


_commands: dict[str, typer.Typer] = {}


def command(name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a function ``(session, …)`` a command that takes the global options too."""

    def register(function: Callable[..., None]) -> Callable[..., None]:
        own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]

        @functools.wraps(function)
        def run(**given: Any) -> None:
            globals_given = {key: given.pop(key) for key in _GLOBALS}
            del globals_given["shows_version"]  # it acts by its callback
            _refuse_dashes(given)
            session = _root().merged(command=name, **globals_given)
            session.perform(lambda: function(session, **given))

        parameters = [*own, *(_parameter(key, annotation) for key, annotation in _GLOBALS.items())]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        # Alone in an app of its own: Typer builds all commands of an app at once, and one is enough.
        _commands[name] = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
        _commands[name].command(name, cls=_Command)(run)
        return function

    return register


def registered(name: str) -> Any:
    """The command of that name, built; its module has been imported."""
    return get_command(_commands[name])


def _root() -> Session:
    from typer._click.globals import get_current_context

    found = get_current_context().obj
    return found if isinstance(found, Session) else Session()


def _parameter(name: str, annotation: Any) -> inspect.Parameter:
    default = False if annotation in (Verbose, Version) else None
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


EnvironmentName = Annotated[
    str, typer.Argument(metavar="ENV", help="The environment.", autocompletion=words.environments)
]
VersionText = Annotated[
    str, typer.Argument(metavar="VERSION", help="As v1.0, 1.2.3 or 1.2.0-rc.1.", autocompletion=words.versions)
]
Names = Annotated[
    list[str] | None, typer.Argument(metavar="[NAME]…", help="Only these images.", autocompletion=words.images)
]
Targets = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="TARGET…", help="VERSION (all images), NAME, or NAME=VERSION.", autocompletion=words.targets
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would happen, and exit as it would.")]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it is recorded.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
SavePlan = Annotated[
    Path | None, typer.Option("--save-plan", metavar="FILE", help="Save the plan for `apply`; change nothing.")
]
Wait = Annotated[
    str | None,
    typer.Option(
        "--wait",
        metavar="DURATION",
        help="Wait so long for another release that is under way, and decide anew; default 0.",
    ),
]
Receipt = Annotated[
    Path | None,
    typer.Option("--receipt", metavar="FILE", help="Write the heads that this leaves, for `verify --expect`."),
]
NeededReason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it is recorded. Needed.")]
Lift = Annotated[bool, typer.Option("--lift", help="End it.")]


class _Commands(_Helpful, TyperGroup):
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


@app.callback(invoke_without_command=False)
def root(
    context: typer.Context,
    policy_file: PolicyFile = None,
    output: Output = None,
    verbose: Verbose = False,
    timeout: Timeout = None,
    version: Version = False,  # noqa: ARG001 - it acts by its callback
) -> None:
    """Global options, before the command."""
    for name, value in (("--policy", policy_file), ("--output", output), ("--timeout", timeout)):
        if value == "":
            raise _empty(name)
    guessed = context.obj if isinstance(context.obj, Session) else Session()
    context.obj = Session(
        policy_file=policy_file,
        output=guessed.output if output is None else output,  # `COMMAND --version -o json` asks before the rest is read
        verbose=verbose,
        timeout=timeout,
        now=guessed.now,
    )
