"""What CI systems take from this repository: valid after their published schemas, and its shell parts run."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from packaging.requirements import Requirement

from tests import warm
from tests.cli.runner import Desk
from tests.project.pages import blocks
from tests.project.source import ROOT

CI = ROOT / "examples" / "ci"
HOWTO = ROOT / "docs" / "howto"
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
HEAD, TEMPLATE = (ROOT / "templates" / "tagflow.yml").read_text().split("\n---\n")
COMPONENT_HEAD = yaml.safe_load(HEAD)
SHOWN = [("github-actions", "github-actions.yml"), ("gitlab-ci", "gitlab-ci.yml"), ("jenkins", "Jenkinsfile"),
         ("shell", "promote.sh")]  # fmt: skip


def check(document: Any, name: str) -> None:
    """Hold a document against a schema as SchemaStore publishes it."""
    text = (resources.files("check_jsonschema") / "builtin_schemas" / "vendor" / f"{name}.json").read_text()
    schema = json.loads(text)
    kind = jsonschema.validators.validator_for(schema)
    assert [f"{error.json_path}: {error.message}" for error in kind(schema).iter_errors(document)] == []


def workflow(text: str) -> Any:
    """A workflow; `on` is a word there, and no truth value."""
    document = yaml.safe_load(text)
    return {"on" if key is True else key: value for key, value in document.items()}


def component(**inputs: str) -> Any:
    """The job that GitLab makes of the component, once the inputs are filled in."""
    given = COMPONENT_HEAD["spec"]["inputs"].items()
    values = {name: str(it.get("default", "")) for name, it in given} | inputs
    return yaml.safe_load(re.sub(r"\$\[\[ inputs\.(\w+) \]\]", lambda match: values[match[1]], TEMPLATE))


def test_the_schemas_find_mistakes() -> None:
    with pytest.raises(AssertionError, match="imputs"):
        check(ACTION | {"imputs": {}}, "github-actions")
    with pytest.raises(AssertionError):
        check({"job": {"script": 1}}, "gitlab-ci")


def test_action() -> None:
    check(ACTION, "github-actions")


def test_workflow() -> None:
    document = workflow((CI / "github-actions.yml").read_text())
    check(document, "github-workflows")
    steps = [step for job in document["jobs"].values() for step in job["steps"]]
    used = [step["with"] for step in steps if step.get("uses", "").startswith("tagflow/tagflow@")]
    assert len(used) == 3
    assert all(set(given) <= set(ACTION["inputs"]) for given in used)


def test_gitlab() -> None:
    check(yaml.safe_load((CI / "gitlab-ci.yml").read_text()), "gitlab-ci")
    check(COMPONENT_HEAD, "gitlab-ci")
    check(component(command="status"), "gitlab-ci")
    asked = set(re.findall(r"\$\[\[ inputs\.(\w+) \]\]", TEMPLATE))
    assert asked == set(COMPONENT_HEAD["spec"]["inputs"])


def test_the_component_is_included_with_inputs_that_it_has() -> None:
    (including,) = [it.body for it in blocks(HOWTO / "gitlab-ci.md") if "component:" in it.body]
    document = yaml.safe_load(including)
    check(document, "gitlab-ci")
    assert set(document["include"][0]["inputs"]) <= set(COMPONENT_HEAD["spec"]["inputs"])


@pytest.mark.parametrize(("page", "file"), SHOWN)
def test_pages_show_the_files(page: str, file: str) -> None:
    assert (CI / file).read_text() in [block.body for block in blocks(HOWTO / f"{page}.md")]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A directory with a policy, and v1.0 put there by a build job."""
    made = Desk(tmp_path)
    made.write(
        "version: 1\nregistry: oci:./registry\nimages: {frontend: frontend, backend: back_end}\n"
        "environments: {dev: , test: , prod: }\n"
    )
    made.build("v1.0")
    return made


def run(desk: Desk, shell: list[str], script: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a step of a CI system: nobody to answer, tagflow on the PATH."""
    path = warm.path()
    given = {"PATH": path, "HOME": str(desk.path), "TAGFLOW_ACTOR": "", **environ}
    return subprocess.run(
        [*shell, script],
        cwd=desk.path,
        env=given,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )


def act(desk: Desk, command: str) -> tuple[subprocess.CompletedProcess[str], dict[str, str]]:
    """The last step of the action, as a runner starts it; and its outputs. What the first installs is there already."""
    temporary = desk.path / "runner"
    (temporary / "tagflow" / "bin").mkdir(parents=True, exist_ok=True)
    program = temporary / "tagflow" / "bin" / "tagflow"
    if not program.exists():
        program.symlink_to(warm.folder() / "tagflow")
    output, summary = temporary / "output", temporary / "summary"
    for file in (output, summary):
        file.write_text("")
    step = ACTION["runs"]["steps"][-1]
    inputs = {name: given.get("default", "") for name, given in ACTION["inputs"].items()} | {"command": command}
    environ = {
        name: re.sub(r"\$\{\{ inputs\.(\w+) \}\}", lambda match: inputs[match[1]], value)
        for name, value in step["env"].items()
    }
    done = run(
        desk,
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c"],
        step["run"],
        **environ,
        RUNNER_TEMP=str(temporary),
        GITHUB_ACTION_PATH=str(ROOT),
        GITHUB_ACTOR="octocat",
        GITHUB_OUTPUT=str(output),
        GITHUB_STEP_SUMMARY=str(summary),
    )
    found = re.findall(r"^(\w+)<<(\S+)\n(.*?)\n\2$", output.read_text(), re.M | re.S)
    return done, {name: value for name, _, value in found}


def test_the_action_promotes(desk: Desk) -> None:
    done, outputs = act(desk, 'promote v1.0 --to dev --reason "it\'s ready"')
    assert done.returncode == 0, done.stderr
    assert outputs["version"] == "v1.0"
    assert outputs["digest"].splitlines() == [
        f"{name}={desk.tag(path, 'dev')}" for name, path in (("frontend", "frontend"), ("backend", "back_end"))
    ]
    assert any(tag.endswith("frontend:v1.0-dev") for tag in outputs["tags"].splitlines())
    assert set(outputs) == set(ACTION["outputs"])
    (entry, _) = desk.json("history", "dev")["result"]["entries"]
    assert (entry["actor"], entry["reason"]) == ("octocat", "it's ready")
    assert "v1.0" in (desk.path / "runner" / "summary").read_text()


def test_the_action_ends_as_tagflow_does(desk: Desk) -> None:
    done, outputs = act(desk, "promote v1.0 --to prod")
    assert done.returncode == 3
    assert outputs == {}
    assert "promotion.order" in (desk.path / "runner" / "summary").read_text()


HOSTILE = {
    # What is typed behind `promote v1.0 --to dev`: the words that tagflow is given.
    r'--reason "see \"SHOP-1\" now" --dry-run': ["--reason", 'see "SHOP-1" now', "--dry-run"],
    "--reason \"it's ready\" --dry-run": ["--reason", "it's ready", "--dry-run"],
    r"--reason it\'s\ ready --dry-run": ["--reason", "it's ready", "--dry-run"],
    "--reason '$(touch evil) `touch evil`' --dry-run": ["--reason", "$(touch evil) `touch evil`", "--dry-run"],
    '--reason "a; touch evil | b && c > evil # d" --dry-run': [
        "--reason", "a; touch evil | b && c > evil # d", "--dry-run"
    ],
    "--reason '' --dry-run": ["--reason", "", "--dry-run"],
    "--reason 'END OF THE COMMAND * ~ {a,b} %s \\n' --dry-run": [
        "--reason", "END OF THE COMMAND * ~ {a,b} %s \\n", "--dry-run"
    ],
    "--reason 'größer – ✓' --dry-run": ["--reason", "größer – ✓", "--dry-run"],
}  # fmt: skip
BROKEN = ["--reason it's ready --dry-run", '--reason "not closed --dry-run', "--dry-run --reason end\\"]
"""Here a shell or xargs would lose what follows, and the rest would be a command of its own."""


def played(desk: Desk) -> list[str] | None:
    """A program in the place of tagflow that tells what it was given; None where it did not run."""
    told = desk.path / "told"
    program = desk.path / "runner" / "tagflow" / "bin" / "tagflow"
    program.parent.mkdir(parents=True, exist_ok=True)
    if not program.exists():
        program.write_text(f"#!{sys.executable}\nimport json, sys\njson.dump(sys.argv[1:], open({str(told)!r}, 'w'))\n")
        program.chmod(0o755)
    return json.loads(told.read_text()) if told.exists() else None


@pytest.mark.parametrize(("typed", "given"), HOSTILE.items(), ids=range(len(HOSTILE)))
def test_the_action_hands_on_every_word(desk: Desk, typed: str, given: list[str]) -> None:
    played(desk)
    done, _ = act(desk, f"promote v1.0 --to dev {typed}")
    assert done.returncode == 0, done.stderr
    assert played(desk) == ["promote", "v1.0", "--to", "dev", *given]
    assert not (desk.path / "evil").exists()


@pytest.mark.parametrize("typed", BROKEN)
def test_the_action_runs_nothing_of_a_command_that_it_cannot_split(desk: Desk, typed: str) -> None:
    played(desk)
    done, _ = act(desk, f"promote v1.0 --to dev {typed}")
    assert done.returncode == 2
    assert done.stderr.startswith("::error title=tagflow::The command was not run")
    assert played(desk) is None


def test_a_dry_run_of_the_action_is_one(desk: Desk) -> None:
    done, _ = act(desk, r'promote v1.0 --to dev --reason "see \"SHOP-1\" now" --dry-run')
    assert done.returncode == 0, done.stderr
    assert desk.tag("frontend", "dev") is None


@pytest.mark.parametrize("command", ["tags $(touch evil)", "tags `touch evil`", "tags v1.0; touch evil", "tags *"])
def test_the_action_evaluates_nothing(desk: Desk, command: str) -> None:
    done, _ = act(desk, command)
    assert done.returncode == 2
    assert not (desk.path / "evil").exists()


def test_the_action_installs_what_it_lies_beside() -> None:
    """The command of its first step; that a wheel of this source installs is seen by `make dist`."""
    step = ACTION["runs"]["steps"][0]
    assert '"$GITHUB_ACTION_PATH${EXTRAS:+[$EXTRAS]}"' in step["run"]
    assert set(step["env"]) == {"PYTHON", "EXTRAS"}


def test_the_scripts_of_gitlab(desk: Desk) -> None:
    document = yaml.safe_load((CI / "gitlab-ci.yml").read_text())
    script = "\n".join(document["test"]["script"] + document["prod"]["script"])
    done = run(desk, ["sh", "-eu", "-c"], script, CI_COMMIT_TAG="v1.0", GITLAB_USER_LOGIN="ann")
    assert done.returncode == 0, done.stderr
    assert (desk.path / "status.html").exists()
    assert desk.json("history", "prod")["result"]["entries"][0]["reason"] == "release v1.0"
    assert desk.json("history", "prod")["result"]["entries"][0]["actor"] == "ann"


def run_component(desk: Desk, command: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """The job of the component, as GitLab makes it: inputs are filled in once the file has been read."""
    (job,) = component(command="$[[ inputs.command ]]").values()
    script = "\n".join(line.replace("$[[ inputs.command ]]", command) for line in job["script"])
    return run(desk, ["sh", "-eu", "-c"], script, **environ)


def test_the_script_of_the_component(desk: Desk) -> None:
    done = run_component(desk, "promote v1.0 --to dev")
    assert done.returncode == 0, done.stderr
    assert desk.tag("frontend", "dev")


@pytest.mark.parametrize("extras", ["", "sign", "ecr,sign"])
def test_the_component_installs_what_the_action_does(extras: str) -> None:
    """A policy with signers needs an extra, and so do the clouds."""
    assert {"extras", "policy", "command"} <= set(COMPONENT_HEAD["spec"]["inputs"]) & set(ACTION["inputs"])
    (job,) = component(extras=extras, ref="v1").values()
    *_, words = [shlex.split(line) for line in job["before_script"]]
    wanted = Requirement(words[-1])
    assert (wanted.name, wanted.url) == ("tagflow", "git+https://github.com/tagflow/tagflow@v1")
    assert wanted.extras == {it for it in extras.split(",") if it}
    assert all(
        "sign" in str(it["extras"]["description"]) for it in (COMPONENT_HEAD["spec"]["inputs"], ACTION["inputs"])
    )


def test_the_component_shows_the_status_after_a_failure_too(desk: Desk) -> None:
    (job,) = component().values()
    assert job["artifacts"] == {"when": "always", "paths": ["status.html"]}
    assert run(desk, ["sh", "-eu", "-c"], "\n".join(job["after_script"])).returncode == 0
    assert (desk.path / "status.html").exists()


@pytest.mark.parametrize(("typed", "given"), HOSTILE.items(), ids=range(len(HOSTILE)))
def test_the_component_hands_on_every_word(desk: Desk, typed: str, given: list[str]) -> None:
    assert played(desk) is None
    path = f"{desk.path / 'runner' / 'tagflow' / 'bin'}:{os.environ['PATH']}"
    done = run_component(desk, f"promote v1.0 --to dev {typed}", PATH=path)
    assert done.returncode == 0, done.stderr
    assert played(desk) == ["promote", "v1.0", "--to", "dev", *given]
    assert not (desk.path / "evil").exists()


@pytest.mark.parametrize("typed", [*BROKEN, "--reason $REASON"])
def test_the_component_runs_nothing_of_a_command_that_it_cannot_read(desk: Desk, typed: str) -> None:
    assert played(desk) is None
    path = f"{desk.path / 'runner' / 'tagflow' / 'bin'}:{os.environ['PATH']}"
    done = run_component(desk, f"promote v1.0 --to dev {typed}", PATH=path)
    assert done.returncode != 0
    assert "the command was not run" in done.stderr
    assert played(desk) is None


def test_no_value_of_a_variable_becomes_an_option(desk: Desk) -> None:
    assert played(desk) is None
    path = f"{desk.path / 'runner' / 'tagflow' / 'bin'}:{os.environ['PATH']}"
    hostile = 'x" --override hold $(touch evil)'
    done = run_component(
        desk,
        'promote $CI_COMMIT_TAG --to ${TO} --reason "$TEXT"',
        PATH=path,
        CI_COMMIT_TAG="v 1",
        TO="dev",
        TEXT=hostile,
    )
    assert done.returncode == 0, done.stderr
    assert played(desk) == ["promote", "v 1", "--to", "dev", "--reason", hostile]


def test_builds_for_other_platforms_can_run_what_is_in_them() -> None:
    """What RUN starts in an image for arm64 needs an emulator on a machine of another kind."""
    steps = workflow((CI / "github-actions.yml").read_text())["jobs"]["build"]["steps"]
    used = [step.get("uses", "").partition("@")[0] for step in steps]
    assert used.index("docker/setup-qemu-action") < used.index("docker/setup-buildx-action")
    script = "\n".join(yaml.safe_load((CI / "gitlab-ci.yml").read_text())["build"]["script"])
    assert 0 < script.find("binfmt --install arm64") < script.find("buildx build")


def test_the_builder_of_gitlab_has_a_context() -> None:
    """Variables say how the daemon of dind is reached by TLS: of them buildx makes no builder, of a context it does."""
    script = "\n".join(yaml.safe_load((CI / "gitlab-ci.yml").read_text())["build"]["script"])
    assert re.search(r"docker context create (\w+)\n(?:.*\n)*docker buildx create --use \1\n", script)


def test_the_steps_of_jenkins(desk: Desk) -> None:
    """In a container Jenkins takes PATH from its agent, or passes over it (JENKINS-48082): nothing relies on that."""
    text = (CI / "Jenkinsfile").read_text()
    program = desk.path / ".tagflow" / "bin" / "tagflow"
    program.parent.mkdir(parents=True)
    program.symlink_to(warm.folder() / "tagflow")
    steps = [step for step in re.findall(r"sh '(.*?)'$", text, re.M) if "pip install" not in step]
    assert len(steps) == 3
    assert "PATH" not in text
    given = {"PATH": os.environ["PATH"], "VERSION": "v1.0", "ENVIRONMENT": "dev", "BUILD_NUMBER": "17"}
    for step in steps:
        done = run(desk, ["sh", "-xe", "-c"], step, **given)
        assert done.returncode == 0, done.stderr
    assert desk.json("history", "dev")["result"]["entries"][0]["reason"] == "build 17"
    assert text.count("{") == text.count("}")


def test_the_shell_script(desk: Desk) -> None:
    done = run(desk, ["sh"], f"{CI / 'promote.sh'}", REASON="nightly")
    assert done.returncode == 2
    for nowhere in ("", " $TO", " ''"):
        done = run(desk, ["sh", "-c"], f"{CI / 'promote.sh'} v1.0{nowhere}")
        assert (done.returncode, done.stdout) == (2, "")
    call = f"{CI / 'promote.sh'} v1.0 dev test"
    assert run(desk, ["sh", "-c"], call, REASON="nightly").returncode == 0
    assert desk.json("history", "test")["result"]["entries"][0]["reason"] == "nightly"
    assert run(desk, ["sh", "-c"], f"{CI / 'promote.sh'} v9.9 dev").returncode == 4


def test_the_shell_script_tries_again_where_a_registry_failed(desk: Desk) -> None:
    program = desk.path / "bin" / "tagflow"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho x >>tries\n[ "$(wc -l <tries)" -ge 3 ] || exit 6\n')
    program.chmod(0o755)
    path = f"{program.parent}:{os.environ['PATH']}"
    done = run(desk, ["sh", "-c"], f"{CI / 'promote.sh'} v1.0 dev", PATH=path, PAUSE="0")
    assert done.returncode == 0
    assert (desk.path / "tries").read_text() == "x\n" * 3


def test_the_image_is_made_of_what_is_there_and_runs_without_root() -> None:
    """Building it needs a base image from the network: only its shape is checked here."""
    lines = (ROOT / "Dockerfile").read_text().replace("\\\n", "").splitlines()
    words = [line.split() for line in lines if line and not line.startswith("#")]
    copied = {name for kind, *rest in words if kind == "COPY" and "--from=build" not in rest for name in rest[:-1]}
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert copied == kept
    assert all((ROOT / name).exists() for name in copied)
    last = words[max(number for number, line in enumerate(words) if line[0] == "FROM") :]
    assert ["USER", "10001"] in last
    assert ["ENTRYPOINT", '["tagflow"]'] in last
