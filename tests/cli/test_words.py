"""What people type, and what they are answered: words in another order, of other tools, misspelt, or empty.

A hint is a command that works: every one of this table is typed too.
"""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from tagflow.domain.reference import Repository
from tagflow.stores.layout.store import LayoutStore
from tests import images
from tests.cli.runner import POLICY, Desk

FOUR = POLICY.replace("  prod: {floating", "  staging: {}\n  prod: {floating")
ORDER = [
    # what is typed, what is to be typed
    ("promote v1.1 test", "promote v1.1 --to test"),
    ("promote v1.1 to test", "promote v1.1 --to test"),
    ("promote test v1.1", "promote v1.1 --to test"),
    ("promote to test v1.1", "promote v1.1 --to test"),
    ("promote v1.1 from dev to test", "promote v1.1 --to test --from dev"),
    ("promote frontend:v1.1 --to test", "promote frontend=v1.1 --to test"),
    ("promote frontend@v1.1 test", "promote frontend=v1.1 --to test"),
    ("promote frontend test", "promote frontend --to test"),
    ("promote test --all", "promote --to test --all"),
    ("promote --all v1.1 --to test", "promote v1.1 --to test"),
    ("promote v1.1 frontend=v1.1 test --all", "promote v1.1 frontend=v1.1 --to test"),
    ("push v2.0 oci:build/frontend:v2.0", "push v2.0 frontend=oci:build/frontend:v2.0"),
    ("push v2.0 frontend=build/frontend", "push v2.0 frontend=oci:build/frontend"),
    ("push v2.0 frontend=build/frontend:v2.0", "push v2.0 frontend=oci:build/frontend:v2.0"),
    ("push v2.0 build/frontend", "push v2.0 frontend=oci:build/frontend"),
    ("promote v1.1 test --reason 'it is time'", "promote v1.1 --to test --reason 'it is time'"),
    ("rollback prod --to v1.0", "rollback prod v1.0"),
    ("rollback v1.0 prod", "rollback prod v1.0"),
    ("rollback --to prod", "rollback prod"),
    ("rollback prod to v1.0", "rollback prod v1.0"),
    ("rollback prod frontend:v1.0", "rollback prod frontend=v1.0"),
    ("push frontend=oci:build/frontend:v2.0 v2.0", "push v2.0 frontend=oci:build/frontend:v2.0"),
    ("push frontend=oci:build/frontend:v2.0 v2.0 --to dev", "push v2.0 frontend=oci:build/frontend:v2.0"),
    ("history frontend", "history prod frontend"),
    ("history frontend prod", "history prod frontend"),
    ("tags v1.0 prod", "tags v1.0 --env prod"),
    ("hold v1.1 prod --reason x", "hold prod v1.1 --reason x"),
    ("pin compose.yaml prod", "pin prod compose.yaml"),
    ("stats --env prod", "stats prod"),
    ("status --env prod", "status prod"),
    ("promote v1.1 test --dryrun", "promote v1.1 --to test --dry-run"),
    ("rollback --dry-rnu v1.0 prod", "rollback prod v1.0 --dry-run"),
]
MEANT = [
    ("promote v1.1 --to TEST", "promote v1.1 --to test"),
    ("promote V1.1 --to test", "promote v1.1 --to test"),
    ("promote v1.1 --to tset", "promote v1.1 --to test"),
    ("promote Frontend=v1.1 --to test", "promote frontend=v1.1 --to test"),
    ("promote frontent=v1.1 --to test", "promote frontend=v1.1 --to test"),
    ("promot v1.1 --to test", "promote v1.1 --to test"),
    ("rollback prd", "rollback prod"),
    ("rollback PROD v1.0", "rollback prod v1.0"),
    ("history PROD", "history prod"),
    ("status fronted", "status frontend"),
    ("verify prood", "verify prod"),
    ("stats PROD", "stats prod"),
    ("pin prd compose.yaml", "pin prod compose.yaml"),
    ("ls", "status"),
    ("list prod", "status prod"),
    ("log", "history prod"),
    ("log prod frontend", "history prod frontend"),
    ("revert prod", "rollback prod"),
    ("check", "verify"),
    ("version", "--version"),
    ("help", "--help"),
    ("help promote", "promote --help"),
    ("rollbak v1.0 prod", "rollback prod v1.0"),
]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """v1.0 and v1.1 everywhere, v1.1 of late; v2.0 built elsewhere."""
    desk = Desk(tmp_path_factory.mktemp("scene"))
    desk.write(FOUR)
    for version in ("v1.0", "v1.1"):
        desk.through(version, "dev", "test", "staging", "prod")
    (desk.path / "compose.yaml").write_text("services: {}\n")
    images.index(LayoutStore(Repository(f"oci:{desk.path}/build", "frontend")), seed="v2.0", tag="v2.0")
    return desk


@pytest.fixture
def desk(scene: Desk, tmp_path: Path) -> Desk:
    """The scene, to be played once."""
    return Desk(Path(shutil.copytree(scene.path, tmp_path / "scene")))


@pytest.mark.parametrize(("typed", "answer"), ORDER, ids=[typed for typed, _ in ORDER])
def test_words_in_another_order(desk: Desk, typed: str, answer: str) -> None:
    done = desk.quickly(*shlex.split(typed))
    assert done.status in (2, 4)
    assert f"`tagflow {answer}`" in done.err.splitlines()[-1]
    again = desk.quickly(*shlex.split(answer))
    assert again.status == 0, again.err


@pytest.mark.parametrize(("typed", "answer"), MEANT, ids=[typed for typed, _ in MEANT])
def test_words_that_are_nearly_right(desk: Desk, typed: str, answer: str) -> None:
    done = desk.quickly(*shlex.split(typed))
    assert done.status in (2, 4)
    assert f"`tagflow {answer}`" in done.err.splitlines()[-1]
    again = desk.quickly(*shlex.split(answer))
    assert again.status == 0, again.err


@pytest.mark.parametrize(
    "typed",
    [["push", ""], ["push", "", "frontend=oci:x"], ["promote", "v1.0", "--to", ""], ["rollback", ""], ["history", ""],
     ["pull", ""], ["tags", " "], ["next", ""], ["status", ""], ["verify", ""], ["tags", "v1.0", "--env", ""]],
    ids=" ".join,
)  # fmt: skip
def test_an_empty_argument_may_be_an_unset_variable(desk: Desk, typed: list[str]) -> None:
    done = desk.quickly(*typed)
    assert done.status == 2, done.err
    assert "An unset variable?" in done.err


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("promote v1.1 --to test --to prod", "--to is given more than once: 'test' and 'prod'"),
        ("promote v1.1 --to test --to=test", "--to is given more than once"),
        ("history prod --limit 3 -n 4", "--limit is given more than once: '3' and '4'"),
    ],
)
def test_an_option_of_one_value_is_given_once(desk: Desk, typed: str, told: str) -> None:
    done = desk.quickly(*shlex.split(typed))
    assert done.status == 2
    assert told in done.err
    assert "Give it once." in done.err or "Did you mean" in done.err


def test_what_repeats_is_given_as_often_as_wanted(desk: Desk) -> None:
    assert desk.quickly("tags", "v1.0", "--env", "dev", "--env", "test").status == 0


def test_a_value_that_looks_like_an_option_is_one(desk: Desk) -> None:
    done = desk.quickly("promote", "v1.1", "--reason", "--to", "--to", "test", "--dry-run")
    assert "more than once" not in done.err


def test_a_word_that_means_nothing_is_not_guessed(desk: Desk) -> None:
    done = desk.quickly("promote", "banana", "--to", "test")
    assert done.status == 4
    assert not re.search(r"`tagflow promote", done.err)


def test_global_options_stay_where_they_were(desk: Desk) -> None:
    done = desk.quickly("-f", "promotion.yaml", "promote", "v1.1", "test")
    assert "`tagflow -f promotion.yaml promote v1.1 --to test`" in done.err
    done = desk.quickly("promote", "v1.1", "test", "-f", "promotion.yaml")
    assert "`tagflow promote v1.1 --to test -f promotion.yaml`" in done.err


def test_a_registry_without_a_host_is_on_docker_hub(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.write(POLICY.replace("oci:./registry", "mycompany/me"))
    done = desk.quickly("status", "--timeout", "3s")
    assert done.status == 6
    assert "Did you mean `docker.io/mycompany/me`?" in done.err


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        ("push v2.0 frontend:build", "push v2.0 frontend=docker-daemon:frontend:build"),
        ("push v2.0 frontend=frontend:build", "push v2.0 frontend=docker-daemon:frontend:build"),
        ("push frontend:build v2.0", "push v2.0 frontend=docker-daemon:frontend:build"),
        ("push v2.0 frontend=./build", "push v2.0 frontend=oci:./build"),
        ("push v2.0 frontend=out/app.tar", "push v2.0 frontend=docker-archive:out/app.tar"),
        ("push v2.0 ghcr.io/acme/frontend:v2", "push v2.0 frontend=docker://ghcr.io/acme/frontend:v2"),
        ("push v2.0 docker://ghcr.io/acme/frontend:v2", "push v2.0 frontend=docker://ghcr.io/acme/frontend:v2"),
        ("push v2.0 docker-daemon:frontend:build", "push v2.0 frontend=docker-daemon:frontend:build"),
        ("push v2.0 docker-archive:out/frontend.tar", "push v2.0 frontend=docker-archive:out/frontend.tar"),
        ("push v2.0 frontend=oci-archive:out/app.tar", "push v2.0 frontend=docker-archive:out/app.tar"),
        ("push v2.0 frontend=oci-archive:out/app.tar:v1", "push v2.0 frontend=docker-archive:out/app.tar:v1"),
        ("push v2.0 frontend=Docker-Archive:out/app.tar", "push v2.0 frontend=docker-archive:out/app.tar"),
        ("push v2.0 DOCKER-DAEMON:frontend:build", "push v2.0 frontend=docker-daemon:frontend:build"),
        ("push v2.0 frontend=Docker://ghcr.io/acme/app:v2", "push v2.0 frontend=docker://ghcr.io/acme/app:v2"),
        ("push v2.0 frontend=app.tar:v1", "push v2.0 frontend=docker-archive:app.tar:v1"),
        ("push v2.0 frontend=app.tar.xz", "push v2.0 frontend=docker-archive:app.tar.xz"),
        ("push v2.0 frontend=OCI:./build", "push v2.0 frontend=oci:./build"),
        ("push v2.0 frontend=out/frontend", "push v2.0 frontend=docker-daemon:out/frontend"),
    ],
)
def test_a_build_that_is_no_source_keeps_its_tag_and_the_version(desk: Desk, typed: str, answer: str) -> None:
    done = desk.quickly(*shlex.split(typed))
    assert done.status == 2
    assert f"`tagflow {answer}`" in done.err


@pytest.mark.parametrize(
    "source", ["build/frontend", "podman:foo", "containers-storage:foo", "dir:foo", "foo", "oci-archive:x.tar"]
)
def test_a_source_without_a_known_transport_is_told_which_there_are(desk: Desk, source: str) -> None:
    error = desk.json("push", "v2.0", f"frontend={source}")["error"]
    assert error["code"] == "source.invalid"
    for transport in ("docker-daemon:NAME", "docker://HOST/REPO", "oci:DIR", "docker-archive:FILE"):
        assert transport in error["message"]


@pytest.mark.parametrize("source", ["x" * 5000, "a\0b"])
def test_what_is_no_path_is_no_layout(desk: Desk, source: str) -> None:
    assert desk.json("push", "v2.0", f"frontend={source}")["error"]["code"] == "source.invalid"


@pytest.mark.parametrize(
    "source", ["podman:foo", "Podman:foo", "containers-storage:foo", "dir:foo", "OCI:", "oci-archive:"]
)
def test_a_transport_of_other_tools_is_not_taken_for_a_name(desk: Desk, source: str) -> None:
    assert "docker-daemon:podman" not in desk.quickly("push", "v2.0", f"frontend={source}").err
    assert "`tagflow push" not in desk.quickly("push", "v2.0", f"frontend={source}").err


@pytest.mark.parametrize(
    "typed", ["promote v1.1 --tp test", "promote v1.1 test --target", "--dryrun promote v1.1 test"]
)
def test_a_command_with_an_option_that_is_none_is_not_hinted(desk: Desk, typed: str) -> None:
    done = desk.quickly(*typed.split())
    assert done.status == 2
    assert " --help` shows how." in done.err


def test_all_beside_a_name_is_no_guess(desk: Desk) -> None:
    done = desk.quickly("promote", "--all", "frontend", "--to", "test")
    assert done.status == 2
    assert "hint: Name targets, or use --all." in done.err.splitlines()


def test_commands_that_are_hinted_name_the_policy_that_was_named(desk: Desk) -> None:
    (desk.path / "promotion.yaml").rename(desk.path / "my pol.yaml")
    done = desk.quickly("promote", "frontend=v1.1", "--to", "dev", "-f", "my pol.yaml")
    assert done.status == 0
    done = desk.quickly("promote", "v9.0", "--to", "prod", "-f", "my pol.yaml")
    for command in re.findall(r"`(tagflow [^`]*)`", done.err):
        assert command.startswith("tagflow -f 'my pol.yaml' "), command
    assert "`tagflow -f 'my pol.yaml' push v9.0 " in done.err
    done = desk.quickly("--policy", "my pol.yaml", "rollback", "prod", "--save-plan", "p l.json")
    assert "Carry it out with `tagflow -f 'my pol.yaml' apply 'p l.json'`." in done.err
    desk.act("-f", "my pol.yaml", "apply", "p l.json")


def test_commands_below_what_is_shown_name_the_policy_that_was_named(desk: Desk) -> None:
    (desk.path / "promotion.yaml").rename(desk.path / "my pol.yaml")
    desk.act("-f", "my pol.yaml", "freeze", "test", "--reason", "night")
    desk.act("-f", "my pol.yaml", "hold", "dev", "v1.1", "--reason", "bad")
    shown = [desk.quickly("-f", "my pol.yaml", command).out for command in ("status", "verify")]
    for out in shown:
        commands = re.findall(r"^(?:    |  repair   )(tagflow .*)", out, re.MULTILINE)
        assert commands, out
        assert all(it.startswith("tagflow -f 'my pol.yaml' ") for it in commands), out


def test_a_command_that_names_its_policy_or_needs_none_stays(desk: Desk) -> None:
    done = desk.quickly("promote", "v1.1", "test", "-f", "promotion.yaml")
    assert "`tagflow promote v1.1 --to test -f promotion.yaml`" in done.err
    assert "`tagflow promote --help`" in desk.quickly("-f", "promotion.yaml", "help", "promote").err


def test_how_versions_are_written_is_no_list_of_those_that_exist(desk: Desk) -> None:
    told = desk.quickly("promote", "banana", "--to", "test").err
    assert "Versions: " not in told
    assert "A version is written as" in told


def test_a_registry_that_cannot_be_reached_asks_for_no_more_time(tmp_path: Path) -> None:
    from tests.servers import free_port

    desk = Desk(tmp_path)
    desk.write(POLICY.replace("oci:./registry", f"127.0.0.1:{free_port()}/acme"))
    assert "--timeout" not in desk.quickly("status").err


def test_doctor_has_the_fix_that_status_has(tmp_path: Path) -> None:
    from tests.servers import free_port

    desk = Desk(tmp_path)
    desk.write(POLICY.replace("oci:./registry", f"127.0.0.1:{free_port()}/acme"))
    environ = {"TAGFLOW_REGISTRY_USERNAME": "ann"}  # a password is missing
    status, doctor = desk.quickly("status", **environ), desk.quickly("doctor", **environ)
    (fix,) = [line for line in status.err.splitlines() if line.startswith("hint: ")]
    assert fix.partition(";")[0] in doctor.err
    assert desk.json("doctor")["result"]["registries"][0]["credential"] is None


def test_the_other_ending_of_the_policy_is_noticed(desk: Desk) -> None:
    (desk.path / "promotion.yaml").rename(desk.path / "promotion.yml")
    done = desk.quickly("status")
    assert done.status == 2
    assert "There is a promotion.yml: call it promotion.yaml, or name it with --policy promotion.yml." in done.err
    assert desk.quickly("status", "--policy", "promotion.yml").status == 0


def test_the_page_can_go_to_standard_output(desk: Desk) -> None:
    done = desk.quickly("status", "--html", "-")
    assert done.status == 0
    assert done.out.startswith("<!DOCTYPE html>")
    assert done.out.rstrip().endswith("</html>")
    assert done.err == ""
