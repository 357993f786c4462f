"""Versions as people write them, on a real registry: what they have, what they type, and the hint that works."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests import images
from tests.cli.runner import Desk
from tests.journeys.tools import Journey
from tests.marks import LONG
from tests.servers import RegistryServer

pytestmark = pytest.mark.registry

POLICY = """\
version: 1
registry: {address}
images: {{frontend: frontend, app: team/app}}
environments:
  dev: {{}}
  prod: {{floating: [latest]}}
"""
PATHS = {"frontend": "frontend", "app": "team/app"}


@pytest.fixture
def journey(registry: RegistryServer, tmp_path: Path) -> Journey:
    address = str(registry.fresh())
    return Journey(tmp_path, POLICY.format(address=address), address)


def build(journey: Journey, image: str, *tags: str) -> dict[str, str]:
    """What another tool has pushed; each tag its own image."""
    return {tag: images.index(journey.store(PATHS[image]), seed=image + tag, tag=tag).digest for tag in tags}


def follow(desk: Desk, *typed: str) -> list[str]:
    """Type what fails, then what its hint says, with a VERSION of one's own; the command that worked."""
    failed = desk.quickly(*typed)
    assert failed.status in (2, 4), failed.err
    commands = re.findall(r"`(tagflow push [^`]*)`", failed.err)
    assert len(commands) == 1, failed.err
    words = shlex.split(commands[0].replace("VERSION", "v1.2.3"))[1:]
    done = desk.quickly(*words)
    assert done.status == 0, done.err
    return words


class TestWhatIsThereUnderAnotherName:
    def test_without_the_v_of_the_policy(self, journey: Journey) -> None:
        built = build(journey, "app", "1.2.3")
        words = follow(journey.here, "promote", "app=v1.2.3", "--to", "dev")
        assert words == ["push", "v1.2.3", f"app=docker://{journey.address}/team/app:1.2.3"]
        assert journey.cells("dev")["app"]["digest"] == built["1.2.3"]

    def test_of_all_images_at_once(self, journey: Journey) -> None:
        for image in PATHS:
            build(journey, image, "1.2.3")
        follow(journey.here, "promote", "1.2.3", "--to", "dev")
        assert {cell["version"] for cell in journey.cells("dev").values()} == {"v1.2.3"}

    @pytest.mark.parametrize("target", ["app=sha-ae183bd", "app:sha-ae183bd", "app/sha-ae183bd", "app-sha-ae183bd"])
    @LONG
    def test_a_tag_of_a_commit(self, journey: Journey, target: str) -> None:
        built = build(journey, "app", "sha-ae183bd")
        words = follow(journey.here, "promote", target, "--to", "dev")
        assert words[-1] == f"app=docker://{journey.address}/team/app:sha-ae183bd"
        assert journey.cells("dev")["app"]["digest"] == built["sha-ae183bd"]

    def test_a_tag_without_an_image(self, journey: Journey) -> None:
        for image in PATHS:
            build(journey, image, "sha-ae183bd")
        follow(journey.here, "promote", "sha-ae183bd", "--to", "dev")
        assert {cell["version"] for cell in journey.cells("dev").values()} == {"v1.2.3"}

    @pytest.mark.parametrize("sign", ["@", "="])
    def test_a_digest(self, journey: Journey, sign: str) -> None:
        digest = build(journey, "app", "main")["main"]
        words = follow(journey.here, "promote", f"app{sign}{digest}", "--to", "prod")
        assert words[-1] == f"app=docker://{journey.address}/team/app@{digest}"
        assert journey.cells("dev")["app"]["digest"] == digest


class TestAnImageAndItsVersion:
    @pytest.mark.parametrize("target", ["frontend-v1.2.1", "frontend/v1.2.1", "frontend:v1.2.1", "frontend@v1.2.1"])
    @LONG
    def test_the_command_that_was_meant(self, journey: Journey, target: str) -> None:
        build(journey, "frontend", "v1.2.1")
        failed = journey.here.quickly("promote", target, "--to", "dev")
        assert failed.status == 4
        assert re.findall(r"`tagflow ([^`]*)`", failed.err) == ["promote frontend=v1.2.1 --to dev"]
        assert journey.here.quickly("promote", "frontend=v1.2.1", "--to", "dev").status == 0
        assert journey.cells("dev")["frontend"]["version"] == "v1.2.1"


class TestWhatSemVerDoesNotRead:
    @pytest.mark.parametrize(
        ("version", "why"),
        [
            ("2026.02.0", "02: no leading zero in SemVer; write 2026.2.0, or set `versions: natural`"),
            ("21.05.3", "05: no leading zero in SemVer; write 21.5.3, or set `versions: natural`"),
            ("1.2.3.4", "SemVer has three numbers at most, these are 4; set `versions: natural`"),
            ("1.2.0-0603826", "write 1.2.0-g0603826"),
        ],
    )
    @LONG
    def test_it_says_which_part_and_why(self, journey: Journey, version: str, why: str) -> None:
        build(journey, "app", version)
        for typed in (["promote", version, "--to", "dev"], ["promote", f"app={version}", "--to", "dev"]):
            document = journey.run(*typed, status=2)
            assert document["error"]["code"] == "version.invalid"
            assert why in document["error"]["message"]

    @pytest.mark.parametrize(
        ("older", "newer", "following"),
        [
            ("2025.11.1", "2026.02.0", "2026.02.1"), ("1.2.3.9", "1.2.3.10", "1.2.3.11"),
            ("1.0rc9", "1.0rc10", "1.0rc11"), ("2026-01-30-2", "2026-01-30-10", "2026-01-30-11"),
            ("1.0-SNAPSHOT-9", "1.0-SNAPSHOT-10", "1.0-SNAPSHOT-11"), ("3.5.15-0", "3.5.15-1", "3.5.15-2"),
            ("6.2.6", "6.2.6-alpine", "6.2.7"),
        ],
    )  # fmt: skip
    @LONG
    def test_natural_does_what_its_owner_would(self, journey: Journey, older: str, newer: str, following: str) -> None:
        journey.here.write(POLICY.format(address=journey.address) + 'tags: {version: "{version}", versions: natural}\n')
        built = build(journey, "app", older, newer)
        for version in (older, newer):
            for environment in ("dev", "prod"):
                journey.run("promote", f"app={version}", "--to", environment)
        assert journey.cells("prod")["app"]["version"] == newer
        is_release = not re.search("rc|SNAPSHOT", newer)
        assert (journey.tags("team/app").get("latest") == built[newer]) == is_release
        document = journey.run("promote", f"app={older}", "--to", "prod", status=3)
        assert document["error"]["code"] == "promotion.downgrade"
        assert journey.here.quickly("next", "--image", "app").out == f"{following}\n"


class TestStrayTags:
    def test_they_decide_nothing(self, journey: Journey) -> None:
        journey.here.write(POLICY.format(address=journey.address) + 'tags: {version: "{version}"}\n')
        build(journey, "app", "10.11.4", "2021.12.16", "6038261")
        journey.run("promote", "app=10.11.4", "--to", "dev")
        done = journey.here.quickly("next")
        assert done.out == "10.11.5\n"
        assert "after 10.11.4 of app" in done.err
        assert "not counted: 6038261, 2021.12.16" in done.err


@LONG
class TestTwoPoliciesOverOneRepository:
    def test_each_keeps_its_latest(self, journey: Journey, tmp_path: Path) -> None:
        plain = POLICY.format(address=journey.address) + 'tags: {version: "{version}"}\n'
        alpine = plain.replace('"{version}"', '"{version}-alpine"').replace("dev:", "dev-alpine:")
        (tmp_path / "alpine").mkdir()
        other = Desk(tmp_path / "alpine")
        journey.here.write(plain)
        other.write(alpine.replace("prod:", "prod-alpine:"))
        built = build(journey, "app", "6.2.6", "6.2.6-alpine")
        for desk, suffix in ((journey.here, ""), (other, "-alpine")):
            for environment in (f"dev{suffix}", f"prod{suffix}"):
                done = desk.quickly("promote", "app=6.2.6", "--to", environment)
                assert done.status == 0, done.err
        for desk in (journey.here, other, journey.here):
            done = desk.quickly("verify", "--repair")
            assert done.status == 0, done.err
        tags = journey.tags("team/app")
        assert (tags["latest"], tags["latest-alpine"]) == (built["6.2.6"], built["6.2.6-alpine"])


@LONG
class TestOlderLines:
    def test_beside_what_runs(self, journey: Journey) -> None:
        rules = "prod: {floating: [latest, minor], lines: minor}"
        journey.here.write(POLICY.format(address=journey.address).replace("prod: {floating: [latest]}", rules))
        built = build(journey, "app", "v1.20.3", "v1.21.1", "v1.20.4")
        for version in built:
            for environment in ("dev", "prod"):
                journey.run("promote", f"app={version}", "--to", environment)
        assert journey.cells("prod")["app"]["version"] == "v1.21.1"
        tags = journey.tags("team/app")
        assert (tags["latest"], tags["v1.20"], tags["v1.21"]) == (built["v1.21.1"], built["v1.20.4"], built["v1.21.1"])
        entry = journey.run("history", "prod", "app")["result"]["entries"][0]
        assert (entry["action"], entry["version"], entry["digest"]) == ("admit", "v1.20.4", built["v1.20.4"])
        assert journey.here.quickly("verify").status == 0
