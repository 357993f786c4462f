"""Usage, exit statuses and the small courtesies of a command line."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tagflow.cli.release import _answer
from tests.cli.runner import POLICY, Desk, surroundings
from tests.standin import Say, instead, standin


class TestUsageErrors:
    @pytest.mark.parametrize(
        "arguments",
        [
            ["promote", "--to", "dev"],
            ["promote", "", "--to", "dev"],
            ["promote", "v1.0"],
            ["promote", "v1.0", "--to", ""],
            ["promote", "v1.0", "--to", "dev", "--bogus"],
            ["promote", "v1.0", "--to"],
            ["promote", "v1.0", "v1.1", "--to", "dev"],
            ["promote", "v1.0", "--all", "--to", "test"],
            ["promote", "v1.0", "--to", "test", "--override", "order", "--reason", "x"],
            ["promote", "v1.0", "--to", "test", "--override", "hold"],
            ["rollback"],
            ["rollback", "dev", ""],
            ["bogus"],
            ["push", "v1.0"],
            ["push", "", "frontend=oci:x"],
            ["push", "nonsense", "frontend=oci:registry/frontend"],
            ["push", "v1.0", "frontend=frontend"],
            ["tags"],
            ["tags", ""],
            ["tags", "nonsense"],
            ["next", "bogus"],
            ["next", ""],
            ["apply"],
            ["apply", "missing.json"],
            ["status", "--timeout", "soon"],
            ["--timeout", "soon", "status"],
            ["--timeout", "0s", "status"],
            ["status", ""],
        ],
        ids=" ".join,
    )
    def test_exit_2_and_one_document(self, desk: Desk, arguments: list[str]) -> None:
        done = desk.quickly(*arguments)
        assert done.status == 2, done.err
        assert done.out == ""
        assert done.err.startswith("error[")
        command = next(word for word in arguments if not word.startswith("-") and word not in ("soon", "0s"))
        for given in ([*arguments, "-o", "json"], ["-o", "json", *arguments], ["--output=json", *arguments]):
            if arguments[-1] == "--to" and given[0] == "promote":
                continue  # there -o is what --to is given
            done = desk.quickly(*given)
            document = done.document
            assert done.status == 2
            assert (document["ok"], document["exit_code"], document["result"]) == (False, 2, None)
            assert document["command"] == command
            assert document["error"]["code"]

    def test_a_real_process(self, desk: Desk) -> None:
        document = desk.json("promote", "", "--to", "dev", process=True)
        assert (document["exit_code"], document["error"]["code"]) == (2, "target.missing")

    def test_nothing_at_all(self, desk: Desk) -> None:
        done = desk.tagflow()
        assert done.status == 2
        assert "promote" in done.err + done.out

    def test_nothing_but_json(self, desk: Desk) -> None:
        done = desk.tagflow("-o", "json")
        assert done.status == 2
        assert json.loads(done.out)["exit_code"] == 2

    @pytest.mark.parametrize(
        "arguments", [["-o", "yaml", "status"], ["status", "-o", "yaml"], ["status", "--output", ""]]
    )
    def test_another_output_format(self, desk: Desk, arguments: list[str]) -> None:
        assert desk.quickly(*arguments).status == 2

    def test_an_output_format_that_schema_does_not_know(self, desk: Desk) -> None:
        assert desk.quickly("schema", "-o", "yaml").status == 2

    def test_two_usage_errors_name_what_helps(self, desk: Desk) -> None:
        assert "--help" in desk.quickly("promote", "--bogus").err
        assert "promote" in desk.quickly("promot", "v1.0", "--to", "dev").err


class TestNames:
    def test_unknown(self, desk: Desk) -> None:
        desk.build("v1.0")
        assert desk.json("promote", "v1.0", "--to", "prd")["error"]["code"] == "environment.not_found"
        assert desk.json("promote", "frontent=v1.0", "--to", "dev")["error"]["code"] == "image.not_found"
        assert desk.json("tags", "v1.0", "--env", "prd")["exit_code"] == 4
        assert desk.json("rollback", "prd")["exit_code"] == 4
        assert desk.json("promote", "v9.0", "--to", "dev")["exit_code"] == 4
        assert "prod" in desk.quickly("promote", "v1.0", "--to", "prd").err

    def test_order(self, desk: Desk) -> None:
        desk.through("v1.0", "dev")
        done = desk.quickly("promote", "v1.0", "--to", "prod")
        assert done.status == 3
        assert "error[promotion.order]" in done.err
        assert "tagflow promote" in done.err

    def test_registry_down(self, desk: Desk) -> None:
        from tests.servers import free_port

        desk.write(POLICY.replace("oci:./registry", f"127.0.0.1:{free_port()}/acme"))
        document = desk.json("status", "--timeout", "3s")
        assert document["exit_code"] == 6
        assert document["result"] is None

    def test_corrupt_layout(self, desk: Desk) -> None:
        desk.through("v1.0", "dev")
        (desk.path / "registry" / "frontend" / "index.json").write_text("{")
        before = desk.files()
        document = desk.json("promote", "v1.0", "--to", "test")
        assert document["exit_code"] == 6
        assert desk.files() == before


class TestPolicyFile:
    def test_none(self, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        desk = Desk(tmp_path / "empty")
        for arguments in (["status"], ["promote", "v1.0", "--to", "dev"], ["tags", "v1.0"]):
            document = desk.json(*arguments)
            assert document["exit_code"] == 2
            assert document["error"]["code"].startswith("policy.")
            assert "tagflow init" in document["error"]["hint"]

    def test_nearest_upward(self, desk: Desk) -> None:
        below = desk.path / "a" / "b"
        below.mkdir(parents=True)
        assert Desk(below).quickly("tags", "v1.0").status == 0

    def test_layouts_are_relative_to_the_file(self, desk: Desk) -> None:
        desk.through("v1.0", "dev")
        below = desk.path / "a"
        below.mkdir()
        assert Desk(below).json("status", "dev")["result"]["images"][0]["environments"][0]["version"] == "v1.0"

    def test_named_by_option_and_variable(self, desk: Desk, tmp_path: Path) -> None:
        other = tmp_path / "other.yaml"
        other.write_text(POLICY.replace("prod:", "live:"))
        for done in (
            desk.quickly("tags", "v1.0", "-f", str(other)),
            desk.quickly("-f", str(other), "tags", "v1.0"),
            desk.quickly("--policy", "other.yaml", "tags", "v1.0"),
            desk.quickly("tags", "v1.0", f"--policy={other}"),
            desk.quickly("tags", "v1.0", TAGFLOW_POLICY=str(other)),
        ):
            assert done.status == 0, done.err
            assert "v1.0-live" in done.out.splitlines()
        done = desk.quickly("tags", "v1.0", "-f", "promotion.yaml", TAGFLOW_POLICY=str(other))
        assert "v1.0-prod" in done.out.splitlines()

    def test_one_that_is_not_there(self, desk: Desk) -> None:
        assert desk.json("status", "-f", "missing.yaml")["exit_code"] == 2
        assert desk.json("status", "-f", str(desk.path))["exit_code"] == 2

    def test_broken_yaml_has_file_line_and_column(self, desk: Desk) -> None:
        desk.write("version: 1\nregistry: [\n")
        done = desk.quickly("status")
        assert done.status == 2
        assert "promotion.yaml:" in done.err
        import re

        assert re.search(r"promotion\.yaml:\d+:\d+", done.err)

    def test_all_mistakes_at_once(self, desk: Desk) -> None:
        desk.write("version: 1\nregistri: x\nimages: {a: a}\nenvironments: {Prod: {}, dev: {sok: 1h}}\n")
        done = desk.quickly("tags", "v1.0")
        assert done.status == 2
        for place in ("promotion.yaml:2:", "promotion.yaml:4:"):
            assert place in done.err
        assert "soak" in done.err
        assert "registry" in done.err


class TestPlacesOfOptions:
    def test_before_and_after(self, desk: Desk) -> None:
        for arguments in (["-o", "json", "tags", "v1.0"], ["tags", "-o", "json", "v1.0"], ["tags", "v1.0", "-ojson"]):
            assert desk.quickly(*arguments).document["command"] == "tags"

    def test_the_one_after_wins(self, desk: Desk) -> None:
        assert desk.quickly("-o", "json", "tags", "v1.0", "-o", "text").out.startswith("v1.0\n")

    @pytest.mark.parametrize(
        "arguments",
        [
            ["-vo", "json", "tags"],
            ["-vojson", "tags"],
            ["tags", "-vo", "json"],
            ["-f", "promotion.yaml", "-o", "json", "tags"],
            ["-fpromotion.yaml", "-ojson", "tags"],
            ["-o", "json", "tags", "v1.0", "-o"],
        ],
        ids=" ".join,
    )
    def test_an_error_is_a_document_however_json_is_asked_for(self, desk: Desk, arguments: list[str]) -> None:
        done = desk.quickly(*arguments)
        assert done.status == 2
        assert (done.document["command"], done.document["exit_code"]) == ("tags", 2)

    def test_no_option_follows_two_dashes(self, desk: Desk) -> None:
        done = desk.quickly("tags", "--", "-o", "json")
        assert (done.status, done.out) == (2, "")

    @pytest.mark.parametrize(
        ("line", "hint"),
        [
            ("promote --all --to dev", "Name a VERSION: `tagflow promote VERSION --to dev`."),
            ("-o json", "`tagflow --help` shows how."),
            ("status --verbose=1", "`tagflow --help` shows how."),
        ],
    )
    def test_no_hint_is_what_was_typed_or_half_of_a_command(self, desk: Desk, line: str, hint: str) -> None:
        assert f"hint: {hint}\n" in desk.quickly(*shlex.split(line)).err

    def test_version_as_a_document(self, desk: Desk) -> None:
        from tagflow import __version__

        for arguments in (
            ["--version", "-o", "json"],
            ["-o", "json", "--version"],
            ["tags", "--version", "-o", "json"],
            ["-o", "json", "status", "prod", "--version"],
        ):
            assert desk.quickly(*arguments).document["result"] == {"version": __version__}

    def test_version(self, desk: Desk) -> None:
        from tagflow import __version__

        for arguments in (["--version"], ["status", "--version"]):
            done = desk.tagflow(*arguments)
            assert (done.status, done.out, done.err) == (0, f"tagflow {__version__}\n", "")

    @pytest.mark.parametrize(
        "line",
        ["verify --running ''", "-f '' status", "status -f ''", "status --at ''", "promote v1.0 --to prod --wait ''",
         "history prod --since ''", "promote v1.0 --to prod --from ''", "--timeout '' status", "tags v1.0 --env ''"],
    )  # fmt: skip
    def test_a_value_that_a_script_has_lost(self, desk: Desk, line: str) -> None:
        """What it asks for would be left out in silence: `verify --running "$PODS"` would look at nothing."""
        done = desk.quickly(*shlex.split(line))
        assert done.status == 2
        assert "has an empty value" in done.err

    @pytest.mark.parametrize(
        ("line", "code"),
        [("pin dev odd", "pin.unsupported"), ("apply odd", "plan.invalid"), ("approve odd", "plan.invalid"),
         ("verify --expect odd", "receipt.invalid")],
    )  # fmt: skip
    def test_what_cannot_be_read_is_told_by_who_reads_it(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch, line: str, code: str
    ) -> None:
        """With the code that the page has for it, and all files at once: not as a wrong use of the first. (Simulated:
        the user of the tests may read everything.)"""
        (desk.path / "odd").write_text("{")
        monkeypatch.setattr(os, "access", lambda *_arguments, **_options: False)
        assert desk.json(*shlex.split(line))["error"]["code"] == code

    @pytest.mark.parametrize(
        "line",
        ["promote v1.0 --to dev --save-plan -", "promote v1.0 --to dev --receipt -", "apply -", "approve -",
         "approve plan.json --out -", "apply plan.json --approval -", "verify --expect -", "pin dev -"],
    )  # fmt: skip
    def test_a_dash_is_no_file(self, desk: Desk, line: str) -> None:
        """A plan would lie in a file of that name, and CI print an empty one."""
        desk.build("v1.0")
        before = desk.files()
        document = desk.json(*shlex.split(line))
        assert (document["exit_code"], document["error"]["code"]) == (2, "usage.invalid")
        assert "'-' names no file" in document["error"]["message"]
        assert desk.files() == before

    @pytest.mark.parametrize(
        ("line", "told"),
        [
            ("freeze prod --lift --until 2h --reason over", "--lift and --until exclude each other"),
            ("status --at 2026-01-01 --html page.html", "--at and --html exclude each other"),
            ("verify --dry-run", "--dry-run goes with --repair"),
        ],
    )
    def test_options_of_which_one_would_be_left_out(self, desk: Desk, line: str, told: str) -> None:
        done = desk.quickly(*shlex.split(line))
        assert done.status == 2
        assert told in done.err

    @pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["promote", "--help"], ["rollback", "-h"]])
    def test_help(self, desk: Desk, arguments: list[str]) -> None:
        done = desk.quickly(*arguments)
        assert done.status == 0
        assert "Usage" in done.out or "usage" in done.out

    def test_help_needs_eighty_columns(self, desk: Desk) -> None:
        done = desk.quickly("--help", COLUMNS="80")
        commands = done.out.partition("Commands:")[2]
        assert commands
        assert "..." not in commands
        assert max(map(len, done.out.splitlines())) <= 80

    def test_help_says_what_every_argument_is(self, desk: Desk) -> None:
        usage = desk.quickly("history", "--help", COLUMNS="80").out
        assert usage.startswith("Usage: tagflow history [OPTIONS] ENV [NAME]…\n")
        assert "[NAME]…  Only these images." in usage

    def test_targets_that_look_like_options(self, desk: Desk) -> None:
        assert desk.quickly("promote", "--to", "dev", "--", "-x").status in (2, 4)


class TestActor:
    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            ({"TAGFLOW_ACTOR": "ci-bot", "GITHUB_ACTOR": "octocat"}, "ci-bot"),
            ({"TAGFLOW_ACTOR": "", "GITHUB_ACTOR": "octocat", "GITLAB_USER_LOGIN": "lab"}, "octocat"),
            ({"TAGFLOW_ACTOR": "", "GITLAB_USER_LOGIN": "lab"}, "lab"),
            ({"TAGFLOW_ACTOR": " ", "GITHUB_ACTOR": "octocat "}, "octocat"),
        ],
    )
    def test_who(self, desk: Desk, given: dict[str, str], expected: str) -> None:
        desk.build("v1.0")
        assert desk.tagflow("promote", "v1.0", "--to", "dev", **given).status == 0
        assert desk.json("status", "dev")["result"]["images"][0]["environments"][0]["by"] == expected

    def test_user_at_host(self, desk: Desk) -> None:
        desk.build("v1.0")
        assert desk.tagflow("promote", "v1.0", "--to", "dev", TAGFLOW_ACTOR="").status == 0
        assert "@" in desk.json("status", "dev")["result"]["images"][0]["environments"][0]["by"]


class TestText:
    def test_tags_of_an_environment_named_twice(self, desk: Desk) -> None:
        done = desk.quickly("tags", "v1.0", "--env", "dev", "--env", "dev")
        assert done.out.split() == ["v1.0", "v1.0-dev", "dev"]

    def test_tags_one_a_line(self, desk: Desk) -> None:
        done = desk.quickly("tags", "v1.0", "--env", "prod")
        assert sorted(done.out.splitlines()) == ["latest", "prod", "v1.0", "v1.0-prod"]

    def test_tags_needs_no_network(self, desk: Desk) -> None:
        desk.write(POLICY.replace("oci:./registry", "registry.invalid/acme"))
        assert desk.quickly("tags", "v1.0").status == 0

    def test_next_is_one_version(self, desk: Desk) -> None:
        assert desk.quickly("next").out == "v0.1.0\n"
        desk.build("v1.0", "frontend")
        desk.build("v0.9", "backend")
        for part, expected in (("patch", "v1.0.1"), ("minor", "v1.1"), ("major", "v2.0")):
            assert desk.quickly("next", part).out == f"{expected}\n"
        assert desk.quickly("next").out == "v1.0.1\n"
        assert desk.quickly("next", "prerelease").out.startswith("v1.0.1-")

    def test_a_combined_tag_is_no_version_but_names_one(self, desk: Desk) -> None:
        done = desk.quickly("tags", "v1.0-prod")
        assert "error[version.ambiguous]" in done.err
        assert "To name that release, write v1.0." in done.err

    def test_pull_of_neither_environment_nor_version(self, desk: Desk) -> None:
        document = desk.json("pull", "nothing")
        assert (document["exit_code"], document["error"]["code"]) == (4, "environment.not_found")
        assert desk.json("pull", "")["exit_code"] == 2

    def test_ambiguous_and_imprecise(self, desk: Desk) -> None:
        assert desk.json("tags", "1.0.0-dev")["error"]["code"] == "version.ambiguous"
        desk.write(POLICY.replace("[latest]", "[latest, minor]"))
        assert desk.json("tags", "v1.0")["error"]["code"] == "version.precision"

    @pytest.mark.parametrize(
        "typed",
        [
            "promote v1.0 --to dev",
            "promote frontend=v1 --to dev",
            "rollback prod v1.0",
            "rollback prod frontend=1.0",
            "hold prod v1.0 --reason x",
            "push v1.0 frontend=oci:registry/frontend:v1.0.5",
            "diff v1.0 v1.0.5",
            "status v1.0",
            "pull v1.0",
        ],
    )
    def test_a_floating_tag_is_not_the_release_that_ends_in_zeros(self, desk: Desk, typed: str) -> None:
        """``v1.0`` stands at v1.0.5: who types it gets neither that, nor v1.0.0, without a word."""
        desk.write(POLICY.replace("[latest]", "[latest, major, minor]"))
        for version in ("v1.0.0", "v1.0.5"):
            desk.through(version, "dev", "test", "prod")
        before = desk.files()
        done = desk.quickly(*typed.split())
        assert done.status == 2, done.err
        assert "error[version.precision]" in done.err
        assert "v1.0.0" in done.err
        assert desk.files() == before

    def test_a_plan_is_shown(self, desk: Desk) -> None:
        desk.build("v1.0")
        done = desk.quickly("promote", "v1.0", "--to", "dev", "--dry-run")
        assert done.status == 0
        assert "v1.0-dev" in done.out
        assert "nothing was changed" in done.out.lower() or "dry run" in done.out.lower()

    def test_no_colour_in_a_pipe(self, desk: Desk) -> None:
        desk.through("v1.0", "dev")
        for arguments in (
            ["status"],
            ["promote", "v1.0", "--to", "prod"],
            ["promote", "v1.0", "--to", "test", "--dry-run"],
        ):
            done = desk.tagflow(*arguments)
            assert "\x1b[" not in done.out + done.err

    def test_colour_at_a_terminal_unless_no_color(self, desk: Desk) -> None:
        desk.through("v1.0", "dev")
        command = ["promote", "v1.0", "--to", "prod"]
        assert "\x1b[" in at_terminal(desk, command, {"TERM": "xterm"})
        assert "\x1b[" not in at_terminal(desk, command, {"TERM": "xterm", "NO_COLOR": "1"})
        assert "\x1b[" not in at_terminal(desk, command, {"TERM": "dumb"})

    def test_a_hostile_reason_moves_no_cursor(self, desk: Desk) -> None:
        desk.build("v1.0")
        done = desk.quickly("promote", "v1.0", "--to", "dev", TAGFLOW_ACTOR="\x1b]0;owned\x07eve\r")
        assert done.status == 0
        assert "\x1b" not in desk.quickly("status").out

    def test_pipe_to_head(self, desk: Desk) -> None:
        command = f"{sys.executable} -m tagflow status -v; echo $? >&2"
        script = f"set -o pipefail; ({command}) | head -n 1"
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=desk.path,
            env=surroundings(desk.path, {}),
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert b"Traceback" not in done.stderr
        assert b"BrokenPipe" not in done.stderr

    @pytest.mark.parametrize("arguments", ["schema", "schema -o json", "tags v1.0"])
    def test_a_reader_that_is_gone_is_no_bug(self, desk: Desk, arguments: str) -> None:
        """As a shell tells of SIGPIPE: 128 + 13, and nothing is said."""
        read, write = os.pipe()
        os.close(read)
        done = subprocess.run(
            [sys.executable, "-m", "tagflow", *arguments.split()],
            cwd=desk.path,
            env=surroundings(desk.path, {}),
            stdout=write,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
        os.close(write)
        assert (done.returncode, done.stderr) == (141, b"")

    def test_a_reader_that_is_gone(self, desk: Desk) -> None:
        """`tagflow schema | true`: far more than fits, and nobody reads."""
        read, write = os.pipe()
        os.close(read)
        done = subprocess.run(
            [sys.executable, "-m", "tagflow", "schema"],
            cwd=desk.path,
            env=surroundings(desk.path, {}),
            stdout=write,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
        os.close(write)
        assert done.stderr == b""

    @pytest.mark.parametrize(
        "arguments", [["tags", "v1.0"], ["tags", "v1.0", "-o", "json"], ["next", "x", "-o", "json"]]
    )
    def test_a_full_disk(self, desk: Desk, arguments: list[str]) -> None:
        with open("/dev/full", "w") as full:
            done = subprocess.run(
                [sys.executable, "-m", "tagflow", *arguments],
                cwd=desk.path,
                env=surroundings(desk.path, {}),
                stdout=full,
                stderr=subprocess.PIPE,
                timeout=60,
                check=False,
            )
        code, status = (b"usage.invalid", 2) if "x" in arguments else (b"output.unwritable", 6)
        assert done.stderr.startswith(b"error[" + code)
        assert b"Traceback" not in done.stderr
        assert done.returncode == status

    @pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
    def test_closed_streams(self, desk: Desk, closed: str) -> None:
        desk.build("v1.0")
        done = subprocess.run(
            ["sh", "-c", f"{sys.executable} -m tagflow promote v1.0 --to dev {closed}"],
            cwd=desk.path,
            env=surroundings(desk.path, {}),
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, b"")
        assert desk.tag("frontend", "dev") is not None


class TestHostileText:
    HOSTILE = "up \u202edown\u2066 \x1b]0;owned\x07 \x9b31m \x7f \u200b\u2028 \U000e0041 \u0645 größer"

    def test_json_escapes_what_moves_a_cursor_or_turns_a_line(self, desk: Desk) -> None:
        desk.build("v1.0")
        assert desk.quickly("promote", "v1.0", "--to", "dev", "--reason", self.HOSTILE).status == 0
        done = desk.quickly("history", "dev", "-o", "json")
        assert [it for it in done.out if not it.isprintable() and it != "\n"] == []
        assert done.result["entries"][0]["reason"] == self.HOSTILE
        assert "größer" in done.out

    def test_github_is_told_in_its_own_words(self, desk: Desk) -> None:
        desk.through("v1.0", "dev")
        done = desk.quickly("promote", "v1.0", "--to", "prod", GITHUB_ACTIONS="true")
        (told,) = [line for line in done.err.splitlines() if line.startswith("::")]
        assert told.startswith("::error title=tagflow promotion.order::frontend, backend: v1.0 cannot go to prod")
        assert "%0A" in told
        assert "::error" not in desk.quickly("promote", "v1.0", "--to", "prod").err

    def test_nobody_else_speaks_to_github(self, desk: Desk) -> None:
        done = desk.quickly("promote", "x\n::add-mask::y", "--to", "dev", GITHUB_ACTIONS="true")
        assert [line for line in done.err.splitlines() if line.lstrip().startswith("::add-mask")] == []

    @pytest.mark.parametrize("variable", ["GITHUB_ACTIONS", "TF_BUILD", "TEAMCITY_VERSION"])
    def test_what_somebody_wrote_is_no_command_of_a_ci_system(self, desk: Desk, variable: str) -> None:
        """GitHub looks for `##[` anywhere in a line, Azure Pipelines for `##vso[`, TeamCity for `##teamcity[`."""
        reason = "so ##[set-output name=digest]x ##vso[task.setvariable variable=x]y ##teamcity[buildStop]"
        desk.build("v1.0")
        log = {variable: "true"}
        said = desk.quickly("freeze", "dev", "--reason", reason, **log)
        assert said.status == 0
        for words in (["history", "dev"], ["status", "dev"], ["promote", "v1.0", "--to", "dev"]):
            for output in ("text", "json"):
                done = desk.quickly(*words, "-o", output, **log)
                told = [line for line in done.err.splitlines() if not line.startswith("::error ")]
                assert not re.search(r"##\w*\[", done.out + "".join(told))
                assert output == "text" or reason in str(done.document)
        assert reason in desk.quickly("history", "dev").out

    def test_a_warning_is_no_command_of_a_ci_system(self, desk: Desk) -> None:
        desk.write(POLICY + "notify: [{run: \"sh -c 'echo ::set-output name=x::y##[add-mask]v; exit 1'\"}]\n")
        desk.build("v1.0")
        done = desk.quickly("promote", "v1.0", "--to", "dev", GITHUB_ACTIONS="true")
        assert "failed with exit status 1" in done.err
        assert "##[" not in done.err

    def test_an_error_says_where_more_is_told(self, desk: Desk) -> None:
        desk.through("v1.0", "dev")
        assert "docs/errors.md#promotion.order\n" in desk.quickly("promote", "v1.0", "--to", "prod").err


class TestTerminal:
    def test_the_end_of_the_input_is_no(self, desk: Desk) -> None:
        desk.build("v1.0")
        shown = at_terminal(desk, ["promote", "v1.0", "--to", "dev"], {}, answer="\x04").replace("\r", "")
        assert "[y/N] \n" in shown
        assert "not confirmed: nothing was changed" in shown
        assert desk.tag("frontend", "dev") is None

    def test_ctrl_c_at_the_question_is_no(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupt() -> str:
            raise KeyboardInterrupt

        monkeypatch.setattr(sys, "stdin", SimpleNamespace(readline=interrupt))
        assert _answer("Go on?") == ""

    def test_it_asks_and_no_is_no(self, desk: Desk) -> None:
        desk.build("v1.0")
        shown = at_terminal(desk, ["promote", "v1.0", "--to", "dev"], {}, answer="n\n")
        assert "v1.0-dev" in shown
        assert desk.tag("frontend", "dev") is None

    def test_yes_is_yes(self, desk: Desk) -> None:
        desk.build("v1.0")
        at_terminal(desk, ["promote", "v1.0", "--to", "dev"], {}, answer="y\n")
        assert desk.tag("frontend", "dev") is not None

    def test_the_option_answers(self, desk: Desk) -> None:
        desk.build("v1.0")
        at_terminal(desk, ["promote", "v1.0", "--to", "dev", "--yes"], {})
        assert desk.tag("frontend", "dev") is not None

    def test_without_a_terminal_nothing_is_asked(self, desk: Desk) -> None:
        desk.through("v1.0", "dev")
        assert desk.tag("frontend", "dev") is not None


class TestInit:
    def test_what_it_writes_works(self, tmp_path: Path) -> None:
        desk = Desk(tmp_path)
        done = desk.quickly(
            "init", "--registry", "oci:./images", "--image", "web", "--image", "api", "--env", "dev", "--env", "prod"
        )
        assert done.status == 0
        assert "promotion.yaml" in done.out
        assert desk.quickly("tags", "v1.0.0", "--env", "prod").status == 0
        assert [row["image"] for row in desk.json("status")["result"]["images"]] == ["web", "api"]

    def test_without_options_too(self, tmp_path: Path) -> None:
        desk = Desk(tmp_path)
        assert desk.quickly("init").status == 0
        assert desk.quickly("tags", "v1.0.0").status == 0

    def test_it_never_overwrites(self, desk: Desk) -> None:
        before = (desk.path / "promotion.yaml").read_bytes()
        document = desk.json("init")
        assert document["exit_code"] == 2
        assert "--force" in document["error"]["hint"]
        assert (desk.path / "promotion.yaml").read_bytes() == before
        assert desk.quickly("init", "--force").status == 0
        assert (desk.path / "promotion.yaml").read_bytes() != before

    def test_a_dangling_link_is_not_followed(self, tmp_path: Path) -> None:
        (tmp_path / "promotion.yaml").symlink_to(tmp_path / "elsewhere")
        assert Desk(tmp_path).quickly("init").status == 2
        assert not (tmp_path / "elsewhere").exists()

    @pytest.mark.parametrize(
        "arguments",
        [
            ["--env", "Prod"],
            ["--env", "latest"],
            ["--env", "rc"],
            ["--image", "v1.0"],
            ["--registry", "https://x"],
            ["--registry", ""],
            ["--image", "Ü"],
        ],
    )
    def test_what_would_be_no_policy_is_not_written(self, tmp_path: Path, arguments: list[str]) -> None:
        desk = Desk(tmp_path)
        done = desk.quickly("init", *arguments)
        if done.status == 0:
            assert desk.quickly("tags", "v1.0.0").status == 0
        else:
            assert done.status == 2
            assert not (tmp_path / "promotion.yaml").exists()


class TestWaiting:
    """A registry that has too many requests: who sits at a terminal is told why nothing happens."""

    TOLD = "has had too many requests (HTTP 429): waiting"

    @pytest.fixture
    def busy(self, desk: Desk) -> Iterator[Desk]:
        """A registry that has nothing, and refuses the first request for a second."""
        refusing = instead(Say(429, headers={"Retry-After": "1"}), times=1)
        with standin(lambda _: Say(404), refusing) as server:
            desk.write(POLICY.replace("oci:./registry", f"{server.host}/acme"))
            yield desk
            assert server.count("GET", "/tags/list") > 2

    def test_at_a_terminal(self, busy: Desk) -> None:
        assert at_terminal(busy, ["rollback", "dev"], {}).count(self.TOLD) == 1

    def test_nobody_watches(self, busy: Desk) -> None:
        assert self.TOLD not in busy.started("rollback", "dev").err

    def test_a_document_is_asked_for(self, busy: Desk) -> None:
        assert self.TOLD not in at_terminal(busy, ["rollback", "dev", "-o", "json"], {})


def at_terminal(desk: Desk, arguments: list[str], environ: dict[str, str], answer: str = "") -> str:
    """What a run shows at a terminal, with an answer typed in."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "tagflow", *arguments],
        cwd=desk.path,
        env=surroundings(desk.path, environ),
        stdin=follower,
        stdout=follower,
        stderr=follower,
    )
    os.close(follower)
    os.write(leader, answer.encode())
    shown = b""
    try:
        while select.select([leader], [], [], 30)[0]:
            chunk = os.read(leader, 65536)
            if not chunk:
                break
            shown += chunk
    except OSError:
        pass
    finally:
        os.close(leader)
        process.wait(timeout=30)
    text = shown.decode()
    assert "Traceback" not in text
    return text
