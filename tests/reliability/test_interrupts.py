"""Ctrl-C, SIGTERM and the total time limit: wherever they find tagflow, it ends soon and says what differs.

What is interrupted here would wait for a minute; each process has half of that to end.
"""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tagflow.cli.session import _overdue, _Signals
from tagflow.domain.reference import Repository
from tagflow.errors import Interrupted, StoreError
from tagflow.stores import files
from tagflow.stores.layout.store import LayoutStore
from tagflow.stores.registry.http.pace import Settings
from tagflow.stores.registry.store import RegistryHost
from tests import images
from tests.cli.runner import POLICY, Desk, Done, surroundings
from tests.marks import mostly_long
from tests.proxy import FaultProxy
from tests.servers import RegistryServer

SIGNALS = [signal.SIGINT, signal.SIGTERM]
LONG = 60
pytestmark = pytest.mark.registry


class Running:
    """A tagflow that is under way."""

    def __init__(self, desk: Path, *arguments: str, stdin: int = subprocess.DEVNULL, **environ: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tagflow", *arguments],
            cwd=desk,
            env=surroundings(desk, environ),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def when(self, ready: Callable[[], object]) -> Running:
        """Go on as soon as something is so."""
        end = time.monotonic() + 30
        while not ready():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < end, "it never came so far"
            time.sleep(0.01)
        return self

    def end(self, *numbers: signal.Signals) -> Done:
        """Send signals, and see it end."""
        for number in numbers:
            self.process.send_signal(number)
        try:
            out, err = self.process.communicate(timeout=30)
        finally:
            self.process.kill()
        done = Done(self.process.returncode, out.decode(), err.decode())
        assert "Traceback" not in done.err, done.err
        return done


@pytest.fixture
def home(proxy: FaultProxy, registry: RegistryServer, tmp_path: Path) -> Path:
    """v1.0.0 in dev and prod, v1.1.0 in dev, on a registry behind the proxy."""
    name = registry.fresh().path
    (tmp_path / "promotion.yaml").write_text(
        f"version: 1\nregistry: {proxy.host}/{name}\nimages: {{api: api}}\n"
        "environments: {dev: {}, prod: {floating: [latest]}}\n"
    )
    host = RegistryHost(registry.host, Settings(writes=True))
    for version in ("v1.0.0", "v1.1.0"):
        images.image(host.store(f"{name}/api"), content=version.encode(), tag=version)
    images.image(host.store(f"{name}/build"), content=os.urandom(4_000_000), tag="new")
    host.close()
    desk = Desk(tmp_path)
    for version, environment in (("v1.0.0", "dev"), ("v1.0.0", "prod"), ("v1.1.0", "dev")):
        done = desk.quickly("promote", version, "--to", environment)
        assert done.status == 0, done.err
    proxy.clear()
    return tmp_path


PROMOTE = ("promote", "v1.1.0", "--to", "prod", "-o", "json")


def check(done: Done) -> dict[str, Any]:
    """The one document of an interrupt."""
    document = json.loads(done.out)
    assert (done.status, document["exit_code"], document["error"]["code"]) == (130, 130, "run.interrupted")
    assert document["error"]["message"].startswith("interrupted: ")
    assert isinstance(document, dict)
    return document


@pytest.mark.parametrize("number", mostly_long(SIGNALS, signal.SIGINT))
class TestEndsSoon:
    def test_while_a_registry_says_nothing(self, home: Path, proxy: FaultProxy, number: signal.Signals) -> None:
        proxy.add(path="tags/list", delay=LONG, times=99)
        running = Running(home, *PROMOTE).when(lambda: not proxy.faults or proxy.strikes)
        assert "no environment or floating tag differs" in check(running.end(number))["error"]["message"]

    def test_while_it_waits_to_try_again(self, home: Path, proxy: FaultProxy, number: signal.Signals) -> None:
        proxy.add(status=429, headers={"Retry-After": "50"}, times=99)
        running = Running(home, *PROMOTE).when(lambda: proxy.strikes)
        check(running.end(number))

    def test_while_a_large_blob_is_copied(self, home: Path, proxy: FaultProxy, number: signal.Signals) -> None:
        proxy.add(method="GET", path="build/blobs", stall=LONG, times=99)
        proxy.add(method="POST", path="mount=", status=404)  # so that it is copied
        address = (home / "promotion.yaml").read_text().split("registry: ")[1].split()[0]
        running = Running(home, "push", "v1.2.0", f"api=docker://{address}/build:new", "-o", "json")
        check(running.when(lambda: proxy.count("GET", "build/blobs")).end(number))

    def test_while_gates_run_and_with_them(self, home: Path, number: signal.Signals) -> None:
        script = home / "gate"
        script.write_text(f"#!/bin/sh\necho $$ > {home}/pid.new && mv {home}/pid.new {home}/pid\nexec sleep {LONG}\n")
        script.chmod(0o755)
        policy = (
            (home / "promotion.yaml").read_text().replace("floating:", "gates: [{name: g, run: ./gate}], floating:")
        )
        (home / "promotion.yaml").write_text(policy)
        running = Running(home, *PROMOTE).when((home / "pid").exists)
        check(running.end(number))
        with pytest.raises(ProcessLookupError):
            os.kill(int((home / "pid").read_text()), 0)

    def test_and_names_what_has_moved(self, home: Path, proxy: FaultProxy, number: signal.Signals) -> None:
        proxy.add(method="PUT", path="manifests/latest", delay=LONG, times=99)
        running = Running(home, *PROMOTE).when(lambda: proxy.strikes)
        document = check(running.end(number))
        told = {it["tag"]: it["sure"] for it in document["error"]["details"]}
        assert told == {"prod": True, "latest": False}
        assert ":prod was at sha256:" in document["error"]["message"]
        assert document["result"]["applied"] is False


@pytest.mark.parametrize("number", SIGNALS)
def test_at_the_question(tmp_path: Path, number: signal.Signals) -> None:
    desk = Desk(tmp_path)
    desk.write(POLICY)
    desk.build("v1.0")
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "tagflow", "promote", "v1.0", "--to", "dev"],
        cwd=tmp_path, env=surroundings(tmp_path, {}), stdin=follower, stderr=follower, stdout=subprocess.PIPE,
    )  # fmt: skip
    os.close(follower)
    shown = b""
    while b"[y/N]" not in shown:
        shown += os.read(leader, 4096)
    process.send_signal(number)
    assert process.wait(30) == 130
    while b"hint" not in shown:
        shown += os.read(leader, 4096)
    os.close(leader)
    process.communicate()
    assert b"not confirmed: nothing was changed" in shown
    assert b"Traceback" not in shown
    assert desk.tag("frontend", "dev") is None


ANOTHER_THREAD = """
import signal, threading
from tagflow.cli.session import signals
signals.install()
def ask():
    signal.pthread_kill(threading.get_ident(), signal.{name})
threading.Timer(0.2, ask).start()
try:
    threading.Event().wait()
except KeyboardInterrupt:
    print("heard")
"""


@pytest.mark.parametrize("number", SIGNALS)
def test_that_the_system_gives_to_another_thread(number: signal.Signals) -> None:
    """It ends no wait of the main thread, as one does not that comes right before the wait."""
    source = ANOTHER_THREAD.replace("{name}", number.name)
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=30, check=False)
    assert (done.stdout, done.stderr) == ("heard\n", "")


class TestASecondSignal:
    def test_ends_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        ended: list[int] = []
        monkeypatch.setattr(os, "_exit", ended.append)
        signals = _Signals()
        with pytest.raises(KeyboardInterrupt):
            signals._stop(2, None)
        assert ended == []
        with suppress(KeyboardInterrupt):  # the real one does not come back
            signals._stop(2, None)
        assert ended == [130]

    def test_beside_a_gate_that_will_not_end(self, home: Path) -> None:
        script = home / "gate"
        script.write_text(f"#!/bin/sh\ntrap '' TERM\ntouch {home}/ready\nsleep {LONG} & wait; wait; sleep {LONG}\n")
        script.chmod(0o755)
        policy = (
            (home / "promotion.yaml").read_text().replace("floating:", "gates: [{name: g, run: ./gate}], floating:")
        )
        (home / "promotion.yaml").write_text(policy)
        running = Running(home, *PROMOTE).when((home / "ready").exists)
        assert running.end(signal.SIGINT, signal.SIGTERM).status == 130

    def test_comes_too_late_for_a_document_that_is_being_written(self) -> None:
        signals = _Signals()
        with signals.speaking():
            signals._stop(2, None)  # it raises nothing


class TestTheTotalTimeLimit:
    def test_ends_a_wait_for_a_lock(self, tmp_path: Path) -> None:
        desk = Desk(tmp_path)
        desk.write(POLICY)
        desk.build("v1.0")
        with (tmp_path / "registry/frontend/.tagflow.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            done = Running(tmp_path, "promote", "v1.0", "--to", "dev", "--timeout", "1s", "-o", "json").end()
        assert (done.status, done.document["error"]["code"]) == (6, "run.timeout")

    def test_leaves_the_ways_out(self) -> None:
        """More time for an abandonment that is written down already would take back what ran before."""
        hint = "Look at `tagflow status prod`: what is left to do stands there."
        error = _overdue(Interrupted("run.interrupted", "interrupted: nothing differs", hint=hint))
        assert (error.code, error.hint.splitlines()[0]) == ("run.timeout", hint)

    def test_ends_a_credential_helper_that_hangs(self, tmp_path: Path, htpasswd_registry: RegistryServer) -> None:
        helper = tmp_path / "docker-credential-slow"
        helper.write_text(f"#!/bin/sh\nexec sleep {LONG}\n")
        helper.chmod(0o755)
        (tmp_path / "config.json").write_text('{"credsStore": "slow"}')
        (tmp_path / "promotion.yaml").write_text(
            f"version: 1\nregistry: {htpasswd_registry.host}\nimages: {{api: api}}\nenvironments: {{dev: {{}}}}\n"
        )
        path = f"{tmp_path}:{os.environ['PATH']}"
        running = Running(tmp_path, "status", "--timeout", "1s", "-o", "json", PATH=path, DOCKER_CONFIG=str(tmp_path))
        done = running.end()
        assert (done.status, done.document["error"]["code"]) == (6, "run.timeout")

    def test_lists_what_has_moved_by_then(self, home: Path, proxy: FaultProxy) -> None:
        proxy.add(method="PUT", path="manifests/latest", delay=LONG, times=99)
        done = Running(home, *PROMOTE, "--timeout", "4s").end()
        assert (done.status, done.document["error"]["code"]) == (7, "release.partly_applied")
        assert "prod" in {it.get("tag") for it in done.document["error"]["details"]}


def test_a_lock_that_is_never_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LayoutStore(Repository(f"oci:{tmp_path}", "app"))
    images.image(store, tag="v1")
    monkeypatch.setattr(files, "LOCK_SECONDS", 0.05)
    with (tmp_path / "app/.tagflow.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(StoreError) as raised:
            images.image(store, content=b"other", tag="v2")
    assert raised.value.code == "layout.locked"
