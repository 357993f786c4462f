"""A registry that means harm: bounded memory and time, one clear error, and no credential for anybody else."""

from __future__ import annotations

import gzip
import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tagflow.domain.reference import Digest, Repository, digest_of
from tagflow.errors import StoreError
from tagflow.stores.archive.reader import open_archive
from tagflow.stores.port import OCI_INDEX, OCI_MANIFEST, Descriptor
from tagflow.stores.registry import listing
from tagflow.stores.registry.auth.credentials import Credential, Keychain
from tagflow.stores.registry.http import receiving
from tagflow.stores.registry.http.pace import RetryPolicy, Settings
from tagflow.stores.registry.store import RegistryHost, RegistryStore
from tagflow.stores.transfer import tree
from tagflow.stores.transfer.copy import copy_image, platforms
from tests import images
from tests.images import as_json, pointer
from tests.memory import MemoryRegistry
from tests.standin import Asked, Say, StandIn, basic_of, standin

SECRET = "hunter2-of-the-registry"
METADATA = [
    "http://169.254.169.254/latest/meta-data/",
    "http://[fd00:ec2::254]/",
    "http://metadata.google.internal/computeMetadata/v1/",
    "http://2852039166/",
    "http://0xA9.0xFE.0xA9.0xFE/",
    "http://[::ffff:169.254.169.254]/",
    "http://100.100.100.200/",
]
Play = Callable[[Callable[[Asked], Say]], RegistryStore]


@pytest.fixture
def play() -> Iterator[Play]:
    """A registry that answers as a script says; there is a credential for it."""
    opened: list[Any] = []

    def start(script: Callable[[Asked], Say]) -> RegistryStore:
        running = standin(script)
        server: StandIn = running.__enter__()
        environ = {
            "HOME": "/nonexistent",
            "TAGFLOW_REGISTRY_USERNAME": "alice",
            "TAGFLOW_REGISTRY_HOST": server.host,
            "TAGFLOW_REGISTRY_PASSWORD": SECRET,
        }
        settings = Settings(environ=environ, retry=RetryPolicy(attempts=2, first=0.001))
        host = RegistryHost(server.host, settings)
        opened.extend((host.close, lambda: running.__exit__(None, None, None)))
        return host.store("app")

    yield start
    for close in opened:
        close()


def fails(code: str, action: Callable[[], object]) -> StoreError:
    with pytest.raises(StoreError) as raised:
        action()
    assert raised.value.code == code, raised.value.message
    assert SECRET not in raised.value.message + raised.value.hint
    return raised.value


class TestPagination:
    def test_that_goes_round_in_a_circle(self, play: Play) -> None:
        links = {"1": "2", "2": "3", "3": "2"}

        def script(asked: Asked) -> Say:
            page = asked.query.get("last", ["1"])[0]
            return Say(body=b'{"tags": ["a"]}', headers={"Link": f'</v2/app/tags/list?last={links[page]}>; rel="next"'})

        fails("registry.invalid_answer", play(script).tags)

    def test_that_never_ends(self, play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(listing, "MOST_PAGES", 20)
        count = iter(range(10**9))
        fails("registry.invalid_answer", play(lambda _: endless(next(count))).tags)

    def test_that_never_ends_and_takes_its_time(self, play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(listing, "LIST_SECONDS", 0.1)
        count = iter(range(10**9))

        def script(_: Asked) -> Say:
            time.sleep(0.02)
            return endless(next(count))

        assert "never ends" in fails("registry.invalid_answer", play(script).tags).message

    def test_that_leads_to_another_host(self, play: Play) -> None:
        with standin(lambda _: Say(body=b'{"tags": []}')) as other:
            store = play(lambda _: Say(body=b'{"tags": []}', headers={"Link": f'<http://{other.host}/>; rel="next"'}))
            fails("registry.invalid_answer", store.tags)
            assert other.asked == []


def endless(number: int) -> Say:
    return Say(
        body=json.dumps({"tags": [f"t{number}"]}).encode(),
        headers={"Link": f'</v2/app/tags/list?last={number}>; rel="next"'},
    )


class TestThatRepeatsWhatItWasSent:
    """Some gateways quote the header that they refuse."""

    @staticmethod
    def refusal(asked: Asked) -> Say:
        user, password = basic_of(asked) if asked.authorization.startswith("Basic") else ("", "")
        said = f"no: {asked.authorization} {user} {password} {asked.body.decode()}"
        return Say(403, json.dumps({"errors": [{"code": "DENIED", "message": said, "detail": "why"}]}).encode())

    def test_a_password(self, play: Play) -> None:
        def script(asked: Asked) -> Say:
            if not asked.authorization:
                return Say(401, headers={"WWW-Authenticate": 'Basic realm="registry"'})
            return Say(200) if asked.path == "/v2/" else self.refusal(asked)

        told = fails("registry.denied", play(script).tags).message
        assert "(HTTP 403, DENIED: no: Basic … alice … " in told

    def test_a_token(self, play: Play) -> None:
        def script(asked: Asked) -> Say:
            if asked.path == "/token":
                return Say(body=json.dumps({"token": "a-token-to-push"}).encode())
            if not asked.authorization:
                return Say(401, headers={"WWW-Authenticate": 'Bearer realm="/token"'})
            return self.refusal(asked)

        assert "a-token-to-push" not in fails("registry.denied", play(script).tags).message

    def test_a_password_to_a_token_server(self, play: Play) -> None:
        def script(asked: Asked) -> Say:
            if asked.path == "/token":
                return Say(body=b'{"token": "x"}') if "scope" not in asked.query else self.refusal(asked)
            return Say(401, headers={"WWW-Authenticate": 'Bearer realm="/token"'})

        assert "DENIED: no: Basic … alice … " in fails("registry.denied", play(script).tags).message

    def test_an_identity_token(self) -> None:
        def script(asked: Asked) -> Say:
            if asked.path == "/token":
                return self.refusal(asked) if b"scope=" in asked.body else Say(body=b'{"token": "x"}')
            return Say(401, headers={"WWW-Authenticate": 'Bearer realm="/token"'})

        known = Keychain([lambda _host, _path: Credential(identity_token=SECRET, source="tests")])
        with standin(script) as server:
            host = RegistryHost(server.host, Settings(environ={}), known)
            assert "refresh_token=… " in fails("registry.denied", host.store("app").tags).message
            host.close()


class TestSentElsewhere:
    @pytest.mark.parametrize("address", METADATA)
    def test_by_a_redirect_to_the_clouds_metadata(self, play: Play, address: str) -> None:
        blob = Descriptor("x", digest_of(b"x"), 1)
        store = play(lambda _: Say(307, headers={"Location": address}))
        fails("registry.invalid_answer", lambda: b"".join(store.read_blob(blob)))

    @pytest.mark.parametrize("address", METADATA)
    def test_by_a_token_realm_at_the_clouds_metadata(self, play: Play, address: str) -> None:
        store = play(lambda _: Say(401, headers={"WWW-Authenticate": f'Bearer realm="{address}"'}))
        fails("registry.invalid_answer", store.tags)

    @pytest.mark.parametrize("address", METADATA)
    def test_by_an_upload_to_the_clouds_metadata(self, play: Play, address: str) -> None:
        def script(asked: Asked) -> Say:
            return Say(202, headers={"Location": address}) if asked.method == "POST" else Say(404)

        store = play(script)
        fails("registry.invalid_answer", lambda: images.add_blob(store, b"content"))

    def test_by_a_name_that_means_the_metadata(self, play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
        with standin(lambda _: Say(body=b"x")) as other:
            real = socket.socket.getpeername

            def pretend(connection: socket.socket) -> Any:
                name = real(connection)
                return ("169.254.169.254", 80) if name[1] == int(other.host.rpartition(":")[2]) else name

            monkeypatch.setattr(
                "tagflow.stores.registry.http.connections._peer", lambda connection: pretend(connection)[0]
            )
            store = play(lambda _: Say(307, headers={"Location": f"http://{other.host}/"}))
            blob = Descriptor("x", digest_of(b"x"), 1)
            fails("registry.invalid_answer", lambda: b"".join(store.read_blob(blob)))
            assert other.asked == []

    def test_credentials_do_not_go_along(self, play: Play) -> None:
        content = b"the blob"
        with standin(lambda _: Say(body=content)) as other:

            def script(asked: Asked) -> Say:
                if not asked.authorization:
                    return Say(401, headers={"WWW-Authenticate": "Basic realm=x"})
                if "blobs" in asked.target:
                    return Say(307, headers={"Location": f"http://{other.host}/storage"})
                return Say()

            blob = Descriptor("x", digest_of(content), len(content))
            assert b"".join(play(script).read_blob(blob)) == content
            assert [asked.authorization for asked in other.asked] == [""]


class TestDocuments:
    @pytest.mark.parametrize("body", [b"[" * 500_000, b'{"a":' * 200_000, b'{"tags":' + b"[" * 900_000])
    def test_nested_deeply(self, play: Play, body: bytes) -> None:
        store = play(lambda _: Say(body=body, headers={"Content-Type": OCI_MANIFEST}))
        fails("registry.invalid_answer", store.tags)
        with pytest.raises(StoreError):
            _ = store.get("v1").blobs

    def test_a_token_answer_nested_deeply(self, play: Play) -> None:
        def script(asked: Asked) -> Say:
            if asked.path == "/token":
                return Say(body=b'{"token": "t", "more": ' + b"[" * 200_000)
            realm = f"http://{asked.headers['Host']}/token"
            return Say(401, headers={"WWW-Authenticate": f'Bearer realm="{realm}"'})

        fails("registry.invalid_answer", play(script).tags)

    def test_larger_than_a_manifest_may_be(self, play: Play) -> None:
        body = b'{"schemaVersion": 2, "x": "' + b"x" * (4 * 1024 * 1024) + b'"}'
        store = play(lambda _: Say(body=body, headers={"Content-Type": OCI_MANIFEST}))
        fails("registry.invalid_answer", lambda: store.get("v1"))

    def test_an_index_that_contains_itself(self, play: Play) -> None:
        """Its digest cannot be right, so it is refused when it is read; a cycle by tags ends as any other."""
        digest = images.absent("itself")
        body = as_json({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [
            {"mediaType": OCI_INDEX, "digest": digest, "size": 9}]})  # fmt: skip
        store = play(lambda _: Say(body=body, headers={"Content-Type": OCI_INDEX, "Docker-Content-Digest": digest}))
        fails("manifest.digest_mismatch", lambda: copy_image(store, other_store(), "v1"))

    def test_manifests_that_fill_the_memory(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tree, "MANIFEST_BYTES_LIMIT", 20_000)
        store = other_store()
        children = [pointer(images.image(store, content=f"{n}".encode()).descriptor) for n in range(60)]
        root = images.index_of(store, children)
        fails("manifest.too_many", lambda: copy_image(store, other_store("b.test"), root.digest))

    def test_an_index_of_very_many_without_platforms(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tagflow.stores.transfer.facts._MOST_PARTS", 10)
        store = other_store()
        root = images.index_of(store, [pointer(images.image(store, content=b"%d" % n).descriptor) for n in range(12)])
        fails("manifest.too_many", lambda: platforms(store, root))

    @pytest.mark.parametrize("digest", ["md5:" + "0" * 32, "sha256:short", "sha3-256:" + "a" * 64, ""])
    def test_a_digest_algorithm_that_nobody_knows(self, play: Play, digest: str) -> None:
        body = as_json({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config":
                        {"mediaType": "x", "digest": digest, "size": 1}, "layers": []})  # fmt: skip
        headers = {"Content-Type": OCI_MANIFEST, "Docker-Content-Digest": digest}
        store = play(lambda _: Say(body=body, headers=headers))
        fails("manifest.invalid", lambda: copy_image(store, other_store(), "v1"))

    @pytest.mark.parametrize(("size", "content"), [(3, b"more than three"), (30, b"less"), (4, b"evil")])
    def test_a_blob_that_lies_about_size_or_digest(self, play: Play, size: int, content: bytes) -> None:
        blob = Descriptor("x", digest_of(b"true"), size)
        store = play(lambda _: Say(body=content))
        fails("blob.invalid", lambda: b"".join(store.read_blob(blob)))


class TestSlowness:
    def test_a_blob_that_drips(self, play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(receiving, "SLOW_SECONDS", -1.0)  # whatever is waited for comes too slowly
        content = bytes(32 * 1024)
        blob = Descriptor("x", digest_of(content), len(content))
        fails("registry.timeout", lambda: b"".join(play(lambda _: Say(body=content)).read_blob(blob)))

    def test_a_blob_that_breaks_off_after_every_byte(self, play: Play) -> None:
        """A few bytes more are no progress that would renew the patience."""
        asked_for: list[str] = []

        def script(asked: Asked) -> Say:
            asked_for.append(asked.target)
            offset = int(asked.headers.get("Range", "bytes=0-")[6:-1])
            head = f"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {offset}-99999/100000\r\n"
            return Say(raw=(head + "Content-Length: 99999\r\n\r\nx").encode())

        blob = Descriptor("x", digest_of(b"x" * 100_000), 100_000)
        fails("registry.unreachable", lambda: b"".join(play(script).read_blob(blob)))
        assert len(asked_for) <= 3


def dripping(step: float) -> Callable[[], float]:
    """A clock that goes on by a step whenever it is looked at."""
    count = iter(range(10**9))
    return lambda: next(count) * step


def other_store(host: str = "a.test") -> Any:
    return MemoryRegistry().open(Repository(host, "app"))


class TestBombs:
    def test_an_archive_that_unpacks_without_end(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tagflow.stores.archive.files._UNPACKED_LEAST", 1024 * 1024)
        bomb = tmp_path / "bomb.tar"
        bomb.write_bytes(gzip.compress(bytes(8 * 1024 * 1024)))
        assert "unpacks to more than" in fails("archive.invalid", lambda: open_archive(bomb)).message

    def test_a_layer_is_never_unpacked(self) -> None:
        source, target = other_store(), other_store("b.test")
        bomb = gzip.compress(bytes(32 * 1024 * 1024))
        layer = images.add_blob(source, bomb, images.OCI_LAYER)
        config = images.add_blob(source, b"{}", images.OCI_CONFIG)
        made = images.put(source, {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": pointer(config),
                                   "layers": [pointer(layer)]})  # fmt: skip
        assert copy_image(source, target, made.digest).digest == made.digest
        assert target.has_blob(layer.digest)

    def test_an_answer_that_is_packed(self, play: Play) -> None:
        """No packed answer is asked for, and none is unpacked."""
        asked: list[str] = []

        def script(request: Asked) -> Say:
            asked.append(request.headers["Accept-Encoding"])
            body = gzip.compress(bytes(16 * 1024 * 1024))
            return Say(body=body, headers={"Content-Encoding": "gzip"})

        fails("registry.invalid_answer", play(script).tags)
        assert asked == ["identity"]


def test_a_digest_in_a_header_is_not_believed(play: Play) -> None:
    lie = Digest(images.absent("lie"))
    body = as_json({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": []})
    store = play(lambda _: Say(body=body, headers={"Content-Type": OCI_MANIFEST, "Docker-Content-Digest": lie}))
    fails("manifest.digest_mismatch", lambda: store.get("v1"))
