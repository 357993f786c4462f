"""Where a command writes: files that a user names, and the standard streams, when they cannot be written."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import stat
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import IO

import pytest

from tagflow.stores.files import put
from tagflow.stores.port import Silence
from tests.cli.runner import Desk, surroundings

LONG = "x" * 300
"""No file system takes such a name."""


@pytest.fixture
def built(desk: Desk) -> Desk:
    """v1.0 is there, and runs nowhere."""
    desk.build("v1.0")
    return desk


def writes(desk: Desk, what: str, path: str) -> list[str]:
    """A command that writes a file of its own there."""
    if what == "--html":
        return ["status", "--html", path]
    return ["promote", "v1.0", "--to", "dev", what, path]


FILES = ["--save-plan", "--receipt", "--html"]


class TestNamedFiles:
    @pytest.mark.parametrize("what", FILES)
    def test_a_pipe_is_written_into(self, built: Desk, what: str) -> None:
        pipe = built.path / "pipe"
        os.mkfifo(pipe)
        read: list[bytes] = []
        reader = Thread(target=lambda: read.append(pipe.read_bytes()), daemon=True)
        reader.start()
        built.act(*writes(built, what, "pipe"))
        reader.join(10)
        assert stat.S_ISFIFO(pipe.lstat().st_mode)
        assert read
        assert b"v1.0" in read[0] or b"frontend" in read[0]

    @pytest.mark.parametrize("what", FILES)
    @pytest.mark.parametrize("there", [True, False], ids=["there", "dangling"])
    def test_a_link_stays_one(self, built: Desk, what: str, there: bool) -> None:
        (built.path / "folder").mkdir()
        real, link = built.path / "folder/real", built.path / "link"
        link.symlink_to(real)
        if there:
            real.write_text("old")
        built.act(*writes(built, what, "link"))
        assert link.is_symlink()
        assert "frontend" in real.read_text()
        assert sorted(it.name for it in (built.path / "folder").iterdir()) == ["real"]

    def test_standard_output_by_its_name(self, built: Desk) -> None:
        """In a pipe and in a file: what the command says beside it follows."""
        (built.path / "there").symlink_to("/proc/self/fd/1")
        command = [sys.executable, "-m", "tagflow", *writes(built, "--save-plan", "there")]
        environ = surroundings(built.path, {})
        piped = subprocess.run(command, cwd=built.path, env=environ, stdout=subprocess.PIPE, timeout=60, check=True)
        with open(built.path / "out", "wb") as file:
            subprocess.run(command, cwd=built.path, env=environ, stdout=file, timeout=60, check=True)
        for told in (piped.stdout.decode(), Path(file.name).read_text()):
            plan, end = json.JSONDecoder().raw_decode(told)
            assert plan["tagflow-plan"] == 1
            assert "Dry run" in told[end:]
        assert (built.path / "there").is_symlink()

    def test_an_open_file_without_a_name(self, tmp_path: Path) -> None:
        path = tmp_path / "gone"
        with open(path, "w+b") as file:
            path.unlink()
            put(Path(f"/proc/self/fd/{file.fileno()}"), b"content")
            file.seek(0)
            assert file.read() == b"content"
        assert list(tmp_path.iterdir()) == []

    def test_a_long_name_that_the_system_takes(self, tmp_path: Path) -> None:
        put(tmp_path / ("x" * 255), b"content")
        assert (tmp_path / ("x" * 255)).read_bytes() == b"content"

    @pytest.mark.parametrize(
        ("arguments", "code", "status"),
        [
            (["promote", "v1.0", "--to", "dev", "--save-plan", LONG], "plan.unwritable", 6),
            (["promote", "v1.0", "--to", "dev", "--receipt", LONG], "file.unwritable", 6),
            (["status", "--html", LONG], "file.unwritable", 6),
            (["pin", "dev", LONG], "file.unreadable", 2),
            (["push", "v1.1", f"frontend=oci:{LONG}"], "source.not_found", 4),
            (["push", "v1.1", f"frontend=oci:{LONG}:v1"], "source.not_found", 4),
            (["push", "v1.1", f"frontend=oci:{LONG}@sha256:{'0' * 64}"], "source.not_found", 4),
            (["push", "v1.1", f"frontend=docker-archive:{LONG}"], "archive.unreadable", 6),
            (["push", "v1.1", f"frontend=docker-archive:{LONG}:app"], "archive.unreadable", 6),
        ],
        ids=lambda it: "-".join(it).replace(LONG, "long") if isinstance(it, list) else str(it),
    )
    def test_a_name_that_is_too_long(self, built: Desk, arguments: list[str], code: str, status: int) -> None:
        document = built.json(*arguments)
        assert (document["error"]["code"], document["exit_code"]) == (code, status)
        assert built.tag("frontend", "dev") is None

    def test_a_registry_whose_name_is_too_long(self, desk: Desk) -> None:
        text = (desk.path / "promotion.yaml").read_text()
        desk.write(text.replace("./registry", f"./{LONG}"))
        assert desk.json("doctor")["exit_code"] == 6


@contextmanager
def unreadable(kind: str) -> Iterator[int]:
    """A stream that nobody reads, or on a full disk."""
    if kind == "full":
        descriptor = os.open("/dev/full", os.O_WRONLY)
    else:
        read, descriptor = os.pipe()
        os.close(read)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def status(desk: Desk, arguments: Sequence[str], *, out: int | IO[bytes], err: int | IO[bytes], **environ: str) -> int:
    command = [sys.executable, "-m", "tagflow", *arguments]
    done = subprocess.run(
        command,
        cwd=desk.path,
        env=surroundings(desk.path, environ),
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=err,
        timeout=60,
        check=False,
    )
    return done.returncode


class TestStandardError:
    """What cannot be told changes neither what is done nor how it ends."""

    @pytest.mark.parametrize("kind", ["full", "closed"])
    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            (["promote", "v1.0", "--to", "dev"], 0),
            (["promote", "v9.9", "--to", "test", "-o", "json"], 4),
            (["promote", "v1.0", "--to", "prod"], 3),
            (["next"], 0),
            (["nonsense"], 2),
            ([], 2),
            (["push", "--help"], 0),
        ],
        ids=lambda it: " ".join(it) if isinstance(it, list) else str(it),
    )
    def test_the_exit_status_stays(self, built: Desk, kind: str, arguments: list[str], expected: int) -> None:
        with unreadable(kind) as stream, open(built.path / "out", "wb") as out:
            assert status(built, arguments, out=out, err=stream) == expected
        told = (built.path / "out").read_text()
        assert "-o" not in arguments or json.loads(told)["exit_code"] == expected

    @pytest.mark.parametrize("kind", ["full", "closed"])
    def test_a_note_stops_no_release(self, built: Desk, kind: str) -> None:
        """A variable of GitHub that names no file: a warning."""
        with unreadable(kind) as stream:
            arguments = ["promote", "v1.0", "--to", "dev"]
            found = status(built, arguments, out=subprocess.DEVNULL, err=stream, GITHUB_OUTPUT="/no/where")
        assert found == 0
        assert built.json("verify")["result"]["findings"] == []

    @pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), BrokenPipeError(), ValueError("closed")])
    def test_a_trace_stops_nothing(self, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
        from tagflow.cli import wiring
        from tagflow.cli.session import Session

        class Gone:
            def write(self, _text: str) -> int:
                raise error

        monkeypatch.setattr(sys, "stderr", Gone())
        wiring._surroundings(Session(verbose=True), True, Silence()).trace("GET /v2/")
        Session().note("note")

    def test_a_bar_stops_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The terminal is gone."""
        from tagflow.cli import progress

        class Gone:
            def __getattr__(self, _name: str) -> object:
                raise OSError(errno.EIO, "gone")

        monkeypatch.setattr(progress, "_make", Gone)
        monkeypatch.setattr(progress, "_make_counter", Gone)
        for shown in (progress._Bar(), progress._Counter("looks", iter((0.0, 9.0, 9.0)).__next__)):
            shown.expect(10)
            shown.advance(5)
            shown.close()


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_signal_amid_a_write_cuts_nothing(stream: str) -> None:
    """Python without buffers, as many images of CI have it, takes no notice of how much the system took: what a signal
    interrupts, and tagflow has a clock that ticks, would end in the middle, with exit 0."""
    read, write = os.pipe()
    code = f"from tagflow.cli.process import prepare; prepare(); import sys; print('x' * 10**6, file=sys.{stream})"
    environ = {**os.environ, "PYTHONUNBUFFERED": "1"}
    out, err = (write, subprocess.DEVNULL) if stream == "stdout" else (subprocess.DEVNULL, write)
    with (
        subprocess.Popen([sys.executable, "-c", code], env=environ, stdout=out, stderr=err) as child,
        open(read, "rb") as reader,
    ):
        os.close(write)
        while _unread(read) < fcntl.fcntl(read, fcntl.F_GETPIPE_SZ) and child.poll() is None:
            time.sleep(0.01)
        child.send_signal(signal.SIGALRM)
        told = reader.read()
    assert (len(told), child.returncode) == (10**6 + 1, 0)


def _unread(descriptor: int) -> int:
    """Bytes that wait in a pipe."""
    (count,) = struct.unpack("i", fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4)))
    return int(count)


class TestStandardOutput:
    @pytest.mark.parametrize(("kind", "expected"), [("closed", 141), ("full", 6)])
    @pytest.mark.parametrize(
        "arguments", ["--help", "-h", "push --help", "--version", "--show-completion bash", "init --help"]
    )
    def test_help(self, desk: Desk, arguments: str, kind: str, expected: int) -> None:
        with unreadable(kind) as stream, open(desk.path / "err", "wb") as err:
            assert status(desk, arguments.split(), out=stream, err=err) == expected
        told = (desk.path / "err").read_text()
        assert told.startswith("error[output.unwritable]" if kind == "full" else "")
        assert kind == "full" or not told

    @pytest.mark.parametrize(("kind", "expected"), [("closed", 141), ("full", 6)])
    def test_completing(self, desk: Desk, kind: str, expected: int) -> None:
        environ = {"_TAGFLOW_COMPLETE": "complete_bash", "COMP_WORDS": "tagflow p", "COMP_CWORD": "1"}
        with unreadable(kind) as stream:
            found = status(desk, [], out=stream, err=subprocess.DEVNULL, **environ)
        assert found == expected

    @pytest.mark.parametrize("json_too", [False, True])
    def test_a_release_that_is_complete(self, built: Desk, json_too: bool) -> None:
        """Not 6, which says that no environment tag differs from before."""
        output = ["-o", "json"] if json_too else []
        with unreadable("full") as stream, open(built.path / "err", "wb") as err:
            assert status(built, ["promote", "v1.0", "--to", "dev", *output], out=stream, err=err) == 7
        told = (built.path / "err").read_text()
        assert told.startswith("error[output.unwritable]: the release is complete")
        assert f"frontend:dev was at no digest, is at {built.tag('frontend', 'dev')}" in told
        assert built.json("verify")["result"]["findings"] == []

    @pytest.mark.parametrize(
        "arguments",
        [
            ["promote", "v1.0", "--to", "dev", "--dry-run"],
            ["promote", "v1.0", "--to", "test"],
            ["hold", "dev", "v1.0", "--reason", "x"],
        ],
        ids=" ".join,
    )
    def test_where_nothing_moved(self, built: Desk, arguments: list[str]) -> None:
        built.through("v1.0", "dev", "test")
        with unreadable("full") as stream:
            assert status(built, arguments, out=stream, err=subprocess.DEVNULL) == 6


class TestReceipts:
    def test_a_receipt_that_cannot_be_written_after_the_release(self, built: Desk) -> None:
        """On a full disk: the release is complete, and said to be."""
        (built.path / "receipt").symlink_to("/dev/full")
        document = built.json("promote", "v1.0", "--to", "dev", "--receipt", "receipt")
        assert (document["exit_code"], document["error"]["code"]) == (7, "file.unwritable")
        assert document["result"]["applied"] is True
        moved = {(it["repository"].rpartition("/")[2], it["tag"]): it for it in document["error"]["details"]}
        assert moved["frontend", "dev"]["now"] == built.tag("frontend", "dev")
        assert "is complete, but receipt cannot be written" in document["error"]["message"]

    def test_where_nothing_moved(self, built: Desk) -> None:
        built.through("v1.0", "dev")
        (built.path / "receipt").symlink_to("/dev/full")
        document = built.json("promote", "v1.0", "--to", "dev", "--receipt", "receipt")
        assert (document["exit_code"], document["error"]["code"]) == (6, "file.unwritable")
        assert document["result"]["applied"] is True

    def test_whoever_waits_for_the_release_is_told_of_it(self, built: Desk) -> None:
        text = (built.path / "promotion.yaml").read_text()
        built.write(text + f"notify: [{{run: 'touch {built.path}/told'}}]\n")
        (built.path / "receipt").symlink_to("/dev/full")
        assert built.json("promote", "v1.0", "--to", "dev", "--receipt", "receipt")["exit_code"] == 7
        assert (built.path / "told").exists()

    def test_an_interrupt_after_the_release(self, built: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        """Ctrl-C while the receipt is written does not say that nothing differs."""

        def stop(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("tagflow.verbs.release.write_receipt", stop)
        document = built.json("promote", "v1.0", "--to", "dev", "--receipt", "receipt")
        assert document["exit_code"] == 130
        assert document["error"]["message"].startswith("interrupted: the release is complete")
        assert document["result"]["applied"] is True

    def test_an_interrupt_before_the_report(self, built: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        def stop(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("tagflow.cli.ci.tell", stop)
        document = built.json("promote", "v1.0", "--to", "dev")
        assert document["exit_code"] == 130
        assert "frontend:dev was at no digest, is at" in document["error"]["message"]


class TestBytesThatAreNoText:
    """A question mark stands for them, as in what else tagflow writes."""

    def test_an_actor(self, built: Desk) -> None:
        for version, environment in (("v1.0", "dev"), ("v1.0", "test")):
            done = built.quickly("promote", version, "--to", environment, TAGFLOW_ACTOR="x\udcff")
            assert done.status == 0, done.err
        entries = built.json("history", "dev")["result"]["entries"]
        assert {it["actor"] for it in entries} == {"x?"}
        assert built.json("verify")["result"]["findings"] == []

    @pytest.mark.parametrize("arguments", [["hold", "dev", "v1.0"], ["freeze", "dev"]], ids=" ".join)
    def test_a_reason_of_a_hold(self, built: Desk, arguments: list[str]) -> None:
        built.through("v1.0", "dev")
        built.act(*arguments, "--reason", "x\udcff")
        assert {it["reason"] for it in built.json("history", "dev")["result"]["entries"]} == {"", "x?"}
        built.act(*arguments, "--lift", "--reason", "y")
