"""pin on the command line."""

from __future__ import annotations

import os
import re
import shlex
import subprocess

import pytest

from tests.cli.runner import POLICY, Desk

COMPOSE = """\
services:
  web: {image: frontend:v0.9}   # the pages
  api:
    image: "back_end"
  proxy: {image: $PROXY}
"""


@pytest.fixture
def pinned(desk: Desk) -> Desk:
    """A version in prod, and a compose file that does not know of it."""
    desk.through("v1.0", "dev", "test", "prod")
    (desk.path / "compose.yaml").write_text(COMPOSE)
    return desk


def test_text(pinned: Desk) -> None:
    git(pinned, "init", "--quiet")
    done = pinned.tagflow("pin", "prod", "compose.yaml")
    digest = pinned.tag("frontend", "prod")
    assert digest is not None
    assert done.status == 0
    assert done.out.splitlines() == [
        f"frontend  frontend:v0.9 → frontend:v1.0@{digest[:19]}",
        "  compose.yaml:2",
        f"backend  back_end → back_end:v1.0@{str(pinned.tag('back_end', 'prod'))[:19]}",
        "  compose.yaml:4",
        "✓ Pinned 2 of 2 references in 1 file to what prod runs.",
        "Next: `git add -- compose.yaml && git commit -m 'Pin prod: frontend v1.0, backend v1.0' -- compose.yaml`",
    ]
    assert done.err == "note: 1 reference is a placeholder as a whole, and left alone\n"
    again = pinned.quickly("pin", "prod", "compose.yaml", "--check")
    assert (again.status, again.out) == (0, "✓ 2 references say what prod runs.\n")


def test_json(pinned: Desk) -> None:
    result = pinned.json("pin", "prod", "compose.yaml")["result"]
    assert set(result) == {"environment", "files", "message"}
    [file] = result["files"]
    assert set(file) == {"file", "changes"}
    assert file["changes"][0] == {
        "line": 2,
        "image": "frontend",
        "from": "frontend:v0.9",
        "to": f"frontend:v1.0@{pinned.tag('frontend', 'prod')}",
    }
    assert result["message"].startswith("Pin prod: frontend v1.0, backend v1.0\n\n")
    again = pinned.json("pin", "prod", "compose.yaml", "--check")
    assert again["result"] == {"environment": "prod", "files": [{"file": "compose.yaml", "changes": []}], "message": ""}


def test_check_says_what_differs_and_ends_with_five(pinned: Desk) -> None:
    document = pinned.json("pin", "prod", "compose.yaml", "--check")
    assert (document["exit_code"], document["error"]["code"]) == (5, "pin.differs")
    assert [change["line"] for change in document["result"]["files"][0]["changes"]] == [2, 4]
    text = pinned.quickly("pin", "prod", "compose.yaml", "--check")
    assert text.status == 5
    assert "compose.yaml:2" in text.out
    assert "Next" not in text.out
    assert (pinned.path / "compose.yaml").read_text() == COMPOSE
    assert "hint: `tagflow pin prod compose.yaml` writes it." in text.err.splitlines()
    pinned.act("pin", "prod", "compose.yaml")
    pinned.act("pin", "prod", "compose.yaml", "--check")


@pytest.mark.parametrize("form", ["digest", "tag"])
def test_what_writes_it_writes_the_form_that_was_checked(pinned: Desk, form: str) -> None:
    done = pinned.quickly("pin", "prod", "compose.yaml", "--form", form, "--check")
    assert f"hint: `tagflow pin prod compose.yaml --form {form}` writes it." in done.err.splitlines()
    pinned.act("pin", "prod", "compose.yaml", "--form", form)
    pinned.act("pin", "prod", "compose.yaml", "--form", form, "--check")


def test_a_diff_that_git_applies(pinned: Desk) -> None:
    (pinned.path / "crlf.yaml").write_bytes(b"image: frontend:v0.9\r\nlast: line")
    (pinned.path / "last.yaml").write_bytes(b"image: frontend:v0.9")
    done = pinned.tagflow("pin", "prod", "compose.yaml", "crlf.yaml", "./last.yaml", "--diff")
    assert done.status == 0
    subprocess.run(["git", "init", "--quiet", "."], cwd=pinned.path, check=True)
    subprocess.run(["git", "apply", "-"], input=done.out.encode(), cwd=pinned.path, check=True)
    assert pinned.quickly("pin", "prod", "compose.yaml", "crlf.yaml", "last.yaml", "--check").status == 0


@pytest.mark.parametrize("options", [[], ["--form", "tag"]])
def test_what_writes_a_file_whose_name_begins_with_a_dash(pinned: Desk, options: list[str]) -> None:
    (pinned.path / "-odd.yaml").write_text(COMPOSE)
    done = pinned.quickly("pin", "prod", "--check", *options, "--", "-odd.yaml")
    [command] = re.findall("`tagflow (.*)` writes it", done.err)
    pinned.act(*shlex.split(command))
    pinned.act("pin", "prod", "--check", *options, "--", "-odd.yaml")


NAMES = ["plain.yaml", "sp ace/t.yaml", "ü.yaml", 'q"uote.yaml', "back\\slash.yaml", "ta\tb.yaml", "- odd"]
TOOLS = {"git apply": ["git", "apply", "-"], "patch": ["patch", "-p1", "--quiet"]}


def away(desk: Desk, folder: str) -> Desk:
    """The same policy and registry, from a folder of its own below."""
    path = desk.path / folder
    path.mkdir(parents=True, exist_ok=True)
    (path / "promotion.yaml").write_text(POLICY.replace("./registry", str(desk.path / "registry")))
    return Desk(path, desk.now)


def apply(desk: Desk, tool: str, *files: str, folder: str = ".") -> None:
    """Apply the diff of some files in a folder, and check that they are pinned then."""
    done = desk.tagflow("pin", "prod", "--diff", "--", *files)
    assert done.status == 0, done.err
    subprocess.run(TOOLS[tool], input=done.out.encode(), cwd=desk.path / folder, check=True)
    checked = desk.quickly("pin", "prod", "--check", "--", *files)
    assert checked.status == 0, checked.out


def git(desk: Desk, *arguments: str) -> str:
    """Run git as somebody who has a name."""
    named = ["git", "-c", "user.name=ann", "-c", "user.email=ann@a.test", *arguments]
    return subprocess.run(named, cwd=desk.path, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_diff_is_applied_whatever_the_name_is(pinned: Desk, tool: str, mark: str) -> None:
    git(pinned, "init", "--quiet")
    for name in NAMES:
        path = pinned.path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{mark}image: frontend:v0.9\n", encoding="utf-8")
    apply(pinned, tool, *NAMES)
    assert (pinned.path / NAMES[0]).read_text(encoding="utf-8").startswith(f"{mark}image: frontend:v1.0@")


def test_a_diff_is_applied_in_a_job_of_a_ci_system(pinned: Desk) -> None:
    """What its log would take for a command stands in the file as well: the diff has each character of it."""
    git(pinned, "init", "--quiet")
    path = pinned.path / "deploy.yaml"
    path.write_text("note: |\n ::group::web\n ##[section]\nimage: frontend:v0.9\n")
    done = pinned.quickly("pin", "prod", "--diff", "deploy.yaml", GITHUB_ACTIONS="true")
    subprocess.run(["git", "apply", "-"], input=done.out.encode(), cwd=pinned.path, check=True)
    assert "image: frontend:v1.0@" in path.read_text()


@pytest.mark.parametrize("tool", TOOLS)
def test_a_diff_of_absolute_names_below(pinned: Desk, tool: str) -> None:
    git(pinned, "init", "--quiet")
    apply(pinned, tool, str(pinned.path / "compose.yaml"))


@pytest.mark.parametrize("tool", TOOLS)
def test_a_diff_of_a_link_is_one_of_its_file(pinned: Desk, tool: str) -> None:
    git(pinned, "init", "--quiet")
    (pinned.path / "link.yaml").symlink_to("compose.yaml")
    apply(pinned, tool, "link.yaml")
    assert (pinned.path / "link.yaml").is_symlink()


@pytest.mark.parametrize("tool", TOOLS)
def test_a_diff_of_files_elsewhere_in_the_work_tree_is_from_its_top(pinned: Desk, tool: str) -> None:
    git(pinned, "init", "--quiet")
    desk = away(pinned, "deploy/prod")
    (desk.path / "below.yaml").write_text(COMPOSE)
    (desk.path.parent / "sp ace.yaml").write_text(COMPOSE)
    names = ["../../compose.yaml", "below.yaml", str(desk.path.parent / "sp ace.yaml")]
    apply(desk, tool, *names, folder="../..")


@pytest.mark.parametrize("tool", TOOLS)
def test_a_diff_of_what_is_below_is_as_from_there(pinned: Desk, tool: str) -> None:
    git(pinned, "init", "--quiet")
    desk = away(pinned, "deploy")
    (desk.path / "below.yaml").write_text(COMPOSE)
    apply(desk, tool, "below.yaml")


def test_a_diff_outside_of_any_work_tree_is_from_the_root(pinned: Desk) -> None:
    desk = away(pinned, "deploy")
    done = desk.tagflow("pin", "prod", "../compose.yaml", "--diff")
    named = str((pinned.path / "compose.yaml").resolve())
    assert done.out.splitlines()[:2] == [f"--- a{named}", f"+++ b{named}"]
    patch = ["patch", "-p1", "--quiet", "-d", "/"]
    subprocess.run(patch, input=done.out.encode(), cwd=desk.path, check=True)
    assert desk.quickly("pin", "prod", "../compose.yaml", "--check").status == 0


@pytest.mark.parametrize("names", [["compose.yaml"], [f"sp ace{number}.yaml" for number in range(8)]])
@pytest.mark.parametrize("known", [False, True])
def test_the_next_command_commits_what_was_pinned_and_nothing_else(pinned: Desk, names: list[str], known: bool) -> None:
    git(pinned, "init", "--quiet")
    for name in names:
        (pinned.path / name).write_text(COMPOSE)
    for other in ("changed.txt", "staged.txt"):
        (pinned.path / other).write_text("before\n")
    (pinned.path / "link.yaml").symlink_to(names[0])
    git(pinned, "add", "changed.txt", "staged.txt", "link.yaml", *(names if known else []))
    git(pinned, "commit", "--quiet", "-m", "first")
    for other in ("changed.txt", "staged.txt"):
        (pinned.path / other).write_text("after\n")
    git(pinned, "add", "staged.txt")
    done = pinned.tagflow("pin", "prod", "--", "link.yaml", *names[1:])
    [command] = [line.partition("`")[2].removesuffix("`") for line in done.out.splitlines() if line.startswith("Next")]
    named = {f"GIT_{who}_{what}": "ann" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    subprocess.run(["sh", "-c", command], cwd=pinned.path, check=True, env={**os.environ, **named}, capture_output=True)
    assert set(git(pinned, "show", "--format=", "--name-only", "-z").strip("\0").split("\0")) == set(names)
    assert "M  staged.txt" in git(pinned, "status", "--short")


def test_no_commit_is_advised_where_there_is_no_work_tree(pinned: Desk) -> None:
    done = pinned.tagflow("pin", "prod", "compose.yaml")
    assert "✓ Pinned 2 of 2 references" in done.out
    assert "Next" not in done.out


def test_what_is_named_where_pin_does_not_look_is_not_said_to_be_absent(pinned: Desk) -> None:
    (pinned.path / "workflow.yaml").write_text("jobs: {a: {container: frontend:v0.9}}\n")
    done = pinned.quickly("pin", "prod", "workflow.yaml", "--check")
    told = "Nothing to pin: where pin looks, no file names an image of the policy (1 file; docs/pin.md says where).\n"
    assert (done.status, done.out) == (0, told)
    note = "note: named where pin does not look, and left alone: workflow.yaml:1 (frontend:v0.9)\n"
    assert done.err == note
    shown = pinned.quickly("pin", "prod", "workflow.yaml", "--diff")
    assert (shown.status, shown.out) == (0, "")
    assert shown.err == note + told
    assert pinned.quickly("pin", "prod", "workflow.yaml", "-o", "json").err == note + told


def test_wrong_input(pinned: Desk) -> None:
    for arguments, code, status in [
        (("pin", "prod"), "usage.invalid", 2),
        (("pin", "prod", "compose.yaml", "--form", "sha"), "usage.invalid", 2),
        (("pin", "pord", "compose.yaml"), "environment.not_found", 4),
        (("pin", "prod", "none.yaml"), "file.unreadable", 2),
        (("pin", "prod", "."), "file.unreadable", 2),
        (("pin", "", "compose.yaml"), "target.missing", 2),
    ]:
        document = pinned.json(*arguments)
        assert (document["error"]["code"], document["exit_code"]) == (code, status), arguments
