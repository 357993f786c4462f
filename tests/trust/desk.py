"""Desks of several people over one registry: each with a directory and a key of their own."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.cli.runner import Desk, Done
from tests.trust.keyring import pair

NAMES = ("ci", "alice", "bob", "carol", "deploy")
PATHS = {"frontend": "frontend", "backend": "back_end"}
POLICY = """\
version: 1
registry: oci:{registry}
images: {{frontend: frontend, backend: back_end}}
signers:
  ci: {{key: keys/ci.pub}}
  alice: {{key: keys/alice.pub}}
  bob: {{key: keys/bob.pub}}
  carol: {{key: keys/carol.pub}}
environments:
  dev: {{signed_by: [ci]}}
  prod:
    floating: [latest]
    signed_by: [ci]
    approvals: [{{need: 2, of: [alice, bob, carol]}}]
    approvals_expire: 3d
"""


@dataclass
class Clock:
    """Turned by hand."""

    at: datetime = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)

    def now(self) -> datetime:
        self.at += timedelta(seconds=1)
        return self.at


@dataclass
class Office:
    """People with a checkout of the policy each, and one registry."""

    folder: Path
    text: str = POLICY
    clock: Clock = field(default_factory=Clock)

    def desk(self, name: str) -> Desk:
        """Somebody's checkout."""
        path = self.folder / name
        if not path.exists():
            (path / "keys").mkdir(parents=True)
            for signer in NAMES:
                (path / "keys" / f"{signer}.pub").write_text(pair(signer).public)
            (path / "promotion.yaml").write_text(self.text.format(registry=self.folder / "registry"))
        return Desk(path, self.clock.now)

    def run(self, name: str, *arguments: str, key: str | None = None) -> Done:
        """Somebody runs tagflow, with their own key (``key``: another's; empty: none)."""
        key = name if key is None else key
        environ = {"TAGFLOW_ACTOR": name}
        if key:
            environ |= {"TAGFLOW_SIGN_KEY": "env:SECRET_KEY", "SECRET_KEY": pair(key).private}
        done = self.desk(name).quickly(*arguments, **environ)
        assert "PRIVATE" not in done.out + done.err
        assert "Traceback" not in done.err, done.err
        return done

    def well(self, name: str, *arguments: str, key: str | None = None) -> Done:
        """The same; it ends with 0."""
        done = self.run(name, *arguments, key=key)
        assert done.status == 0, done.err
        return done

    def json(self, name: str, *arguments: str, key: str | None = None) -> dict[str, Any]:
        """The document of a command."""
        done = self.run(name, *arguments, "-o", "json", key=key)
        document = done.document
        assert list(document) == ["tagflow", "command", "ok", "exit_code", "result", "error"]
        assert document["exit_code"] == done.status
        return document

    def build(self, version: str) -> None:
        """Another tool pushes builds of both images."""
        from tagflow.domain.reference import Repository
        from tagflow.stores.layout.store import LayoutStore
        from tests import images

        for path in PATHS.values():
            store = LayoutStore(Repository(f"oci:{self.folder}/registry", path))
            images.index(store, seed=path + version, tag=version)

    def runs(self) -> dict[str, str | None]:
        """What prod runs."""
        result = self.json("ci", "status", "prod", key="")["result"]
        return {row["image"]: row["environments"][0]["version"] for row in result["images"]}
