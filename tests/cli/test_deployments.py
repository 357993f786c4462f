"""diff, stats, status --at, history --since and verify --running on the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from tagflow.domain.reference import Repository
from tagflow.stores.layout.store import LayoutStore
from tests import images
from tests.cli.runner import Desk, surroundings

LABELS = {"org.opencontainers.image.source": "git@github.com:acme/shop.git"}


@pytest.fixture
def shop(desk: Desk) -> Desk:
    """v1.0 everywhere, v1.1 in dev and test; images say what they were built from."""
    for version in ("v1.0", "v1.1"):
        for name in ("frontend", "back_end"):
            labels = LABELS | {"org.opencontainers.image.revision": f"c0ffee{version[3]}"}
            store = LayoutStore(Repository(f"oci:{desk.path}/registry", name))
            images.index(store, seed=name + version, tag=version, labels=labels)
        for environment in ("dev", "test", "prod")[: 3 if version == "v1.0" else 2]:
            done = desk.quickly("promote", version, "--to", environment)
            assert done.status == 0, done.err
    return desk


LINK = "https://github.com/acme/shop/compare/c0ffee0...c0ffee1"


def test_diff_in_text(shop: Desk) -> None:
    done = shop.tagflow("diff", "prod", "test")
    front = [str(shop.tag("frontend", tag))[7:19] for tag in ("prod", "test")]
    assert done.status == 0
    assert done.out.splitlines()[:4] == [
        "prod → test",
        f"  frontend  v1.0 → v1.1  {front[0]} → {front[1]}",
        "    commit c0ffee0 → c0ffee1",
        f"    {LINK}",
    ]
    same = shop.quickly("diff", "dev", "test")
    assert same.out == "dev → test\n  the same: frontend, backend (v1.1)\n"


def test_diff_in_json(shop: Desk) -> None:
    result = shop.json("diff", "prod", "test", "frontend")["result"]
    assert result == {
        "from": "prod",
        "to": "test",
        "images": [
            {
                "image": "frontend",
                "state": "changed",
                "from": {"version": "v1.0", "digest": shop.tag("frontend", "prod"), "revision": "c0ffee0"},
                "to": {"version": "v1.1", "digest": shop.tag("frontend", "test"), "revision": "c0ffee1"},
                "compare": LINK,
            }
        ],
    }


def test_diff_exit_code(shop: Desk) -> None:
    assert shop.quickly("diff", "dev", "test", "--exit-code").status == 0
    document = shop.json("diff", "prod", "test", "--exit-code")
    assert (document["exit_code"], document["error"]["code"]) == (5, "diff.differs")
    assert [it["state"] for it in document["result"]["images"]] == ["changed", "changed"]
    text = shop.quickly("diff", "prod", "test", "--exit-code")
    assert text.status == 5
    assert LINK in text.out


def test_a_plan_that_is_looked_at_says_what_goes_in(shop: Desk) -> None:
    told = shop.quickly("promote", "v1.1", "--to", "prod", "--dry-run").out
    assert told.startswith("What goes in:\n  frontend  v1.0 → v1.1")
    assert told.count(LINK) == 2
    assert LINK not in shop.quickly("promote", "v1.1", "--to", "prod").out  # nobody looks: no request more
    back = shop.quickly("rollback", "prod", "--dry-run").out
    assert back.startswith("What goes back:\n")
    assert "/compare/c0ffee1...c0ffee0" in back
    assert "What goes" not in shop.quickly("promote", "v1.1", "--to", "prod", "--dry-run", "-o", "json").out


def test_stats(shop: Desk) -> None:
    shop.quickly("promote", "v1.1", "--to", "prod")
    shop.quickly("rollback", "prod")
    result = shop.json("stats", "prod")["result"]
    assert list(result) == [
        "environment",
        "since",
        "deployments",
        "per_week",
        "lead_time_seconds",
        "change_failure_rate",
        "time_to_restore_seconds",
    ]
    assert (result["environment"], result["deployments"], result["change_failure_rate"]) == ("prod", 2, 0.5)
    assert result["lead_time_seconds"].keys() == result["time_to_restore_seconds"].keys() == {"median", "p90"}
    text = shop.quickly("stats", "prod", "--since", "7d").out
    assert "(7 days)" in text
    assert "(1h)" in shop.quickly("stats", "prod", "--since", "90m").out
    for line in ("deployments      2 (2 a week)", "change failures  50% (1 of 2)", "lead time", "time to restore"):
        assert line in text
    assert "from the first record of a digest in the first environment" in text
    assert shop.quickly("stats", "prod", "--since", "1x").status == 2


def test_status_at(shop: Desk) -> None:
    before = shop.quickly("status", "--at", "2020-01-01", "prod")
    assert "note: as of 2020-01-01T00:00:00Z" in before.err
    assert before.out.count("empty") == 2
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    document = shop.json("status", "--at", "2199-01-01T00:00:00+01:00")["result"]
    assert document["at"] == "2198-12-31T23:00:00Z"
    assert document["images"] == shop.json("status")["result"]["images"]
    assert "at" not in shop.json("status")["result"]
    assert shop.quickly("status", "--at", now, "--html", "page.html").status == 2
    assert shop.json("status", "--at", "yesterday")["error"]["code"] == "time.invalid"


def test_history_since(shop: Desk) -> None:
    assert shop.json("history", "prod", "--since", "1h")["result"] == shop.json("history", "prod")["result"]
    nothing = shop.quickly("history", "prod", "--since", "2199-01-01")
    assert (nothing.status, nothing.out) == (0, "Nothing was recorded in prod since then.\n")


def test_history_since_tells_where_an_image_stands_now(shop: Desk) -> None:
    """What was announced before then and has not arrived, as a record that is told would say it; and what came late."""
    store = LayoutStore(Repository(f"oci:{shop.path}/registry", "frontend"))
    shop.act("promote", "v1.1", "--to", "prod")
    store.move("prod", store.get("v1.0"), store.resolve("v1.1"))
    told = shop.quickly("history", "prod", "--since", "2199-01-01")
    assert (told.status, told.out) == (0, "! frontend: what was announced in prod before is not finished\n")
    assert "before is not finished" not in shop.quickly("history", "prod").out
    shop.act("rollback", "prod")
    store.move("prod", store.get("v1.1"), store.resolve("v1.0"))
    digest = str(store.resolve("v1.1"))[7:19]
    for since in ([], ["--since", "2199-01-01"]):
        told = shop.quickly("history", "prod", *since)
        assert (
            told.out.splitlines()[0] == f"! frontend: prod is at {digest}, where a release that was aborted put it late"
        )


def printed(shop: Desk, tag: str) -> str:
    """As `docker ps --format json` prints it."""
    return json.dumps({"Image": f"frontend@{shop.tag('frontend', tag)}", "Names": "web-1", "State": "running"})


def test_what_runs_is_what_should(shop: Desk) -> None:
    (shop.path / "ps.json").write_text(printed(shop, "prod"))
    done = shop.quickly("verify", "prod", "--running", "ps.json")
    assert (done.status, done.out) == (
        0,
        "Everything is as the history says. 1 container runs what prod should run.\n",
    )


def test_what_runs_differs(shop: Desk) -> None:
    (shop.path / "ps.json").write_text(printed(shop, "prod"))
    shop.quickly("promote", "v1.1", "--to", "prod")
    document = shop.json("verify", "prod", "--running", "ps.json")
    assert (document["exit_code"], document["error"]["code"]) == (5, "verify.findings")
    [finding] = document["result"]["findings"]
    assert set(finding) == {"image", "environment", "problem", "expected", "actual", "repair"}
    assert (finding["image"], finding["problem"]) == ("frontend", "running.differs")
    assert (finding["expected"], finding["actual"]) == (shop.tag("frontend", "prod"), shop.tag("frontend", "v1.0"))
    assert finding["repair"].startswith("tagflow pin prod FILE…  # container web-1; what prod ran before, v1.0")
    assert "has to be deployed again" in document["error"]["hint"]


def test_from_standard_input(shop: Desk) -> None:
    def verify(given: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tagflow", "verify", "prod", "--running", "-"]
        environ = surroundings(shop.path, {})
        return subprocess.run(
            command, cwd=shop.path, env=environ, input=given, capture_output=True, text=True, timeout=60
        )

    assert "1 container runs what prod should run." in verify(printed(shop, "prod")).stdout
    assert "standard input: it is empty" in verify("").stderr


def test_wrong_input_of_running(shop: Desk) -> None:
    (shop.path / "pods.txt").write_text("NAME   READY\nweb-0  1/1\n")
    for arguments, code in [
        (("verify", "--running", "pods.txt"), "usage.invalid"),
        (("verify", "dev", "prod", "--running", "pods.txt"), "usage.invalid"),
        (("verify", "prod", "--running", "none.json"), "running.unreadable"),
        (("verify", "prod", "--running", "pods.txt"), "running.unreadable"),
        (("verify", "prod", "--running", "."), "running.unreadable"),
    ]:
        document = shop.json(*arguments)
        assert (document["error"]["code"], document["exit_code"]) == (code, 2), arguments


def test_what_runs_is_read_before_anything_is_repaired(shop: Desk) -> None:
    store = LayoutStore(Repository(f"oci:{shop.path}/registry", "frontend"))
    store.move("latest", store.get("v1.1"), store.resolve("latest"))
    (shop.path / "pods.txt").write_text("NAME   READY\nweb-0  1/1\n")
    before = shop.files()
    assert shop.json("verify", "prod", "--repair", "--running", "pods.txt")["exit_code"] == 2
    assert shop.files() == before
    (shop.path / "pods.json").write_text(printed(shop, "prod"))
    shop.act("verify", "prod", "--repair", "--running", "pods.json")
    assert shop.tag("frontend", "latest") == shop.tag("frontend", "v1.0")
