"""What a right policy means."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import date, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from tagflow.config import find_policy, load_policy
from tagflow.domain.policy import (
    OVERRIDABLE,
    Environment,
    Freeze,
    Gate,
    Image,
    Notice,
    Policy,
    Templates,
    policy_digest,
)
from tagflow.domain.reference import Registry
from tagflow.errors import UsageError
from tests.config.samples import MINIMAL, ROOT, load, with_environment

FULL = """\
version: 1
registry: docker.io/mrcloud111
images:
  frontend: frontend
  backend:
    repository: back_end
  worker:
tags:
  version: "v{version}"
  combined: "{version}-{environment}"
  versions: natural
  floating: "{floating}"
environments:
  dev: {}
  test: {}
  staging: {}
  prod:
    from: [staging]
    registry: 123456789012.dkr.ecr.eu-west-1.amazonaws.com/acme
    prereleases: deny
    downgrades: deny
    soak: 24h
    freeze:
      - {days: [fri, sat, sun], timezone: Europe/Berlin}
      - {from: 2026-12-20, to: "2027-01-02", timezone: UTC}
    platforms: [linux/amd64, linux/arm64]
    labels: [org.opencontainers.image.source]
    gates:
      - name: scan
        run: trivy image --exit-code 1 '{reference}'
        timeout: 5m
    floating: [latest, major]
    overrides: [hold, soak]
    lines: minor
engine: docker
history:
  repository: "{repository}-history"
referrers: require
insecure_registries: ["Registry.internal:5000"]
create_repositories: true
notify: [{webhook: "https://example.com/x"}, {run: say done}]
include: []
"""


def test_every_key() -> None:
    dockerhub, ecr = (
        Registry("docker.io", "mrcloud111"),
        Registry("123456789012.dkr.ecr.eu-west-1.amazonaws.com", "acme"),
    )
    assert load(FULL) == Policy(
        registry=dockerhub,
        images=(Image("frontend", "frontend"), Image("backend", "back_end"), Image("worker", "worker")),
        environments=(
            Environment("dev", dockerhub, (), downgrades=True),
            Environment("test", dockerhub, ("dev",)),
            Environment("staging", dockerhub, ("test",)),
            Environment(
                "prod",
                ecr,
                ("staging",),
                prereleases=False,
                downgrades=False,
                soak=timedelta(hours=24),
                freeze=(
                    Freeze(ZoneInfo("Europe/Berlin"), frozenset({4, 5, 6})),
                    Freeze(ZoneInfo("UTC"), first=date(2026, 12, 20), last=date(2027, 1, 2)),
                ),
                platforms=("linux/amd64", "linux/arm64"),
                labels=("org.opencontainers.image.source",),
                gates=(Gate("scan", ("trivy", "image", "--exit-code", "1", "{reference}"), timedelta(minutes=5)),),
                floating=("latest", "major"),
                overrides=("hold", "soak"),
                lines="minor",
            ),
        ),
        templates=Templates("v{version}", "{version}-{environment}", "{floating}", "natural"),
        engine="docker",
        history="{repository}-history",
        referrers="require",
        insecure_registries=("registry.internal:5000",),
        create_repositories=True,
        notify=(Notice(webhook="https://example.com/x"), Notice(argv=("say", "done"))),
    )


def test_defaults() -> None:
    policy = load(MINIMAL)
    dev, prod = policy.environments
    assert (dev.sources, dev.downgrades) == ((), True)
    assert (prod.sources, prod.downgrades, prod.prereleases) == (("dev",), False, True)
    assert (prod.overrides, prod.soak, prod.floating) == (OVERRIDABLE, None, ())
    assert (policy.engine, policy.referrers, policy.history) == ("auto", "copy", "{repository}")
    assert policy.templates == Templates("v{version}", "{version}-{environment}", "{floating}", "semver")
    assert prod.lines == "none"


@pytest.mark.parametrize(
    ("tags", "floating"),
    [
        ("{version: '{version}-alpine'}", "{floating}-alpine"),
        ("{version: 'release-{version}'}", "{floating}"),
        ("{version: '{version}-alpine', floating: '{floating}'}", "{floating}"),
        ("{floating: 'rolling-{floating}'}", "rolling-{floating}"),
    ],
)
def test_floating_tags_are_written_as_versions_end(tags: str, floating: str) -> None:
    assert load(f"{MINIMAL}tags: {tags}\n").templates.floating == floating


def test_no_overrides_at_all() -> None:
    assert load(with_environment("{overrides: []}")).environments[1].overrides == ()


def test_layouts_are_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "deploy").mkdir()
    file = tmp_path / "deploy" / "promotion.yaml"
    file.write_text(MINIMAL.replace("docker.io/acme", "oci:../images"))
    monkeypatch.chdir(tmp_path)
    for path in (file, Path("deploy/promotion.yaml"), Path("./deploy/../deploy/promotion.yaml")):
        assert load_policy(path).registry == Registry(f"oci:{tmp_path}/images")


def test_includes_add_images(tmp_path: Path) -> None:
    (tmp_path / "teams").mkdir()
    (tmp_path / "teams" / "a.yaml").write_text("images: {a1: team/a1, a2: {repository: team/a2}}")
    (tmp_path.parent / "b.yaml").write_text("images: {b: }")
    text = MINIMAL.replace("{app: app}", "{app: app}\ninclude: [teams/a.yaml, ../b.yaml]")
    (tmp_path / "promotion.yaml").write_text(text)
    paths = {image.name: image.path for image in load_policy(tmp_path / "promotion.yaml").images}
    assert paths == {"app": "app", "a1": "team/a1", "a2": "team/a2", "b": "b"}


def test_images_may_all_be_included(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("images: {a: }")
    (tmp_path / "promotion.yaml").write_text(MINIMAL.replace("images: {app: app}", "include: [a.yaml]"))
    assert [image.name for image in load_policy(tmp_path / "promotion.yaml").images] == ["a"]


def test_aliases_and_merge_keys() -> None:
    policy = load(
        MINIMAL.replace(
            "{dev: {}, prod: {}}",
            "{dev: {}, test: &rules {prereleases: deny, soak: 1h, labels: [a]}, prod: {<<: *rules, soak: 2h}}",
        )
    )
    _, test, prod = policy.environments
    assert (test.soak, prod.soak) == (timedelta(hours=1), timedelta(hours=2))
    assert (prod.prereleases, prod.labels) == (False, ("a",))


def test_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "promotion.yaml").write_bytes(b"\xef\xbb\xbf" + MINIMAL.encode())
    assert load_policy(tmp_path / "promotion.yaml").images == (Image("app", "app"),)


@pytest.mark.parametrize(
    "run",
    [
        "docker inspect --format '{{.Id}}' {reference}",
        "sh -c 'echo ${HOME} {digest}'",
        """curl -d '{"image": "{image}"}' https://example.com""",
        "awk '{print $1}' x{version}y{environment}",
        "curl -sf -o /dev/null -w %{http_code} https://example.com/{digest}",
        "sh -c 'awk {print} {image}.txt'",
        "sh -c 'docker image ls | awk {print}'",
        "rpm -q --qf %{VERSION} {image}",
    ],
)
def test_braces_that_are_no_placeholders(run: str) -> None:
    text = with_environment("\n    gates:\n    - name: g\n      run: |\n        " + run)
    assert len(load(text).environments[1].gates) == 1


def test_find_policy(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    (deep / "promotion.yaml").mkdir()
    (tmp_path / "promotion.yaml").write_text(MINIMAL)
    assert find_policy(deep) == tmp_path / "promotion.yaml"
    (tmp_path / "promotion.yaml").unlink()
    with pytest.raises(UsageError) as caught:
        find_policy(deep)
    assert (caught.value.code, caught.value.exit_status) == ("policy.not_found", 2)
    assert "tagflow init" in caught.value.hint


@pytest.mark.parametrize("path", [ROOT / "promotion.yaml", *sorted(ROOT.glob("examples/*/promotion.yaml"))])
def test_examples_load(path: Path) -> None:
    assert load_policy(path).images


def test_the_policy_of_this_repository_needs_no_server() -> None:
    policy = load_policy(ROOT / "promotion.yaml")
    assert policy.registry.is_layout
    assert [environment.name for environment in policy.environments] == ["dev", "test", "staging", "prod"]
    assert [image.name for image in policy.images] == ["frontend", "backend"]


def test_the_cost_of_images_grows_with_their_number_and_no_faster() -> None:
    """Measured as processor time, one against the other: neither the machine nor what else it does matters."""

    def cost(count: int) -> float:
        images = "".join(f"  image-{n}: {{repository: team/with-a-long-name/image-{n}}}\n" for n in range(count))
        text = MINIMAL.replace("{app: app}", "\n" + images)
        took = []
        for _ in range(5):
            begun = time.process_time()
            load(text)
            took.append(time.process_time() - begun)
        return min(took)

    few, many = cost(60), cost(600)
    assert many < 30 * few, (few, many)


def test_nothing_heavy_is_imported() -> None:
    heavy = "{'docker', 'rich', 'urllib3', 'requests', 'typer', 'jsonschema'}"
    code = f"import sys, tagflow.config; sys.exit(', '.join({heavy} & set(sys.modules)) or 0)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class TestDigest:
    def test_writing_does_not_count(self) -> None:
        one = load(FULL)
        other = load(
            FULL.replace("24h", "1d")
            .replace("[linux/amd64, linux/arm64]", "[linux/arm64, linux/amd64]")
            .replace("{days: [fri, sat, sun]", "{days: [sun, fri, sat]")
            .replace("  frontend: frontend\n", "")
            .replace("  worker:\n", "  worker: worker  # a comment\n  frontend: {repository: frontend}\n")
        )
        assert policy_digest(one) == policy_digest(other)
        assert policy_digest(one).startswith("sha256:")

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ("soak: 24h", "soak: 23h"),
            ("frontend: frontend", "frontend: front"),
            ("  dev: {}\n  test: {}\n", "  test: {}\n  dev: {}\n"),
            ("Europe/Berlin", "Europe/Paris"),
            ("2026-12-20", "2026-12-21"),
            ("exit-code 1", "exit-code 2"),
            ("referrers: require", "referrers: copy"),
            ("mrcloud111", "mrcloud112"),
            ("[hold, soak]", "[]"),
        ],
    )
    def test_meaning_counts(self, before: str, after: str) -> None:
        assert before in FULL
        assert policy_digest(load(FULL)) != policy_digest(load(FULL.replace(before, after)))
