"""What should have been typed: the whole command, put in order, where its words show what was meant.

Pure: of the typed line and the policy, nothing else is known. What is advised can be typed as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches

from msgspec.structs import replace

from tagflow.cli.commands import COMMANDS
from tagflow.cli.completion.table import OPTIONS
from tagflow.cli.line import Line, Option
from tagflow.cli.meant import Names, misspelt, names_of, near
from tagflow.cli.sources import as_delivery, delivery
from tagflow.domain.policy import Policy

CODES = frozenset(
    {
        "usage.invalid",
        "target.invalid",
        "target.missing",
        "image.not_found",
        "environment.not_found",
        "version.invalid",
        "source.invalid",
        "source.missing",
        "status.unknown",
    }
)
"""Errors that may come from words in the wrong place."""

_LEAD_ON = {
    "version": "--version",
    "help": "--help",
    "list": "status",
    "ls": "status",
    "ps": "status",
    "get": "status",
    "show": "status",
    "log": "history",
    "logs": "history",
    "audit": "history",
    "undo": "rollback",
    "revert": "rollback",
    "deploy": "promote",
    "release": "promote",
    "tag": "tags",
    "check": "verify",
    "fsck": "verify",
}
"""Commands of other tools, and what does that here."""
_FILLERS = frozenset({"to", "in", "into", "from", "at", "on", "->", "→", "of"})
_EMPTY = 'An argument is empty. An unset variable? In a script "${VERSION:?}" stops there.'


def advise(line: Line, policy: Policy | None, is_layout: Callable[[str], bool] = lambda _directory: False) -> str:
    """A hint with what should have been typed; empty where the words do not tell.

    ``is_layout`` says of a path whether an OCI image layout lies there.
    """
    if line.command and line.command not in COMMANDS:
        return _lead_on(line, policy, is_layout)
    if any(not word.strip() for word in (*line.words, *(it.value for it in line.options if it.value is not None))):
        return _EMPTY
    if policy is None:
        return ""
    better = _better(line, names_of(policy, is_layout))
    if better is None or _is_same(line, better):
        return ""
    return f"Type `{better}`." if _shifted(line, better) else f"Did you mean `{better}`?"


def _is_same(line: Line, better: Line) -> bool:
    """Whether what is better says just what was typed: options may stand in any order."""
    ordered = [
        replace(it, options=tuple(sorted(it.options, key=lambda option: option.words()))) for it in (line, better)
    ]
    return str(ordered[0]) == str(ordered[1])


def _shifted(line: Line, better: Line) -> bool:
    """Whether only the order of the words is another, or a sign between them: then nothing was guessed."""

    def bag(it: Line) -> list[str]:
        words = [word for word in re.sub("[=:@/]|-(?=v?[0-9])", " ", str(it)).split() if word not in _FILLERS]
        return sorted(word for word in words if not word.startswith("--"))

    return bag(line) == bag(better)


def _lead_on(line: Line, policy: Policy | None, is_layout: Callable[[str], bool]) -> str:
    """From a command that there is not to the one that is meant."""
    word = line.command.lower()
    if word == "tagflow":
        return f"Leave out the first word: `tagflow {' '.join(line.words[:1]) or '--help'} …`."
    if word == "help" and line.words and line.words[0] in COMMANDS:
        return f"`tagflow {line.words[0]} --help` shows how."
    meant = word if word in COMMANDS else _LEAD_ON.get(word) or next(iter(get_close_matches(word, COMMANDS, n=1)), "")
    if not meant or meant.startswith("--"):
        return f"`tagflow {meant or '--help'}` {_tells(meant)}"
    if policy is not None:
        given = line.saying(meant, line.words, line.options)
        better = _better(given, names_of(policy, is_layout)) or _alone(given, policy)
        if better is not None:
            return f"Did you mean `{better}`?"
    return f"Did you mean `tagflow {meant}`? `tagflow {meant} --help` shows how."


def _tells(meant: str) -> str:
    return "says which tagflow this is." if meant == "--version" else "lists the commands."


def _alone(line: Line, policy: Policy) -> Line | None:
    """A command without a word that takes one environment, or none."""
    if line.words or line.options:
        return line if line.command == "status" and not line.options else None
    if line.command in ("history", "rollback"):
        return line.saying(line.command, [policy.environments[-1].name], ())
    return line if line.command in ("status", "verify", "doctor", "next", "schema", "init") else None


def _better(line: Line, names: Names) -> Line | None:
    """The line in order, or None where some word means nothing."""
    order = {
        "promote": _promote,
        "rollback": _rollback,
        "push": _push,
        "history": _environment_first,
        "pull": _pull,
        "pin": _one_environment,
        "stats": _one_environment,
        "tags": _tags,
        "hold": _environment_first,
        "freeze": _environment_first,
        "verify": _only_known,
        "status": _only_known,
    }.get(line.command)
    better = order(line, names) if order else None
    return _spelt(better) if better else None


def _spelt(line: Line) -> Line | None:
    """The line with flags that are nearly spelt put right; None where it has an option that its command has not, for it
    would be refused again."""
    every, own = ({name: valued for names, _, valued, _ in OPTIONS[it] for name in names} for it in ("", line.command))
    flags = [name for name, is_valued in own.items() if not is_valued]
    options = [it if it.name in own else Option(near(it.name, flags) or "", it.value) for it in line.options]
    is_known = all(it.name for it in options) and all(it.name in every for it in line.before)
    return line.saying(line.command, line.words, options) if is_known else None


def _promote(line: Line, names: Names) -> Line | None:
    """`promote TARGET… --to ENV [--from ENV]`: an environment among the words is where it goes, one behind ``from``
    where it comes from."""
    sources, rest = _after(line.words, "from", names)
    environments, targets = _sorted(rest, names)
    given = [near(it.value, names.environments) for it in line.options if it.name == "--to"]
    environments = [*(it for it in given if it), *environments]
    if targets is None or len(set(environments)) != 1:
        return None
    everything = any(it.name == "--all" for it in line.options)
    whole = any(names.version(it) for it in targets)
    if everything == bool(targets) and not whole:
        return None  # nothing says what to move, or two things do
    source = next(iter(sources), None) or near(line.value("--from"), names.environments)
    options = [Option("--to", environments[0]), *([Option("--from", source)] if source else [])]
    left_out = ("--to", "--from", *(["--all"] if whole else []))  # a VERSION is of every image already
    return line.saying("promote", targets, [*options, *line.without(*left_out)])


def _rollback(line: Line, names: Names) -> Line | None:
    """`rollback ENV [TARGET…]`; whatever `--to` names belongs there, too."""
    moved = [it.value or "" for it in line.options if it.name in ("--to", "--env", "--version", "--from")]
    environments, targets = _sorted([*line.words, *moved], names)
    if targets is None or len(set(environments)) != 1:
        return None
    return line.saying("rollback", [environments[0], *targets], line.without("--to", "--env", "--version", "--from"))


def _push(line: Line, names: Names) -> Line | None:
    """`push VERSION NAME=SOURCE…`, into the first environment."""
    deliveries = [delivery(word, names) or as_delivery(word, names) for word in line.words]
    rest = [word for word, found in zip(line.words, deliveries, strict=True) if found is None]
    versions = [version for word in rest if (version := names.version(word))]
    others = [word for word in rest if names.version(word) is None and word not in _FILLERS]
    to = line.value("--to")
    if len(versions) != 1 or [it for it in (*others, *([to] if to else [])) if it != names.environments[0]]:
        return None
    found = [it for it in deliveries if it]
    return line.saying("push", [*versions, *found], line.without("--to")) if found else None


def _environment_first(line: Line, names: Names) -> Line | None:
    """`history ENV [NAME]…`, `hold ENV VERSION`: without an environment, the last one, which people ask about most."""
    moved = [it.value or "" for it in line.options if it.name in ("--to", "--env", "--image")]
    environments, targets = _sorted([*line.words, *moved], names)
    if targets is None or len(set(environments)) > 1:
        return None
    if line.command == "history" and any(names.image(it) is None for it in targets):
        return None
    chosen = environments[:1] or [names.environments[-1]]
    return line.saying(line.command, [*chosen, *targets], line.without("--to", "--env", "--image"))


def _one_environment(line: Line, names: Names) -> Line | None:
    """`pin ENV FILE…`, `stats ENV`: the environment stands first, whatever the other words are."""
    moved = [it.value or "" for it in line.options if it.name in ("--to", "--env")]
    words = [*moved, *(word for word in line.words if word not in _FILLERS)]
    found = [word for word in words if names.environment(word)] or words[:1]
    environment = near(found[0], names.environments) if found else None
    if environment is None or len(found) > 1:
        return None
    rest = [word for word in words if word != found[0]]
    return line.saying(line.command, [environment, *rest], line.without("--to", "--env"))


def _pull(line: Line, names: Names) -> Line | None:
    """`pull ENV|VERSION [NAME]…`."""
    environments, targets = _sorted(line.words, names)
    if targets is None:
        return None
    whole = [it for it in targets if names.version(it)]
    pairs = [it.partition("=") for it in targets if "=" in it]
    images = [it for it in targets if names.image(it)]
    what = {*environments, *whole, *(version for _, _, version in pairs)}
    if len(what) > 1:
        return None
    chosen = next(iter(what), names.environments[-1])
    return line.saying("pull", [chosen, *images, *(name for name, _, _ in pairs)], line.options)


def _tags(line: Line, names: Names) -> Line | None:
    """`tags VERSION [--env ENV]…`."""
    environments, targets = _sorted(line.words, names)
    if targets is None or len(targets) != 1 or names.version(targets[0]) is None:
        return None
    found = [names.environment(it.value or "") or it.value for it in line.options if it.name in ("--env", "--to")]
    options = [Option("--env", it) for it in [*environments, *found]]
    return line.saying("tags", targets, [*options, *line.without("--env", "--to")])


def _only_known(line: Line, names: Names) -> Line | None:
    """Words in any order, one of which may be misspelt; of `verify` environments only."""
    known = [*names.environments, *(names.images if line.command == "status" else ())]
    moved = [it.value or "" for it in line.options if it.name in ("--env", "--to", "--image")]
    words = [near(word, known) or names.version(word) for word in (*line.words, *moved) if word not in _FILLERS]
    if None in words:
        return None
    return line.saying(line.command, [it for it in words if it], line.without("--env", "--to", "--image"))


def _sorted(words: Iterable[str], names: Names) -> tuple[list[str], list[str] | None]:
    """The environments among the words, and the targets; None where some word is neither, and like none of them."""
    environments: list[str] = []
    targets: list[str] = []
    for word in words:
        if word in _FILLERS:
            continue
        environment, target = names.environment(word), names.target(word)
        if environment is None and target is None:
            environment = near(word, names.environments)
            target = (None if names.joins(word) else near(word, names.images)) or misspelt(word, names)
        if environment is not None:
            environments.append(environment)
        elif target is not None:
            targets.append(target)
        else:
            return environments, None
    return environments, targets


def _after(words: Sequence[str], filler: str, names: Names) -> tuple[list[str], list[str]]:
    """The environment behind a word like ``from``, and the other words."""
    for position, word in enumerate(words[:-1]):
        environment = names.environment(words[position + 1])
        if word == filler and environment:
            return [environment], [*words[:position], *words[position + 2 :]]
    return [], list(words)
