"""The examples that join promotion and deployment: valid, shown on their pages, and run."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import warm
from tests.cli.runner import Desk, surroundings
from tests.project.pages import blocks
from tests.project.source import ROOT
from tests.project.test_ci import CI, check, workflow

SHOWN = [("pin", "pin-pull-request.yml"), ("running", "verify-running.sh")]
COMPOSE = "services:\n  web: {image: frontend:v0.9}   # kept\n"
GH = """#!/bin/sh
echo "$@" >> "$HOME/gh.log"
if [ "$2" = list ] && [ -e "$HOME/open" ]; then echo 7; fi
"""
KUBECTL = '#!/bin/sh\necho "$@" >> "$HOME/kubectl.log"\ncat "$HOME/pods.json"\n'


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A Git repository with a policy, v1.0 in prod, an origin, and programs that only note what they are asked."""
    made = Desk(tmp_path / "work")
    made.path.mkdir()
    made.write("version: 1\nregistry: oci:./registry\nimages: {frontend: frontend}\nenvironments: {dev: , prod: }\n")
    made.build("v1.0", "frontend")
    for environment in ("dev", "prod"):
        assert made.quickly("promote", "v1.0", "--to", environment).status == 0
    (made.path / "compose.yaml").write_text(COMPOSE)
    (made.path / "bin").mkdir()
    for name, text in {"gh": GH, "kubectl": KUBECTL}.items():
        program = made.path / "bin" / name
        program.write_text(text)
        program.chmod(0o755)
    git(tmp_path, "init", "--quiet", "--bare", "origin.git")
    git(made.path, "init", "--quiet", "--initial-branch=main", ".")
    git(made.path, "remote", "add", "origin", str(tmp_path / "origin.git"))
    git(made.path, "add", "compose.yaml", "promotion.yaml")
    git(made.path, "commit", "--quiet", "--message=Begin")
    git(made.path, "push", "--quiet", "origin", "main")
    return made


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=ann", "-c", "user.email=ann@example.com"]
    done = subprocess.run(["git", *who, *words], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout


def run(desk: Desk, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = surroundings(desk.path, {"PAUSE": "0"})
    environ |= {f"GIT_{who}_{what}": "ann" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environ["PATH"] = f"{desk.path / 'bin'}:{warm.path()}"
    return subprocess.run(
        [str(CI / script), *arguments], cwd=desk.path, env=environ, capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize(("page", "file"), SHOWN)
def test_pages_show_the_files(page: str, file: str) -> None:
    assert (CI / file).read_text() in [block.body for block in blocks(ROOT / "docs" / f"{page}.md")]


def test_the_workflow_is_one() -> None:
    document = workflow((CI / "pin-pull-request.yml").read_text())
    check(document, "github-workflows")
    steps = document["jobs"]["promote"]["steps"]
    assert "examples/ci/pin-pull-request.sh prod" in steps[-1]["run"]


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_a_pull_request_is_opened_then_renewed_then_not_needed(desk: Desk) -> None:
    done = run(desk, "pin-pull-request.sh", "prod", "compose.yaml")
    assert done.returncode == 0, done.stderr
    digest = desk.tag("frontend", "prod")
    branch = "tagflow/pin-prod"
    assert git(desk.path, "show", f"{branch}:compose.yaml") == COMPOSE.replace("v0.9", f"v1.0@{digest}")
    assert git(desk.path, "show", f"origin/{branch}:compose.yaml") == git(desk.path, "show", f"{branch}:compose.yaml")
    assert (desk.path / "compose.yaml").read_text() == COMPOSE  # back on main, as it was
    message = git(desk.path, "log", "-1", "--format=%B", branch)
    assert message.startswith(f"Pin prod: frontend v1.0\n\nfrontend v1.0 {digest}\n")
    told = (desk.path / "gh.log").read_text()
    assert "pr create --head tagflow/pin-prod --base main --title Pin prod: frontend v1.0" in told
    (desk.path / "open").touch()
    assert run(desk, "pin-pull-request.sh", "prod", "compose.yaml").returncode == 0
    assert "pr edit tagflow/pin-prod" in (desk.path / "gh.log").read_text()
    git(desk.path, "merge", "--quiet", branch)
    (desk.path / "gh.log").unlink()
    (desk.path / "open").unlink()
    last = run(desk, "pin-pull-request.sh", "prod", "compose.yaml")
    assert (last.returncode, last.stdout) == (0, "The files say what prod runs.\n")
    assert [line.split()[1] for line in (desk.path / "gh.log").read_text().splitlines()] == ["list"]


def test_a_pull_request_that_says_what_ran_before_a_rollback_is_closed(desk: Desk) -> None:
    """Whoever merged it would deploy what was rolled back."""
    assert run(desk, "pin-pull-request.sh", "prod", "compose.yaml").returncode == 0
    git(desk.path, "merge", "--quiet", "tagflow/pin-prod")
    desk.build("v1.1", "frontend")
    for environment in ("dev", "prod"):
        desk.act("promote", "v1.1", "--to", environment)
    assert run(desk, "pin-pull-request.sh", "prod", "compose.yaml").returncode == 0
    (desk.path / "open").touch()
    desk.act("rollback", "prod")
    done = run(desk, "pin-pull-request.sh", "prod", "compose.yaml")
    assert (done.returncode, done.stdout) == (0, "The files say what prod runs.\n")
    told = (desk.path / "gh.log").read_text().splitlines()
    assert told[-1].startswith("pr close tagflow/pin-prod --comment")


def test_a_pull_request_that_could_not_be_pushed_is_opened_by_the_next_run(desk: Desk) -> None:
    """Run again in the same work tree, as Jenkins does it: there is no saying that all is well."""
    git(desk.path, "remote", "set-url", "origin", str(desk.path.parent / "nowhere.git"))
    assert run(desk, "pin-pull-request.sh", "prod", "compose.yaml").returncode != 0
    git(desk.path, "remote", "set-url", "origin", str(desk.path.parent / "origin.git"))
    done = run(desk, "pin-pull-request.sh", "prod", "compose.yaml")
    assert done.returncode == 0, done.stderr
    assert "pr create --head tagflow/pin-prod --base main" in (desk.path / "gh.log").read_text()


def test_a_commit_that_is_refused_is_told_by_the_next_run_too(desk: Desk) -> None:
    hook = desk.path / ".git" / "hooks" / "pre-commit"
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    for _ in range(2):
        assert run(desk, "pin-pull-request.sh", "prod", "compose.yaml").returncode != 0
        assert git(desk.path, "branch", "--show-current") == "main\n"
    assert not (desk.path / "gh.log").exists()


def test_what_pin_refuses_opens_nothing(desk: Desk) -> None:
    (desk.path / "compose.yaml").write_text("image: frontend:$TAG\n")
    git(desk.path, "commit", "--quiet", "--all", "--message=A placeholder")
    done = run(desk, "pin-pull-request.sh", "prod", "compose.yaml")
    assert done.returncode == 2
    assert "compose.yaml:1:8" in done.stderr
    assert not (desk.path / "gh.log").exists()


def test_without_a_branch_nothing_is_pinned(desk: Desk) -> None:
    """As in a workflow for a Git tag: no pull request could say which branch it is for."""
    git(desk.path, "switch", "--quiet", "--detach")
    done = run(desk, "pin-pull-request.sh", "prod", "compose.yaml")
    assert done.returncode == 2
    assert "no branch is checked out" in done.stderr
    assert (desk.path / "compose.yaml").read_text() == COMPOSE
    assert git(desk.path, "branch", "--list", "tagflow/*", "--all") == ""


@pytest.mark.parametrize("staged", [False, True])
def test_what_somebody_changed_in_a_file_does_not_go_along(desk: Desk, staged: bool) -> None:
    (desk.path / "compose.yaml").write_text(COMPOSE + "# mine\n")
    if staged:
        git(desk.path, "add", "compose.yaml")
    done = run(desk, "pin-pull-request.sh", "prod", "compose.yaml")
    assert done.returncode == 2
    assert "compose.yaml has changes that are not committed" in done.stderr
    assert (desk.path / "compose.yaml").read_text() == COMPOSE + "# mine\n"
    assert git(desk.path, "branch", "--list", "tagflow/*", "--all") == ""


def test_a_file_that_git_does_not_know_yet_goes_along(desk: Desk) -> None:
    (desk.path / "new.yaml").write_text(COMPOSE)
    done = run(desk, "pin-pull-request.sh", "prod", "compose.yaml", "new.yaml")
    assert done.returncode == 0, done.stderr
    assert "v1.0@sha256:" in git(desk.path, "show", "tagflow/pin-prod:new.yaml")
    assert git(desk.path, "branch", "--show-current") == "main\n"


def test_cron_says_nothing_where_all_is_well(desk: Desk) -> None:
    def pods(digest: str | None) -> None:
        status = {"name": "web", "image": "frontend:prod", "imageID": f"frontend@{digest}"}
        pod = {"kind": "Pod", "metadata": {"name": "web-0"}, "status": {"containerStatuses": [status]}}
        (desk.path / "pods.json").write_text(json.dumps({"kind": "List", "items": [pod]}))

    pods(desk.tag("frontend", "prod"))
    well = run(desk, "verify-running.sh", "prod", "shop")
    assert (well.returncode, well.stdout, well.stderr) == (0, "", "")
    assert (desk.path / "kubectl.log").read_text() == "get pods --namespace shop --output json\n"
    pods("sha256:" + "1" * 64)
    wrong = run(desk, "verify-running.sh", "prod", "shop")
    assert wrong.returncode == 5
    assert "running.differs  frontend in prod" in wrong.stdout
    assert len((desk.path / "kubectl.log").read_text().splitlines()) == 3  # once more, for a rollout may be under way


def test_cron_does_not_take_a_list_that_broke_off_for_the_whole(desk: Desk) -> None:
    (desk.path / "pods.json").write_text('{"kind": "List", "items": []}')
    (desk.path / "bin" / "kubectl").write_text(f"{KUBECTL}echo 'error: no right to list pods' >&2\nexit 1\n")
    done = run(desk, "verify-running.sh", "prod", "shop")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "error: no right to list pods\n")
