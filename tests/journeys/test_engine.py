"""With a Docker Engine: an image that exists only in one daemon comes to run on another machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests import images
from tests.cli.runner import Desk
from tests.daemons import Daemon
from tests.journeys.tools import Journey, asked, policy, uploaded
from tests.marks import LONG
from tests.servers import RegistryServer

pytestmark = [pytest.mark.registry, pytest.mark.engine]

THREE = "{dev: {}, test: {}, prod: {}}"


def on(daemon: Daemon, desk: Desk, *arguments: str, status: int = 0) -> dict[str, Any]:
    """The document of a command, as a process on a machine with that daemon."""
    done = desk.tagflow(*arguments, "-o", "json", DOCKER_HOST=daemon.host)
    assert done.status == status, done.err + done.out
    return done.document


@pytest.fixture
def journey(registry: RegistryServer, tmp_path: Path) -> Journey:
    address = str(registry.fresh())
    return Journey(tmp_path, policy(address, THREE), address)


@LONG
def test_from_one_daemon_to_another(
    journey: Journey, registry: RegistryServer, builder: Daemon, production: Daemon
) -> None:
    """Pushed, promoted and pulled: the same image ID runs. A second push brings nothing in again."""
    built = builder.build("frontend:build", "from dev to prod")
    path = journey.repository("frontend").path
    push = ("push", "v1.0", "frontend=docker-daemon:frontend:build")
    pushed = on(builder, journey.here, *push)["result"]
    assert (pushed["environment"], pushed["applied"]) == ("dev", True)
    since = len(registry.requests())
    again = on(builder, journey.here, *push)["result"]
    assert {move["action"] for move in again["plan"]["moves"]} == {"keep"}
    assert [it for it in asked(registry, since, path) if it.method not in ("GET", "HEAD")] == []
    journey.through("v1.0", "test", "prod")
    assert uploaded(asked(registry, since, path)) == set()
    journey.forget()
    [pulled] = on(production, journey.here, "pull", "prod")["result"]["images"]
    assert pulled["id"] == built == production.id(pulled["id"])
    assert pulled["digest"] == journey.tags("frontend")["v1.0"]
    assert production.run(pulled["reference"]) == "from dev to prod"
    assert f"{journey.repository('frontend')}:prod" in production.tags(built)
    assert journey.problems() == [], "a scratch tag that the registry cannot remove harms nobody"


def test_another_build_under_the_same_version(journey: Journey, builder: Daemon) -> None:
    push = ("push", "v1.0", "frontend=docker-daemon:frontend:build")
    builder.build("frontend:build", "one")
    on(builder, journey.here, *push)
    before = journey.tags("frontend")
    builder.build("frontend:build", "two")
    refusal = on(builder, journey.here, *push, status=3)
    assert refusal["error"]["code"] == "tag.immutable"
    assert journey.tags("frontend") == before


def test_an_image_that_the_daemon_does_not_have(journey: Journey, builder: Daemon) -> None:
    document = on(builder, journey.here, "push", "v1.0", "frontend=docker-daemon:nothing:here", status=4)
    assert document["error"]["hint"]
    assert journey.tags("frontend") == {}


def test_no_daemon(journey: Journey, tmp_path: Path) -> None:
    done = journey.here.tagflow(
        "push", "v1.0", "frontend=docker-daemon:frontend", "-o", "json", DOCKER_HOST=f"unix://{tmp_path}/none.sock"
    )
    assert done.status == 6
    assert done.document["error"]["hint"]
    assert journey.tags("frontend") == {}


class TestThroughTheDaemon:
    """``engine: docker`` from one registry to another."""

    @pytest.fixture
    def journey(self, registry: RegistryServer, second_registry: RegistryServer, tmp_path: Path) -> Journey:
        address = str(registry.fresh())
        there = address.replace(registry.host, second_registry.host)
        text = policy(address, f"{{dev: {{}}, prod: {{registry: {there}}}}}", more="engine: docker\n")
        return Journey(tmp_path, text, address)

    def test_an_index_is_refused_within_a_repository_too(self, journey: Journey, builder: Daemon) -> None:
        images.index(journey.store("frontend"), tag="v1.0")
        before = journey.tags("frontend")
        document = on(builder, journey.here, "promote", "v1.0", "--to", "dev", status=3)
        assert document["error"]["code"] == "engine.would_change_digest"
        assert journey.tags("frontend") == before

    def test_an_index_is_refused_before_anything_is_pushed(
        self, journey: Journey, second_registry: RegistryServer, builder: Daemon
    ) -> None:
        images.index(journey.store("frontend"), tag="v1.0")
        journey.here.write(journey.policy.replace("engine: docker", "engine: auto"))
        journey.through("v1.0", "dev")
        journey.here.write(journey.policy)
        since, before = len(second_registry.requests()), journey.tags("frontend")
        document = on(builder, journey.here, "promote", "v1.0", "--to", "prod", status=3)
        assert document["error"]["code"] == "engine.would_change_digest"
        assert document["error"]["hint"]
        wrote = asked(second_registry, since, journey.repository("frontend").path)
        assert [it for it in wrote if it.method not in ("GET", "HEAD")] == []
        assert journey.tags("frontend") == before

    def test_an_image_of_a_daemon_keeps_its_digest(
        self, journey: Journey, second_registry: RegistryServer, builder: Daemon, production: Daemon
    ) -> None:
        built = builder.build("frontend:build", "through the daemon")
        on(builder, journey.here, "push", "v1.0", "frontend=docker-daemon:frontend:build")
        on(builder, journey.here, "promote", "v1.0", "--to", "prod")
        [pulled] = on(production, journey.here, "pull", "prod")["result"]["images"]
        assert (pulled["id"], pulled["digest"]) == (built, journey.tags("frontend")["v1.0"])
        assert pulled["reference"].startswith(second_registry.host)
        assert production.run(pulled["reference"]) == "through the daemon"
