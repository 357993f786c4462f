"""Credentials as docker login, podman login and helpers leave them."""

from __future__ import annotations

import base64
import contextlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tagflow.errors import StoreError
from tagflow.stores.registry.auth.credentials import Credential, Keychain, keychain, variables
from tagflow.stores.registry.auth.docker_config import ConfigFile, normalise, read_config
from tagflow.stores.registry.auth.docker_config import Login as LoginEntry
from tagflow.stores.registry.auth.tokens import Login
from tagflow.stores.registry.http.pace import Settings
from tagflow.stores.registry.http.transport import Answer, Request

SECRET = "s3cr3t-value"


def encoded(username: str = "me", password: str = SECRET) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{username}:{password}".encode()).decode()}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


def docker(home: Path, document: Any) -> None:
    write(home / ".docker/config.json", document)


def write(path: Path, document: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(document if isinstance(document, str) else json.dumps(document))


def helper(home: Path, name: str, script: str) -> None:
    program = home / "bin" / f"docker-credential-{name}"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def find(home: Path, host: str, path: str = "", **environ: str) -> Credential | None:
    variables = {"HOME": str(home), "PATH": f"{home}/bin:/usr/bin:/bin", **environ}
    return keychain(variables).find(host, path)


def test_nothing_configured(home: Path) -> None:
    assert find(home, "registry.example") is None


def test_no_home_at_all() -> None:
    assert keychain({}).find("registry.example") is None


@pytest.mark.parametrize(
    ("key", "host"),
    [
        ("registry.example", "registry.example"),
        ("registry.example:5000", "registry.example:5000"),
        ("Registry.Example", "registry.example"),
        ("https://registry.example", "registry.example"),
        ("https://registry.example/", "registry.example"),
        ("https://registry.example/v1/", "registry.example"),
        ("https://registry.example/v2/", "registry.example"),
        ("registry.example/v2/", "registry.example"),
        ("http://registry.example:5000", "registry.example:5000"),
        ("https://index.docker.io/v1/", "docker.io"),
        ("index.docker.io", "docker.io"),
        ("docker.io", "docker.io"),
        ("https://registry-1.docker.io", "docker.io"),
    ],
)
def test_keys_as_tools_write_them(home: Path, key: str, host: str) -> None:
    docker(home, {"auths": {key: encoded()}})
    assert find(home, host) == Credential("me", SECRET, source="~/.docker/config.json auths")
    assert find(home, f"not.{host}") is None


def test_the_exact_key_wins(home: Path) -> None:
    docker(home, {"auths": {"https://r.example/v1/": encoded("old"), "r.example": encoded("new")}})
    found = find(home, "r.example")
    assert found
    assert found.username == "new"


def test_docker_hubs_own_key_wins(home: Path) -> None:
    docker(home, {"auths": {"docker.io": encoded("podman"), "https://index.docker.io/v1/": encoded("docker")}})
    found = find(home, "docker.io")
    assert found
    assert found.username == "docker"


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"username": "u", "password": "p"}, Credential("u", "p")),
        ({"auth": encoded("u", "a:b")["auth"]}, Credential("u", "a:b")),
        ({"auth": encoded("ü", "pä ss")["auth"]}, Credential("ü", "pä ss")),
        ({"auth": encoded("u", "p\0\0")["auth"]}, Credential("u", "p")),
        ({"auth": encoded("u", "p\n")["auth"]}, Credential("u", "p")),
        ({"auth": f"{encoded('u', 'p')['auth']}\n"}, Credential("u", "p")),
        ({"auth": encoded("", "token")["auth"]}, Credential("", "token")),
        ({"auth": encoded("u", "")["auth"]}, Credential("u", "")),
        ({**encoded("u", ""), "identitytoken": "t"}, Credential("u", "", identity_token="t")),
        (encoded("<token>", "t"), Credential("<token>", "", identity_token="t")),
        ({"registrytoken": "t"}, Credential(registry_token="t")),
        ({}, None),
        ({"username": "u"}, Credential("u")),
        ({"auth": ""}, None),
    ],
)
def test_entries(home: Path, entry: dict[str, str], expected: Credential | None) -> None:
    docker(home, {"auths": {"r.example": entry}})
    found = find(home, "r.example")
    assert (found and (found.username, found.password, found.identity_token, found.registry_token)) == (
        expected and (expected.username, expected.password, expected.identity_token, expected.registry_token)
    )


@pytest.mark.parametrize("broken", [7, "text", None, {"auth": "%%%"}, {"auth": "bm9jb2xvbg=="}, {"auth": "/w=="}])
def test_a_broken_entry_breaks_no_other_and_is_named_when_asked_for(home: Path, broken: Any) -> None:
    docker(home, {"auths": {"broken.example": broken, "r.example": encoded()}})
    assert find(home, "r.example")
    with pytest.raises(StoreError, match=r"broken\.example") as caught:
        find(home, "broken.example")
    assert caught.value.code == "credentials.invalid"


@pytest.mark.parametrize("content", ["{", "[]", "null", "nonsense", "{'auths': {}}", "[" * 100_000])
def test_a_broken_file_is_named(home: Path, content: str) -> None:
    docker(home, content)
    with pytest.raises(StoreError, match=r"~/\.docker/config\.json") as caught:
        find(home, "r.example")
    assert caught.value.code == "credentials.invalid"


@pytest.mark.parametrize(
    "document", [{"auths": None}, {"auths": []}, {"credHelpers": {"r.example": 3}}, {"credsStore": 1}, ""]
)
def test_odd_sections_are_empty_ones(home: Path, document: Any) -> None:
    docker(home, document)
    assert find(home, "r.example") is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_any_file_is_read_or_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with contextlib.suppress(StoreError):
        read_config(path, "it").login("r.example", "a/b")


@given(st.text(max_size=60))
def test_any_key_has_a_normal_form(key: str) -> None:
    assert normalise(normalise(key)) == normalise(normalise(normalise(key)))


def test_docker_config_names_another_directory(home: Path) -> None:
    write(home / "other/config.json", {"auths": {"r.example": encoded()}})
    found = find(home, "r.example", DOCKER_CONFIG=str(home / "other"))
    assert found
    assert found.source == "~/other/config.json auths"


VARIABLES = {"TAGFLOW_REGISTRY_USERNAME": "ci", "TAGFLOW_REGISTRY_PASSWORD": SECRET}


class TestEnvironment:
    def test_wins_for_the_host_that_it_names(self, home: Path) -> None:
        docker(home, {"auths": {"r.example": encoded()}})
        found = find(home, "r.example", TAGFLOW_REGISTRY_HOST="r.example", **VARIABLES)
        assert found == Credential("ci", SECRET, source="environment")

    @pytest.mark.parametrize(
        ("named", "host"),
        [
            ("R.Example:5000", "r.example:5000"),
            ("https://r.example", "r.example"),
            ("docker.io", "docker.io"),
            ("index.docker.io", "docker.io"),
            ("https://index.docker.io/v1/", "docker.io"),
            (" r.example ", "r.example"),
        ],
    )
    def test_names_a_host_as_people_write_it(self, home: Path, named: str, host: str) -> None:
        found = find(home, host, TAGFLOW_REGISTRY_HOST=named, **VARIABLES)
        assert found
        assert found.username == "ci"

    def test_is_never_sent_to_another_host(self, home: Path) -> None:
        assert find(home, "other.example", TAGFLOW_REGISTRY_HOST="r.example", **VARIABLES) is None
        assert find(home, "r.example:5000", TAGFLOW_REGISTRY_HOST="r.example", **VARIABLES) is None

    @pytest.mark.parametrize("host", ["", " "])
    def test_names_no_host(self, home: Path, host: str) -> None:
        """A changed policy must not send a password elsewhere."""
        with pytest.raises(StoreError, match="TAGFLOW_REGISTRY_HOST is not") as caught:
            find(home, "r.example", TAGFLOW_REGISTRY_HOST=host, **VARIABLES)
        assert (caught.value.code, caught.value.exit_status) == ("credentials.host_missing", 6)
        assert "TAGFLOW_REGISTRY_HOST" in caught.value.hint

    def test_names_more_than_a_host(self, home: Path) -> None:
        with pytest.raises(StoreError, match="more than a host") as caught:
            find(home, "ghcr.io", TAGFLOW_REGISTRY_HOST="ghcr.io/acme", **VARIABLES)
        assert caught.value.hint.endswith(" ghcr.io")

    def test_half_of_it_is_an_error(self, home: Path) -> None:
        with pytest.raises(StoreError, match="only one of"):
            find(home, "r.example", TAGFLOW_REGISTRY_HOST="r.example", TAGFLOW_REGISTRY_PASSWORD=SECRET)


class TestPodman:
    @pytest.fixture(params=["named", "runtime", "config", "xdg"])
    def place(self, request: pytest.FixtureRequest, home: Path) -> tuple[Path, dict[str, str]]:
        places = {
            "named": (home / "a.json", {"REGISTRY_AUTH_FILE": str(home / "a.json")}),
            "runtime": (home / "run/containers/auth.json", {"XDG_RUNTIME_DIR": str(home / "run")}),
            "config": (home / ".config/containers/auth.json", {}),
            "xdg": (home / "x/containers/auth.json", {"XDG_CONFIG_HOME": str(home / "x")}),
        }
        found: tuple[Path, dict[str, str]] = places[request.param]
        return found

    def test_is_found(self, home: Path, place: tuple[Path, dict[str, str]]) -> None:
        path, environ = place
        write(path, {"auths": {"r.example": encoded()}})
        found = find(home, "r.example", **environ)
        assert found
        assert found.password == SECRET
        assert found.source.endswith(".json auths")

    def test_comes_after_docker(self, home: Path, place: tuple[Path, dict[str, str]]) -> None:
        path, environ = place
        write(path, {"auths": {"r.example": encoded("podman")}})
        docker(home, {"auths": {"r.example": encoded("docker")}})
        found = find(home, "r.example", **environ)
        assert found
        assert found.username == "docker"

    def test_the_longest_prefix_wins(self, home: Path) -> None:
        auths = {
            "r.example": encoded("host"),
            "r.example/team": encoded("team"),
            "r.example/team/app": encoded("app"),
        }
        write(home / ".config/containers/auth.json", {"auths": auths})
        wanted = {"": "host", "other": "host", "team": "team", "team/x/y": "team", "team/app": "app", "teams": "host"}
        found = {path: find(home, "r.example", path) for path in wanted}
        assert {path: c.username for path, c in found.items() if c} == wanted


GIVES = """read host; printf '{"ServerURL": "%s", "Username": "%s", "Secret": "s3cr3t-value"}' "$host" "$host" """


class TestHelpers:
    def test_of_one_host(self, home: Path) -> None:
        helper(home, "one", GIVES)
        docker(home, {"credHelpers": {"r.example": "one"}})
        assert find(home, "r.example") == Credential("r.example", SECRET, source="helper one")
        assert find(home, "other.example") is None

    def test_of_all_hosts(self, home: Path) -> None:
        helper(home, "all", GIVES)
        docker(home, {"credsStore": "all", "auths": {"r.example": {}}})
        hub, other = find(home, "docker.io"), find(home, "r.example")
        assert hub
        assert other
        assert (hub.username, other.username) == ("https://index.docker.io/v1/", "r.example")

    def test_of_a_host_goes_before_that_of_all(self, home: Path) -> None:
        helper(home, "one", GIVES)
        helper(home, "all", "exit 3")
        docker(home, {"credHelpers": {"r.example": "one"}, "credsStore": "all"})
        found = find(home, "r.example")
        assert found
        assert found.source == "helper one"

    def test_gives_an_identity_token(self, home: Path) -> None:
        helper(home, "one", """echo '{"Username": "<token>", "Secret": "s3cr3t-value"}'""")
        docker(home, {"credsStore": "one"})
        found = find(home, "r.example")
        assert found
        assert (found.identity_token, found.password) == (SECRET, "")

    def test_that_knows_nothing_is_passed_over(self, home: Path) -> None:
        helper(home, "one", "echo credentials not found in native keychain; exit 1")
        docker(home, {"credsStore": "one", "auths": {"r.example": encoded()}})
        assert find(home, "other.example") is None
        assert find(home, "r.example")

    @pytest.mark.parametrize(
        "script",
        [
            "echo s3cr3t-value >&2; exit 1",
            "echo s3cr3t-value; exit 1",
            "echo s3cr3t-value",
            "echo '[]'",
            "echo '{\"Secret\": 1}'",
        ],
    )
    def test_that_fails_is_an_error_without_what_it_printed(
        self, home: Path, script: str, capfd: pytest.CaptureFixture[str]
    ) -> None:
        helper(home, "one", script)
        docker(home, {"credsStore": "one"})
        with pytest.raises(StoreError, match="docker-credential-one") as caught:
            find(home, "r.example")
        assert caught.value.code == "credentials.helper_failed"
        assert SECRET not in caught.value.message + caught.value.hint
        assert SECRET not in "".join(capfd.readouterr())

    def test_that_hangs_is_ended(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tagflow.stores.registry.auth.credentials.HELPER_SECONDS", 0.2)
        helper(home, "one", "exec sleep 60")
        docker(home, {"credsStore": "one"})
        with pytest.raises(StoreError, match="did not answer"):
            find(home, "r.example")

    @pytest.mark.parametrize("name", ["absent", "../bin/one", "/bin/true"])
    def test_that_is_not_on_the_path(self, home: Path, name: str) -> None:
        helper(home, "one", GIVES)
        docker(home, {"credsStore": name})
        with pytest.raises(StoreError, match="is not installed"):
            find(home, "r.example")

    def test_that_fails_is_asked_once(self, home: Path) -> None:
        """Each repository of many would wait for one that hangs."""
        helper(home, "one", f"echo x >> {home}/calls; exit 3")
        docker(home, {"credsStore": "one"})
        keys = keychain({"HOME": str(home), "PATH": f"{home}/bin:/usr/bin:/bin"})
        for path in ("a", "b", "a"):
            with pytest.raises(StoreError, match="docker-credential-one"):
                keys.find("r.example", path)
        assert (home / "calls").read_text() == "x\n"

    def test_is_asked_once(self, home: Path) -> None:
        helper(home, "one", f"echo x >> {home}/calls; {GIVES}")
        docker(home, {"credsStore": "one"})
        keys = keychain({"HOME": str(home), "PATH": f"{home}/bin:/usr/bin:/bin"})
        for path in ("a", "b", "a"):
            assert keys.find("r.example", path)
        assert (home / "calls").read_text() == "x\n"


@pytest.mark.parametrize(
    "value",
    [
        Credential("me", SECRET, SECRET, SECRET, "here"),
        LoginEntry("me", SECRET, SECRET, SECRET),
        ConfigFile("config.json", {"r.example": {"auth": SECRET}}),
        Login(f"Bearer {SECRET}"),
        Settings(environ={"TAGFLOW_REGISTRY_PASSWORD": SECRET}),
        Request("GET", f"https://r.example/?token={SECRET}", {"Authorization": SECRET}, SECRET.encode(), SECRET),
        Answer(200, {}, f'{{"token": "{SECRET}"}}'.encode()),
    ],
    ids=lambda value: f"{type(value).__module__.rpartition('.')[2]}.{type(value).__name__}",
)
def test_secrets_are_in_no_representation(value: object) -> None:
    assert SECRET not in repr(value)
    assert SECRET not in str([value])


def test_a_keychain_asks_its_providers_in_order() -> None:
    first = Credential("first", source="first")
    keys = Keychain([lambda host, path: None, lambda host, path: first, lambda host, path: Credential("second")])
    assert keys.find("r.example") is first


LABEL = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,6}[a-z0-9])?", fullmatch=True)
NAME = st.builds(
    lambda labels, port: ".".join(labels) + (f":{port}" if port else ""),
    st.lists(LABEL, min_size=1, max_size=3),
    st.integers(0, 65535),
)
ADDRESS = st.builds(
    lambda address, port: f"[{address}]" + (f":{port}" if port else ""), st.ip_addresses(v=6), st.integers(0, 65535)
)
HOSTS = st.one_of(NAME, ADDRESS)


class TestVariables:
    USER, SECRET = "TAGFLOW_REGISTRY_USERNAME", "TAGFLOW_REGISTRY_PASSWORD"

    @pytest.mark.parametrize(
        ("host", "suffix"),
        [
            ("ghcr.io", "GHCR_IO"),
            ("registry.gitlab.com", "REGISTRY_GITLAB_COM"),
            ("registry-gitlab.com", "REGISTRY__GITLAB_COM"),
            ("r.example:5000", "R_EXAMPLE___5000"),
            ("localhost", "LOCALHOST"),
            ("[::1]:5000", "IPV6___________1________5000"),
        ],
    )
    def test_spelling(self, host: str, suffix: str) -> None:
        assert variables(host) == (f"{self.USER}_{suffix}", f"{self.SECRET}_{suffix}")

    @given(HOSTS, HOSTS)
    @example("registry.gitlab.com", "registry-gitlab.com")
    @example("a.b:5000", "a.b.5000")
    @example("[fe80::1]:5", "[fe80::1:5]")
    @example("a--b.c", "a.b.c")
    def test_no_two_hosts_have_the_same(self, one: str, other: str) -> None:
        assert (variables(one) == variables(other)) == (one == other)

    @given(HOSTS)
    def test_are_names_that_a_shell_takes(self, host: str) -> None:
        assert all(re.fullmatch(r"[A-Z_][A-Z0-9_]*", name) for name in variables(host))

    def test_of_one_host(self, home: Path) -> None:
        given = {f"{self.USER}_R_EXAMPLE___5000": "me", f"{self.SECRET}_R_EXAMPLE___5000": SECRET}
        found = find(home, "r.example:5000", **given)
        assert found
        assert (found.username, found.password, found.source) == ("me", SECRET, "environment")
        assert find(home, "r.example", **given) is None
        assert find(home, "r.example.5000", **given) is None

    @pytest.mark.parametrize("named", [{}, {"TAGFLOW_REGISTRY_HOST": "r.example"}], ids=["no host", "that host"])
    def test_of_one_host_come_before_those_without(self, home: Path, named: dict[str, str]) -> None:
        given = {self.USER: "all", self.SECRET: SECRET, f"{self.USER}_R_EXAMPLE": "me", f"{self.SECRET}_R_EXAMPLE": "x"}
        found = find(home, "r.example", **given, **named)
        assert found
        assert found.username == "me"

    def test_only_one_of_the_two(self, home: Path) -> None:
        with pytest.raises(StoreError, match="_R_EXAMPLE") as caught:
            find(home, "r.example", **{f"{self.USER}_R_EXAMPLE": "me"})
        assert caught.value.code == "credentials.invalid"
