"""From dev to prod and back, as the issues' lists of "done" tell it: real registries, layouts, skopeo, processes."""

from __future__ import annotations

import json
import shlex
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tagflow.stores.port import OCI_MANIFEST, Manifest
from tests import images, warm
from tests.cli.runner import Desk, surroundings
from tests.journeys.tools import Journey, asked, downloaded, is_record, layers, policy, skopeo, uploaded
from tests.marks import LONG, mostly_long
from tests.servers import RegistryServer, free_port, require, running_registry

pytestmark = [pytest.mark.registry, pytest.mark.skopeo]

FOUR = "{dev: {}, test: {}, staging: {}, prod: {floating: [latest]}}"
TWO = "{dev: {}, prod: {downgrades: allow, floating: [latest, major]}}"


class TestForward:
    @pytest.fixture
    def journey(self, registry: RegistryServer, tmp_path: Path) -> Journey:
        address = str(registry.fresh())
        return Journey(tmp_path, policy(address, FOUR), address)

    def test_dev_to_prod_byte_for_byte(self, journey: Journey, registry: RegistryServer) -> None:
        journey.processes = True
        digest = journey.deliver("frontend", "v1.0", lambda store: images.index(store, seed="v1.0"))
        pushed = journey.raw("frontend", "v1.0")
        since = len(registry.requests())
        journey.through("v1.0", "dev", "test", "staging", "prod")
        requests = asked(registry, since, journey.repository("frontend").path)
        assert len(requests) > 8
        assert uploaded(requests) == set()
        assert downloaded(requests) == []
        names = ["dev", "test", "staging", "prod"]
        for tag in [*names, *(f"v1.0-{name}" for name in names), "latest", "v1.0"]:
            assert journey.raw("frontend", tag) == pushed, tag
        assert journey.cells("prod")["frontend"]["digest"] == digest
        assert len(json.loads(pushed)["manifests"]) == 2

    def test_wrong_order_and_missing_version(self, journey: Journey) -> None:
        journey.build("v1.0", "frontend")
        journey.through("v1.0", "dev")
        before = journey.tags("frontend")
        assert journey.run("promote", "v1.0", "--to", "prod", status=3)["error"]["code"] == "promotion.order"
        assert journey.run("promote", "v9.9", "--to", "test", status=4)["error"]["code"] == "version.not_found"
        assert journey.run("promote", "v9.9", "--to", "dev", status=4)["error"]["code"] == "version.not_found"
        assert journey.run("promote", "--to", "test", status=2)["error"]["code"] == "target.missing"
        assert journey.tags("frontend") == before

    def test_broken_yaml(self, journey: Journey) -> None:
        journey.here.write("version: 1\nimages: {frontend: frontend\nenvironments: {}\n")
        done = journey.here.tagflow("promote", "v1.0", "--to", "dev")
        assert done.status == 2
        assert "promotion.yaml:3:" in done.err

    def test_registry_down(self, journey: Journey) -> None:
        journey.here.write(policy(f"127.0.0.1:{free_port()}/acme", FOUR))
        document = journey.run("promote", "v1.0", "--to", "dev", "--timeout", "2s", status=6)
        assert document["error"]["code"].startswith("registry.")
        assert document["result"] is None

    def test_an_unpushed_version_with_a_dry_run(self, journey: Journey) -> None:
        journey.build("v1.0", "frontend")
        before = journey.tags("frontend")
        assert journey.run("promote", "v1.0", "--to", "dev", "--dry-run")["result"]["applied"] is False
        journey.run("promote", "v1.1", "--to", "dev", "--dry-run", status=4)
        assert journey.tags("frontend") == before


@LONG
class TestFromRegistryToRegistry:
    @pytest.fixture
    def journey(self, registry: RegistryServer, second_registry: RegistryServer, tmp_path: Path) -> Journey:
        address = str(registry.fresh())
        there = address.replace(registry.host, second_registry.host)
        return Journey(tmp_path, policy(address, f"{{dev: {{}}, prod: {{registry: {there}}}}}"), address)

    def test_what_is_there_is_not_sent_again(self, journey: Journey, second_registry: RegistryServer) -> None:
        common, first, second = (images.tar({name: name.encode()}) for name in ("common", "first", "second"))
        built = {
            version: journey.deliver(
                "frontend",
                version,
                lambda store, own=own: images.image(store, layers=[common, own]),  # type: ignore[misc]
            )
            for version, own in (("v1.0", first), ("v1.1", second))
        }
        journey.through("v1.0", "dev", "prod")
        path = journey.repository("frontend").path
        sent = uploaded(asked(second_registry, 0, path))
        store = journey.store("frontend")
        assert set(layers(store, built["v1.0"])) < sent
        since = len(second_registry.requests())
        journey.through("v1.1", "dev", "prod")
        again = uploaded(asked(second_registry, since, path))
        shared, own = layers(store, built["v1.1"])
        assert shared in sent
        assert own in again
        assert not again & sent
        there = f"docker://{second_registry.host}/{path}"
        for tag in ("prod", "v1.1", "v1.1-prod"):
            raw = skopeo("inspect", "--raw", "--tls-verify=false", f"{there}:{tag}")
            assert raw == journey.raw("frontend", "v1.1"), tag

    def test_an_index_travels_whole_and_back_it_goes_there(
        self, journey: Journey, second_registry: RegistryServer, tmp_path: Path
    ) -> None:
        for version in ("v1.0", "v1.1"):
            journey.build(version, "frontend")
            journey.through(version, "dev", "prod")
        there = f"docker://{second_registry.host}/{journey.repository('frontend').path}"
        skopeo("copy", "--all", "--src-tls-verify=false", f"{there}:prod", f"oci:{tmp_path}/out:prod")
        journey.forget()
        journey.run("rollback", "prod")
        raw = skopeo("inspect", "--raw", "--tls-verify=false", f"{there}:prod")
        assert raw == journey.raw("frontend", "v1.0")


@pytest.fixture(params=mostly_long(["registry", "layouts", "history apart", "layouts, history apart"], "registry"))
def medium(request: pytest.FixtureRequest, tmp_path: Path) -> Journey:
    """The same journey on a registry and on disk, with the records beside the images and apart."""
    on_disk = request.param.startswith("layouts")
    apart = request.param.endswith("apart")
    server: RegistryServer | None = None if on_disk else request.getfixturevalue("registry")
    address = str(server.fresh()) if server else str(tmp_path / "layouts")
    more = 'history: {repository: "{repository}-history"}\n' if apart else ""
    text = policy(address, TWO, names=("frontend", "backend"), more=more)
    return Journey(tmp_path, text, address, history="{}-history" if apart else "")


class TestBack:
    @LONG
    def test_on_another_machine(self, medium: Journey) -> None:
        """The release manager's night: back, back, no further; held; the override; the whole story told."""
        built = {}
        for version in ("v1.0", "v1.1", "v1.2"):
            built[version] = medium.build(version, "frontend", "backend")
            medium.through(version, "dev", "prod")
            self.check(medium, built, version)
        medium.forget()
        medium.processes = True
        medium.run("rollback", "prod", "--reason", "slow")
        self.check(medium, built, "v1.1")
        medium.forget()
        medium.run("rollback", "prod")
        medium.processes = False
        self.check(medium, built, "v1.0")
        before = medium.tags("frontend")
        refusal = medium.run("rollback", "prod", status=4)["error"]
        assert refusal["code"] == "rollback.nothing"
        assert refusal["hint"]
        held = medium.run("promote", "v1.2", "--to", "prod", status=3)["error"]
        assert held["code"] == "promotion.held"
        assert medium.tags("frontend") == before
        assert medium.cells("prod")["backend"]["holds"] == ["v1.1", "v1.2"]
        medium.promote("v1.2", to="prod", override="hold", reason="mended")
        self.check(medium, built, "v1.2")
        assert medium.cells("prod")["frontend"]["holds"] == ["v1.1"]
        self.tell(medium)
        assert medium.raw("frontend", "latest") == medium.raw("frontend", "prod") == medium.raw("frontend", "v1.2")
        assert medium.problems() == []

    def check(self, journey: Journey, built: dict[str, dict[str, Any]], version: str) -> None:
        """Where prod and latest stand, as skopeo sees it too."""
        assert journey.runs("prod") == {"frontend": version, "backend": version}
        for name, digest in built[version].items():
            tags = journey.tags(name)
            assert (tags["prod"], tags["latest"], tags[version]) == (digest, digest, digest)

    def tell(self, journey: Journey) -> None:
        entries = journey.story("prod", "backend")
        told = [(it["action"], it["version"], it["previous_version"], it["reason"]) for it in entries]
        assert told == [
            ("promote", "v1.0", None, ""),
            ("promote", "v1.1", "v1.0", ""),
            ("promote", "v1.2", "v1.1", ""),
            ("rollback", "v1.1", "v1.2", "slow"),
            ("rollback", "v1.0", "v1.1", ""),
            ("promote", "v1.2", "v1.0", "mended"),
        ]
        assert [it["sequence"] for it in entries] == [1, 2, 3, 4, 5, 6]
        assert entries[-1]["overrides"] == ["hold"]
        assert {it["actor"] for it in entries} == {"ann"}
        for older, newer in pairwise(entries):
            assert newer["parents"] == [older["record"]]
            assert newer["previous_digest"] == older["digest"]

    def test_anyone_can_read_the_records(self, medium: Journey) -> None:
        medium.build("v1.0", "frontend", "backend")
        medium.through("v1.0", "dev", "prod")
        where = medium.history.format("frontend") or "frontend"
        [tag] = [tag for tag in medium.records("frontend") if ".prod." in tag]
        # In a layout, skopeo names no tag that begins with "_": there a record is a file.
        record = json.loads(medium.file(where, tag) if medium.on_disk else medium.raw(where, tag))
        assert (record["mediaType"], record["artifactType"]) == (
            OCI_MANIFEST,
            "application/vnd.tagflow.record.v1+json",
        )
        notes = {key.removeprefix("io.tagflow.record."): text for key, text in record["annotations"].items()}
        assert (notes["environment"], notes["action"], notes["version"]) == ("prod", "promote", "v1.0")
        assert (notes["digest"], notes["actor"]) == (medium.tags("frontend")["v1.0"], "ann")
        assert notes["members"].startswith("*=v1.0 #"), "every image of the policy, at the version that they share"
        if medium.history:
            assert not [it for it in medium.tags("frontend") if is_record(it)]

    def test_the_lone_one_first_then_both(self, medium: Journey) -> None:
        for version in ("v1.0", "v1.1", "v1.2"):
            medium.build(version, "frontend", "backend")
            medium.through(version, "dev")
        medium.promote("v1.0", to="prod")
        medium.promote("v1.1", to="prod")
        medium.promote("backend=v1.2", to="prod")
        medium.forget()
        medium.run("rollback", "prod")
        assert medium.runs("prod") == {"frontend": "v1.1", "backend": "v1.1"}
        medium.run("rollback", "prod")
        assert medium.runs("prod") == {"frontend": "v1.0", "backend": "v1.0"}

    @LONG
    def test_moved_by_hand(self, medium: Journey) -> None:
        """skopeo puts something foreign on prod: it is told, taken over, and can be gone back to."""
        for version in ("v1.0", "v1.1"):
            medium.build(version, "frontend", "backend")
            medium.through(version, "dev")
        medium.promote("v1.0", to="prod")
        foreign = medium.deliver("frontend", "prod", lambda store: images.index(store, seed="foreign"))
        assert medium.tags("frontend")["prod"] == foreign
        [drift] = medium.problems()
        assert (drift["image"], drift["environment"], drift["problem"]) == ("frontend", "prod", "drift")
        assert (drift["expected"], drift["actual"]) == (medium.tags("frontend")["v1.0"], foreign)
        assert "tagflow rollback prod frontend" in drift["repair"]
        cell = medium.cells("prod")["frontend"]
        assert (cell["state"], cell["version"], cell["digest"]) == ("unrecorded", None, foreign)
        medium.promote("v1.1", to="prod")
        assert [it["action"] for it in medium.story("prod", "frontend")] == ["promote", "adopt", "promote"]
        assert medium.problems() == []
        medium.forget()
        medium.run("rollback", "prod")
        assert medium.tags("frontend")["prod"] == foreign
        assert medium.tags("backend")["prod"] == medium.tags("backend")["v1.0"]
        assert medium.cells("prod")["frontend"]["state"] == "recorded"

    @LONG
    def test_a_repository_that_never_saw_tagflow(self, medium: Journey) -> None:
        """Tags that others made by the same names are taken over as they stand."""
        for version in ("v1.0", "v1.1"):
            medium.build(version, "frontend", "backend")
        for name in ("frontend", "backend"):
            store = medium.store(name)
            for tag in ("dev", "prod"):
                store.put(store.get("v1.0"), tag)
        medium.through("v1.1", "dev", "prod")
        for name in ("frontend", "backend"):
            told = [(it["action"], it["version"]) for it in medium.story("prod", name)]
            assert told == [("adopt", "v1.0"), ("promote", "v1.1")]
        medium.run("rollback", "prod")
        assert medium.runs("prod") == {"frontend": "v1.0", "backend": "v1.0"}


def collect_garbage(server: RegistryServer) -> None:
    """What an administrator runs."""
    done = subprocess.run(
        [require("docker-registry"), "garbage-collect", "--delete-untagged", str(server.root / "config.yml")],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()


@LONG
def test_garbage_collection(tmp_path: Path) -> None:
    """After ten promotions, a move by hand and a rollback: every target and every record still pulls."""
    with running_registry(tmp_path / "registry") as server:
        address = f"{server.host}/acme"
        journey = Journey(tmp_path, policy(address, TWO), address)
        store = journey.store("frontend")

        doomed = images.image(store, content=b"nobody names it").digest
        for minor in range(10):
            images.image(store, content=f"{minor}".encode(), tag=f"v1.{minor}")
            if minor == 5:
                images.image(store, content=b"by hand", tag="prod")
            journey.through(f"v1.{minor}", "dev", "prod")
        journey.run("rollback", "prod")
        stack = [it["digest"] for it in journey.story("prod") if it["action"] != "rollback"]
        assert len(set(stack)) == 11
        collect_garbage(server)
        assert not store.has(doomed), "or the collector did nothing, and this test shows nothing"
        for digest in stack:
            journey.pulls("frontend", digest)
        records = journey.records("frontend")
        assert len(records) == 10 + 12
        for tag in records:
            assert journey.pulls("frontend", tag).artifact_type
        for name in (stack[0], stack[-1], records[0]):
            skopeo("copy", "--src-tls-verify=false", journey.at("frontend", name), f"dir:{tmp_path}/{name[-12:]}")
        journey.forget()
        assert journey.problems() == []
        journey.run("rollback", "prod", "v1.0")
        assert journey.runs("prod") == {"frontend": "v1.0"}
        journey.run("rollback", "prod", "v1.9")
        assert journey.runs("prod") == {"frontend": "v1.9"}


@LONG
class TestConcurrently:
    PROMOTERS = 20

    def test_twenty_promoters(self, registry: RegistryServer, tmp_path: Path) -> None:
        """Different versions into one environment at once: no record lost, no lie told, nobody fails without reason."""
        address = str(registry.fresh())
        journey = Journey(tmp_path, policy(address, "{prod: {floating: [latest]}}"), address)
        versions = [f"v1.{minor}" for minor in range(self.PROMOTERS)]
        store = journey.store("frontend")
        built = {version: images.image(store, content=version.encode(), tag=version).digest for version in versions}
        documents = self.race(journey.here, versions)
        for document in documents:
            assert document["exit_code"] in (0, 3, 5), "{code}: {message}".format_map(document["error"])
            assert document["ok"] or (document["error"]["message"] and document["error"]["hint"])
        won = [it for it in documents if it["ok"] and it["result"]["applied"]]
        assert won
        entries = journey.story("prod")
        recorded = {it["release"] for it in entries}
        assert {it["result"]["release"] for it in won} <= recorded
        assert len(journey.records("frontend")) == len(entries)
        self.tells_the_truth(journey, built)
        left = journey.here.json("verify", "--repair")["result"]["findings"]
        # Where a last move landed unseen, a person must say what counts: then the fork is left open too.
        assert {it["problem"] for it in left} <= {"drift", "history.fork"}
        self.tells_the_truth(journey, built)
        journey.promote("v1.0", "--override", "hold", "--reason", "the last word", to="prod")
        assert journey.problems() == []
        assert {it["record"] for it in entries} <= {it["record"] for it in journey.story("prod")}

    def race(self, desk: Desk, versions: list[str]) -> list[dict[str, Any]]:
        command: list[str | Path] = [warm.folder() / "tagflow", "promote", "--to", "prod", "-o", "json"]
        processes = [
            subprocess.Popen(
                [*command, version],
                cwd=desk.path,
                env=surroundings(desk.path, {"TAGFLOW_ACTOR": version}),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            for version in versions
        ]
        answers = [process.communicate(timeout=120) for process in processes]
        assert not [err for _, err in answers if b"Traceback" in err]
        return [json.loads(out) for out, _ in answers]

    def tells_the_truth(self, journey: Journey, built: dict[str, Any]) -> None:
        """What verify, status and history say is what the registry has."""
        stands = journey.tags("frontend")["prod"]
        [version] = [version for version, digest in built.items() if digest == stands]
        findings = journey.problems("prod")
        problems = {it["problem"] for it in findings}
        assert problems <= {"history.fork", "floating.wrong", "interrupted", "drift"}
        cell = journey.cells("prod")["frontend"]
        assert cell["digest"] == stands
        told = {"recorded": set(), "interrupted": {"interrupted"}, "unrecorded": {"drift"}}[cell["state"]]
        assert problems & {"interrupted", "drift"} == told
        assert {it["actual"] for it in findings if it["problem"] in told} <= {stands}
        assert cell["version"] == (version if cell["state"] == "recorded" else None)


@LONG
class TestWhatAnotherToolDidToProd:
    """`verify` on a real registry after skopeo moved tags: it finds it, and a repair never moves anything to a
    build that was refused."""

    @pytest.fixture
    def journey(self, registry: RegistryServer, tmp_path: Path) -> Journey:
        address = str(registry.fresh())
        journey = Journey(tmp_path, policy(address, TWO), address)
        for version in ("v1.0.0", "v1.1.0", "v1.2.0"):
            journey.build(version, "frontend")
            journey.through(version, "dev", "prod")
        return journey

    def stands(self, journey: Journey, *tags: str) -> list[bytes]:
        return [journey.raw("frontend", tag) for tag in tags]

    def test_what_was_rolled_back_runs_again(self, journey: Journey) -> None:
        journey.run("rollback", "prod")
        journey.run("rollback", "prod")
        self.copy(journey, "v1.2.0", "prod")
        held = {it["problem"]: it for it in journey.problems("prod")}
        assert set(held) == {"drift", "running.held"}
        before = self.stands(journey, "prod", "latest", "v1")
        journey.run("verify", "prod", "--repair", status=5)
        assert self.stands(journey, "prod", "latest", "v1") == before
        journey.here.tagflow(*shlex.split(held["running.held"]["repair"], comments=True)[1:], "--yes")
        assert journey.problems("prod") == []
        assert self.stands(journey, "prod", "latest", "v1") == self.stands(journey, *["v1.0.0"] * 3)

    def test_another_build_under_the_version_that_runs(self, journey: Journey) -> None:
        journey.build("v9.9.9", "frontend")
        running = self.stands(journey, "prod", "latest", "v1")
        self.copy(journey, "v9.9.9", "v1.2.0-prod")
        assert {it["problem"] for it in journey.problems("prod")} == {"anchor.moved", "running.unanchored"}
        journey.run("verify", "prod", "--repair", status=5)
        assert self.stands(journey, "prod", "latest", "v1") == running
        self.copy(journey, "prod", "v1.2.0-prod")
        assert journey.problems("prod") == []

    def test_a_fork_is_shown_and_joined(self, journey: Journey) -> None:
        """The record of somebody who did not see ours, as a list that lags brings it about."""
        store = journey.store("frontend")
        [ours] = [tag for tag in journey.tags("frontend") if tag.startswith("_tagflow.prod.000003")]
        theirs = json.loads(store.get(ours).content)
        other = {"actor": "bob", "version": "v1.1.0", "digest": str(store.resolve("v1.1.0")), "release": "0" * 16}
        theirs["annotations"] |= {f"io.tagflow.record.{key}": value for key, value in other.items()}
        manifest = Manifest(OCI_MANIFEST, json.dumps(theirs).encode())
        store.put(manifest, f"_tagflow.prod.000003.{manifest.digest.partition(':')[2][:12]}")
        assert {it["problem"] for it in journey.problems("prod")} == {"history.fork"}
        told = journey.here.tagflow("status").out
        assert "! prod: v1.1.0 by bob was announced beside what runs" in told
        assert "tagflow verify prod --repair" in told
        before = self.stands(journey, "prod", "latest", "v1")
        journey.run("verify", "prod", "--repair")
        assert journey.problems("prod") == []
        assert "!" not in journey.here.tagflow("status").out
        assert self.stands(journey, "prod", "latest", "v1") == before

    def copy(self, journey: Journey, source: str, target: str) -> None:
        there = (journey.at("frontend", source), journey.at("frontend", target))
        skopeo("copy", "--all", "--src-tls-verify=false", "--dest-tls-verify=false", *there)
