"""The rules of an environment through promote: each says no with its code and until when."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tagflow.errors import combine
from tests.flows.world import World, fails

HEAD = "version: 1\nregistry: registry.test/acme\nimages: {web: web, api: api}\nenvironments:\n  dev: {}\n"


def world_of(prod: str) -> World:
    """dev, then prod with these rules; v1.0.0 is in dev."""
    world = World(HEAD + f"  prod: {{{prod}}}\n")
    world.through("v1.0.0", "dev")
    return world


class TestDowngrades:
    def test_denied_where_nothing_is_said_allowed_in_the_first(self) -> None:
        world = world_of("")
        world.through("v1.1.0", "dev", "prod")
        with world.unchanged(), fails("promotion.downgrade", 3) as caught:
            world.promote("v1.0.0", to="prod")
        assert "`tagflow promote web=v1.0.0 --to prod --override downgrades --reason TEXT`" in caught[0].hint
        assert "`lines: minor`" in caught[0].hint
        world.promote("v1.0.0", to="dev")

    def test_both_versions_are_told_as_their_tags_are_written(self) -> None:
        world = world_of("")
        world.through("v1.0.0_b10", "dev", "prod")
        world.through("v1.0.0_b9", "dev")
        with fails("promotion.downgrade", 3) as caught:
            world.promote("web=v1.0.0_b9", to="prod")
        assert "web v1.0.0_b9 is lower than v1.0.0_b10, which runs in prod" in caught[0].message

    def test_overridden(self) -> None:
        world = world_of("")
        world.through("v1.1.0", "dev", "prod")
        world.promote("v1.0.0", to="prod", override=("downgrades",), reason="old client")
        assert set(world.runs("prod").values()) == {"v1.0.0"}

    def test_compared_with_what_runs_not_with_what_ran(self) -> None:
        world = world_of("")
        world.through("v1.1.0", "dev", "prod")
        world.through("v1.2.0", "dev", "prod")
        world.rollback("prod")
        world.through("v1.1.1", "dev", "prod")
        assert set(world.runs("prod").values()) == {"v1.1.1"}

    def test_what_runs_by_hand_counts_too(self) -> None:
        """prod was moved by hand to v1.2.0, which its tag tells: v1.1.0 is a lower version than runs there."""
        world = world_of("")
        world.promote("v1.0.0", to="prod")
        world.through("v1.1.0", "dev")
        world.through("v1.2.0", "dev")
        for image in ("web", "api"):
            world.hand_move(image, "prod", world.tags(image)["v1.2.0"])
        with world.unchanged(), fails("promotion.downgrade", 3):
            world.promote("v1.1.0", to="prod")

    def test_a_prerelease_of_what_runs_is_lower(self) -> None:
        world = world_of("")
        world.promote("v1.0.0", to="prod")
        world.through("v1.0.0-rc.9", "dev")
        with world.unchanged(), fails("promotion.downgrade", 3):
            world.promote("v1.0.0-rc.9", to="prod")


def test_prereleases_denied() -> None:
    world = world_of("prereleases: deny")
    world.through("v1.1.0-rc.1", "dev")
    with world.unchanged(), fails("promotion.prerelease", 3):
        world.promote("v1.1.0-rc.1", to="prod")
    with world.unchanged(), fails("promotion.prerelease", 3):
        world.promote("v1.1.0-rc.1", to="prod", override=("hold", "soak", "freeze", "downgrades"), reason="no")
    world.promote("v1.0.0", to="prod")


class TestSoak:
    def test_too_short_says_how_long_is_left(self) -> None:
        world = world_of("soak: 24h")
        world.later(hours=18, minutes=48)
        with world.unchanged(), fails("promotion.soak", 3) as caught:
            world.promote("v1.0.0", to="prod")
        assert "5h11m" in caught[0].message
        assert "until" in caught[0].message
        world.later(hours=5, minutes=12)
        world.promote("v1.0.0", to="prod")

    def test_overridden(self) -> None:
        world = world_of("soak: 24h")
        world.promote("v1.0.0", to="prod", override=("soak",), reason="hotfix")
        assert set(world.runs("prod").values()) == {"v1.0.0"}

    def test_refused_where_the_environment_does_not_allow_it(self) -> None:
        world = world_of("soak: 24h, overrides: [hold]")
        with world.unchanged(), fails("override.denied", 3):
            world.promote("v1.0.0", to="prod", override=("soak",), reason="hotfix")

    def test_a_stay_that_ended_long_ago_counts(self) -> None:
        world = world_of("soak: 24h")
        world.later(hours=25)
        world.through("v1.1.0", "dev")
        world.later(hours=1)
        world.promote("v1.0.0", to="prod")

    def test_two_short_stays_do_not_add_up(self) -> None:
        world = world_of("soak: 24h")
        world.later(hours=20)
        world.through("v1.1.0", "dev")
        world.later(hours=1)
        world.promote("v1.0.0", to="dev")
        world.later(hours=20)
        with world.unchanged(), fails("promotion.soak", 3):
            world.promote("v1.0.0", to="prod")

    def test_a_promotion_of_what_runs_does_not_begin_it_again(self) -> None:
        world = world_of("soak: 24h")
        world.later(hours=20)
        world.promote("v1.0.0", to="dev")
        world.later(hours=5)
        world.promote("v1.0.0", to="prod")

    def test_a_stay_by_the_longest_of_several_from(self) -> None:
        text = HEAD + "  blue: {from: [dev]}\n  green: {from: [dev]}\n  prod: {from: [blue, green], soak: 2h}\n"
        world = World(text)
        world.through("v1.0.0", "dev", "blue")
        world.later(hours=3)
        world.promote("v1.0.0", to="green")
        world.promote("v1.0.0", to="prod")

    def test_an_abandoned_release_did_not_stay(self) -> None:
        world = World(HEAD + "  test: {}\n  prod: {soak: 2h}\n")
        world.through("v1.0.0", "dev", "test")
        world.later(hours=3)
        world.promote("v1.0.0", to="prod")
        world.through("v1.1.0", "dev")
        assert world.crash(lambda: world.promote("v1.1.0", to="test"), 3)
        world.later(hours=5)
        world.promote("v1.1.0", to="test")
        with world.unchanged(), fails("promotion.soak", 3):
            world.promote("v1.1.0", to="prod")

    def test_a_move_by_hand_interrupts_a_stay(self) -> None:
        """When it was moved is nowhere written: the stay counts from its adoption."""
        world = world_of("soak: 24h")
        world.later(hours=1)
        world.build("v1.1.0")
        for image in ("web", "api"):
            world.hand_move(image, "dev", world.tags(image)["v1.1.0"])
        world.later(hours=40)
        world.promote("v1.1.0", to="dev")
        with world.unchanged(), fails("promotion.soak", 3):
            world.promote("v1.1.0", to="prod")

    def test_an_unfinished_release_is_finished_without_asking(self) -> None:
        world = world_of("soak: 24h, freeze: [{days: [sun], timezone: UTC}]")
        world.later(hours=25)
        assert world.crash(lambda: world.promote("v1.0.0", to="prod"), 3)
        world.now = datetime(2026, 3, 8, 12, 0, tzinfo=UTC)
        world.promote("v1.0.0", to="prod")
        assert set(world.runs("prod").values()) == {"v1.0.0"}


class TestFreeze:
    def test_on_a_weekday_with_the_next_opening(self) -> None:
        world = world_of("freeze: [{days: [fri, sat, sun], timezone: Europe/Berlin}]")
        world.now = datetime(2026, 3, 5, 23, 30, tzinfo=UTC)  # Friday, half past midnight, in Berlin
        with world.unchanged(), fails("promotion.frozen", 3) as caught:
            world.promote("v1.0.0", to="prod")
        assert "2026-03-09" in caught[0].message
        world.rollback("dev", "v1.0.0")
        world.promote("v1.0.0", to="prod", override=("freeze",), reason="fire")

    def test_the_last_day_is_included(self) -> None:
        world = world_of("freeze: [{from: 2026-12-20, to: 2027-01-02, timezone: UTC}]")
        for moment in (datetime(2026, 12, 20, tzinfo=UTC), datetime(2027, 1, 2, 23, 59, tzinfo=UTC)):
            world.now = moment
            with world.unchanged(), fails("promotion.frozen", 3):
                world.promote("v1.0.0", to="prod")
        world.now = datetime(2027, 1, 3, tzinfo=UTC)
        world.promote("v1.0.0", to="prod")


class TestPlatformsAndLabels:
    def test_platforms(self) -> None:
        world = world_of("platforms: [linux/amd64, linux/s390x]")
        with world.unchanged(), fails("promotion.platforms", 3) as caught:
            world.promote("v1.0.0", to="prod")
        assert "linux/s390x" in caught[0].message
        world.build("v1.1.0", platforms=("linux/amd64", "linux/s390x", "linux/arm64"))
        world.promote("v1.1.0", to="dev")
        world.promote("v1.1.0", to="prod")

    def test_a_lone_manifest_has_the_platform_of_its_configuration(self) -> None:
        from tests import images

        world = world_of("platforms: [linux/arm64]")
        for image in ("web", "api"):
            images.image(world.memory.open(world.repository(image)), platform="linux/arm64", tag="v1.1.0")
        world.promote("v1.1.0", to="dev")
        world.promote("v1.1.0", to="prod")

    def test_labels(self) -> None:
        world = world_of("labels: [org.opencontainers.image.source]")
        with world.unchanged(), fails("promotion.labels", 3) as caught:
            world.promote("v1.0.0", to="prod")
        assert "org.opencontainers.image.source" in caught[0].message
        world.build("v1.1.0", labels={"org.opencontainers.image.source": "https://example.org"})
        world.promote("v1.1.0", to="dev")
        world.promote("v1.1.0", to="prod")

    def test_an_empty_label_is_not_set(self) -> None:
        world = world_of("labels: [team]")
        world.build("v1.1.0", labels={"team": ""})
        world.promote("v1.1.0", to="dev")
        with world.unchanged(), fails("promotion.labels", 3):
            world.promote("v1.1.0", to="prod")


class TestGates:
    def test_a_passing_one_gets_its_placeholders(self, tmp_path: Path) -> None:
        out = tmp_path / "out"
        code = (
            "import os,sys; open(sys.argv[1],'a').write('|'.join(sys.argv[2:]+[os.environ['TAGFLOW_VERSION']])+'\\n')"
        )
        script = tmp_path / "gate.py"
        script.write_text(code)
        run = f"{sys.executable} {script} {out} {{reference}} {{digest}} {{image}} {{version}} {{environment}}"
        world = world_of(f"gates: [{{name: told, run: '{run}'}}]")
        outcome = world.promote("v1.0.0", to="prod")
        assert {(it.image, it.gate, it.passed) for it in outcome.gates} == {
            ("web", "told", True),
            ("api", "told", True),
        }
        digest = world.tags("web")["v1.0.0"]
        line = f"registry.test/acme/web@{digest}|{digest}|web|v1.0.0|prod|v1.0.0"
        assert line in out.read_text().splitlines()

    def test_what_is_for_a_shell_is_left_to_it(self, tmp_path: Path) -> None:
        """A gate that compares its own ``${version}`` must not compare tagflow's."""
        out = tmp_path / "out"
        script = tmp_path / "gate.sh"
        script.write_text('printf "%s " "$@" > ' + str(out))
        run = f'sh {script} "${{version}}" "{{{{image}}}}" "{{version}}" "{{x:{{version}}}}"'
        world = world_of(f"gates: [{{name: told, run: '{run}'}}]")
        world.promote("web=v1.0.0", to="prod")
        assert out.read_text().split() == ["${version}", "{{image}}", "v1.0.0", "{x:v1.0.0}"]

    def test_a_failing_one_shows_its_output(self, tmp_path: Path) -> None:
        script = tmp_path / "gate.py"
        script.write_text("print('CVE-2026-1'); raise SystemExit(1)")
        world = world_of(f"gates: [{{name: scan, run: '{sys.executable} {script}'}}]")
        with world.unchanged(), fails("promotion.gate", 3) as caught:
            world.promote("v1.0.0", to="prod")
        assert "CVE-2026-1" in caught[0].message
        assert "web" in caught[0].message
        assert "api" in caught[0].message
        with world.unchanged(), fails("promotion.gate", 3):
            world.promote("v1.0.0", to="prod", override=("hold", "soak", "freeze", "downgrades"), reason="no")

    def test_one_that_cannot_start_is_a_refusal(self) -> None:
        world = world_of("gates: [{name: scan, run: /does/not/exist}]")
        with world.unchanged(), fails("promotion.gate", 3) as caught:
            world.promote("v1.0.0", to="prod")
        assert "/does/not/exist" in caught[0].message

    def test_one_that_takes_too_long(self) -> None:
        world = world_of("gates: [{name: slow, run: sleep 20, timeout: 1s}]")
        with world.unchanged(), fails("promotion.gate", 3) as caught:
            world.promote("web=v1.0.0", to="prod")
        assert "1s" in caught[0].message

    def test_its_children_do_not_keep_tagflow_waiting(self, tmp_path: Path) -> None:
        """A gate is a wrapper script more often than not: past the limit, nothing waits for what it started."""
        script = tmp_path / "wrap.sh"
        script.write_text("#!/bin/sh\nsleep 4\nexit 0\n")
        script.chmod(0o755)
        world = world_of(f"gates: [{{name: slow, run: {script}, timeout: 1s}}]")
        began = datetime.now(UTC)
        with fails("promotion.gate", 3):
            world.promote("web=v1.0.0", to="prod")
        assert datetime.now(UTC) - began < timedelta(seconds=3)

    def test_no_shell(self, tmp_path: Path) -> None:
        world = world_of(f"gates: [{{name: sh, run: 'test 1 -eq 1 ; touch {tmp_path}/made'}}]")
        with fails("promotion.gate", 3):
            world.promote("v1.0.0", to="prod")
        assert not (tmp_path / "made").exists()

    def test_a_dry_run_runs_them(self, tmp_path: Path) -> None:
        world = world_of(f"gates: [{{name: touch, run: 'touch {tmp_path}/made-{{image}}'}}]")
        with world.unchanged():
            outcome = world.promote("v1.0.0", to="prod", dry_run=True)
        assert [gate.passed for gate in outcome.gates] == [True, True]
        assert sorted(path.name for path in tmp_path.iterdir()) == ["made-api", "made-web"]

    def test_they_run_side_by_side(self) -> None:
        gates = ", ".join(f"{{name: g{n}, run: sleep 0.4}}" for n in range(3))
        world = world_of(f"gates: [{gates}]")
        world.threads = 16
        began = datetime.now(UTC)
        world.promote("v1.0.0", to="prod")
        assert datetime.now(UTC) - began < timedelta(seconds=1.8)


class TestAllReasonsAtOnce:
    def test_of_all_rules_and_images(self) -> None:
        world = world_of(
            "prereleases: deny, soak: 24h, freeze: [{days: [mon, tue, wed, thu, fri, sat, sun], timezone: UTC}],"
            " platforms: [linux/s390x], labels: [team]"
        )
        world.through("v1.1.0-rc.1", "dev")
        with world.unchanged(), fails("promotion.prerelease", 3) as caught:
            world.promote("v1.1.0-rc.1", to="prod")
        codes = {(it["image"], it["code"]) for it in caught[0].details}
        rules = ("prerelease", "soak", "frozen", "platforms", "labels")
        assert codes == {(image, f"promotion.{rule}") for image in ("web", "api") for rule in rules}

    def test_order_for_one_and_a_hold_for_another(self) -> None:
        """A refusal lists every rule that says no for every image."""
        world = world_of("downgrades: allow")
        world.promote("v1.0.0", to="prod")
        world.through("v1.1.0", "dev", "prod")
        world.rollback("prod")
        world.build("v1.2.0")
        with world.unchanged(), fails("promotion.order", 3) as caught:
            world.promote("web=v1.2.0", "api=v1.1.0", to="prod")
        assert {(it["image"], it["code"]) for it in caught[0].details} == {
            ("web", "promotion.order"),
            ("api", "promotion.held"),
        }

    def test_order_and_what_else_can_be_said_without_a_look_at_it(self) -> None:
        world = world_of("prereleases: deny, soak: 24h, freeze: [{days: [mon], timezone: UTC}], labels: [team]")
        world.build("v0.9.0-rc.1")
        with world.unchanged(), fails("promotion.order", 3) as caught:
            world.promote("web=v0.9.0-rc.1", to="prod")
        codes = [it["code"] for it in caught[0].details]
        assert codes == ["promotion.order", "promotion.prerelease", "promotion.frozen"]

    def test_immutable_and_the_rules_for_one_image(self) -> None:
        world = world_of("soak: 24h, freeze: [{days: [mon], timezone: UTC}]")
        world.hand_move("web", "v1.0.0-prod", world.build("v1.1.0")["web"])
        with world.unchanged(), fails("tag.immutable", 3) as caught:
            world.promote("web=v1.0.0", to="prod")
        assert [it["code"] for it in caught[0].details] == ["tag.immutable", "promotion.soak", "promotion.frozen"]

    def test_order_and_an_interrupted_release_is_a_5(self) -> None:
        """Where several exit statuses apply, the first of 6, 4, 5, 3."""
        world = world_of("")
        assert world.crash(lambda: world.promote("v1.0.0", to="prod"), 3)
        world.build("v1.1.0")
        with world.unchanged(), fails("release.interrupted", 5):
            world.promote("v1.1.0", to="prod")

    def test_immutable_for_one_and_a_rule_for_another(self) -> None:
        world = world_of("soak: 24h")
        world.hand_move("web", "v1.0.0-prod", world.build("v1.1.0")["web"])
        with world.unchanged(), pytest.raises(Exception) as raised:  # noqa: PT011
            world.promote("v1.0.0", to="prod")
        assert "v1.0.0-prod" in str(raised.value)
        assert "soak" in str(raised.value)

    def test_when_each_would_say_yes(self) -> None:
        world = world_of("soak: 24h, freeze: [{days: [mon], timezone: UTC}]")
        decision = world.propose_promote("web=v1.0.0", to="prod")
        error = combine(decision.decision.refusals)
        assert all("until" in it for it in error.details)


class TestOverrides:
    @pytest.mark.parametrize("rule", ["order", "gates", "platforms", "labels", "immutable", "prereleases", "", "Hold"])
    def test_what_can_never_be(self, rule: str) -> None:
        world = world_of("")
        with world.unchanged(), fails("override.unknown", 2):
            world.promote("v1.0.0", to="prod", override=(rule,), reason="please")

    def test_a_blank_reason_is_none(self) -> None:
        world = world_of("")
        with world.unchanged(), fails("override.reason", 2):
            world.promote("v1.0.0", to="prod", override=("soak",), reason="  ")

    def test_none_allowed(self) -> None:
        world = world_of("overrides: []")
        with world.unchanged(), fails("override.denied", 3):
            world.promote("v1.0.0", to="prod", override=("hold",), reason="please")

    def test_one_does_not_set_another_aside(self) -> None:
        world = world_of("soak: 24h, freeze: [{days: [mon], timezone: UTC}]")
        with world.unchanged(), fails("promotion.frozen", 3):
            world.promote("v1.0.0", to="prod", override=("soak",), reason="please")


class TestWhatAnOverrideSetsAside:
    def test_is_told(self) -> None:
        world = world_of("overrides: [hold, freeze]")
        world.promote("v1.0.0", to="prod")
        world.build("v1.1.0")
        world.promote("v1.1.0", to="dev")
        world.hold("prod", "web=v1.1.0", reason="CVE found")
        world.freeze("prod", reason="incident 42")
        plan = world.propose_promote("v1.1.0", to="prod", override=("hold", "freeze"), reason="boss said so")
        assert plan.decision.refusals == ()
        told = plan.decision.notes
        assert any(it.startswith("set aside (hold): web v1.1.0 is held in prod") and "CVE found" in it for it in told)
        frozen = [it for it in told if it.startswith("set aside (freeze): prod is frozen")]
        assert len(frozen) == 1
        assert "incident 42" in frozen[0]

    def test_of_many_images_once(self) -> None:
        world = world_of("overrides: [hold]")
        world.hold("prod", "v1.0.0", reason="CVE found")
        plan = world.propose_promote("v1.0.0", to="prod", override=("hold",), reason="because")
        told = [it for it in plan.decision.notes if "set aside" in it]
        assert len(told) == 1
        assert told[0].startswith("set aside (hold): 2 images: v1.0.0 is held in prod")

    def test_nothing_is_where_nothing_stood_in_the_way(self) -> None:
        world = world_of("overrides: [hold, freeze]")
        plan = world.propose_promote("v1.0.0", to="prod", override=("hold", "freeze"), reason="because")
        assert not any("set aside" in note for note in plan.decision.notes)
