"""What a contributor and CI run is the same, and says the same everywhere."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import yaml
from packaging.requirements import Requirement

from tests.project.source import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
MAKEFILE = (ROOT / "Makefile").read_text()
CI = (ROOT / ".ci" / "run").read_text()
WORKFLOW = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
CONSTRAINTS = (ROOT / "constraints.txt").read_text()


def made(text: str) -> list[str]:
    """The targets that a script makes, in order."""
    return [target for line in re.findall(r"^make ([^#\n]+)", text, re.M) for target in line.split()]


def test_check_runs_what_ci_runs() -> None:
    (prerequisites,) = re.findall(r"^check: (.+?) ##", MAKEFILE, re.M)
    assert made(CI) == prerequisites.split()


def test_ci_runs_the_tests_word_for_word_as_the_readme_says() -> None:
    assert "make test\n" in CI
    assert re.search(r"^make test$", (ROOT / "README.md").read_text(), re.M)


def test_ci_tries_the_second_registry() -> None:
    assert "test-all" in made(CI)
    assert re.search(r"^test-all: .*\bpulp\b", MAKEFILE, re.M)
    assert "$(PYTEST_ARGS)" in re.findall(r"^test-all: .+\n\t(.+)$", MAKEFILE, re.M)[0].partition('-m "long')[2]


def test_what_is_long_is_left_to_the_other_target() -> None:
    recipes: dict[str, str] = dict(re.findall(r"^(test|test-all): .+\n\t(.+)$", MAKEFILE, re.M))
    chosen = {name: re.findall(r"-m (\"[^\"]+\"|\S+)", recipe) for name, recipe in recipes.items()}
    assert chosen == {"test": ['"not long"'], "test-all": ['"long or property"']}
    assert "TAGFLOW_ALL_EXAMPLES=1" in recipes["test-all"]


def test_the_workflow_is_valid_and_runs_each_python() -> None:
    document: Any = yaml.safe_load(WORKFLOW)
    document["on"] = document.pop(True)  # YAML 1.1 takes the word for a truth value
    vendored = resources.files("check_jsonschema") / "builtin_schemas" / "vendor" / "github-workflows.json"
    schema = json.loads(vendored.read_text())
    jsonschema.validators.validator_for(schema)(schema).validate(document)
    (job,) = document["jobs"].values()
    named = re.findall(r"Python :: (3\.\d+)$", "\n".join(PROJECT["project"]["classifiers"]), re.M)
    assert job["strategy"]["matrix"]["python"] == named
    assert job["steps"][-1]["run"] == "bash .ci/run"
    assert all(f"python{version}" in MAKEFILE for version in named)


def test_the_hooks_are_valid_and_call_what_is_installed() -> None:
    path = ROOT / ".pre-commit-config.yaml"
    command = [sys.executable, "-m", "pre_commit", "validate-config", str(path)]
    assert subprocess.run(command, capture_output=True, text=True).returncode == 0
    hooks = [hook for repo in yaml.safe_load(path.read_text())["repos"] for hook in repo["hooks"]]
    assert [hook["id"] for hook in hooks if not (Path(sys.prefix) / "bin" / _program(hook)).exists()] == []


def _program(hook: dict[str, str]) -> str:
    folder, _, program = hook["entry"].split()[0].rpartition("/")
    assert folder == ".venv/bin", hook["entry"]
    return program


def test_constraints_are_versions_and_nothing_else() -> None:
    lines = [line for line in CONSTRAINTS.splitlines() if not line.startswith("#")]
    assert [line for line in lines if not re.fullmatch(r"[a-z0-9][a-z0-9-]*==[0-9][0-9a-z.]*", line)] == []
    names = [line.split("==")[0] for line in lines]
    assert names == sorted(set(names))


def test_constraints_are_what_the_project_allows() -> None:
    known = dict(line.split("==") for line in CONSTRAINTS.splitlines() if not line.startswith("#"))
    project = PROJECT["project"]
    asked = [
        *project["dependencies"],
        *project["optional-dependencies"]["dev"],
        *project["optional-dependencies"]["docs"],
    ]
    for text in asked:
        requirement = Requirement(text)
        assert requirement.specifier.contains(known[requirement.name.lower()]), text
