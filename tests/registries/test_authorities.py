"""A private authority in ``certs.d/REGISTRY`` also counts for where that registry sends us; our certificate not."""

from __future__ import annotations

import shutil
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tagflow.domain.reference import digest_of
from tagflow.errors import StoreError
from tagflow.stores.port import Descriptor
from tagflow.stores.registry.auth.credentials import Credential, Keychain
from tagflow.stores.registry.http.pace import RetryPolicy, Settings
from tagflow.stores.registry.store import RegistryHost
from tests.servers import make_certificate, server_context
from tests.standin import Asked, Say, Script, StandIn, standin

CONTENT = b"the layer"
KEYCHAIN = Keychain([lambda _host, _path: Credential("ci", "pass", source="tests")])


class Private:
    """A registry, its token server and its storage, all of one private authority that only ``certs.d`` knows."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.ca, self.certificate, self.key = make_certificate(directory / "tls")
        self.home, self.stack = directory / "home", stack
        self.peers: dict[str, bool] = {}
        self.tokens = self.server(lambda _: Say(body=b'{"token": "good"}'))
        self.storage = self.server(lambda _: Say(body=CONTENT))
        self.registry = self.server(self.answer)

    def server(self, script: Script) -> StandIn:
        return self.stack.enter_context(standin(script, tls=server_context(self.certificate, self.key)))

    def answer(self, asked: Asked) -> Say:
        if asked.authorization != "Bearer good":
            return Say(401, headers={"WWW-Authenticate": f'Bearer realm="https://{self.tokens.host}/token"'})
        if "/blobs/" in asked.path:
            return Say(307, headers={"Location": f"https://{self.storage.host}/blob"})
        return Say(body=b'{"tags": ["v1"]}')

    def trust(self, host: str, *, ourselves: bool = False) -> None:
        """As an administrator does for Docker."""
        directory = self.home / ".docker/certs.d" / host
        directory.mkdir(parents=True)
        shutil.copy(self.ca, directory / "ca.crt")
        if ourselves:
            shutil.copy(self.certificate, directory / "client.cert")
            shutil.copy(self.key, directory / "client.key")

    def read(self) -> tuple[list[str], bytes]:
        settings = Settings(environ={"HOME": str(self.home)}, retry=RetryPolicy(attempts=1))
        host = RegistryHost(self.registry.host, settings, KEYCHAIN)
        self.stack.callback(host.close)
        store = host.store("a/b")
        blob = Descriptor("x", digest_of(CONTENT), len(CONTENT))
        return store.tags(), b"".join(store.read_blob(blob))


@pytest.fixture
def private(tmp_path: Path) -> Iterator[Private]:
    with ExitStack() as stack:
        yield Private(tmp_path, stack)


def test_of_the_registry_is_enough(private: Private) -> None:
    private.trust(private.registry.host)
    assert private.read() == (["v1"], CONTENT)
    assert private.tokens.asked
    assert private.storage.asked


def test_of_the_token_server_alone_is_not(private: Private) -> None:
    private.trust(private.tokens.host)
    with pytest.raises(StoreError) as caught:
        private.read()
    assert caught.value.code == "registry.untrusted"
    assert private.registry.host in caught.value.message


def test_our_certificate_is_shown_to_the_registry_only(private: Private) -> None:
    """Each asks for one; the token server and the storage get none."""
    seen: dict[str, bool] = {}

    def watching(name: str, script: Script) -> StandIn:
        context = server_context(private.certificate, private.key)
        context.verify_mode, context.verify_flags = ssl.CERT_OPTIONAL, ssl.VERIFY_DEFAULT
        context.load_verify_locations(private.ca)
        running: list[StandIn] = []

        def answer(asked: Asked) -> Say:
            shown = [one.getpeercert() for one in running[0].sockets if isinstance(one, ssl.SSLSocket)]
            seen[name] = seen.get(name, False) or any(shown)
            return script(asked)

        running.append(private.stack.enter_context(standin(answer, tls=context)))
        return running[0]

    private.tokens = watching("tokens", private.tokens.script)
    private.storage = watching("storage", private.storage.script)
    private.registry = watching("registry", private.answer)
    private.trust(private.registry.host, ourselves=True)
    assert private.read() == (["v1"], CONTENT)
    assert seen == {"registry": True, "tokens": False, "storage": False}
