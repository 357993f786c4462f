"""Who is told after a promotion or rollback, and what a notice that fails comes to: a warning, never a failure."""

from __future__ import annotations

import base64
import json
import socket
import ssl
from http.client import IncompleteRead, InvalidURL
from pathlib import Path
from threading import Event
from urllib.error import URLError
from urllib.request import OpenerDirector

import pytest

from tagflow.execute import notify as telling
from tests.flows.world import World
from tests.standin import Asked, Say, standin

HEAD = "version: 1\nregistry: registry.test/acme\nimages: {web: web, api: api}\nenvironments: {dev: , prod: }\n"


def world_of(*notices: str, head: str = HEAD) -> World:
    """dev, then prod, and who is told; v1.0.0 is in dev, of which nobody was told."""
    world = World(head)
    world.through("v1.0.0", "dev")
    world.become(f"{head}notify: [{', '.join(notices)}]\n")
    return world


def heard(script: Path) -> str:
    """A notice that runs a program which writes what it reads, and its variables, beside itself."""
    script.write_text(f"#!/bin/sh\ncat > {script}.read\nenv > {script}.env\n")
    script.chmod(0o755)
    return f"{{run: {script}}}"


def test_a_webhook_gets_a_text_and_the_same_as_data() -> None:
    asked: list[Asked] = []

    def script(request: Asked) -> Say:
        asked.append(request)
        assert request.body
        return Say()

    with standin(script) as server:
        world = world_of(f"{{webhook: 'http://{server.host}/T0/secret'}}")
        outcome = world.promote("v1.0.0", to="prod", reason="at last")
    (request,) = asked
    assert (request.method, request.path, request.headers["Content-Type"]) == ("POST", "/T0/secret", "application/json")
    told = json.loads(request.body)
    assert told["text"] == "web v1.0.0, api v1.0.0 promoted to prod by ann: at last"
    assert (told["command"], told["environment"], told["release"]) == ("promote", "prod", outcome.release)
    assert [(it["image"], it["version"], it["previous_version"]) for it in told["images"]] == [
        ("web", "v1.0.0", None),
        ("api", "v1.0.0", None),
    ]
    assert told["images"][0]["digest"] == world.tag("web", "prod")
    assert world.warnings == []


@pytest.mark.parametrize(
    ("login", "sent"),
    [
        ("bob:pw", "bob:pw"),
        ("bob", "bob:"),
        ("bob:", "bob:"),
        (":pw", ":pw"),
        ("b%40b:p%3Aw%2F", "b@b:p:w/"),
        ("b@b:p:w", "b@b:p:w"),
        ("jürgen:grün", "jürgen:grün"),
    ],
)
def test_a_login_in_the_address_is_sent_as_basic_authentication(login: str, sent: str) -> None:
    asked: list[Asked] = []

    def script(request: Asked) -> Say:
        asked.append(request)
        assert request.body
        return Say()

    with standin(script) as server:
        world = world_of(f"{{webhook: 'http://{login}@{server.host}/T0/secret?a=b'}}")
        assert world.promote("v1.0.0", to="prod").applied
    (request,) = asked
    assert base64.b64decode(request.authorization.removeprefix("Basic ")).decode() == sent
    assert (request.target, request.headers["Host"]) == ("/T0/secret?a=b", server.host)
    assert world.warnings == []


@pytest.mark.parametrize("address", ["http://@{host}/x", "http://{host}/x"])
def test_without_a_login_none_is_sent(address: str) -> None:
    asked: list[Asked] = []

    def script(request: Asked) -> Say:
        asked.append(request)
        assert request.body
        return Say()

    with standin(script) as server:
        assert telling._post(address.format(host=server.host), b"{}") == ""
    assert asked[0].authorization == ""


def test_no_warning_repeats_a_login() -> None:
    with standin(lambda _: Say(403)) as server:
        world = world_of(f"{{webhook: 'http://bob:hunter2@{server.host}/T0/secret'}}")
        assert world.promote("v1.0.0", to="prod").applied
    assert world.warnings == ["warning: the webhook at 127.0.0.1 answered 403"]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Say(500), "answered 500"),
        # It is not followed: the notice was not taken, and the address stays a secret.
        (Say(302, headers={"Location": "http://127.0.0.1:9/"}), "answered 302"),
        (Say(cut="whole"), "could not be reached: the connection broke off"),
        (Say(raw=b"nonsense\r\n\r\n"), "could not be reached: it does not answer in HTTP"),
    ],
)
def test_a_webhook_that_fails_is_a_warning_without_its_path(answer: Say, said: str) -> None:
    with standin(lambda _: answer) as server:
        world = world_of(f"{{webhook: 'http://{server.host}/T0/secret'}}")
        assert world.promote("v1.0.0", to="prod").applied
    assert world.warnings == [f"warning: the webhook at 127.0.0.1 {said}"]


UNTRUSTED = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] hunter2 (_ssl.c:1007)")
FAILURES: dict[str, Exception] = {
    "its name cannot be resolved": URLError(socket.gaierror(-2, "Name or service not known")),
    "its certificate is not trusted": URLError(UNTRUSTED),
    "it does not speak TLS as it should": URLError(ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] hunter2")),
    "connection refused": URLError(ConnectionRefusedError(111, "Connection refused")),
    "connection reset by peer": ConnectionResetError(104, "Connection reset by peer"),
    "its address cannot be used": InvalidURL("URL can't contain control characters. 'hunter2'"),
    "it does not answer in HTTP": IncompleteRead(b"hunter2"),
}


@pytest.mark.parametrize("said", FAILURES)
def test_what_went_wrong_is_told_in_plain_words(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object, **_named: object) -> None:
        raise FAILURES[said]

    monkeypatch.setattr(OpenerDirector, "open", fail)
    assert telling._post("https://hooks.test/hunter2", b"{}") == f"could not be reached: {said}"


def test_what_is_beyond_ascii_in_an_address_is_sent_encoded() -> None:
    asked: list[Asked] = []

    def script(request: Asked) -> Say:
        asked.append(request)
        return Say()

    with standin(script) as server:
        world = world_of(f"{{webhook: 'http://{server.host}/T0/grün%20/%C3%BC?wer=jürgen&a=b%2F'}}")
        assert world.promote("v1.0.0", to="prod").applied
    assert world.warnings == []
    assert [it.target for it in asked] == ["/T0/gr%C3%BCn%20/%C3%BC?wer=j%C3%BCrgen&a=b%2F"]


def test_a_host_beyond_ascii_that_is_no_name_is_told_as_that() -> None:
    assert telling._post(f"http://{'ü' * 80}.test/", b"{}") == "could not be reached: its name cannot be resolved"


def test_a_webhook_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    done = Event()
    monkeypatch.setattr(telling, "_post", lambda *_: done.wait() and "")
    monkeypatch.setattr(telling, "_LIMIT", 0.01)
    world = world_of("{webhook: 'http://127.0.0.1:9/T0/secret'}")
    try:
        assert world.promote("v1.0.0", to="prod").applied
    finally:
        done.set()
    assert world.warnings == ["warning: the webhook at 127.0.0.1 did not answer within 0 s"]


def test_a_name_that_nobody_answers_to_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "_LIMIT", 0.05)
    done = Event()

    def wait(_: Asked) -> Say:
        done.wait()
        return Say()

    with standin(wait) as server:
        assert telling._post(f"http://{server.host}/", b"{}") == "did not answer within 0 s"
        done.set()


def test_a_command_reads_it_and_has_it_in_variables(tmp_path: Path) -> None:
    world = world_of(heard(tmp_path / "tell"))
    world.through("v1.1.0", "dev", "prod")
    outcome = world.rollback("dev")
    told = json.loads((tmp_path / "tell.read").read_text())
    assert told["text"] == "web v1.0.0, api v1.0.0 rolled back in dev by ann"
    variables = dict(line.split("=", 1) for line in (tmp_path / "tell.env").read_text().splitlines())
    assert {name: value for name, value in variables.items() if name.startswith("TAGFLOW_")} == {
        "TAGFLOW_COMMAND": "rollback",
        "TAGFLOW_ENVIRONMENT": "dev",
        "TAGFLOW_RELEASE": outcome.release,
        "TAGFLOW_ACTOR": "ann",
    }
    assert not [it for it in world.warnings if "notice" in it]


def test_commands_that_fail_are_warnings_and_the_next_is_told(tmp_path: Path) -> None:
    world = world_of("{run: /does/not/exist}", "{run: 'false'}", heard(tmp_path / "tell"))
    assert world.promote("v1.0.0", to="prod").applied
    assert sorted(world.warnings) == [
        "warning: the notice '/does/not/exist' could not start: No such file or directory",
        "warning: the notice 'false' failed with exit status 1",
    ]
    assert (tmp_path / "tell.read").exists()


SAYING = {
    "failed with exit status 3: curl: (22) 404": "sh -c 'echo begin; echo; echo \"curl: (22) 404\" >&2; exit 3'",
    "was ended by signal 9: begin": "sh -c 'echo begin; kill -9 $$'",
    f"failed with exit status 1: {'y' * 400}": f"sh -c 'printf %s {'x' * 200}{'y' * 400}; false'",
}


@pytest.mark.parametrize("told", SAYING)
def test_the_last_line_of_a_command_that_fails_is_told(told: str) -> None:
    run = SAYING[told].replace('"', '\\"')
    world = world_of(f'{{run: "{run}"}}')
    assert world.promote("v1.0.0", to="prod").applied
    assert world.warnings == [f"warning: the notice 'sh' {told}"]


def test_a_command_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "_COMMAND_LIMIT", 0.1)
    world = world_of("{run: sleep 600}")
    assert world.promote("v1.0.0", to="prod").applied
    assert world.warnings == ["warning: the notice 'sleep' did not end within 0 s"]


def test_an_interrupt_undoes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(telling, "_notify_all", interrupt)
    world = world_of("{run: 'true'}")
    assert world.promote("v1.0.0", to="prod").applied
    assert world.warnings == [
        "warning: interrupted while telling about the release; not everybody may have heard",
    ]


def test_nobody_is_told_of_nothing(tmp_path: Path) -> None:
    world = world_of(heard(tmp_path / "tell"))
    world.promote("v1.0.0", to="dev")
    world.promote("v1.0.0", to="prod", dry_run=True)
    assert not (tmp_path / "tell.read").exists()


def test_a_crowd_is_counted_in_the_text_and_whole_in_the_data(tmp_path: Path) -> None:
    images = ", ".join(f"i{number}: i{number}" for number in range(12))
    world = world_of(heard(tmp_path / "tell"), head=HEAD.replace("web: web, api: api", images))
    world.promote("v1.0.0", to="prod")
    told = json.loads((tmp_path / "tell.read").read_text())
    assert told["text"].startswith("i0 v1.0.0, i1 v1.0.0, ")
    assert told["text"].endswith("i9 v1.0.0 and 2 more promoted to prod by ann")
    assert len(told["images"]) == 12
