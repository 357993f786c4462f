"""Any sequence of verbs, moves by hand and crashes against the model; set TAGFLOW_FUZZ=20 for twenty times as many.

After every step tagflow, asked in a context of its own as from another machine, must say what the model says.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

import pytest
from hypothesis import HealthCheck, Phase, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from tagflow.domain.own_tags import pin_tag
from tagflow.domain.reference import Digest, Repository
from tagflow.errors import TagflowError
from tagflow.stores.layout.store import LayoutStore
from tagflow.stores.port import Store
from tagflow.verbs.repair import repair
from tagflow.verbs.verify import verify
from tests import images
from tests.flows.model import FOREIGN, IMAGES, VERSIONS, Key, Model, Spot, What
from tests.flows.world import World
from tests.marks import LONG
from tests.memory import WRITES, MemoryRegistry

POLICY = """
version: 1
registry: {registry}
images: {{frontend: frontend, backend: back_end}}
environments:
  dev: {{}}
  prod: {{downgrades: allow, floating: [latest, major, minor]}}
"""
FUZZ = int(os.environ.get("TAGFLOW_FUZZ") or 1)
STATUS = {"version.not_found": 4, "rollback.nothing": 4, "promotion.order": 3, "promotion.held": 3, "tag.immutable": 3}
MOVABLE = {"dev", "prod", "latest", "v1", "v2", "v1.0", "v1.1", "v1.2", "v2.0"}

some_images = st.sets(st.sampled_from(IMAGES), min_size=1).map(sorted)
versions = st.sampled_from(VERSIONS)
environments = st.sampled_from(["dev", "prod", "prod"])


@dataclass(frozen=True)
class Command:
    """One command line: ``wanted`` is image → version, or None for "whatever ran before"."""

    verb: Literal["push", "promote", "rollback"]
    environment: str
    wanted: Mapping[str, What]
    override: bool = False

    def model(self, model: Model) -> set[str]:
        """What is to come of it."""
        if self.verb == "rollback":
            return model.rollback(self.environment, self.wanted)
        wanted = {image: version for image, version in self.wanted.items() if version is not None}
        if self.verb == "push":
            fresh = set(wanted.items()) - model.built
            model.built |= fresh
            refused = model.promote("dev", wanted)
            model.built -= fresh if refused else set()
            return refused
        return model.promote(self.environment, wanted, override=self.override)

    def run(self, world: World) -> None:
        targets = [image if version is None else f"{image}={version}" for image, version in self.wanted.items()]
        if self.verb == "rollback":
            world.rollback(self.environment, *targets)
        elif self.verb == "promote":
            options: dict[str, Any] = {"override": ("hold",), "reason": "sure"} if self.override else {}
            world.promote(*targets, to=self.environment, **options)
        else:
            [version] = {version for version in self.wanted.values() if version}
            world.push(version, *[f"{image}=docker://{BUILDS}/{image}:{version}" for image in self.wanted])


BUILDS = "builds.test/ci"


class Disk(MemoryRegistry):
    """OCI layouts on disk that can be watched and crashed as the registry in memory can."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self._root = root
        self._seen: set[Repository] = set()

    def open(self, repository: Repository) -> Store:
        if not repository.is_layout:
            return super().open(repository)
        self._seen.add(repository)
        return cast(Store, _Watched(LayoutStore(repository), self))

    def snapshot(self) -> dict[Repository, dict[str, Digest]]:
        found = {}
        for repository in self._seen:
            store = LayoutStore(repository)
            found[repository] = {tag: digest for tag in store.tags() if (digest := store.resolve(tag))}
        return found


class _Watched:
    """A layout whose writes can be heard of."""

    def __init__(self, store: LayoutStore, disk: Disk) -> None:
        self._store, self._disk = store, disk

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if name not in WRITES:
            return found

        def heard(*arguments: Any, **options: Any) -> Any:
            self._disk.begin(name, self._store.repository, str(arguments[0]))
            return found(*arguments, **options)

        return heard


class Machine(RuleBasedStateMachine):
    """tagflow and the model, side by side."""

    directory: ClassVar[Path | None] = None

    def __init__(self) -> None:
        super().__init__()
        self._scratch = tempfile.TemporaryDirectory(dir=self.directory) if self.directory else None
        place = self._scratch.name if self._scratch else ""
        memory = Disk(Path(place)) if place else MemoryRegistry()
        registry = f"oci:{place}" if place else "registry.test/acme"
        self.world = World(POLICY.format(registry=registry), memory)
        self.model = Model()
        self.digests = {(image, what): self._content(image, what) for image in IMAGES for what in VERSIONS + FOREIGN}
        self.names = {(image, digest): what for (image, what), digest in self.digests.items()}
        self.fixed: dict[tuple[str, str], Digest] = {}

    def teardown(self) -> None:
        if self._scratch:
            self._scratch.cleanup()

    def _content(self, image: str, what: str) -> Digest:
        host, _, path = BUILDS.partition("/")
        store = self.world.memory.open(Repository(host, f"{path}/{image}"))
        return images.image(store, content=f"{image} {what}".encode(), tag=what).digest

    def _store(self, image: str) -> Store:
        return self.world.memory.open(self.world.repository(image))

    # --- steps -------------------------------------------------------------------------------------------------

    @rule(chosen=some_images, version=versions)
    def build(self, chosen: list[str], version: str) -> None:
        """Other tools push a build."""
        for image in chosen:
            images.image(self._store(image), content=f"{image} {version}".encode(), tag=version)
            self.model.built.add((image, version))

    @rule(chosen=some_images, version=versions)
    def both_ways(self, chosen: list[str], version: str) -> None:
        """The usual day: a build goes all the way, as far as it is let."""
        self.build(chosen, version)
        for environment in ("dev", "prod"):
            self.command(Command("promote", environment, dict.fromkeys(chosen, version)))

    @rule(
        chosen=some_images, versions=st.lists(versions, min_size=2, max_size=2), to=environments, override=st.booleans()
    )
    def promote(self, chosen: list[str], versions: list[str], to: str, override: bool) -> None:
        wanted = dict(zip(chosen, versions, strict=False))
        self.command(Command("promote", to, wanted, override))

    @rule(chosen=some_images, version=versions)
    def push(self, chosen: list[str], version: str) -> None:
        self.command(Command("push", "dev", dict.fromkeys(chosen, version)))

    @rule(environment=environments)
    def roll_back(self, environment: str) -> None:
        self.command(Command("rollback", environment, {}))

    @rule(chosen=some_images, to=st.lists(st.none() | versions, min_size=2, max_size=2), environment=environments)
    def roll_back_to(self, chosen: list[str], to: list[What], environment: str) -> None:
        self.command(Command("rollback", environment, dict(zip(chosen, to, strict=False))))

    @rule(image=st.sampled_from(IMAGES), environment=environments, data=st.data())
    def by_hand(self, image: str, environment: str, data: st.DataObject) -> None:
        """Somebody moves or removes an environment tag with another tool."""
        spot, store = self.model.spots[image, environment], self._store(image)
        built = [version for version in VERSIONS if (image, version) in self.model.built]
        # Back to where the last release came from looks like one that was not finished.
        chosen = [what for what in (None, *FOREIGN, *built) if what not in (spot.tag, spot.before)]
        what = data.draw(st.sampled_from(chosen))
        if what is None and spot.tag is not None:
            store.untag(environment, self.digests[image, spot.tag])
        elif what is not None:
            images.image(store, content=f"{image} {what}".encode(), tag=environment)
        spot.tag = what

    @rule(
        verb=st.sampled_from(["push", "promote", "promote", "rollback", "rollback"]),
        chosen=some_images,
        version=versions,
        named=st.booleans(),
        environment=environments,
        write=st.integers(1, 16),
        way=st.sampled_from(["again", "back", "repair"]),
        twice=st.none() | st.integers(1, 12),
    )
    def die(
        self,
        verb: Any,
        chosen: list[str],
        version: str,
        named: bool,
        environment: str,
        write: int,
        way: str,
        twice: int | None,
    ) -> None:
        """A command dies at one of its writes. Then it is run again, or rolled back, or repaired: what may die, too."""
        wanted: dict[str, What] = dict.fromkeys(chosen, version) if named or verb != "rollback" else {}
        command = Command(verb, "dev" if verb == "push" else environment, wanted, override=verb == "promote")
        if verb == "promote":  # or most would be refused for want of a build
            self.build(chosen, version)
            if environment == "prod":
                self.command(replace(command, environment="dev"))
        after = deepcopy(self.model)
        if command.model(after):
            self.command(command)
            return
        told = {key: len(self.world.records(*key)) for key in self.model.spots}
        if not self.world.crash(lambda: command.run(self.world), write):
            self.model = after
            return
        self.old_or_new(after)
        self.nothing_lost()
        self.shown_and_closed_to_others(command)
        self.recover(command, after, told, way, twice)
        self.number_anew(command.environment)

    @rule(image=st.sampled_from(IMAGES), data=st.data())
    def tamper(self, image: str, data: st.DataObject) -> None:
        """Somebody removes an anchor or moves a floating tag: it is found, and one --repair puts exactly that right."""
        before, store = self.world.tags(image), self._store(image)
        entered = [(name, version) for name in ("dev", "prod") for version in self.entered(image, name)]
        removable = {version for _, version in entered} | {f"{version}-{name}" for name, version in entered}
        # Where the environment tag is elsewhere, the combined tag alone tells that the last release arrived there.
        strays = ((name, self.model.spots[image, name]) for name in ("dev", "prod"))
        removable -= {f"{spot.head}-{name}" for name, spot in strays if spot.condition == "unrecorded"}
        floating = self.model.floating(image)
        if not removable | floating.keys():
            return
        tag = data.draw(st.sampled_from(sorted(removable | floating.keys())))
        if tag in floating:
            others = {it for name, it in self.model.built if name == image} - {floating[tag]}
            if not others:
                return
            version = data.draw(st.sampled_from(sorted(others)))
            store.put(store.get(self.digests[image, version]), tag)
            expected = {(image, "prod", "floating.wrong", tag)}
        else:
            store.untag(tag, before[tag])
            of_tag = {name for name, version in entered if tag in (version, f"{version}-{name}")}
            expected = {(image, name, "anchor.missing", tag) for name in of_tag}
        assert self.found() == self.findings() | expected
        repair(self.world.context(), [])
        assert self.world.tags(image) == before
        event(f"tampered with {'floating tag' if tag in floating else 'anchor'}")

    def entered(self, image: str, environment: str) -> set[str]:
        """The versions of which a record tells that they came in by push or promote, and that were not given up."""
        records = self.world.records(image, environment)
        told = {version for action, version, _ in records if action in ("push", "promote") and version}
        return told - self.model.spots[image, environment].void

    # --- how steps end -----------------------------------------------------------------------------------------

    def command(self, command: Command) -> None:
        refused = command.model(self.model)
        before, count = self.world.memory.snapshot(), len(self.world.memory.writes)
        if not refused:
            command.run(self.world)
            return
        with pytest.raises(TagflowError) as caught:
            command.run(self.world)
        assert caught.value.code in refused, (command, caught.value.message)
        assert caught.value.exit_status == max(STATUS[code] for code in refused)
        assert self.world.memory.snapshot() == before
        assert len(self.world.memory.writes) == count

    def old_or_new(self, after: Model) -> None:
        for (image, environment), spot in self.model.spots.items():
            stands = self.stands(image, environment)
            assert stands in (spot.tag, after.spots[image, environment].tag), (image, environment, stands)

    def shown_and_closed_to_others(self, command: Command) -> None:
        """What died amid is shown by status and verify, and nobody else changes any image of it."""
        environment = command.environment
        dead = {image for image in IMAGES if self.condition(image, environment) == "interrupted"}
        assert {
            image for image, name, problem, _ in self.found() if (name, problem) == (environment, "interrupted")
        } == dead
        others = [
            Command("promote", environment, {image: version}, override=True)
            for image, version in self.model.built
            if command.wanted.get(image) != version
        ]
        for other in [*others, *(Command("rollback", environment, {image: None}) for image in IMAGES)]:
            if not dead.isdisjoint(other.wanted) and not other.model(deepcopy(self.model)):
                self.refused(other, "release.interrupted", 5)

    def refused(self, command: Command, code: str, status: int) -> None:
        before, count = self.world.memory.snapshot(), len(self.world.memory.writes)
        with pytest.raises(TagflowError) as caught:
            command.run(self.world)
        assert (caught.value.code, caught.value.exit_status) == (code, status), (command, caught.value.message)
        assert self.world.memory.snapshot() == before
        assert len(self.world.memory.writes) == count

    def recover(self, command: Command, after: Model, told: Mapping[Key, int], way: str, twice: int | None) -> None:
        dead = self.is_dead(command.environment)
        event(f"{command.verb} died {'amid' if dead else 'outside'}, {way}")
        back = dead and way == "back" and command.verb != "rollback"

        def go() -> None:
            if back:
                self.abandon(command.environment)
            else:
                self.finish(command, after, way)

        if twice is not None and self.world.crash(go, twice):
            event("and died again")
            self.old_or_new(after)
            self.nothing_lost()
        go()
        if back:
            self.abandoned(command.environment, told)
        else:
            self.model = after

    def abandon(self, environment: str) -> None:
        """Go back; where that is complete but for floating tags, put them right."""
        if self.is_dead(environment):
            self.world.rollback(environment)
        else:
            repair(self.world.context(), [environment])

    def finish(self, command: Command, after: Model, way: str) -> None:
        environment = command.environment
        if way == "repair":
            repair(self.world.context(), [environment])
        if command.verb != "rollback":
            command.run(self.world)
        elif self.is_dead(environment):
            self.world.rollback(environment)
        elif self.arrived(environment, after):
            repair(self.world.context(), [environment])
        else:
            command.run(self.world)

    def is_dead(self, environment: str) -> bool:
        return any(self.condition(image, environment) == "interrupted" for image in IMAGES)

    def condition(self, image: str, environment: str) -> str:
        return self.world.seen(image, environment).standing.condition

    def arrived(self, environment: str, after: Model) -> bool:
        return all(self.stands(image, environment) == after.spots[image, environment].tag for image in IMAGES)

    def abandoned(self, environment: str, told: Mapping[Key, int]) -> None:
        """What was announced is put back; what was moved by hand may have been adopted before."""
        for image in IMAGES:
            spot = self.model.spots[image, environment]
            tags = self.world.tags(image)
            self.model.built |= {(image, version) for version in VERSIONS if version in tags}
            fresh = self.world.records(image, environment)[told[image, environment] :]
            if any(action == "adopt" for action, _, _ in fresh):
                spot.adopt(0)
            for action, version, _ in fresh:
                if action in ("push", "promote") and version is not None:
                    spot.abandon(version)
                    spot.combined |= {version} & {tag.removesuffix(f"-{environment}") for tag in tags}

    def number_anew(self, environment: str) -> None:
        """Releases that died and were finished have numbers that the model doesn't foresee; their order it does."""
        sights = {image: self.world.seen(image, environment) for image in IMAGES}
        for image, sight in sights.items():
            spot, stack = self.model.spots[image, environment], sight.standing.state.stack
            assert [self.names[image, ran.digest] for ran in stack] == spot.names
            spot.stack = [(name, ran.release.number) for name, ran in zip(spot.names, stack, strict=True)]
        self.model.numbers[environment] = max(sight.standing.number for sight in sights.values())

    # --- what always holds -------------------------------------------------------------------------------------

    def stands(self, image: str, tag: str) -> What:
        digest = self.world.tag(image, tag)
        return None if digest is None else self.names[image, digest]

    @invariant()
    def nothing_lost(self) -> None:
        """What never moves stands where it stood first: versions, combined tags, pins, records."""
        for image in IMAGES:
            tags = self.world.tags(image)
            for tag in {tag for name, tag in self.fixed if name == image} | (tags.keys() - MOVABLE):
                assert tags.get(tag) == self.fixed.setdefault((image, tag), tags[tag]), tag

    @invariant()
    def spots_are_as_the_model_says(self) -> None:
        for (image, environment), spot in self.model.spots.items():
            sight = self.world.seen(image, environment)
            state, standing = sight.standing.state, sight.standing
            assert self.stands(image, environment) == spot.tag
            assert [(self.names[image, ran.digest], ran.release.number) for ran in state.stack] == spot.stack
            assert [ran.version for ran in state.stack] == [it if it in VERSIONS else None for it in spot.names]
            assert {hold.version for hold in state.holds} == spot.holds
            assert {void.version for void in state.void} == spot.void
            assert standing.condition == spot.condition
            assert {f"v{version}" for version in sight.admitted} == spot.admitted

    @invariant()
    def floating_tags_are_at_their_winners(self) -> None:
        for image in IMAGES:
            for tag, version in self.model.floating(image).items():
                assert self.stands(image, tag) == version, (image, tag)

    @invariant()
    def what_was_left_is_kept(self) -> None:
        for (image, environment), spot in self.model.spots.items():
            tags = self.world.tags(image)
            for what in spot.left:
                digest = self.digests[image, what]
                assert digest in (tags.get(f"{what}-{environment}"), tags.get(pin_tag(digest))), (image, what)

    @invariant()
    def verify_finds_what_was_moved_by_hand_and_nothing_else(self) -> None:
        assert self.found() == self.findings()

    def found(self) -> set[tuple[str, str, str, str]]:
        return {(it.image, it.environment, it.problem, it.tag) for it in verify(self.world.context(), [], deep=True)}

    def findings(self) -> set[tuple[str, str, str, str]]:
        """What verify has to say."""
        expected = {
            (image, environment, "drift", environment)
            for (image, environment), spot in self.model.spots.items()
            if spot.condition == "unrecorded"
        }
        expected |= {
            (image, environment, "running.held", environment)
            for (image, environment), spot in self.model.spots.items()
            if spot.tag in spot.holds
        }
        for image in IMAGES:
            stale = (MOVABLE - {"dev", "prod"}) & self.world.tags(image).keys() - self.model.floating(image).keys()
            expected |= {(image, "prod", "floating.stale", tag) for tag in stale}
        return expected


def run(machine: type[Machine], examples: int, steps: int) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples * FUZZ,
            stateful_step_count=steps,
            deadline=None,
            derandomize=FUZZ == 1,
            phases=(Phase.generate, Phase.shrink) if FUZZ > 1 else (Phase.generate,),  # shrinking takes minutes
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )


@pytest.mark.parametrize("examples", [12, pytest.param(40, marks=LONG)])
def test_in_memory(examples: int) -> None:
    run(Machine, examples, 25)


@LONG
def test_in_layouts(tmp_path: Path) -> None:
    class OnDisk(Machine):
        directory = tmp_path

    run(OnDisk, 5, 10)


def test_the_model_itself() -> None:
    """A day in the contract's words, so that the model is not trusted blindly."""
    spot = Spot()
    spot.enter("v1.0.0", 1)
    spot.enter("v1.1.0", 2)
    spot.pop(1)
    assert (spot.names, spot.holds, spot.tag, spot.left) == (["v1.0.0"], {"v1.1.0"}, "v1.0.0", {"v1.0.0", "v1.1.0"})
    spot.push_again("v1.1.0", 3)
    assert (spot.names, spot.holds) == (["v1.0.0", "v1.1.0"], set())
