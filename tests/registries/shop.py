"""An application in a real registry, before which quirks stand, and the commands as a user types them."""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path

import urllib3

from tagflow.stores.registry.http.pace import Settings
from tagflow.stores.registry.store import RegistryHost, RegistryStore
from tests.cli.runner import Desk, Done
from tests.registries import quirks
from tests.servers import RegistryServer
from tests.standin import Override, Relay, StandIn

POLICY = """\
version: 1
registry: {registry}
images: {{app: app}}
environments: {{dev: {{}}, prod: {{floating: [latest]}}}}
"""


class Shop:
    """One application in a registry that a quirk stands before; ``direct`` sees it without."""

    def __init__(self, registry: RegistryServer, directory: Path, *overrides: Override, policy: str = POLICY) -> None:
        self.registry = registry
        self.relay = Relay(registry.host)
        self.server = StandIn(self.relay, *overrides)
        self.namespace = registry.fresh("shop").path
        self.host = RegistryHost(registry.host, Settings(environ={}))
        self.desk = Desk(directory)
        self.desk.path.mkdir(exist_ok=True)
        self.desk.write(policy.format(registry=f"{self.server.host}/{self.namespace}"))

    @property
    def direct(self) -> RegistryStore:
        return self.open("app")

    def open(self, image: str) -> RegistryStore:
        """An image's repository without any quirk."""
        return self.host.store(f"{self.namespace}/{image}")

    def run(self, *command: str) -> Done:
        return self.desk.quickly(*command)

    def do(self, *command: str) -> Done:
        """A command that is to end well."""
        done = self.run(*command)
        assert done.status == 0, (command, done.out, done.err)
        return done

    def delete(self, digest: str, image: str = "app") -> None:
        """What an administrator or a cleaner does: the manifest is gone, with every name of it."""
        answer = urllib3.request(
            "DELETE", f"http://{self.registry.host}/v2/{self.namespace}/{image}/manifests/{digest}"
        )
        assert answer.status == 202, answer.data

    def untag(self, tag: str, image: str = "app") -> None:
        """Some registries can; distribution 2.8 has to be helped."""
        shutil.rmtree(self._stored(image) / "_manifests/tags" / tag)

    def lose_blob(self, digest: str, image: str = "app") -> None:
        """As when a disk was restored from an older copy."""
        shutil.rmtree(self._stored(image) / "_layers/sha256" / digest.removeprefix("sha256:"))

    def _stored(self, image: str) -> Path:
        return self.registry.root / "storage/docker/registry/v2/repositories" / self.namespace / image

    def login(self) -> None:
        """As `docker login` leaves it."""
        pair = base64.b64encode(f"{quirks.USER}:{quirks.PASSWORD}".encode()).decode()
        (self.desk.path / ".docker").mkdir()
        config = {"auths": {self.server.host: {"auth": pair}}}
        (self.desk.path / ".docker/config.json").write_text(json.dumps(config))

    def push(self, version: str, name: str) -> int:
        """Push what another tool left under a name; the exit status."""
        source = f"app=docker://{self.server.host}/{self.namespace}/app:{name}"
        return self.desk.quickly("push", version, source).status

    def close(self) -> None:
        self.server.stop()
        self.relay.close()
        self.host.close()
