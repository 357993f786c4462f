"""`make demo`: it runs, it tells what it types, and what it builds are images that any tool reads and that run."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from tests import warm
from tests.daemons import Daemon, running_daemon
from tests.project.source import ROOT
from tests.servers import require

DEMO = ROOT / "examples" / "demo"
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


def environ(**more: str) -> dict[str, str]:
    """A path on which tagflow is found, and little else."""
    return {"PATH": warm.path(), "TAGFLOW_ACTOR": "reader", **more}


def run(*words: str | Path, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a program without anybody to answer."""
    return subprocess.run(
        list(map(str, words)), cwd=cwd, env=environ(HOME=str(cwd), **more), capture_output=True, text=True, timeout=120
    )


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder in which the demo ran, where an earlier one had been, and what it printed."""
    folder = tmp_path_factory.mktemp("demo")
    (folder / "demo" / "images" / "old").mkdir(parents=True)
    (folder / "demo" / ".made-by-demo").touch()
    done = run(DEMO / "demo.sh", cwd=folder, TAGFLOW_POLICY="/nowhere.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "demo", done.stdout


def test_it_goes_to_prod_and_back(told: tuple[Path, str]) -> None:
    folder, _ = told
    document = json.loads(run("tagflow", "status", "prod", "-o", "json", cwd=folder).stdout)
    cells = [image["environments"][0] for image in document["result"]["images"]]
    assert [(cell["version"], cell["state"], cell["holds"]) for cell in cells] == [("v1.0", "recorded", ["v1.1"])] * 2
    assert run("tagflow", "verify", cwd=folder).returncode == 0


def test_what_it_shows_can_be_typed(told: tuple[Path, str]) -> None:
    folder, text = told
    shown = [line.removeprefix("$ ") for line in text.splitlines() if line.startswith("$ ")]
    assert 'tagflow promote v1.0 --to prod --reason "the first release"' in shown
    assert "error[promotion.order]" in text
    again = run(sys.executable, folder / "build.py", "v1.0", folder / "again", cwd=folder)
    assert again.returncode == 0
    first, second = (folder / name / "frontend" / "index.json" for name in ("build", "again"))
    assert json.loads(first.read_text())["manifests"][0] == json.loads(second.read_text())["manifests"][0]


def test_what_comes_next_works(told: tuple[Path, str]) -> None:
    folder, text = told
    following = [line.strip() for line in text.split("Type next:")[1].splitlines()]
    typed = [line for line in following if line.startswith("tagflow ") and "docker" not in line]
    statuses = [run("sh", "-c", line, cwd=folder).returncode for line in typed]
    assert statuses == [3, 0, 0, 0, 0]


def test_a_folder_of_yours_stays(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "mine").touch()
    done = run(DEMO / "demo.sh", cwd=tmp_path)
    assert done.returncode == 2
    assert (tmp_path / "demo" / "mine").exists()


def test_it_is_made_anew(told: tuple[Path, str]) -> None:
    folder, _ = told
    assert not (folder / "images" / "old").exists()


@pytest.mark.skopeo
def test_others_read_the_layouts(told: tuple[Path, str], tmp_path: Path) -> None:
    skopeo, (folder, _) = require("skopeo"), told
    for tag in ("v1.0", "v1.0-prod", "prod"):
        raw = subprocess.run(
            [skopeo, "inspect", "--raw", f"oci:{folder}/images/frontend:{tag}"], capture_output=True, check=True
        ).stdout
        digest = "sha256:" + hashlib.sha256(raw).hexdigest()
        built = json.loads((folder / "build" / "frontend" / "index.json").read_text())
        assert tag != "v1.0" or digest in {entry["digest"] for entry in built["manifests"]}
    for architecture in ("amd64", "arm64"):
        command = [skopeo, "--override-os=linux", f"--override-arch={architecture}", "copy", "--quiet"]
        target = f"dir:{tmp_path}/{architecture}"
        subprocess.run([*command, f"oci:{folder}/images/back_end:prod", target], check=True)


@pytest.mark.engine
def test_the_application_runs(told: tuple[Path, str]) -> None:
    folder, _ = told
    if platform.machine() not in MACHINES:
        pytest.skip("the demo is built for amd64 and arm64")
    with running_daemon() as daemon:
        assert _pulled(folder, daemon, "back_end:v1.0") == "backend v1.0\n"


def _pulled(folder: Path, daemon: Daemon, name: str) -> str:
    done = run("tagflow", "pull", "v1.0", "backend", cwd=folder, DOCKER_HOST=daemon.host)
    assert done.returncode == 0, done.stderr
    return daemon.run(name)
