"""Streams that break, lie or never end (simulated: a client of the SDK that plays a script)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker.errors
import pytest
import urllib3.exceptions

from tagflow.domain.reference import Digest, Repository
from tagflow.errors import NotFound, StoreError
from tagflow.stores.docker import link
from tagflow.stores.docker.engine import Engine
from tagflow.stores.port import Pushed, Silence
from tests.images import absent

ID, OTHER, PUSHED = absent("image"), absent("other image"), absent("pushed")
REPOSITORY = Repository("r.example", "app")
SCRATCH = "_tagflow.try.0123456789ab"
BROKEN = urllib3.exceptions.ProtocolError("Connection broken: IncompleteRead(3 bytes read)")


class Script:
    """A client whose every stream plays the same events; an exception among them is raised. It knows images ``local``
    by name, and notes what is tagged and removed."""

    def __init__(self, *events: Any) -> None:
        self.events = events
        self.local: dict[str, Digest] = {"app:1": ID, "other:1": OTHER, ID: ID, OTHER: OTHER}
        self.removed: list[str] = []
        self.auth: list[object] = []
        self.platforms: list[str | None] = []
        self.patience: Callable[[bool], float] = lambda streaming: 1.0

    def connect(self, endpoint: object, patience: Callable[[bool], float]) -> Script:
        """What an engine is given to connect by."""
        self.patience = patience
        return self

    def find_image(self, name: str) -> dict[str, Any] | None:
        self.patience(False)
        if name not in self.local:
            return None
        tags = [each for each, image in self.local.items() if image == self.local[name] and "sha256" not in each]
        return {"Id": self.local[name], "RepoTags": tags}

    def tag(self, image: Digest, repository: str, tag: str, force: bool) -> None:
        self.patience(False)
        self.local[f"{repository}:{tag}"] = image

    def remove_image(self, name: str, noprune: bool) -> None:
        self.patience(False)
        self.removed.append(name)

    def push(self, name: str, tag: str, auth_config: object, **_: object) -> Iterator[Any]:
        assert tag
        self.auth.append(auth_config)
        return self._play()

    def pull(self, name: str, tag: str, *, platform: str | None = None, **_: object) -> Iterator[Any]:
        self.platforms.append(platform)
        return self._play()

    def load_image(self, chunks: Iterator[bytes]) -> Iterator[Any]:
        b"".join(chunks)
        return self._play()

    def get_image(self, name: str) -> Iterator[Any]:
        return self._play()

    def close(self) -> None:
        pass

    def _play(self) -> Iterator[Any]:
        for event in self.events:
            if isinstance(event, Exception):
                raise event
            yield event


def failure_of(script: Script, act: Callable[[Engine], object], deadline: float | None = None) -> StoreError:
    """What an engine that plays a script comes to."""
    opened = Engine({}, connect=script.connect, deadline=deadline)
    with opened as engine, pytest.raises(StoreError) as caught:
        act(engine)
    return caught.value


def push(engine: Engine) -> object:
    return engine.push("app:1", REPOSITORY, "v1.0", Silence())


def test_credential_is_never_none() -> None:
    script = Script({"aux": {"Digest": PUSHED}})
    with Engine({}, connect=script.connect) as engine:
        assert push(engine) == Pushed(PUSHED)
    assert script.auth == [{}]
    assert script.removed == ["r.example/app:v1.0"]


def test_of_an_index_one_platform_is_pushed() -> None:
    """What a daemon with the containerd image store says where the other platforms are not here (Docker 28)."""
    instead = {
        "manifestPushedInsteadOfIndex": True,
        "originalIndex": {"digest": ID},
        "selectedManifest": {"digest": PUSHED},
    }
    script = Script({"aux": instead}, {"status": f"v1.0: digest: {PUSHED} size: 500"})
    with Engine({}, connect=script.connect) as engine:
        assert push(engine) == Pushed(PUSHED, part_of=ID)


@pytest.mark.parametrize(
    "reason",
    [
        "no matching manifest for linux/arm64/v8 in the manifest list entries",
        "image with reference r.example/app was found but its platform (linux/amd64) does not match the specified "
        "platform (linux/arm64)",
    ],
)
def test_pull_of_an_image_without_that_platform(reason: str) -> None:
    script = Script({"errorDetail": {"message": reason}, "error": reason})
    with Engine({}, connect=script.connect) as engine, pytest.raises(NotFound) as caught:
        engine.pull(REPOSITORY, PUSHED, Silence(), "linux/arm64")
    assert caught.value.code == "platform.not_found"
    assert "linux/arm64" in caught.value.message
    assert script.platforms == ["linux/arm64"]


@pytest.mark.parametrize(
    ("told", "asked", "strange"),
    [
        (("linux", "arm64", "v8"), "", "linux/arm64"),
        (("linux", "amd64", ""), "", ""),
        (("linux", "amd64", ""), "linux/x86_64", ""),
        (("linux", "amd64", ""), "linux/arm64/v8", "linux/amd64"),
        (("linux", "arm", "v7"), "linux/arm", ""),
        (("", "", ""), "", ""),
    ],
)
def test_an_image_that_is_for_another_platform(told: tuple[str, str, str], asked: str, strange: str) -> None:
    class Here(Script):
        def find_image(self, name: str) -> dict[str, Any] | None:
            return {"Id": ID, **dict(zip(("Os", "Architecture", "Variant"), told, strict=True))}

        def version(self) -> dict[str, str]:
            return {"Os": "linux", "Arch": "amd64"}

    with Engine({}, connect=Here().connect) as engine:
        assert engine.strange_platform(ID, asked) == strange


def test_push_that_breaks_off() -> None:
    script = Script({"status": "Pushing", "id": "a"}, BROKEN)
    error = failure_of(script, push)
    assert error.code == "engine.unavailable"
    assert "the connection broke off" in error.message
    assert script.removed == ["r.example/app:v1.0"]


def test_push_that_does_not_say_what() -> None:
    error = failure_of(Script({"status": "done"}), push)
    assert error.code == "engine.push_failed"


def test_error_amid_the_stream_counts_although_it_goes_on() -> None:
    error = failure_of(Script({"errorDetail": {"message": "blob upload invalid"}}, {"aux": {"Digest": PUSHED}}), push)
    assert error.code == "engine.push_failed"
    assert "blob upload invalid" in error.message


def test_plain_http_registry_tells_what_to_do() -> None:
    error = failure_of(Script({"error": "http: server gave HTTP response to HTTPS client"}), push)
    assert "insecure-registries" in error.hint


def test_stream_without_end_stops_at_the_deadline() -> None:
    class Endless(Script):
        def _play(self) -> Iterator[Any]:
            while True:
                yield {"status": "Waiting", "id": "a"}

    assert failure_of(Endless(), push, time.monotonic() + 0.1).code == "engine.timeout"


class Late(Script):
    """A daemon that is cut off by the deadline: its push keeps silent until then."""

    def __init__(self, deadline: float) -> None:
        super().__init__()
        self.deadline = deadline

    def _play(self) -> Iterator[Any]:
        time.sleep(max(0.0, self.deadline - time.monotonic()))
        yield from ()
        raise TimeoutError("timed out")

    def pull(self, name: str, tag: str, *, platform: str | None = None, **_: object) -> Iterator[Any]:
        self.local[f"{name}@{tag}"] = ID
        yield from ()


@pytest.mark.parametrize("tag", ["v1.0", SCRATCH])
def test_time_that_is_over_amid_a_push_is_told_and_leaves_no_name(tag: str) -> None:
    script = Late(time.monotonic() + 0.1)
    error = failure_of(
        script, lambda engine: engine.push("app:1", REPOSITORY, tag, Silence()), deadline=script.deadline
    )
    assert (error.code, "Allow more time" in error.hint) == ("engine.timeout", True)
    assert "daemon's log" not in error.hint
    assert script.removed == [f"r.example/app:{tag}"]


def test_time_that_is_over_amid_a_transfer_leaves_no_image() -> None:
    script = Late(time.monotonic() + 0.1)
    source = Repository("s.example", "app")
    error = failure_of(
        script, lambda engine: engine.transfer(source, PUSHED, REPOSITORY, SCRATCH, Silence()), script.deadline
    )
    assert (error.code, "Allow more time" in error.hint) == ("engine.timeout", True)
    assert script.removed == [f"r.example/app:{SCRATCH}", f"s.example/app@{PUSHED}"]


def test_silence_while_there_is_time_is_the_daemons() -> None:
    error = failure_of(Script(TimeoutError("timed out")), push, time.monotonic() + 60)
    assert (error.code, "daemon's log" in error.hint) == ("engine.timeout", True)


def test_clearing_away_ends_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon that says nothing at all any more is not waited for longer than the grace."""
    monkeypatch.setattr(link, "GRACE_SECONDS", 0.1)
    waits: list[float] = []

    class Mute(Late):
        def remove_image(self, name: str, noprune: bool) -> None:
            waits.append(self.patience(False))
            super().remove_image(name, noprune)

    script = Mute(time.monotonic() + 0.1)
    failure_of(script, push, script.deadline)
    assert 0 < waits[0] <= 0.1


def test_stream_that_is_given_up_is_closed() -> None:
    """Else the daemon would go on with it while what it works on is removed."""
    closed: list[bool] = []

    class Watched(Script):
        def _play(self) -> Iterator[Any]:
            try:
                while True:
                    yield {"status": "Waiting", "id": "a"}
            finally:
                closed.append(not self.removed)

    script = Watched()
    failure_of(script, push, time.monotonic() + 0.1)
    assert (closed, script.removed) == ([True], ["r.example/app:v1.0"])


def test_scratch_name_that_an_earlier_run_left_is_removed() -> None:
    script = Script({"aux": {"Digest": PUSHED}})
    script.local |= {f"r.example/app:{SCRATCH}": ID, "r.example/app:v1.0": ID}
    with Engine({}, connect=script.connect) as engine:
        for tag in (SCRATCH, "v1.0"):
            engine.push("app:1", REPOSITORY, tag, Silence())
    assert script.removed == [f"r.example/app:{SCRATCH}"]


class Shared(Script):
    """A daemon in which another run removes what this one needs, ``times`` times: the name before it is pushed, or the
    image before it is named."""

    def __init__(self, what: str, times: int) -> None:
        super().__init__({"aux": {"Digest": PUSHED}})
        self.what, self.times = what, times
        self.pulled = ""

    def _struck(self, what: str) -> bool:
        strikes = what == self.what and self.times > 0
        self.times -= strikes
        return strikes

    def pull(self, name: str, tag: str, **_: object) -> Iterator[Any]:
        self.pulled = f"{name}@{tag}"
        if not self._struck("pulled"):
            is_new = self.pulled not in self.local
            self.local[self.pulled] = ID
            yield {"status": f"Status: {'Downloaded newer image' if is_new else 'Image is up to date'} for app"}

    def tag(self, image: Digest, repository: str, tag: str, force: bool) -> None:
        if self._struck("image"):
            self.local.pop(self.pulled, None)
            raise docker.errors.ImageNotFound("404", explanation=f"No such image: {image}")
        super().tag(image, repository, tag, force)

    def remove_image(self, name: str, noprune: bool) -> None:
        super().remove_image(name, noprune)
        if self.local.pop(name, None) is None:
            raise docker.errors.ImageNotFound("404", explanation=f"No such image: {name}")

    def push(self, name: str, tag: str, auth_config: object, **_: object) -> Iterator[Any]:
        if self._struck("name"):
            del self.local[f"{name}:{tag}"]
        if f"{name}:{tag}" not in self.local:
            yield {"errorDetail": {"message": f"tag does not exist: {name}:{tag}"}}
        yield from self._play()


@pytest.mark.parametrize("what", ["name", "image", "pulled"])
@pytest.mark.parametrize("known", [True, False])
def test_what_another_run_removes_is_made_again(what: str, known: bool) -> None:
    script, source = Shared(what, 2), Repository("s.example", "app")
    pulled = f"s.example/app@{PUSHED}"
    if known:  # of another run, which clears it away
        script.local[pulled] = ID
    before = dict(script.local)
    with Engine({}, connect=script.connect) as engine:
        assert engine.transfer(source, PUSHED, REPOSITORY, SCRATCH, Silence()) == PUSHED
    if what == "image":
        before.pop(pulled, None)  # it was that run's
    assert script.local == before


def test_name_that_is_gone_each_time_is_told() -> None:
    script = Shared("name", 100)
    error = failure_of(script, lambda engine: engine.push("app:1", REPOSITORY, SCRATCH, Silence()))
    assert (error.code, "Run it again" in error.hint) == ("engine.push_failed", True)
    assert script.times > 90


def test_image_that_only_another_runs_pull_held_goes() -> None:
    """It was there when this one began; by its end its name of the source is gone, and nobody else will remove it."""

    class Leaving(Shared):
        def push(self, name: str, tag: str, auth_config: object, **_: object) -> Iterator[Any]:
            del self.local[self.pulled]
            return super().push(name, tag, auth_config)

    script = Leaving("", 0)
    script.local = {f"s.example/app@{PUSHED}": ID}
    with Engine({}, connect=script.connect) as engine:
        engine.transfer(Repository("s.example", "app"), PUSHED, REPOSITORY, SCRATCH, Silence())
    assert script.local == {}


def test_what_the_daemon_notes_of_a_push_goes_although_another_run_took_the_name() -> None:
    """The daemon notes REPOSITORY@DIGEST at the end of a push, and forgets it with the last tag of that repository."""

    class Noting(Shared):
        def push(self, name: str, tag: str, auth_config: object, **_: object) -> Iterator[Any]:
            del self.local[f"{name}:{tag}"]
            self.local[f"{name}@{PUSHED}"] = ID
            yield {"aux": {"Digest": PUSHED}}

        def remove_image(self, name: str, noprune: bool) -> None:
            super().remove_image(name, noprune)
            self.local.pop(f"{name.rpartition(':')[0]}@{PUSHED}", None)

    script = Noting("", 0)
    before = dict(script.local)
    with Engine({}, connect=script.connect) as engine:
        engine.push("app:1", REPOSITORY, SCRATCH, Silence())
    assert script.local == before


def test_saved_archive_that_ends_in_an_error(tmp_path: Path) -> None:
    script = Script(bytes(2048), b'{"errorDetail":{"message":"no space left on device"}}')
    error = failure_of(script, lambda engine: engine.save_to("app:1", tmp_path / "app.tar"))
    assert error.code == "engine.save_failed"
    assert list(tmp_path.iterdir()) == []


def test_saved_archive_that_breaks_off(tmp_path: Path) -> None:
    error = failure_of(Script(bytes(2048), BROKEN), lambda engine: engine.save_to("app:1", tmp_path / "app.tar"))
    assert error.code == "engine.unavailable"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "events",
    [
        [],
        [{"stream": f"Loaded image ID: {ID}\n"}, {"stream": f"Loaded image ID: {OTHER}\n"}],
        [{"stream": "Loaded image: app:1\nLoaded image: other:1\n"}],
    ],
)
def test_archive_that_holds_not_one_image(tmp_path: Path, events: list[Any]) -> None:
    (tmp_path / "some.tar").write_bytes(b"tar")
    error = failure_of(Script(*events), lambda engine: engine.load(tmp_path / "some.tar", Silence()))
    assert error.code == "engine.load_failed"


def test_failure_while_another_is_handled_keeps_its_own_reason() -> None:
    try:
        raise TimeoutError("something else, before")
    except TimeoutError:
        error = failure_of(Script(BROKEN), push)
    assert error.code == "engine.unavailable"
