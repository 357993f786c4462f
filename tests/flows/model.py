"""A model of releases, rollback and history in plain words, which knows nothing of records, parents or checkpoints.

For each image in each environment: what ran, what is held, what was announced in vain, which combined tags there are.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from tagflow.domain.versions.semver import SEMVER

IMAGES = ("frontend", "backend")
VERSIONS = ("v1.0.0", "v1.0.1", "v1.1.0", "v1.2.0-rc.1", "v2.0.0")
FOREIGN = ("stray", "other")
"""What people move by hand: content that no version names."""
NEVER = "never"
"""Where nothing was announced: no tag stands there."""

What = str | None
"""A version, the name of foreign content, or None for no tag."""
Key = tuple[str, str]
"""Image and environment."""


@dataclass
class Spot:
    """One image in one environment.

    ``stack`` has what ran, each with the number of the release by which it came. ``head`` is where the newest record
    says the tag is, ``tag`` where it is, ``before`` what the newest announcement wanted to leave. ``left`` is all that
    tagflow ever moved the tag away from.
    """

    stack: list[tuple[str, int]] = field(default_factory=list)
    holds: set[str] = field(default_factory=set)
    void: set[str] = field(default_factory=set)
    combined: set[str] = field(default_factory=set)
    head: What = None
    tag: What = None
    before: What = NEVER
    left: set[str] = field(default_factory=set)

    @property
    def names(self) -> list[str]:
        return [what for what, _ in self.stack]

    @property
    def condition(self) -> str:
        if self.tag == self.head:
            return "empty" if self.tag is None else "recorded"
        return "interrupted" if self.tag == self.before else "unrecorded"

    @property
    def stray(self) -> str:
        """What somebody put there by hand and no record tells of; empty where there is none."""
        return self.tag if self.tag is not None and self.tag != self.head else ""

    @property
    def admitted(self) -> set[str]:
        return self.combined - self.holds - self.void

    def enter(self, version: str, number: int) -> None:
        self.stack.append((version, number))
        self.holds.discard(version)
        self.void.discard(version)
        self.combined.add(version)
        self._move(version)

    def adopt(self, number: int) -> None:
        if self.stray:
            self.stack.append((self.stray, number))
            self.head, self.before = self.tag, NEVER

    def pop(self, depth: int) -> None:
        end = len(self.stack) - depth
        target = self.stack[end - 1][0]
        self.holds = (self.holds | {what for what in self.names[end:] if what in VERSIONS}) - {target}
        self.void.discard(target)
        del self.stack[end:]
        self._move(target)

    def push_again(self, version: str, number: int) -> None:
        """A rollback to what was popped."""
        self.enter(version, number)

    def abandon(self, version: str) -> None:
        """It was announced, and the tag was put back."""
        if version not in self.holds | self.admitted:
            self.void.add(version)
        self.head, self.before = self.tag, version

    def depth(self, version: str) -> int | None:
        names = self.names[::-1]
        return names.index(version) if version in names else None

    def _move(self, target: str) -> None:
        if self.tag is not None and self.tag != target:
            self.left.add(self.tag)
        self.before = NEVER if self.tag == target else self.tag
        self.head = self.tag = target


@dataclass
class Model:
    """All spots, the version tags, and the highest release number of each environment."""

    spots: dict[Key, Spot] = field(
        default_factory=lambda: {(image, name): Spot() for image in IMAGES for name in ("dev", "prod")}
    )
    built: set[tuple[str, str]] = field(default_factory=set)
    numbers: dict[str, int] = field(default_factory=lambda: {"dev": 0, "prod": 0})

    def promote(self, environment: str, wanted: Mapping[str, str], *, override: bool = False) -> set[str]:
        """Carry it out. Where it is refused, nothing changes, and the codes say why."""
        refused = {self._refusal(environment, image, it, override=override) for image, it in wanted.items()} - {""}
        moving = {
            image: version
            for image, version in wanted.items()
            if (spot := self.spots[image, environment]).tag != version
            or spot.stray
            or version in spot.holds | spot.void
        }
        if not refused and moving:
            adopting = [it for it, version in moving.items() if self.spots[it, environment].stray not in ("", version)]
            number = self._release(environment, adopting)
            for image, version in moving.items():
                self.spots[image, environment].enter(version, number)
        if not refused:
            for image, version in wanted.items():
                self.spots[image, environment].combined.add(version)
        return refused

    def rollback(self, environment: str, wanted: Mapping[str, What]) -> set[str]:
        """To the versions named, one back for an image without one; where no image is named, undo the last release."""
        chosen = wanted or self._last_release(environment)
        refused = {self._no_way(environment, image, version) for image, version in chosen.items()} - {""}
        if refused or not chosen:
            return refused or {"rollback.nothing"}
        moving = {
            image: version
            for image, version in chosen.items()
            if version is None or self.spots[image, environment].stray or self.spots[image, environment].tag != version
        }
        if moving:
            number = self._release(environment, [image for image in moving if self.spots[image, environment].stray])
            for image, version in moving.items():
                spot = self.spots[image, environment]
                depth = 1 if version is None else spot.depth(version)
                if depth is None and version is not None:
                    spot.push_again(version, number)
                elif depth is not None:
                    spot.pop(depth)
        return set()

    def floating(self, image: str) -> dict[str, str]:
        """Where each floating tag belongs whose line has a version; prod owns them all."""
        found: dict[str, str] = {}
        stable = [version for version in self.spots[image, "prod"].admitted if "-" not in version]
        for version in sorted(stable, key=SEMVER.read):
            major, minor = version.split(".")[:2]
            found |= {"latest": version, major: version, f"{major}.{minor}": version}
        return found

    def _refusal(self, environment: str, image: str, version: str, *, override: bool) -> str:
        if (image, version) not in self.built:
            return "version.not_found"
        if environment == "prod" and version not in self.spots[image, "dev"].admitted:
            return "promotion.order"
        held = version in self.spots[image, environment].holds and not override
        return "promotion.held" if held else ""

    def _release(self, environment: str, adopting: Collection[str]) -> int:
        """The number of a new release; what was moved by hand is adopted by one of its own before."""
        if adopting:
            self.numbers[environment] += 1
        for image in adopting:
            self.spots[image, environment].adopt(self.numbers[environment])
        self.numbers[environment] += 1
        return self.numbers[environment]

    def _no_way(self, environment: str, image: str, version: What) -> str:
        spot = self.spots[image, environment]
        names = [*spot.names, *([spot.stray] if spot.stray else [])]
        if version is None:
            return "" if len(names) > 1 else "rollback.nothing"
        popped = version in spot.combined - (spot.void - spot.holds)
        return "" if version in names or popped else "version.not_found"

    def _last_release(self, environment: str) -> dict[str, What]:
        tops = {}
        for image in IMAGES:
            spot = self.spots[image, environment]
            if spot.stray:
                tops[image] = self.numbers[environment] + 1
            elif spot.stack:
                tops[image] = spot.stack[-1][1]
        return {image: None for image, number in tops.items() if number == max(tops.values())}
