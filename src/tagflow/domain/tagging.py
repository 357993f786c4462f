"""The tag engine: version × environment → tags, and a tag → what it means under a policy.

One rule holds it together: every tag computed for a version must read back as exactly that version, kind and
environment, else the version is refused.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from functools import cached_property
from typing import Literal

from msgspec import Struct

from tagflow.domain.own_tags import PREFIX, own_kind, parse_record_tag
from tagflow.domain.policy import CHANNELS, LINES, Environment, Line, Policy
from tagflow.domain.reference import Digest, is_tag
from tagflow.domain.versions import SCHEMES, Version, VersionScheme
from tagflow.errors import Conflict, UsageError

Kind = Literal["version", "combined", "environment", "floating", "pin", "record", "scratch", "approval"]

_LINE = re.compile("[0-9]+(?:[._-][0-9]+)?")
_PARTS: Mapping[Line, int] = {"major": 1, "minor": 2}


class Meaning(Struct, frozen=True):
    """What a tag says. ``version`` and ``environment`` where its kind has one; ``line`` of a floating tag."""

    kind: Kind
    version: Version | None = None
    environment: str | None = None
    line: Line | None = None


class ComputedTag(Struct, frozen=True):
    """One tag that a version gets."""

    tag: str
    kind: Kind
    environment: str | None


class TagScheme(Struct, frozen=True, dict=True):
    """All tags of one policy."""

    policy: Policy

    # --- writing -----------------------------------------------------------------------------------------------

    def version_tag(self, version: Version) -> str:
        """``v1.0``: the tag of a release."""
        return self._version[0] + version.tag + self._version[1]

    def combined_tag(self, version: Version, environment: str) -> str:
        """``v1.0-prod``: the tag of a release in an environment."""
        head, tail = self._around_version[environment]
        return head + self.version_tag(version) + tail

    def floating_tag(self, version: Version, line: Line) -> str:
        """``latest``, ``v1``, ``v1.2`` or ``beta``: the tag of the line to which a version belongs."""
        parts = _PARTS.get(line)
        return self._floating_name(line if parts is None else self._version[0] + version.line(parts))

    def tags(self, version: Version, environments: Iterable[Environment]) -> list[ComputedTag]:
        """Every tag that a version gets as it passes through environments, in the order in which they are written.

        :raises UsageError: where :meth:`check` does.
        """
        chosen = list(environments)
        self.check(version, chosen)
        computed = [ComputedTag(self.version_tag(version), "version", None)]
        for environment in chosen:
            name = environment.name
            computed.append(ComputedTag(self.combined_tag(version, name), "combined", name))
            computed.append(ComputedTag(name, "environment", name))
            lines = [line for line in LINES if line in environment.floating and is_of_line(version, line)]
            computed += [ComputedTag(self.floating_tag(version, line), "floating", name) for line in lines]
        return computed

    # --- reading -----------------------------------------------------------------------------------------------

    def read(self, tag: str) -> Meaning | None:
        """What a tag means; None for a tag that is none of tagflow's business.

        Environments are recognised by the policy's closed list, longest first, before SemVer sees the tag. Each tag is
        read once: a repository may have ten thousand, and several places in it.
        """
        if tag not in self._meanings:
            self._meanings[tag] = self._read(tag)
        return self._meanings[tag]

    def _read(self, tag: str) -> Meaning | None:
        if tag.startswith(PREFIX):
            return self._read_own(tag)
        if tag in self._environments:
            return Meaning("environment", environment=tag)
        if tag in self._named_lines:
            return Meaning("floating", line=self._named_lines[tag])
        for environment, (head, tail) in self._around_version.items():
            if tag.startswith(head) and tag.endswith(tail) and len(tag) > len(head) + len(tail):
                version = self._read_version(tag[len(head) : len(tag) - len(tail)])
                if version is not None:
                    return Meaning("combined", version, environment) if self._precise(version) else None
        version = self._read_version(tag)
        if version is not None and self._precise(version):
            return Meaning("version", version)
        return self._read_line(tag)

    def check(self, version: Version, environments: Iterable[Environment] | None = None) -> None:
        """Refuse a version whose tags would not read back as what they are.

        :raises UsageError: ``version.precision`` (fewer parts than a floating tag needs it to have),
            ``version.invalid`` (no valid tag), ``version.ambiguous``.
        """
        self._refuse_imprecise(version)
        for tag, expected in self._tags_of(version, environments):
            if not is_tag(tag):
                raise UsageError(
                    "version.invalid",
                    f"{tag!r} is not a valid tag",
                    hint="A tag has at most 128 letters, digits, '_', '.' and '-', and starts with '.' or '-' never.",
                )
            meaning = self.read(tag)
            if meaning is None or not _same(meaning, expected):
                raise UsageError(
                    "version.ambiguous",
                    f"{tag} would be read as {_tell(meaning)}, not as {_tell(expected)}",
                    hint=self._unambiguous(meaning),
                )

    def _unambiguous(self, meaning: Meaning | None) -> str:
        advice = "Choose a pre-release or build name that is no environment of this policy."
        if meaning is None or meaning.kind != "combined" or meaning.version is None:
            return advice
        return f"To name that release, write {self.version_tag(meaning.version)}. {advice}"

    # --- what a tag list holds ---------------------------------------------------------------------------------

    def versions(self, tags: Iterable[str]) -> list[tuple[Version, str]]:
        """The release versions among tags, each with its tag, highest first."""
        candidates = [tag for tag in tags if tag.startswith(self._before_versions)]
        read = ((self.read(tag), tag) for tag in candidates)
        found = ((meaning.version, tag) for meaning, tag in read if meaning and meaning.kind == "version")
        return sorted(((version, tag) for version, tag in found if version is not None), reverse=True)

    def combined(self, tags: Iterable[str], environment: str) -> dict[Version, str]:
        """The versions with a combined tag for an environment, and that tag."""
        head, tail = self._around_version[environment]
        found = [tag for tag in tags if tag.endswith(tail) and tag.startswith(head)]
        return {
            meaning.version: tag
            for tag in sorted(found, reverse=True)
            if (meaning := self.read(tag)) is not None
            and meaning.kind == "combined"
            and meaning.environment == environment
            and meaning.version is not None
        }

    def spellings(self, version: Version, tags: Collection[str]) -> list[Version]:
        """How a version is written among tags, as version or combined tag: the typed spelling first where it exists."""
        found = {
            meaning.version.text: meaning.version
            for tag in self._possible(version, tags)
            if (meaning := self.read(tag)) is not None
            and meaning.kind in ("version", "combined")
            and meaning.version == version
        }
        return sorted(
            (spelling for spelling in found.values() if spelling is not None),
            key=lambda spelling: (spelling.text != version.text, spelling.text),
        )

    def _possible(self, version: Version, tags: Collection[str]) -> Iterable[str]:
        """The tags that may be those of a version. Where its spellings can be counted they are looked up: a repository
        may have fifty thousand tags.
        """
        texts = self.version_scheme.spellings(version)
        if texts is None:
            return [tag for tag in tags if tag.startswith(self._before_versions)]
        known = tags if isinstance(tags, set | frozenset | dict) else frozenset(tags)
        written = [self._version[0] + text.replace("+", "_") + self._version[1] for text in texts]
        written += [head + tag + tail for tag in written for head, tail in self._around_version.values()]
        return [tag for tag in written if tag in known]

    def has_an_environment(self, tag: str) -> bool:
        """Whether a tag is written as the combined tags of an environment are, whatever its version may be."""
        return any(tag.startswith(head) and tag.endswith(tail) for head, tail in self._around_version.values())

    def is_floating_tag(self, tag: str) -> bool:
        """Whether a tag is one that floats here, whatever else it may be."""
        return tag in self._named_lines or self._read_line(tag) is not None

    def is_release_too(self, tag: str, tags: Collection[str]) -> bool:
        """Whether a line is written as a release is that an environment admitted before the line floated: a release
        never moves."""
        return self._read_line(tag) is not None and any(
            head + tag + tail in tags for head, tail in self._around_version.values()
        )

    def parse_version(self, text: str) -> Version:
        """Read a version that a person typed: a version, or a version tag of this policy.

        ``v1.2`` where ``minor`` floats is no spelling of v1.2.0: the tag may stand at v1.2.5.

        :raises UsageError: ``version.invalid``, ``version.precision``.
        """
        version = self._read_version(text) or self.version_scheme.read(text)
        self._refuse_imprecise(version)
        return version

    def find_version(self, text: str) -> Version | None:
        """The version that a person typed, or None where it is none."""
        return self._read_version(text) or self.version_scheme.find(text)

    def parse_label(self, label: str | None) -> Version | None:
        """Read the version tag that a record names."""
        return None if label is None else self._read_version(label)

    def recall(self, label: str | None) -> Version | None:
        """The same of a record that may be older than the templates: to compare with, for its tags are written
        otherwise today."""
        return None if label is None else self.find_version(label)

    @cached_property
    def version_scheme(self) -> VersionScheme:
        """How versions are read, ordered and counted up here."""
        return SCHEMES[self.policy.templates.versions]

    @cached_property
    def fewest_parts(self) -> int:
        """How many parts a version must at least have, so that it is no floating tag."""
        return 1 + max((_PARTS.get(line, 0) for line in self._floating), default=0)

    # --- inside ------------------------------------------------------------------------------------------------

    @cached_property
    def _version(self) -> tuple[str, str]:
        head, _, tail = self.policy.templates.version.partition("{version}")
        return head, tail

    @cached_property
    def _environments(self) -> frozenset[str]:
        return frozenset(environment.name for environment in self.policy.environments)

    @cached_property
    def _longest_first(self) -> tuple[str, ...]:
        return tuple(sorted(self._environments, key=lambda name: (-len(name), name)))

    @cached_property
    def _around_version(self) -> Mapping[str, tuple[str, str]]:
        """What stands before and after the version in each environment's combined tags, longest name first."""
        head, _, tail = self.policy.templates.combined.partition("{version}")
        return {
            name: (head.replace("{environment}", name), tail.replace("{environment}", name))
            for name in self._longest_first
        }

    @cached_property
    def _before_versions(self) -> tuple[str, ...]:
        """What a version or combined tag begins with, up to the first digit of its version: most of the fifty thousand
        tags that a repository may have begin otherwise.
        """
        head = self._version[0]
        heads = {head} | {before + head for before, _ in self._around_version.values()}
        return tuple(before + digit for before in sorted(heads) for digit in "0123456789")

    @cached_property
    def _named_lines(self) -> Mapping[str, Line]:
        """The floating tags that are the same for every version, such as ``latest`` and ``beta``."""
        return {self._floating_name(line): line for line in LINES if line in self._floating and line not in _PARTS}

    @cached_property
    def _around_line(self) -> tuple[str, str]:
        head, _, tail = self._floating_name("\0").partition("\0")
        return head + self._version[0], tail

    def _floating_name(self, name: str) -> str:
        return self.policy.templates.floating.replace("{floating}", name)

    @cached_property
    def _meanings(self) -> dict[str, Meaning | None]:
        return {}

    @cached_property
    def _floating(self) -> frozenset[Line]:
        return frozenset(line for environment in self.policy.environments for line in environment.floating)

    @property
    def _floating_names(self) -> str:
        return " and ".join(line for line in _PARTS if line in self._floating)

    def _precise(self, version: Version) -> bool:
        return version.parts >= self.fewest_parts

    def _refuse_imprecise(self, version: Version) -> None:
        if self._precise(version):
            return
        needed = self.fewest_parts
        raise UsageError(
            "version.precision",
            f"{self.version_tag(version)} has {_count(version.parts)}, but releases here need {needed}: "
            f"{self._floating_names} would be the same tag",
            hint=f"Write {self.version_tag(self.version_scheme.read(version.widened(needed)))}.",
        )

    def _read_version(self, tag: str) -> Version | None:
        head, tail = self._version
        if not tag.startswith(head) or not tag.endswith(tail) or len(tag) <= len(head) + len(tail):
            return None
        text = tag[len(head) : len(tag) - len(tail)]
        return self.version_scheme.find(text) if text[0].isdigit() and "+" not in text else None

    def _read_line(self, tag: str) -> Meaning | None:
        """``v1`` or ``v1.2``, where these float."""
        head, tail = self._around_line
        text = tag[len(head) : len(tag) - len(tail)]
        if not tag.startswith(head) or not tag.endswith(tail) or not _LINE.fullmatch(text):
            return None
        version = self.version_scheme.find(text)
        line = next((line for line, parts in _PARTS.items() if version and version.parts == parts), None)
        if version is None or line not in self._floating or not version.is_plain:
            return None
        return Meaning("floating", version, line=line)

    @staticmethod
    def _read_own(tag: str) -> Meaning | None:
        kind = own_kind(tag)
        if kind is not None:
            return Meaning(kind)
        record = parse_record_tag(tag)
        return Meaning("record", environment=record.environment) if record else None

    def _tags_of(self, version: Version, environments: Iterable[Environment] | None) -> Iterable[tuple[str, Meaning]]:
        chosen = self.policy.environments if environments is None else environments
        yield self.version_tag(version), Meaning("version", version)
        for environment in chosen:
            yield self.combined_tag(version, environment.name), Meaning("combined", version, environment.name)
            for line in environment.floating:
                if is_of_line(version, line):
                    yield self.floating_tag(version, line), Meaning("floating", line=line)


def is_of_line(version: Version, line: Line) -> bool:
    """Whether a version is what a floating line is made of: of a channel's pre-releases, or of the releases."""
    return version.word == line if line in CHANNELS else not version.is_prerelease


def _same(meaning: Meaning, expected: Meaning) -> bool:
    """Whether a tag says what it was written to say; a floating tag says which line, and no version."""
    if expected.kind == "floating":
        return (meaning.kind, meaning.line) == (expected.kind, expected.line)
    return meaning == expected


def same_version(spellings: dict[str, Digest]) -> Conflict:
    """The error for one version that is tagged in two spellings at different digests."""
    told = " and ".join(f"{tag} at {digest}" for tag, digest in spellings.items())
    return Conflict(
        "version.spelling",
        f"one version stands in several spellings at different digests: {told}",
        hint="Remove or rename the one that is not the release, in the registry.",
    )


def _count(parts: int) -> str:
    return f"{parts} part" if parts == 1 else f"{parts} parts"


def _tell(meaning: Meaning | None) -> str:
    if meaning is None:
        return "no tag of this policy"
    if meaning.kind == "combined":
        return f"release {meaning.version} in {meaning.environment}"
    if meaning.kind == "version":
        return f"release {meaning.version}"
    return f"the {meaning.kind} tag {meaning.environment or meaning.line or ''}".rstrip()
