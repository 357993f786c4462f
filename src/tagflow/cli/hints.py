"""How an error is told: many reasons as one line, the user's own command put right, one hint for a whole release."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tagflow.cli import advice
from tagflow.cli.line import POLICY, Line, Option, read, under
from tagflow.cli.spelling import typed
from tagflow.cli.text import by_first_word, fold, shaped, told_of
from tagflow.domain.policy import Policy
from tagflow.errors import TagflowError

RULES: Mapping[str, str] = {
    "promotion.held": "hold",
    "promotion.soak": "soak",
    "promotion.frozen": "freeze",
    "promotion.downgrade": "downgrades",
    "version.order": "downgrades",
}
"""By error code, the rule that an override sets aside."""
_COMMAND = re.compile(r"`(tagflow [^`]*)`")
_ASIDE = {"--save-plan", "--dry-run", "--yes", "-y", "--wait", "--override", "--reason", "--from", "--receipt"}
"""Options of a promotion that do not belong to the one before it."""
_MOST = 3
_ABOUT_THE_FIRST = frozenset({"push", "rollback", "hold", "history"})
"""Commands whose first word is a version or an environment, that all others are about."""
_JOINED = _ABOUT_THE_FIRST | {"promote", "status"}
"""Commands that take any number of images."""
_WAITS = frozenset({"push", "promote", "rollback"})
"""Commands that wait for another release where they are told to."""
_GAP = "\2"
"""Where a command stood."""


def hint(error: TagflowError, line: Line, policy: Policy | None) -> str:
    """What to do about an error, once for all images that it is about."""
    causes = error.causes or (error,)
    # While a release is under way nothing else can be done about its images: what more is wrong comes after it. And
    # what is nowhere neither waits nor is let in, nor does the release of which it is one.
    for code in ("release.interrupted", "version.not_found"):
        causes = tuple(cause for cause in causes if cause.code == code) or causes
    names = [image.name for image in policy.images] if policy else []
    told = _own(causes, line, policy) if policy else ""
    return told or merged([cause.hint for cause in causes if cause.hint], names)


def _own(causes: Sequence[TagflowError], line: Line, policy: Policy) -> str:
    """From the command that was typed: with the environment that comes first, or with what sets a rule aside."""
    codes = {str(it.get("code")) for cause in causes for it in (cause.details or ({"code": cause.code},))}
    to = line.value("--to")
    environment = next((it for it in policy.environments if it.name == to), None)
    if line.command != "promote" or environment is None:
        return ""
    held = {str(name) for cause in causes for detail in cause.details for name in _texts(detail.get("held"))}
    if "promotion.order" in codes and len(held) == 1:
        words = (*held, *_held(causes, line, policy))
        lift = Line("hold", words, (Option("--lift"), Option("--reason", "WHY")), line.before)
        return f"It is held there: `{lift}` lets it in again."
    if "promotion.order" in codes:
        first = {to for cause in causes for to in re.findall(r"^First `[^`]* --to ([^` ]+)", cause.hint)}
        if len(first) != 1:
            return ""
        before = line.saying("promote", line.words, [Option("--to", first.pop()), *line.without("--to", *_ASIDE)])
        return f"First `{before}`."
    spelt = any(cause.code == "version.order" and "--override" not in cause.hint for cause in causes)
    if not codes or not codes <= RULES.keys() or spelt:  # another way of writing versions is the better way out
        return ""
    rules = list(dict.fromkeys(rule for code, rule in RULES.items() if code in codes))
    denied = [rule for rule in rules if rule not in environment.overrides]
    if denied:
        ways = [
            *_wait(causes, environment.name),
            f"{environment.name} does not let {' and '.join(denied)} be overridden",
        ]
        return f"{'. '.join(ways)}."
    given = {it.value for it in line.options if it.name == "--override"}
    options = [*line.options, *(Option("--override", rule) for rule in rules if rule not in given)]
    if not line.value("--reason"):
        options.append(Option("--reason", "WHY"))
    ways = [*_wait(causes, environment.name), f"{_aim(codes)}: `{line.saying('promote', line.words, options)}`"]
    if "promotion.downgrade" in codes and environment.lines == "none":
        ways.append(
            f"To keep an older line alive beside what runs: `lines: minor` for {environment.name} in the policy"
        )
    return f"{'. '.join(ways)}."


def _held(causes: Iterable[TagflowError], line: Line, policy: Policy) -> Sequence[str]:
    """What is held, as ``hold`` takes it: as it was typed where that names the version that the hold names."""
    found = [detail for cause in causes for detail in cause.details if detail.get("held")]
    names = {image.name for image in policy.images}
    named = {word.partition("=")[0] for word in line.words}
    if line.words and names.isdisjoint(named) and all(it.get("held_as") == it.get("version") for it in found):
        return line.words
    return [f"{it.get('image')}={it.get('held_as')}" for it in found]


def _texts(value: object) -> list[str]:
    return [str(it) for it in value] if isinstance(value, list | tuple) else []


def _wait(causes: Iterable[TagflowError], environment: str) -> list[str]:
    """What may be done without an override: to wait, where it is known until when; to end what somebody began."""
    details = [detail for cause in causes for detail in cause.details]
    lasting = [it for it in details if it.get("code") in ("promotion.soak", "promotion.frozen")]
    ways = ["Wait until then"] if lasting and all("until" in it for it in details) else []
    lift = Line("freeze", (environment,), (Option("--lift"), Option("--reason", "WHY")))
    if any("tagflow freeze " in cause.hint for cause in causes):
        ways.append(f"`{lift}` ends the freeze")
    return ways


def _aim(codes: Iterable[str]) -> str:
    if "promotion.held" in codes:
        return "To let it in again"
    if "promotion.downgrade" in codes:
        return "To go down all the same"
    return "If it is no downgrade" if "version.order" in codes else "To go now"


def merged(hints: Sequence[str], names: Sequence[str]) -> str:
    """Hints that say the same of many images as one, their commands too.

    >>> print(merged(["First `tagflow promote a=v1 --to x`.", "First `tagflow promote b=v1 --to x`."], ["a", "b", "c"]))
    First `tagflow promote a=v1 b=v1 --to x`.
    """
    groups: dict[tuple[str, int], list[tuple[str, list[str]]]] = {}
    known = by_first_word(names)
    for line in (line for text in hints for line in text.splitlines()):
        commands = _COMMAND.findall(line)
        bare = _COMMAND.sub(_GAP, line)
        shape, name = shaped(bare, known) if commands else (line, "")
        groups.setdefault((shape, len(commands)), []).append((name, commands))
    lines = []
    for (shape, _), members in groups.items():
        text = told_of(shape, [name for name, _ in members])
        for column in zip(*(commands for _, commands in members), strict=True):
            together = _together(column, names)
            text = text.replace(_GAP, " or ".join(f"`{it}`" for it in together), 1)
        lines.append(text)
    told = fold("\n".join(lines), names).splitlines()
    more = [f"… {len(told) - 2 * _MOST} more"] if len(told) > 2 * _MOST else []
    return "\n".join([*told[: 2 * _MOST], *more])


def _together(commands: Iterable[str], names: Sequence[str]) -> list[str]:
    """Commands that differ in what they are about only, as one."""
    lines: dict[Line, dict[str, None]] = {}
    other: list[str] = []
    for command in dict.fromkeys(commands):
        words = _words(command)
        line = Line() if words is None or "…" in command else read(words)
        first = 1 if line.command in _ABOUT_THE_FIRST else 0
        if line.command not in _JOINED or len(line.words) <= first:  # without images it is about all of them
            other.append(command)
            continue
        key = line.saying(line.command, line.words[:first], line.options)
        lines.setdefault(key, {}).update(dict.fromkeys(line.words[first:]))
    found = [
        str(shorter(line.saying(line.command, [*line.words, *words], line.options), names))
        for line, words in lines.items()
    ]
    found += other
    return found if len(found) <= _MOST else [*found[:_MOST], f"… {len(found) - _MOST} more"]


def _words(command: str) -> list[str] | None:
    import shlex

    try:
        return shlex.split(command)[1:]
    except ValueError:
        return None


def shorter(line: Line, names: Sequence[str]) -> Line:
    """The same command with one VERSION for all images of the policy, and NAME=VERSION for those that differ."""
    if line.command not in ("promote", "rollback") or len(names) < 2:
        return line
    first = 1 if line.command == "rollback" else 0
    wanted = dict(word.split("=", 1) for word in line.words[first:] if "=" in word)
    if set(wanted) != set(names) or len(wanted) != len(line.words) - first:
        return line
    [(common, times)] = Counter(wanted.values()).most_common(1)
    if times < 2 or not common or common.startswith("sha256:"):
        return line
    apart = [f"{name}={version}" for name, version in wanted.items() if version != common]
    return line.saying(line.command, [*line.words[:first], common, *apart], line.options)


def put(error: TagflowError, arguments: Sequence[str], environ: Mapping[str, str]) -> None:
    """Give an error the message and the hint for whoever typed the command line."""
    line = read(arguments)
    policy = _policy(line, environ)
    error.message = typed(fold(error.message, names(policy)))
    named = _named(line)
    hinted = typed(_hint(error, line, policy), waits=line.command in _WAITS)
    error.hint = under(named[-1] if named else None, hinted)


def _hint(error: TagflowError, line: Line, policy: Policy | None) -> str:
    advised = advice.advise(line, policy, _is_layout) if error.code in advice.CODES else ""
    told = advised or hint(error, line, policy)
    if error.code.partition(".")[0] in ("registry", "auth", "doctor") and policy is not None:
        return "\n".join(filter(None, (_no_host(policy), told)))
    return told


def _no_host(policy: Policy) -> str:
    """What is meant where a prefix begins with no host: Docker reads it so, as a namespace on Docker Hub."""
    for registry in dict.fromkeys([policy.registry, *(it.registry for it in policy.environments)]):
        host = registry.host
        if registry.namespace and not registry.is_layout and not any(it in host for it in ".:") and host != "localhost":
            return f"`registry: {registry}` begins with no host. Did you mean `docker.io/{registry}`?"
    return ""


def _named(line: Line) -> list[str | None]:
    """The policies that a command line names; the last one counts."""
    return [it.value for it in (*line.before, *line.options) if it.name in POLICY]


def _is_layout(source: str) -> bool:
    """Whether ``DIR[:TAG|@DIGEST]`` names a directory that is an OCI image layout."""
    whole, directory, plain = source, source.rpartition(":")[0], source.partition("@")[0]
    with suppress(OSError, ValueError):  # what is no path at all
        return any((Path(it) / "oci-layout").is_file() for it in (whole, directory, plain) if it)
    return False


def names(policy: Policy | None) -> tuple[str, ...]:
    """The names of the images."""
    return tuple(image.name for image in policy.images) if policy else ()


def _policy(line: Line, environ: Mapping[str, str]) -> Policy | None:
    """The policy that the command line names, where it can be read: an error must not wait for another one, as it would
    for a pipe that has been read already."""
    from tagflow.config.load import load_policy
    from tagflow.wiring import policy_path

    named = _named(line)
    with suppress(TagflowError, OSError):
        path = policy_path(named[-1] if named else None, environ)
        return load_policy(path) if path.is_file() else None
    return None
