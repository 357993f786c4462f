"""The commands of a policy: where they run, and what ends them."""

from __future__ import annotations

from pathlib import Path

from tests.cli.runner import Desk


class TestWhere:
    TEXT = (
        "version: 1\nregistry: oci:./registry\nimages: {frontend: frontend, backend: back_end}\nenvironments:\n"
        "  dev:\n  prod:\n    gates:\n      - {name: approved, run: ./gates/approved.sh}\n"
    )

    def test_commands_run_where_the_policy_is(self, tmp_path: Path) -> None:
        """As `include` and `oci:DIR` are read from there: the same answer in whatever directory tagflow is called."""
        desk = Desk(tmp_path)
        desk.write(self.TEXT + "notify: [{run: sh -c 'pwd > told'}]\n")
        (tmp_path / "gates").mkdir()
        (tmp_path / "elsewhere/gates").mkdir(parents=True)
        for place, status in (("gates", 0), ("elsewhere/gates", 1)):
            script = tmp_path / place / "approved.sh"
            script.write_text(f"#!/bin/sh\nexit {status}\n")
            script.chmod(0o755)
        desk.through("v1.0.0", "dev")
        elsewhere = Desk(tmp_path / "elsewhere")
        assert elsewhere.tagflow("promote", "v1.0.0", "--to", "prod").status == 0
        assert (tmp_path / "told").read_text().strip() == str(tmp_path)

    def test_the_total_timeout_ends_them_too(self, tmp_path: Path) -> None:
        desk = Desk(tmp_path)
        desk.write(self.TEXT.replace("./gates/approved.sh", "sleep 600"))
        desk.through("v1.0.0", "dev")
        done = desk.tagflow("promote", "v1.0.0", "--to", "prod", "--timeout", "2s")
        assert done.status in (3, 6)
