"""Any mischief with tags and records, in any order, then any verbs: nothing of hers is ever signed for."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tagflow.domain.reference import Digest
from tagflow.errors import TagflowError
from tests.marks import mostly_long
from tests.trust.test_hostile import FORGED, Stage, records, stage

VERSIONS = ("v1.0", "v1.1", "v1.2")
HERS = ("v9.0", "v1.5")
NAMES = ("prod", "prod", "test", "latest", "v1")
QUICK = sorted(name for name in FORGED if not name.startswith("absurd") and name != "hundreds")
SEEDS = 60


def mischief(it: Stage, rng: random.Random, evil: Digest) -> None:
    """One thing that somebody with the right to push and delete may do to app. Of a history something is left."""
    kind = rng.choice(("move", "move", "hide", "delete"))
    if kind == "move":
        anchors = [f"{version}{of}" for version in (*VERSIONS, *HERS) for of in ("", "-prod", "-test")]
        it.mallory.move("app", rng.choice((*NAMES, *anchors)), rng.choice((evil, *sorted(filter(None, it.built)))))
    else:
        environment = rng.choice(("prod", "test"))
        signed = [tag for tag in records(it.world, "app", environment) if int(tag.split(".")[2]) in range(1, 4)]
        if kind == "hide":
            it.mallory.repoint("app", environment, rng.choice(signed), it.world.tags("app")[rng.choice(signed)])
        elif len(signed) > 1:
            it.mallory.delete("app", environment, signed[-1])


def verbs(it: Stage, rng: random.Random) -> Callable[[], object]:
    """One thing that people do then."""
    world = it.world
    version = rng.choice((*VERSIONS, *HERS))
    return rng.choice(
        [
            lambda: world.promote(rng.choice(("v1.2", f"app={version}")), to="prod"),
            lambda: world.promote(f"app={version}", to="prod", override=("hold",), reason="x"),
            lambda: world.promote(f"app={version}", to="test"),
            lambda: world.rollback("prod"),
            lambda: world.rollback("prod", "app"),
            lambda: world.rollback(rng.choice(("prod", "test")), f"app={version}"),
            lambda: world.applying(it.plan),
            lambda: world.repair(),
            lambda: world.hold("prod", f"app={version}", lift=rng.choice((True, False))),
        ]
    )


def check(it: Stage, evil: Digest) -> None:
    """What is signed speaks of what was built, under its own names."""
    for environment in ("prod", "test"):
        seen = it.world.seen("app", environment)
        for head in seen.standing.heads:
            assert head.proof is not None
            assert head.proof.good
            entries = (*head.record.state.stack, *head.record.state.admitted)
            assert {entry.digest for entry in entries} <= it.built
            assert {entry.version for entry in entries} <= set(VERSIONS)
            if head.record.action in ("promote", "rollback"):
                assert head.record.digest in it.built
        assert evil not in {digest for _, digest in seen.named or ()}


@pytest.mark.parametrize("seed", mostly_long(range(SEEDS), 0, 1, 2, 3))
def test_whatever_is_done(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    it = stage(tmp_path)
    evil = it.mallory.build("app")
    for name in rng.sample(QUICK, rng.randint(0, 3)):
        FORGED[name](it)
    for _ in range(rng.randint(0, 5)):
        mischief(it, rng, evil)
    for _ in range(rng.randint(1, 4)):
        verb = verbs(it, rng)
        before = {name: it.world.tag("app", name) for name in ("prod", "test")}
        it.world.later(minutes=rng.choice((0, 30)))
        try:
            verb()
        except TagflowError as error:
            if error.exit_status not in (2, 3, 4, 5):
                raise
        for name, digest in before.items():
            assert it.world.tag("app", name) in {digest, *it.built}
        check(it, evil)
    it.world.verify()
