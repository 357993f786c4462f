"""What a step of GitHub Actions hands on: outputs that later steps read, and a summary that shows them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.runner import Desk

HOSTILE = (
    "</td>|x|\n# h `a` <script>alert(1)</script> [l](https://e.example) **b** ::set-output name=version::v9\x1b[1m"
)


def read_outputs(path: Path) -> dict[str, str]:
    """As the runner reads them: ``NAME<<DELIMITER``, lines, the delimiter."""
    found: dict[str, str] = {}
    lines = iter(path.read_text().splitlines())
    for line in lines:
        name, _, delimiter = line.partition("<<")
        value: list[str] = []
        while (line := next(lines)) != delimiter:
            value.append(line)
        found[name] = "\n".join(value)
    return found


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    return {"GITHUB_OUTPUT": str(tmp_path / "output"), "GITHUB_STEP_SUMMARY": str(tmp_path / "summary")}


def test_after_a_promotion(desk: Desk, files: dict[str, str]) -> None:
    digests = desk.build("v1.0")
    assert desk.quickly("promote", "v1.0", "--to", "dev", **files).status == 0
    outputs = read_outputs(Path(files["GITHUB_OUTPUT"]))
    assert outputs["version"] == "v1.0"
    assert outputs["digest"].splitlines() == [f"{name}={digest}" for name, digest in digests.items()]
    registry = f"oci:{desk.path}/registry"
    assert outputs["tags"].splitlines() == [
        f"{registry}/{image}:{tag}" for image in ("frontend", "back_end") for tag in ("v1.0", "v1.0-dev", "dev")
    ]
    summary = Path(files["GITHUB_STEP_SUMMARY"]).read_text()
    assert summary.startswith("### tagflow promote → dev\n\nDone, release <code>")
    row = f"| <code>frontend</code> | nothing → <code>v1.0</code> | <code>{digests['frontend']}</code> | "
    assert row in summary


def test_one_image_has_one_digest(desk: Desk, files: dict[str, str]) -> None:
    digests = desk.build("v1.0")
    desk.quickly("promote", "frontend=v1.0", "--to", "dev", **files)
    assert read_outputs(Path(files["GITHUB_OUTPUT"]))["digest"] == digests["frontend"]


def test_images_of_the_same_bytes_are_told_apart(desk: Desk, files: dict[str, str]) -> None:
    """Two images made of one build: whoever reads NAME=DIGEST finds both names."""
    digests = desk.build("v1.0", seed="one build")
    assert len(set(digests.values())) == 1
    assert desk.quickly("promote", "v1.0", "--to", "dev", **files).status == 0
    outputs = read_outputs(Path(files["GITHUB_OUTPUT"]))
    assert outputs["digest"].splitlines() == [f"{name}={digest}" for name, digest in digests.items()]
    assert outputs["version"] == "v1.0"


def test_again_with_nothing_to_do(desk: Desk, files: dict[str, str]) -> None:
    desk.through("v1.0", "dev")
    assert desk.quickly("promote", "v1.0", "--to", "dev", **files).status == 0
    assert read_outputs(Path(files["GITHUB_OUTPUT"]))["version"] == "v1.0"
    assert "Nothing to do." in Path(files["GITHUB_STEP_SUMMARY"]).read_text()


def test_rollback_and_apply(desk: Desk, files: dict[str, str]) -> None:
    desk.through("v1.0", "dev", "test")
    desk.through("v1.1", "dev", "test")
    assert desk.quickly("rollback", "test", **files).status == 0
    assert read_outputs(Path(files["GITHUB_OUTPUT"]))["version"] == "v1.0"
    assert desk.quickly("promote", "v1.0", "--to", "prod", "--save-plan", "plan.json").status == 0
    Path(files["GITHUB_OUTPUT"]).unlink()
    assert desk.quickly("apply", "plan.json", **files).status == 0
    assert f"oci:{desk.path}/registry/frontend:v1.0-prod" in read_outputs(Path(files["GITHUB_OUTPUT"]))["tags"]


def test_a_version_beside_what_runs_has_its_own_digest(desk: Desk, files: dict[str, str]) -> None:
    """v1.0.1 enters beside v1.1.0, which goes on running: `prod` and `latest` are not what was promoted."""
    policy = (desk.path / "promotion.yaml").read_text()
    policy = policy.replace("test: {}", "test: {lines: minor}")
    desk.write(policy.replace("floating: [latest]", "lines: minor, floating: [latest, minor]"))
    for version in ("v1.0.0", "v1.1.0"):
        desk.through(version, "dev", "test", "prod")
    desk.through("v1.0.1", "dev", "test")
    for _ in ("done", "nothing to do"):
        assert desk.quickly("promote", "frontend=v1.0.1", "--to", "prod", **files).status == 0
        assert desk.tag("frontend", "prod") == desk.tag("frontend", "v1.1.0")
        outputs = read_outputs(Path(files["GITHUB_OUTPUT"]))
        digest = desk.tag("frontend", "v1.0.1")
        assert (outputs["version"], outputs["digest"]) == ("v1.0.1", digest)
        tags = [line.rpartition(":")[2] for line in outputs["tags"].splitlines()]
        assert tags == ["v1.0.1", "v1.0.1-prod", "v1.0"]
        assert f"<code>{digest}</code>" in Path(files["GITHUB_STEP_SUMMARY"]).read_text()
        for path in files.values():
            Path(path).unlink()


def test_a_dry_run_has_no_outputs(desk: Desk, files: dict[str, str]) -> None:
    desk.build("v1.0")
    assert desk.quickly("promote", "v1.0", "--to", "dev", "--dry-run", **files).status == 0
    assert not Path(files["GITHUB_OUTPUT"]).exists()
    assert "Dry run." in Path(files["GITHUB_STEP_SUMMARY"]).read_text()


def test_a_refusal_is_summed_up(desk: Desk, files: dict[str, str]) -> None:
    desk.through("v1.0", "dev")
    assert desk.quickly("promote", "v1.0", "--to", "prod", **files).status == 3
    assert not Path(files["GITHUB_OUTPUT"]).exists()
    summary = Path(files["GITHUB_STEP_SUMMARY"]).read_text()
    assert summary.startswith("### tagflow: <code>promotion.order</code>")
    assert "What to do:" in summary


def test_files_are_appended_to(desk: Desk, files: dict[str, str]) -> None:
    desk.build("v1.0")
    for path in files.values():
        Path(path).write_text("before\n")
    desk.quickly("promote", "v1.0", "--to", "dev", **files)
    assert all(Path(path).read_text().startswith("before\n") for path in files.values())


def test_hostile_text_stays_text(desk: Desk, files: dict[str, str]) -> None:
    desk.build("v1.0")
    assert desk.quickly("promote", "v1.0", "--to", "dev", "--reason", HOSTILE, **files).status == 0
    summary = Path(files["GITHUB_STEP_SUMMARY"]).read_text()
    line = next(it for it in summary.splitlines() if "alert" in it)
    assert not re.search(r"[<>|`*\[\]():\x1b]", line.replace("&#", ""))
    assert read_outputs(Path(files["GITHUB_OUTPUT"]))["version"] == "v1.0"


def test_what_cannot_be_written_is_a_warning(desk: Desk) -> None:
    desk.build("v1.0")
    given = {"GITHUB_OUTPUT": str(desk.path), "GITHUB_STEP_SUMMARY": "/nowhere/summary"}
    done = desk.quickly("promote", "v1.0", "--to", "dev", "-o", "json", **given)
    assert done.status == 0
    assert done.document["ok"]
    assert done.err.count("warning: cannot write $GITHUB_") == 2


def test_without_the_variables_nothing_is_written(desk: Desk) -> None:
    desk.build("v1.0")
    before = set(desk.path.iterdir())
    assert desk.quickly("promote", "v1.0", "--to", "dev", GITHUB_OUTPUT="").status == 0
    assert set(desk.path.iterdir()) == before
