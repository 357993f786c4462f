"""The policies under examples/, each carried through a release as it is written; only the registries are in memory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tagflow.config.load import load_policy
from tagflow.context import Context
from tagflow.domain.plan import Outcome, Request
from tagflow.domain.reference import Digest
from tagflow.verbs.apply import apply
from tagflow.verbs.approve import approve_plan
from tagflow.verbs.doctor import examine_keys
from tagflow.verbs.promote import promote
from tagflow.verbs.release import Options
from tagflow.verbs.verify import verify
from tests.flows.world import World, fails
from tests.releases.regulated import bobs_key, copied
from tests.trust.world import key_of

EXAMPLES = Path(__file__).parents[2] / "examples"
LABELS = {
    "org.opencontainers.image.source": "https://git.example/it",
    "org.opencontainers.image.revision": "0123456",
    "com.bank.change": "CHG-1",
}


class Example(World):
    """The world of one example, with stand-ins for the programs that its gates and notices run. Whoever signs does it
    with the key of ``holder``."""

    def __init__(self, name: str, tmp_path: Path, policy: Path | None = None) -> None:
        super().__init__(threads=8)
        self.policy = load_policy(policy or EXAMPLES / name / "promotion.yaml")
        self.holder = "ci" if self.policy.signers else ""
        self.directory = tmp_path
        for program in ("bin/cosign", "bin/trivy", "announce.sh"):
            path = tmp_path / program
            path.parent.mkdir(exist_ok=True)
            path.write_text(f'#!/bin/sh\ncat > /dev/null\necho "$@" >> {tmp_path}/{path.name}.log\n')
            path.chmod(0o755)

    def context(self) -> Context:
        environ = {"PATH": f"{self.directory}/bin:/usr/bin:/bin"}
        key = key_of(self.holder) if self.holder else None
        return replace(super().context(), environ=environ, directory=self.directory, signing_key=lambda: key)

    def release(self, version: str, by: Sequence[str] = ("alice", "carol", "qa"), **request: Any) -> Outcome:
        """Save a plan for prod, have it approved, and apply it."""
        path = self.directory / "plan.json"
        what = Request("promote", "prod", (version,), **request)
        promote(self.context(), what, Options(save_plan=path))
        for name in by:
            self.holder = name
            approve_plan(self.context(), path)
        self.holder = "ci"
        return apply(self.context(), path, Options())

    def told(self, program: str) -> list[str]:
        """The arguments of each call of a program."""
        log = self.directory / f"{program}.log"
        return sorted(log.read_text().splitlines()) if log.exists() else []

    def refuse_by(self, program: str) -> None:
        """From now on this program says no."""
        path = next(self.directory.rglob(program))
        path.write_text("#!/bin/sh\necho no reason given; exit 1\n")

    def digests(self, image: str, tag: str) -> set[Digest]:
        """Where a tag of an image stands, in whatever registry it is."""
        return {
            tags[tag] for repository, tags in self.memory.snapshot().items()
            if repository.path.endswith(self.context().image(image).path) and tag in tags
        }  # fmt: skip

    def is_clean(self) -> bool:
        return verify(self.context(), [], deep=True) == []


def test_one_service(tmp_path: Path) -> None:
    world = Example("one-service", tmp_path)
    for version in ("v1.0.0", "v1.1.0"):
        world.through(version, "staging", "prod")
    assert str(world.repository("shop", "prod")) == "ghcr.io/acme/shop"
    assert world.runs("prod") == {"shop": "v1.1.0"}
    assert world.tags("shop")["latest"] == world.tags("shop")["v1.1.0"]
    world.rollback("prod")
    assert world.runs("prod") == {"shop": "v1.0.0"}
    assert world.tags("shop")["latest"] == world.tags("shop")["v1.0.0"]
    with world.unchanged(), fails("promotion.held", 3):
        world.promote("v1.1.0", to="prod")
    assert world.is_clean()


class TestTwentyServices:
    @pytest.fixture
    def world(self, tmp_path: Path) -> Example:
        world = Example("twenty-services", tmp_path)
        world.now = datetime(2026, 3, 3, 8, 0, tzinfo=UTC)  # a Tuesday
        world.build("v1.0.0")
        world.promote("v1.0.0", to="dev")
        return world

    def test_through_two_registries(self, world: Example) -> None:
        assert len(world.policy.images) == 20
        with world.unchanged(), fails("promotion.soak", 3) as caught:
            world.promote("v1.0.0", to="test")
        assert len(caught[0].message.splitlines()) == 20
        world.later(minutes=31)
        world.promote("v1.0.0", to="test")
        world.promote("v1.0.0", to="staging")
        assert {str(world.repository("basket", name)) for name in ("dev", "test")} == {
            "registry.dev.acme.example:5000/shop/checkout/basket"
        }
        assert str(world.repository("basket", "prod")).endswith(".dkr.ecr.eu-west-1.amazonaws.com/shop/checkout/basket")
        with world.unchanged(), fails("promotion.soak", 3):
            world.promote("v1.0.0", to="prod")
        world.later(hours=4)
        world.promote("v1.0.0", to="prod")
        assert set(world.runs("prod").values()) == {"v1.0.0"}
        for image in ("basket", "feature-flags"):
            assert world.digests(image, "prod") == world.digests(image, "v1.0.0") == world.digests(image, "v1")
            assert len(world.digests(image, "v1.0.0")) == 1
        assert world.warnings == []
        assert set(world.told("announce.sh")) == {""}
        assert world.is_clean()

    def test_the_weekend_is_frozen_in_berlin(self, world: Example) -> None:
        world.later(minutes=31)
        world.promote("v1.0.0", to="test")
        world.promote("v1.0.0", to="staging")
        world.now = datetime(2026, 3, 6, 23, 30, tzinfo=UTC)  # Saturday, half past midnight, in Berlin
        with world.unchanged(), fails("promotion.frozen", 3) as caught:
            world.promote("v1.0.0", to="prod")
        assert caught[0].message == "prod is frozen until Mon 2026-03-09 00:00 Europe/Berlin"
        world.promote("v1.0.0", to="prod", override=("freeze",), reason="the shop is down")
        assert set(world.runs("prod").values()) == {"v1.0.0"}

    def test_an_image_of_one_platform_stays_out_of_staging(self, world: Example) -> None:
        world.build("v1.1.0", "basket", platforms=("linux/amd64",))
        world.promote("basket=v1.1.0", to="dev")
        world.later(minutes=31)
        world.promote("basket=v1.1.0", to="test")
        with world.unchanged(), fails("promotion.platforms", 3) as caught:
            world.promote("basket=v1.1.0", to="staging")
        assert "linux/arm64" in caught[0].message

    def test_the_canary_alone_admits(self, world: Example) -> None:
        """`from` names two: admitted to one of them is enough."""
        for environment in ("test", "staging", "canary"):
            world.later(hours=5)
            world.promote("v1.0.0", to=environment)
        world.later(hours=5)
        world.promote("v1.0.0", to="prod")
        assert set(world.runs("prod").values()) == {"v1.0.0"}


class TestRegulated:
    NAMES = ("ledger", "clearing", "portal")

    @pytest.fixture
    def world(self, tmp_path: Path) -> Example:
        world = Example("regulated", tmp_path, copied(tmp_path, bobs_key(tmp_path / "bob")))
        world.now = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)  # a Monday
        self.bring_in(world, "2.4.0")
        world.promote("2.4.0", to="acceptance")
        return world

    def bring_in(self, world: Example, version: str) -> None:
        world.build(f"release-{version}", labels=LABELS)
        world.promote(version, to="integration")

    def test_the_keys_that_it_comes_with_can_be_read(self) -> None:
        policy = load_policy(EXAMPLES / "regulated" / "promotion.yaml")
        assert [signer.name for signer in policy.signers] == ["ci", "qa", "alice", "bob", "carol"]
        assert len({signer.key.identity for signer in policy.signers}) == 5
        assert all(check.ok for check in examine_keys(policy, policy.environments, lambda: None)
                   if check.check == "signers")  # fmt: skip

    def test_a_release(self, world: Example) -> None:
        world.later(days=2, minutes=1)
        outcome = world.release("2.4.0", reason="CHG-1")
        assert world.runs("prod") == dict.fromkeys(self.NAMES, "release-2.4.0")
        tags = world.tags("ledger")
        assert tags["prod"] == tags["prod.release-2.4.0"] == tags["release-2.4.0"]
        # The history stands apart; approvals stand beside the first image.
        assert not any(tag.startswith("_tagflow.prod.") for tag in tags)
        assert sum(tag.startswith("_tagflow.approval.") for tag in tags) == 3
        assert any(tag.startswith("_tagflow.prod.") for tag in history_tags(world, "ledger"))
        assert {(it.image, it.gate) for it in outcome.gates if it.passed} == {
            (image, gate) for image in self.NAMES for gate in ("signature", "scan")
        }
        head = world.seen("ledger", "prod").standing.head
        assert head is not None
        assert {text.partition("@")[0] for text in head.record.approvals} == {"alice", "carol", "qa"}
        reference = f"registry.bank.example/payments/core/ledger@{tags['prod']}"
        assert f"image --exit-code 1 --severity HIGH,CRITICAL {reference}" in world.told("trivy")
        assert f"verify --key cosign.pub {reference}" in world.told("cosign")
        assert world.is_clean()

    @pytest.mark.parametrize("by", [("alice", "qa"), ("alice", "carol"), ("qa",), ()])
    def test_not_enough_have_approved(self, world: Example, by: tuple[str, ...]) -> None:
        world.later(days=2, minutes=1)
        with fails("approval.missing", 3):
            world.release("2.4.0", by)
        assert set(world.runs("prod").values()) == {None}

    def test_all_that_is_wrong_is_told_at_once(self, world: Example) -> None:
        world.now = datetime(2026, 12, 17, 23, 30, tzinfo=UTC)  # in Zurich the freeze has begun
        world.build("release-2.5.0", labels={**LABELS, "com.bank.change": ""}, platforms=("linux/arm64",))
        world.promote("2.5.0", to="integration")
        world.promote("2.5.0", to="acceptance")
        with world.unchanged(), fails("promotion.soak", 3) as caught:
            world.promote("2.5.0", to="prod")
        assert {(it["image"], it["code"]) for it in caught[0].details if "image" in it} == {
            (image, f"promotion.{rule}") for image in self.NAMES for rule in ("soak", "frozen", "platforms", "labels")
        }
        assert [it["of"] for it in caught[0].details if it["code"] == "approval.missing"] == [
            ["alice", "bob", "carol"],
            ["qa"],
        ]
        assert "prod is frozen until Thu 2027-01-07 00:00 Europe/Zurich" in caught[0].message
        assert world.told("trivy") == []  # no gate is asked about what may not enter anyway

    @pytest.mark.parametrize("rule", ["soak", "freeze", "downgrades", "approvals"])
    def test_only_a_hold_may_be_set_aside(self, world: Example, rule: str) -> None:
        with world.unchanged(), fails("override.denied", 3):
            world.promote("2.4.0", to="prod", override=(rule,), reason="please")

    def test_a_hold_is_set_aside_with_a_reason_and_recorded(self, world: Example) -> None:
        world.later(days=2, minutes=1)
        world.release("2.4.0")
        world.later(days=4, hours=12)  # the weekend is frozen
        self.bring_in(world, "2.4.1")
        world.promote("2.4.1", to="acceptance")
        world.later(days=2, minutes=1)
        world.release("2.4.1")
        world.holder = "alice"  # who is on call
        world.rollback("prod", reason="it leaks")
        world.holder = "ci"
        with fails("promotion.held", 3):
            world.release("2.4.1")
        with fails("override.reason", 2):
            world.release("2.4.1", overrides=("hold",))
        world.release("2.4.1", overrides=("hold",), reason="it did not leak")
        head = world.seen("ledger", "prod").standing.head
        assert head is not None
        assert (head.record.overrides, head.record.reason) == (("hold",), "it did not leak")

    def test_a_scan_that_says_no(self, world: Example) -> None:
        world.later(days=2, minutes=1)
        world.refuse_by("trivy")
        with fails("promotion.gate", 3) as caught:
            world.release("2.4.0")
        assert caught[0].message.count("gate scan failed: exit status 1\nno reason given") == 3
        assert set(world.runs("prod").values()) == {None}

    def test_a_prerelease_gets_no_further_than_integration(self, world: Example) -> None:
        self.bring_in(world, "2.5.0-rc.1")
        with world.unchanged(), fails("promotion.prerelease", 3):
            world.promote("2.5.0-rc.1", to="acceptance")

    def test_a_build_without_its_origin_does_not_even_enter(self, world: Example) -> None:
        world.build("release-2.5.0")
        with world.unchanged(), fails("promotion.labels", 3):
            world.promote("2.5.0", to="integration")

    def test_without_a_key_nothing_even_enters(self, world: Example) -> None:
        world.holder = ""
        world.build("release-2.5.0", labels=LABELS)
        with world.unchanged(), fails("signing.no_key", 2):
            world.promote("2.5.0", to="integration")


def history_tags(world: Example, image: str) -> dict[str, Digest]:
    """The tags of the repository of an image's history."""
    return world.memory.snapshot()[world.history_repository(image, "prod")]


def test_every_example_is_here() -> None:
    """A policy that no test uses is a claim."""
    found = {path.parent.name for path in EXAMPLES.glob("*/promotion.yaml")}
    assert found == {"one-service", "twenty-services", "regulated"}
