"""Which commands meet, and where."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.interleave.world import (
    BUILDS,
    Told,
    World,
    apply,
    freeze,
    hold,
    promote,
    push,
    repair,
    rollback,
)

Make = Callable[[], World]


def _one(world: World) -> None:
    """v1.0.0 runs everywhere, v1.1.0 and v1.2.0 in dev."""
    world.through("v1.0.0", "dev", "prod")
    world.through("v1.1.0", "dev")
    world.through("v1.2.0", "dev")


def _two(world: World) -> None:
    """The same, and prod runs v1.1.0 by now."""
    world.through("v1.0.0", "dev", "prod")
    world.through("v1.1.0", "dev", "prod")
    world.through("v1.2.0", "dev")


def _builds(world: World) -> None:
    """v1.0.0 in dev; two builds that want to become v1.1.0."""
    world.through("v1.0.0", "dev")
    world.build("v1.1.0", seed="a", under="a")
    world.build("v1.1.0", seed="b", under="b")


def _begun(world: World) -> None:
    """prod runs v1.0.0; v1.1.0 was announced there, and the run died before it moved anything."""
    _one(world)
    world.dying(promote("v1.1.0"), len(world.images))


def _older_line(world: World) -> None:
    """prod runs v2.0.0; v1.0.0 ran there, too; v1.0.1 and v2.1.0 are in dev."""
    world.through("v1.0.0", "dev", "prod")
    world.through("v2.0.0", "dev", "prod")
    world.through("v1.0.1", "dev")
    world.through("v2.1.0", "dev")


def _source(image: str, build: str) -> str:
    return f"{image}=docker://{BUILDS}/{image}:{build}"


LINES = "{dev: {downgrades: allow}, prod: {lines: major, floating: [latest, major]}}"

ANN = Told("ann", "promote v1.1.0 --to prod", promote("v1.1.0"))
BOB = Told("bob", "promote v1.2.0 --to prod", promote("v1.2.0"))
BACK = Told("bob", "rollback prod", rollback())
MEND = Told("bob", "verify --repair", repair(), claims=False)


def _by(name: str, other: Told) -> Told:
    """The same command by somebody else."""
    return Told(name, other.words, other.act, other.claims)


def _push(name: str, build: str) -> Told:
    words = _source("web", build)
    return Told(name, f"push v1.1.0 {words}", push("v1.1.0", words))


def _pairs() -> dict[str, Make]:
    made: dict[str, Make] = {}

    def add(
        name: str,
        images: str,
        setup: Callable[[World], None],
        *runs: Told,
        winners: int | None = None,
        environments: str = "",
    ) -> None:
        made[name] = lambda: World(name, tuple(images.split()), setup, runs, winners, environments)

    newer = Told("ann", "promote v1.2.0 --to prod", promote("v1.2.0"))
    add("promote, promote", "web", _one, ANN, BOB, winners=1)
    add("promote, the same promote", "web", _one, ANN, _by("bob", ANN), winners=1)
    add("promote, rollback", "web", _two, newer, BACK, winners=1)
    add("promote, rollback to a version", "web", _two, newer,
        Told("bob", "rollback prod v1.0.0", rollback("prod", "v1.0.0")), winners=1)  # fmt: skip
    add("rollback, rollback", "web", _two, _by("ann", BACK), BACK, winners=1)
    add("push, push", "web", _builds, _push("ann", "a"), _push("bob", "b"), winners=1)
    add("push, the same push", "web", _builds, _push("ann", "a"), _push("bob", "a"), winners=1)
    add("push, promote of it", "web", _builds, _push("ann", "a"), Told("bob", ANN.words, ANN.act))
    add("promote, abandon", "web", _one, ANN, BACK)
    add("promote, repair", "web", _one, ANN, MEND)
    add("rollback, repair", "web", _two, _by("ann", BACK), MEND)
    add("promote, hold of it", "web", _one, ANN, Told("bob", "hold prod v1.1.0", hold("v1.1.0")))
    add("promote, hold of another", "web", _one, ANN, Told("bob", "hold prod v1.2.0", hold("v1.2.0")), winners=2)
    add("rollback, hold of what it goes to", "web", _two, _by("ann", BACK),
        Told("bob", "hold prod v1.0.0", hold("v1.0.0")))  # fmt: skip
    add("promote, freeze", "web", _one, ANN, Told("bob", "freeze prod", freeze()))
    add("rollback, freeze", "web", _two, _by("ann", BACK), Told("bob", "freeze prod", freeze()), winners=2)
    add("hold, freeze", "web", _one, Told("ann", "hold prod v1.1.0", hold("v1.1.0")),
        Told("bob", "freeze prod", freeze()), winners=2)  # fmt: skip
    add("finish, abandon", "web", _begun, ANN, BACK)
    add("finish, finish", "web", _begun, ANN, _by("bob", ANN))
    add("finish, repair", "web", _begun, ANN, MEND)
    add("finish, hold of it", "web", _begun, ANN, Told("bob", "hold prod v1.1.0", hold("v1.1.0")))
    add("abandon, abandon", "web", _begun, _by("ann", BACK), BACK)
    add("abandon, repair", "web", _begun, _by("ann", BACK), MEND)
    add("abandon, hold of it", "web", _begun, _by("ann", BACK), Told("bob", "hold prod v1.1.0", hold("v1.1.0")))
    add("promote an older line, promote", "web", _older_line,
        Told("ann", "promote v1.0.1 --to prod", promote("v1.0.1")),
        Told("bob", "promote v2.1.0 --to prod", promote("v2.1.0")), winners=1, environments=LINES)  # fmt: skip
    add("promote, promote and wait", "web", _one, ANN,
        Told("bob", "promote v1.2.0 --to prod --wait 5m", promote("v1.2.0", wait=300)), winners=1)  # fmt: skip
    add("two images: promote, promote", "api web", _one, ANN, BOB, winners=1)
    add("two images: promote both, promote one", "api web", _one, ANN,
        Told("bob", "promote web=v1.2.0 --to prod", promote("web=v1.2.0")), winners=1)  # fmt: skip
    add("two images: one each", "api web", _one,
        Told("ann", "promote api=v1.1.0 --to prod", promote("api=v1.1.0")),
        Told("bob", "promote web=v1.2.0 --to prod", promote("web=v1.2.0")), winners=2)  # fmt: skip
    add("two images: promote, rollback", "api web", _two, newer, BACK, winners=1)
    add("two images: promote, abandon", "api web", _one, ANN, BACK)
    add("two images: finish, abandon", "api web", _begun, ANN, BACK)
    add("two images: finish, repair", "api web", _begun, ANN, MEND)
    add("two images: promote, hold of one", "api web", _one, ANN,
        Told("bob", "hold prod web=v1.1.0", hold("web=v1.1.0")))  # fmt: skip
    add("three images: two each", "api web worker", _one,
        Told("ann", "promote api=v1.1.0 web=v1.1.0 --to prod", promote("api=v1.1.0", "web=v1.1.0")),
        Told("bob", "promote web=v1.2.0 worker=v1.2.0 --to prod", promote("web=v1.2.0", "worker=v1.2.0")),
        winners=1)  # fmt: skip
    made["apply, promote"] = _applying
    return made


def _applying() -> World:
    def act(context: object) -> object:
        return apply(world.plan)(context)  # type: ignore[arg-type]

    def setup(made: World) -> None:
        _one(made)
        made.plan = made.saved("v1.1.0")

    world = World("apply, promote", ("web",), setup, (Told("ann", "apply plan.json", act), BOB), winners=1)
    return world


def _threes() -> dict[str, Make]:
    def three(name: str, setup: Callable[[World], None], *runs: Told, winners: int | None = None) -> Make:
        return lambda: World(name, ("web",), setup, runs, winners)

    mine = Told("ann", "hold prod v1.1.0", hold("v1.1.0"))
    cases: dict[str, tuple[Callable[[World], None], tuple[Told, ...], int | None]] = {
        "three: promote, promote, rollback": (_two, (Told("ann", "promote v1.2.0 --to prod", promote("v1.2.0")),
            BACK, Told("cid", "promote v1.1.0 --to prod", promote("v1.1.0"))), 1),
        "three: promote, rollback, rollback": (_two, (Told("ann", "promote v1.2.0 --to prod", promote("v1.2.0")),
            BACK, _by("cid", BACK)), 1),
        "three: promote, promote, hold": (_one, (ANN, BOB, _by("cid", mine)), None),
        "three: promote, abandon, promote": (_one, (ANN, BACK, _by("cid", BOB)), None),
        "three: finish, abandon, repair": (_begun, (ANN, BACK, _by("cid", MEND)), None),
        "three: push, push, promote": (_builds, (_push("ann", "a"), _push("bob", "b"), _by("cid", ANN)), None),
    }  # fmt: skip
    made = {name: three(name, setup, *runs, winners=winners) for name, (setup, runs, winners) in cases.items()}
    # The third meets the others in one of their images only.
    of_two = "two images, three: promote, rollback, promote one"
    newer = Told("ann", "promote v1.2.0 --to prod", promote("v1.2.0"))
    one = Told("cid", "promote web=v1.2.0 --to prod", promote("web=v1.2.0"))
    made[of_two] = lambda: World(of_two, ("api", "web"), _two, (newer, BACK, one), 1)
    return made


PAIRS: Mapping[str, Make] = _pairs()
"""Two runs: every schedule within a budget."""
THREES: Mapping[str, Make] = _threes()
"""Three runs: samples."""
CASES: Mapping[str, Make] = {**PAIRS, **THREES}
