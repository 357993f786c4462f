"""Policies and plan files that mean harm, and names that would be more than names."""

from __future__ import annotations

import json
import os
import resource
import shutil
from pathlib import Path

import pytest

from tagflow.cli.text import cell
from tests.cli.runner import POLICY, Desk

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    made = Desk(tmp_path)
    made.write(POLICY)
    return made


def refused(desk: Desk, *arguments: str) -> str:
    """It is refused with status 2, quickly and within bounded memory, and nothing is written."""
    before = desk.files()
    done = desk.quickly(*arguments)
    assert done.status == 2, done.err
    assert desk.files() == before
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 2_000_000  # kilobytes
    return done.err


class TestPolicy:
    @pytest.mark.parametrize(
        "text",
        [
            BOMB,
            "a: &a\n  b: *a\n",
            "[" * 100_000,
            "{" * 100_000,
            "- " * 100_000,
            "x: !!python/object/apply:os.system ['touch pwned']\n",
            "x: !!python/name:os.system\n",
            "x: !<tag:yaml.org,2002:python/object:x> y\n",
            POLICY + "# " + "x" * 5_000_000,
            "%YAML 9.9\n---\n" + POLICY,
            "\0" * 10_000,
        ],
        ids=["laughs", "circle", "deep-list", "deep-map", "deep-dash", "apply", "name", "tag", "huge", "yaml9", "nul"],
    )
    def test_bombs_and_tags(self, desk: Desk, text: str) -> None:
        desk.write(text)
        refused(desk, "status")
        assert not (desk.path / "pwned").exists()

    @pytest.mark.parametrize(
        "name", ["../../etc", "..", "/etc", "a/../../b", "a//b", ".", "a/./b", "~", "a\\b", "%2e%2e"]
    )
    def test_a_repository_leads_out_of_its_directory(self, desk: Desk, name: str) -> None:
        desk.write(POLICY.replace("back_end", f'"{name}"'.replace("\\", "\\\\")))
        refused(desk, "status")

    def test_a_layout_that_is_a_link_out_of_its_directory(self, desk: Desk) -> None:
        elsewhere = desk.path / "elsewhere"
        elsewhere.mkdir()
        (desk.path / "registry").mkdir()
        (desk.path / "registry/frontend").symlink_to(elsewhere)
        done = desk.quickly("promote", "v1.0", "--to", "dev")
        assert (done.status, "layout.outside" in done.err) == (6, True)
        assert list(elsewhere.iterdir()) == []

    @pytest.mark.parametrize("part", ["blobs", "blobs/sha256"])
    @pytest.mark.parametrize("absolute", [True, False])
    def test_a_layout_whose_content_is_a_link_out_of_it(
        self, desk: Desk, tmp_path_factory: pytest.TempPathFactory, part: str, absolute: bool
    ) -> None:
        """Whoever can write into the directory could have tagflow write wherever its user can."""
        desk.build("v1.0")
        outside = tmp_path_factory.mktemp("outside") / "there"
        link = desk.path / "registry/frontend" / part
        shutil.move(link, outside)
        link.symlink_to(outside if absolute else os.path.relpath(outside, link.parent))
        before = sorted(outside.rglob("*"))
        done = desk.quickly("promote", "v1.0", "--to", "dev")
        assert (done.status, "layout.outside" in done.err) == (6, True), done.err
        assert sorted(outside.rglob("*")) == before
        assert desk.tag("frontend", "dev") is None

    @pytest.mark.parametrize(
        "path", ["/etc/shadow", "../../../../../../../etc/passwd", "/dev/zero", "/proc/self/environ"]
    )
    def test_an_include_of_what_is_no_policy_tells_nothing_of_it(self, desk: Desk, path: str) -> None:
        desk.write(POLICY + f"include: [{path}]\n")
        told = refused(desk, "status")
        assert "root:" not in told
        assert "TAGFLOW_ACTOR" not in told

    def test_an_include_that_is_a_link_to_itself(self, desk: Desk) -> None:
        (desk.path / "loop.yaml").symlink_to("loop.yaml")
        desk.write(POLICY + "include: [loop.yaml]\n")
        refused(desk, "status")

    def test_an_include_of_the_policy_itself(self, desk: Desk) -> None:
        desk.write(POLICY + "include: [promotion.yaml]\n")
        refused(desk, "status")


class TestGates:
    @pytest.mark.parametrize(
        "run",
        ["./show $(touch pwned) '`touch pwned`' ; touch pwned", "./show '{image} {version}' \"a 'b' c\" {digest}x"],
    )
    def test_no_shell_reads_them(self, desk: Desk, run: str) -> None:
        show = desk.path / "show"
        show.write_text('#!/bin/sh\nfor it in "$@"; do printf "<%s>\\n" "$it"; done > "$PWD/seen-$TAGFLOW_IMAGE"\n')
        show.chmod(0o755)
        gate = json.dumps({"name": "g", "run": run})
        desk.write(POLICY.replace("test: {}", f"test: {{gates: [{gate}]}}"))
        desk.through("v1.0", "dev", "test")
        seen = (desk.path / "seen-frontend").read_text().splitlines()
        assert not (desk.path / "pwned").exists()
        if "image" in run:
            assert seen[:2] == ["<frontend v1.0>", "<a 'b' c>"]
            assert seen[2].startswith("<sha256:")
        else:
            assert "<$(touch>" in seen

    @pytest.mark.parametrize("version", ["v1.0 --help", "v1.0;id", "v1.0\nv2", "$(id)", "v1.0'", '"', "{digest}"])
    def test_no_version_carries_more_than_a_version(self, desk: Desk, version: str) -> None:
        before = desk.files()
        assert desk.quickly("promote", version, "--to", "dev").status in (2, 4)  # no version, or no such image
        assert desk.files() == before

    def test_what_is_in_two_braces_is_not_filled(self, desk: Desk) -> None:
        gate = json.dumps({"name": "g", "run": "test {version}{{version}} = v1.0{{version}}"})
        desk.write(POLICY.replace("test: {}", f"test: {{gates: [{gate}]}}"))
        desk.through("v1.0", "dev", "test")

    def test_a_newline_and_a_nul_in_an_argument(self, desk: Desk) -> None:
        gate = json.dumps({"name": "g", "run": "test 'a\nb' = 'a\nb'"})
        desk.write(POLICY.replace("test: {}", f"test: {{gates: [{gate}]}}"))
        desk.through("v1.0", "dev", "test")
        desk.write(POLICY.replace("test: {}", 'test: {gates: [{name: g, run: "true \\0"}]}'))
        assert desk.quickly("status").status == 2


class TestPlan:
    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"[" * 1_000_000,
            b'{"plan":' * 100_000,
            b"\xff\xfe",
            b'{"tagflow-plan": 1, "id": "x", "plan": {"request": {}, "policy": 7}}',
            b'{"tagflow-plan": 1, "id": ["x"], "plan": null}',
            b"!!python/object/apply:os.system ['touch pwned']",
        ],
    )
    def test_nonsense(self, desk: Desk, content: bytes) -> None:
        (desk.path / "plan.json").write_bytes(content)
        assert "plan.invalid" in refused(desk, "apply", "plan.json")

    def test_without_end(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tagflow.verbs.plans._LIMIT", 1_000_000)
        assert "plan.invalid" in refused(desk, "apply", "/dev/zero")

    def test_a_directory(self, desk: Desk) -> None:
        assert "plan.not_found" in refused(desk, "apply", ".")

    def test_made_for_another_policy(self, desk: Desk) -> None:
        desk.through("v1.0", "dev")
        assert desk.quickly("promote", "v1.0", "--to", "test", "--save-plan", "plan.json").status == 0
        desk.write(POLICY.replace("test: {}", "test: {soak: 1s}"))
        done = desk.quickly("apply", "plan.json")
        assert (done.status, "plan.stale" in done.err) == (5, True)
        assert desk.tag("frontend", "test") is None


class TestShown:
    HOSTILE = "\x1b[2J\x1b]0;owned\x07[red]x[/red]\rroot\x08\u202eevil\u2066\x9b31m"

    def test_a_reason_in_history_and_errors(self, desk: Desk) -> None:
        desk.build("v1.0")
        given = {"TAGFLOW_ACTOR": f"eve{self.HOSTILE}\nfrontend  9  promote"}
        assert desk.quickly("promote", "v1.0", "--to", "dev", "--reason", self.HOSTILE, **given).status == 0
        for command in (("history", "dev"), ("status",), ("verify",), ("status", self.HOSTILE)):
            done = desk.quickly(*command)
            for wrong in "\x1b\x07\r\x08\u202e\u2066\x9b":
                assert wrong not in done.out + done.err
        told = desk.quickly("history", "dev").out
        assert "\nfrontend  9" not in told, "a line break made a row that nobody wrote"
        assert "\\x0afrontend" in told.replace("\n", "")
        assert "[red]x[/red]" in desk.quickly("history", "dev").out

    def test_a_cell_is_one_line(self) -> None:
        assert cell("a\nb\tc\x1b") == "a\\x0ab\\x09c\\x1b"
