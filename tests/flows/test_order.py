"""What is decided on the order of versions, where SemVer and a reader may differ; and floating tags that stay."""

from __future__ import annotations

import pytest

from tests.flows.world import World, fails

POLICY = """
version: 1
registry: registry.test/acme
images: {web: web}
environments:
  dev: {}
  prod: {%s}
tags: {version: "{version}", versions: %s}
"""


def world_of(*ran: str, prod: str = "", versions: str = "semver") -> World:
    """These versions were in dev, then in prod, one after the other."""
    world = World(POLICY % (prod, versions))
    for version in ran:
        world.through(version, "dev", "prod")
    return world


class TestDowngrades:
    @pytest.mark.parametrize(("runs", "comes"), [("1.3.0-rc9", "1.3.0-rc10"), ("1.3.0-rc10", "1.3.0-rc9")])
    def test_both_directions_are_refused(self, runs: str, comes: str) -> None:
        world = world_of(runs)
        world.through(comes, "dev")
        with world.unchanged(), fails("version.order", 2) as caught:
            world.promote(comes, to="prod")
        assert "1.3.0-rc.10" in caught[0].hint
        assert "`versions: natural`" in caught[0].hint
        world.promote(comes, to="prod", override=("downgrades",), reason="I know")
        assert world.runs("prod") == {"web": comes}

    def test_where_nothing_depends_on_it_nothing_is_refused(self) -> None:
        world = world_of("1.3.0-rc9", prod="downgrades: allow")
        world.through("1.3.0-rc10", "dev", "prod")
        assert world.runs("prod") == {"web": "1.3.0-rc10"}

    @pytest.mark.parametrize(
        ("older", "newer"),
        [
            ("1.3.0-rc9", "1.3.0-rc10"), ("2026-01-30-2", "2026-01-30-10"), ("1.0-SNAPSHOT-9", "1.0-SNAPSHOT-10"),
            ("2025.11.1", "2026.02.0"), ("1.2.3.9", "1.2.3.10"), ("3.5.15-0", "3.5.15-1"), ("1.0_9", "1.0_10"),
        ],
    )  # fmt: skip
    def test_natural_orders_as_their_owner_does(self, older: str, newer: str) -> None:
        world = world_of(older, prod="floating: [latest]", versions="natural")
        world.through(newer, "dev", "prod")
        assert world.runs("prod") == {"web": newer}
        with fails("promotion.downgrade", 3):
            world.promote(older, to="prod")

    def test_builds_are_ordered_by_value(self) -> None:
        world = world_of("1.0.0_9", prod="floating: [latest]")
        world.through("1.0.0_10", "dev", "prod")
        assert world.tag("web", "latest") == world.tag("web", "1.0.0_10")
        with fails("promotion.downgrade", 3):
            world.promote("1.0.0_9", to="prod")

    def test_nor_does_it_enter_beside_what_runs(self) -> None:
        """Which is the higher decides whether it is an older line: that is told once."""
        world = world_of("1.3.0-rc9", prod="lines: minor")
        world.through("1.3.0-rc10", "dev")
        with world.unchanged(), fails("version.order", 2) as caught:
            world.promote("1.3.0-rc10", to="prod")
        assert len(caught[0].message.splitlines()) == 1

    def test_nor_before_it_may_come_at_all(self) -> None:
        world = world_of("1.3.0-rc9", prod="lines: minor")
        world.build("1.3.0-rc10")
        with world.unchanged(), fails("version.order", 2):
            world.promote("1.3.0-rc10", to="prod")


class TestFloating:
    def test_a_channel_is_not_decided_on_an_unclear_order(self) -> None:
        world = world_of("1.3.0-beta9", prod="downgrades: allow, floating: [beta]")
        world.through("1.3.0-beta10", "dev")
        with world.unchanged(), fails("version.order", 2):
            world.promote("1.3.0-beta10", to="prod")

    def test_a_channel_goes_on_to_the_release(self) -> None:
        world = world_of("1.3.0-beta.9", "1.3.0-beta.10", prod="floating: [latest, beta]")
        assert world.tag("web", "beta") == world.tag("web", "1.3.0-beta.10")
        assert world.tag("web", "latest") is None
        world.through("1.3.0", "dev", "prod")
        assert world.tag("web", "beta") == world.tag("web", "latest") == world.tag("web", "1.3.0")
        world.through("1.4.0-beta.1", "dev", "prod")
        assert world.tag("web", "beta") == world.tag("web", "1.4.0-beta.1")
        world.rollback("prod")
        assert world.tag("web", "beta") == world.tag("web", "1.3.0")

    @pytest.mark.parametrize(
        ("version", "told"),
        [
            ("6.2.6-alpine", "web: 6.2.6-alpine is a pre-release to SemVer, by its -alpine, so latest, 6 stay"),
            ("3.5.15-0", "web: 3.5.15-0 is a pre-release to SemVer, by its -0, so latest, 3 stay"),
            ("2024.1-01-02", "web: 2024.1-01-02 is a pre-release to SemVer, by its -01-02, so latest, 2024 stay"),
            ("1.0.0-rc.1", "web: 1.0.0-rc.1 is a pre-release, so latest, 1 stay"),
        ],
    )
    def test_a_tag_that_stays_is_told_in_the_plan(self, version: str, told: str) -> None:
        world = world_of(prod="floating: [latest, major]")
        world.through(version, "dev")
        outcome = world.promote(version, to="prod", dry_run=True)
        assert outcome.notes == (told,)
        assert f"note: {told}" in world.warnings

    def test_natural_variants_and_revisions_are_releases(self) -> None:
        world = world_of("3.5.15-0", "3.5.15-1", prod="floating: [latest], prereleases: deny", versions="natural")
        assert world.tag("web", "latest") == world.tag("web", "3.5.15-1")
        world.through("6.2.6-alpine", "dev")
        assert world.promote("6.2.6-alpine", to="prod").notes == ()
        assert world.tag("web", "latest") == world.tag("web", "6.2.6-alpine")
