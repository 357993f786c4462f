"""Single values of the policy, read one at a time, and how mistakes are worded: each says what to write."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from msgspec import inspect as shapes

from tagflow.config.nodes import INVALID, Items, Node, Pairs
from tagflow.domain.keys import PublicKey, parse_pem, parse_ssh
from tagflow.domain.policy import PLACEHOLDER, PRERELEASE_WORDS
from tagflow.domain.reference import LAYOUT, Registry, masked, parse_registry
from tagflow.domain.versions import as_version
from tagflow.errors import UsageError

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

Path = tuple[str | int, ...]
"""Keys as written, and indices of lists."""

READ_AS = {"number": "a number", "boolean": "true or false", "null": "nothing", "date": "a date", "merge": "'<<'"}
_NOUNS: dict[type[shapes.Type], str] = {
    shapes.StructType: "a mapping",
    shapes.DictType: "a mapping",
    shapes.ListType: "a list",
    shapes.StrType: "text",
    shapes.BoolType: "true or false",
    shapes.IntType: "a whole number",
    shapes.DateType: "a date",
}


def suggestion(text: str, known: Iterable[str]) -> str:
    """A hint that names what was probably meant, or else what there is."""
    choices = list(known)
    close = get_close_matches(text, choices, n=1)
    return f"Did you mean {close[0]!r}?" if close else f"There is: {', '.join(choices)}."


_PATH = re.compile(r"(https?://[^\s/?#]+)[/?#]\S+", re.IGNORECASE)


def harmless(text: str) -> str:
    """A value without what may be a secret in it; what follows a host may be one, as in a webhook's address.

    >>> harmless("https://hc.example/token")
    'https://hc.example/…'
    """
    return _PATH.sub(r"\1/…", masked(text))


def shown(text: str) -> str:
    """A value in a message: quoted, one line, and not too long. What may be a secret is left out."""
    text = harmless(text)
    return repr(text if len(text) <= 60 else text[:57] + "…")


def bare(text: str) -> str:
    """A value in a message as it is written, where that is harmless."""
    text = harmless(text)
    return text if text and text.isprintable() and len(text) <= 60 else shown(text)


def where(path: Path) -> str:
    """The keys that lead to a value: ``environments.prod.soak``. Line and column tell list items apart."""
    if not path:
        return "the file"
    return ".".join(bare(part) for part in path if isinstance(part, str))


def inside(path: Path) -> str:
    """What a message about a key begins with: the mapping that it is in."""
    return f"{where(path)}: " if path else ""


def noun(shape: shapes.Type, notes: Mapping[str, Any]) -> str:
    """What is expected, in words; ``notes`` are the annotations of the type."""
    if isinstance(shape, shapes.LiteralType) and "title" not in notes:
        values = [str(value) for value in shape.values]
        return values[0] if len(values) == 1 else f"one of {', '.join(values)}"
    return str(notes.get("title") or _NOUNS.get(type(shape), "something else"))


def describe(node: Node) -> str:
    """What stands there instead."""
    match node:
        case Pairs():
            return "a mapping"
        case Items():
            return "a list"
    return shown(node.text) if node.kind == "text" else READ_AS[node.kind]


def example(name: str, notes: Mapping[str, Any], shape: shapes.Type) -> str:
    """A hint that shows a right value, after the key ``name`` if there is one; nothing without an example."""
    examples: Sequence[Any] = notes.get("examples") or ()
    if not examples and isinstance(shape, shapes.LiteralType):
        examples = shape.values
    if not examples and isinstance(shape, shapes.ListType) and isinstance(shape.item_type, shapes.Metadata):
        entries = (shape.item_type.extra_json_schema or {}).get("examples")
        examples = [entries[:1]] if entries else ()
    if not examples:
        return ""
    return f"For example {name + ': ' if name else ''}{_flow(examples[0])}."


def _flow(value: Any) -> str:
    """An example in YAML's flow style."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    text = str(value)
    return f'"{text}"' if text.startswith("{") else text


OTHER = "Choose another name."
PLACEHOLDERS = ("reference", "digest", "image", "version", "environment")
"""What a gate's command may contain in braces."""
_NEAR = 0.8
"""How much a word has in common with a placeholder, from 0 to 1, that is taken for a slip in it."""

_KEY_LIMIT = 64 * 1024
"""Bytes of a key file that are read."""
_WORD = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_PRERELEASE = re.compile(rf"(?:{'|'.join(sorted(PRERELEASE_WORDS))})[0-9]*")
_AREAS = {"Africa", "America", "Antarctica", "Arctic", "Asia", "Atlantic", "Australia", "Europe", "Indian", "Pacific"}
_STATES = {f"Australia/{name}" for name in ("ACT", "LHI", "NSW", "North", "South", "West")}
"""Names below an area that are no city's."""
_SLIP = 0.88
"""How much two names must have in common, from 0 to 1: a letter of ten may be wrong, and no more."""
_NO_NAME = "An abbreviation or an offset is no name."
_NO_ZONE = "Write a name of the IANA database, for example Europe/Berlin, or UTC."
_DIGEST_LIKE = re.compile(r"sha(?:256|512)[-:].*|[0-9A-Fa-f]{64}")


def registry(text: str, base: str) -> Registry:
    """A registry prefix; ``oci:DIR`` is relative to the directory ``base``."""
    if "@" in text and not text.startswith(LAYOUT):
        raise UsageError(INVALID, "a registry is written without credentials", hint="Use `docker login` for them.")
    return parse_registry(text, base=base)


def host(text: str) -> str:
    """A registry's ``HOST[:PORT]``."""
    found = parse_registry(text)
    if found.is_layout or found.namespace:
        raise UsageError(INVALID, f"{shown(text)} is not a host", hint="Write HOST or HOST:PORT, without a namespace.")
    return found.host


def environment_name(text: str) -> str:
    """A name that cannot be taken for a version, a pre-release or a floating tag."""
    reason = ""
    if text == "latest":
        reason = "latest is a floating tag"
    elif as_version(text) is not None:
        reason = "it reads as a version"
    elif _PRERELEASE.fullmatch(text):
        reason = f"v1.0-{text} is a pre-release to everybody"
    if reason:
        raise UsageError(INVALID, f"an environment cannot be called {shown(text)}: {reason}", hint=OTHER)
    return text


def image_name(text: str) -> str:
    """A name that cannot be taken for a version or a digest."""
    reason = ""
    if as_version(text) is not None:
        reason = "it reads as a version"
    elif _DIGEST_LIKE.fullmatch(text):
        reason = "it reads as a digest"
    if reason:
        raise UsageError(INVALID, f"an image cannot be called {shown(text)}: {reason}", hint=OTHER)
    return text


def template(text: str, *needed: str) -> str:
    """The template of a tag that contains each of ``needed`` exactly once, in braces."""
    found = _WORD.findall(text)
    unknown = [word for word in found if word not in needed]
    if unknown:
        raise UsageError(INVALID, f"unknown placeholder {{{unknown[0]}}}", hint=suggestion(unknown[0], needed))
    for word in needed:
        if found.count(word) != 1:
            problem = "is missing" if word not in found else "stands here more than once"
            raise UsageError(
                INVALID, f"{{{word}}} {problem} in {shown(text)}", hint="It must stand there exactly once."
            )
    around = _WORD.sub("", text)
    if re.fullmatch(r"[A-Za-z0-9._-]*", around) is None:
        hint = "Use letters, digits, '.', '_' and '-'."
        raise UsageError(INVALID, f"{shown(text)} contains what no tag may contain", hint=hint)
    if text[0] in "_.-":
        problem = "tagflow's own tags begin so" if text[0] == "_" else "no tag may begin so"
        raise UsageError(INVALID, f"{shown(text)} begins with {text[0]!r}: {problem}", hint="Begin with a letter.")
    return text


def history_template(text: str) -> str:
    """The template of a history repository."""
    unknown = [word for word in _WORD.findall(text) if word != "repository"]
    if unknown:
        raise UsageError(INVALID, f"unknown placeholder {{{unknown[0]}}}", hint="There is: {repository}.")
    return text


def key_file(text: str, base: str) -> PublicKey:
    """The public key in a PEM file, relative to the directory ``base``. No message repeats what the file says."""
    path = os.path.join(base, text)
    try:
        if os.path.exists(path) and not os.path.isfile(path):
            raise ValueError("it is no file")
        with open(path, "rb") as file:
            content = file.read(_KEY_LIMIT)
    except (OSError, ValueError) as exc:
        reason = exc.strerror or str(exc) if isinstance(exc, OSError) else str(exc)
        raise UsageError(INVALID, f"the key file {shown(text)} cannot be read: {reason}") from exc
    try:
        return parse_pem(content.decode("ascii", "replace"))
    except UsageError as error:
        raise UsageError(INVALID, f"the key file {shown(text)}: {error.message}", hint=error.hint) from error


def command(text: str) -> tuple[str, ...]:
    """A command line, split as a POSIX shell splits words, without anything else a shell does."""
    try:
        argv = tuple(shlex.split(text))
    except ValueError as exc:
        problem = f"this command cannot be split into words: {str(exc).lower()}"
        raise UsageError(INVALID, problem, hint="Close every quote, and write no backslash at the end.") from exc
    if not argv or not argv[0]:
        raise UsageError(INVALID, "this command is empty", hint="Write a program and its arguments.")
    return argv


def gate_command(text: str) -> tuple[str, ...]:
    """A command with placeholders. In what another program is to read, as a script with blanks or after ``%``, words in
    braces are its own; only what is nearly a placeholder is taken for a slip there."""
    argv = command(text)
    for word in argv:
        for found in PLACEHOLDER.finditer(word):
            name, theirs = (
                found[1] or PLACEHOLDERS[0],
                word[found.start() - 1 : found.start()] == "%" or len(word.split()) > 1,
            )
            near = get_close_matches(name, PLACEHOLDERS, n=1, cutoff=_NEAR)
            if name not in PLACEHOLDERS and (near or not theirs):
                known = ", ".join(f"{{{placeholder}}}" for placeholder in PLACEHOLDERS)
                hint = f"Did you mean {{{near[0]}}}?" if near else f"There is: {known}."
                raise UsageError(INVALID, f"unknown placeholder {{{name}}}", hint=hint)
    return argv


def zone(text: str) -> ZoneInfo:
    """A time zone of the IANA database."""
    from zoneinfo import ZoneInfo, available_timezones  # only where an environment has freeze windows

    try:
        return ZoneInfo(text)
    except (KeyError, ValueError, OSError) as exc:
        meant = _meant_zone(text, available_timezones())
        hint = f"Did you mean {meant!r}?" if meant else _NO_ZONE if "/" in text else f"{_NO_NAME} {_NO_ZONE}"
        raise UsageError(INVALID, f"there is no time zone {shown(text)}", hint=hint) from exc


def _meant_zone(text: str, names: Collection[str]) -> str:
    """The time zone that was meant; empty where that would be a guess: a near name may be hours away.

    ``Z`` is UTC; else the same name in other letters, the city of a zone, or a slip in a name with a slash. The signs
    of ``Etc/GMT+1`` are not those that people write.
    """
    if text in ("Z", "z"):
        return "UTC"
    plain = text.replace(" ", "_").lower()
    by_name = {name.lower(): name for name in sorted(names)}
    areas = {low: name for low, name in by_name.items() if name.partition("/")[0] in _AREAS and name not in _STATES}
    by_city = {low.rpartition("/")[2]: name for low, name in reversed(areas.items())}
    found = by_name.get(plain) or by_city.get(plain.rpartition("/")[2])
    if found or "/" not in plain:
        return found or ""
    close = get_close_matches(plain, areas, n=2, cutoff=_SLIP)
    return areas[close[0]] if len(close) == 1 else ""


def webhook(text: str) -> str:
    """An http or https address. It may contain a secret: no message repeats it."""
    hint = "Write an address that begins with https:// or http://."
    try:
        parts = urlsplit(text)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError as exc:
        raise UsageError(INVALID, "this is not a URL", hint=hint) from exc
    if not valid or re.search(r"[\s\x00-\x1f]", text):
        raise UsageError(INVALID, "this is not an http or https URL", hint=hint)
    return text


_READERS: Mapping[str, Callable[[str], object]] = {
    "an image name": image_name,
    "an environment name": environment_name,
    "a time zone": zone,
    "a public key of ssh": parse_ssh,
}
"""By what a value is called, what reads it once it is text."""


def would_do(text: str, notes: Mapping[str, Any]) -> bool:
    """Whether a value that YAML does not take for text would be right as text; ``notes`` are those of its type.

    To quote what is refused then all the same leads nowhere: an image cannot be called "1.0" either.
    """
    pattern, read = notes.get("pattern"), _READERS.get(str(notes.get("title")))
    if pattern is not None and re.search(str(pattern), text) is None:
        return False
    try:
        if read is not None:
            read(text)
    except UsageError:
        return False
    return True
