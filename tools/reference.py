"""Write what the documentation takes from the code: docs/commands.md, the keys in docs/policy.md, the anchors of
docs/errors.md.

`make reference` runs it; a test fails where a page is not what this would write.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

import typer
from typer.main import get_command

from tagflow.cli.app import app, build
from tagflow.cli.commands import COMMANDS as COMMAND_NAMES
from tagflow.cli.completion.shells import Zsh, prepare
from tagflow.config.document import schema

SOURCE = Path(__file__).resolve().parents[1] / "src" / "tagflow" / "cli"
DOCS = Path(__file__).resolve().parents[1] / "docs"
BEGIN, END = "<!-- made from the schema by `make reference`: -->\n", "<!-- : made from the schema -->"
COMMANDS = """\
# Commands

Made from the command line itself: `tagflow COMMAND --help` says the same. What a TARGET, a SOURCE and an ENV are is
told [below](#arguments), how a command ends in [Exit status](exit-codes.md), what `-o json` prints in [JSON](json.md).
"""
ARGUMENTS = """
## Arguments

| argument | what it is |
| --- | --- |
| ENV | an environment of promotion.yaml |
| VERSION | a release, `v1.0` or `1.0` |
| NAME | an image of promotion.yaml |
| TARGET | `VERSION`: every image (at most one) · `NAME`: what the environment before runs of it · `NAME=VERSION`: one image at one version, also beside a VERSION for the others |
| SOURCE | `docker-daemon:NAME[:TAG]` · `docker://HOST/REPOSITORY[:TAG]` · `docker://HOST/REPOSITORY@DIGEST` · `oci:DIR[:TAG\\|@DIGEST]` · `docker-archive:FILE[:NAME\\|@DIGEST]`, FILE as it is or packed with gzip, bzip2, xz or zstd; an OCI layout in a tar, too |
| DURATION | `45s`, `90m`, `1h30m`, `7d` |
"""  # noqa: E501 - a row of a table is one line


def commands() -> str:
    """The page of all commands."""
    group: Any = get_command(app)
    context = typer.Context(group, info_name="tagflow")
    parts = [COMMANDS, "\n## Options of every command\n", *_options(group.params), ARGUMENTS]
    shared = {option for parameter in group.params for option in parameter.opts}
    for name in COMMAND_NAMES:
        command = build(name)
        usage = command.get_usage(typer.Context(command, info_name=name, parent=context)).removeprefix("Usage: ")
        line = re.sub(r"[{}]", "", " ".join(usage.split()))
        parts += [f"\n## {name}\n", command.help, f"\n```text\n{line}\n```\n"]
        own = [it for it in command.params if not shared.intersection(it.opts) and it.name != "help"]
        parts += _arguments(own) + _options(own)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(parts)).rstrip() + "\n"


def _arguments(parameters: Iterable[Any]) -> list[str]:
    told = [it for it in parameters if it.param_type_name == "argument" and it.help]
    return [f"`{it.metavar}`: {it.help}\n" for it in told]


def _options(parameters: Iterable[Any]) -> list[str]:
    rows = [
        f"| {_code(', '.join(sorted(it.opts, key=len)) + _value(it))} | {_words(it.help)} |"
        for it in parameters
        if it.param_type_name == "option" and not it.hidden
    ]
    return ["| option | |", "| --- | --- |", *rows] if rows else []


def _value(option: Any) -> str:
    return "" if option.is_flag or not option.metavar else f" {option.metavar}"


def _code(text: str) -> str:
    """Code in the cell of a table; a bar in it is written so that GitHub and the site both show one."""
    return f"`{text}`" if "|" not in text else f"<code>{escape(text).replace('|', '&#124;')}</code>"


def keys() -> str:
    """Every key of promotion.yaml as a table."""
    shapes = schema()["$defs"]
    rows = "\n".join(f"| `{key}` | {kind} | {default} | {text} |" for key, kind, default, text in _keys(shapes))
    return f"| key | value | default | |\n| --- | --- | --- | --- |\n{rows}\n"


def _keys(shapes: Mapping[str, Any], shape: str = "Document", above: str = "") -> Iterator[tuple[str, str, str, str]]:
    required = shapes[shape].get("required", ())
    for name, it in shapes[shape]["properties"].items():
        default = "required" if name in required else f"`{json.dumps(it['default'])}`" if "default" in it else ""
        inner, suffix = _inside(it)
        plain = default if not inner else "required" if name in required else ""
        yield f"{above}{name}", _kind(it), plain, _words(it["description"])
        if inner:
            yield from _keys(shapes, inner, f"{above}{name}{suffix}.")


def _inside(it: Mapping[str, Any]) -> tuple[str, str]:
    """The shape whose keys a value has, and how one gets there: by a name, an entry of a list, or at once."""
    named = it.get("additionalProperties") or {}
    for holder, suffix in ((it, ""), (it.get("items") or {}, "[]"), *((one, ".NAME") for one in _choices(named))):
        if "$ref" in holder:
            return str(holder["$ref"]).rpartition("/")[2], suffix
    return "", ""


def _choices(it: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [it, *it.get("anyOf", ())]


def _kind(it: Mapping[str, Any]) -> str:
    if "enum" in it:
        return ", ".join(f"`{value}`" for value in it["enum"])
    if it.get("type") == "array":
        return f"list: {_kind(it['items'])}"
    if "$ref" in it or it.get("type") == "object":
        return "mapping"
    return str(it.get("title") or {"boolean": "true or false", "string": "text"}.get(it.get("type", ""), "text"))


def _words(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "&#124;")


def policy(page: str) -> str:
    """docs/policy.md with the table as it should be."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    assert begin, "docs/policy.md has lost the beginning of its table"
    assert end, "docs/policy.md has lost the end of its table"
    return f"{before}{begin}\n{keys()}\n{end}{after}"


def pages() -> dict[Path, str]:
    """Every page that is made, in part or whole, as it should be."""
    os.environ.setdefault("COLUMNS", "80")
    path, codes = DOCS / "policy.md", DOCS / "errors.md"
    return {
        SOURCE / "help_text.py": help_text(),
        SOURCE / "completion" / "table.py": completions(),
        DOCS / "commands.md": commands(),
        path: policy(path.read_text()),
        codes: anchored(codes.read_text()),
    }


def help_text() -> str:
    """The module that answers `--help` without the command line being built."""
    group: Any = get_command(app)
    context = typer.Context(group, info_name="tagflow", terminal_width=78, help_option_names=["-h", "--help"])
    told = {"": group.get_help(context)}
    for name in COMMAND_NAMES:
        command = build(name)
        told[name] = command.get_help(typer.Context(command, info_name=name, parent=context, terminal_width=78))
    texts = "".join(f'    "{name}": """\\\n{text}""",\n' for name, text in told.items())
    return (
        '"""What `tagflow --help` and `tagflow COMMAND --help` print; made from the commands by `make reference`."""\n'
        f"\nTEXTS = {{\n{texts}}}\n"
    )


def completions() -> str:
    """The table by which Tab offers commands and options without the command line being built."""
    prepare()
    group: Any = get_command(app)
    asked = Zsh(group, {}, "tagflow", "_TAGFLOW_COMPLETE")
    commands = {str(it.value): it.help or "" for it in asked.get_completions([], "")}
    options = {}
    context = typer.Context(group, info_name="tagflow", help_option_names=["-h", "--help"])
    for name in ("", *commands):
        command = build(name) if name else group
        parameters = command.get_params(typer.Context(command, info_name=name, parent=context) if name else context)
        told = {str(it.value): it.help or "" for it in asked.get_completions([name] if name else [], "-")}
        options[name] = [
            (
                # Of help click has the names in no order.
                tuple(sorted(opts, key=len) if it.name == "help" else opts),
                " ".join(told[opts[0]].split()),
                not (it.is_flag or it.count),
                it.multiple,
            )
            for it in parameters
            if it.param_type_name == "option" and (opts := [*it.opts, *it.secondary_opts])[0] in told
        ]
    named = "".join(f"    {json.dumps(name)}: {json.dumps(text)},\n" for name, text in commands.items())
    rows = "".join(
        f"    {json.dumps(name)}: (\n" + "".join(f"        {row!r},\n" for row in found) + "    ),\n"
        for name, found in options.items()
    )
    return (
        '"""What Tab offers; made from the commands by `make reference`. An option: its names, what it means, whether\n'
        'a value follows, whether it may be given several times."""\n'
        "\n# fmt: off\n"
        f"COMMANDS = {{\n{named}}}\nOPTIONS = {{\n{rows}}}\n"
    )


def anchored(page: str) -> str:
    """docs/errors.md with an anchor for each code: every error prints the link to its own."""
    return re.sub(r'^\| (?:<a id="[^"]*"></a>)?`([a-z_.]+)` \|', r'| <a id="\1"></a>`\1` |', page, flags=re.M)


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text)
