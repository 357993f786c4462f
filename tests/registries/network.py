"""A little internet for simulated registries: a proxy that ends TLS for well-known names and plays who lives there.

tagflow reaches it by the usual variables, so it talks to ``registry-1.docker.io`` as it always does: by name, over TLS.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers import make_certificate, server_context
from tests.standin import Asked, Say, Script, StandIn


class Network:
    """A running network: ``hosts`` maps names to who answers there, ``asked`` is what was asked, with the name."""

    def __init__(self, ca: Path, certificate: Path, key: Path) -> None:
        self.hosts: dict[str, Script] = {}
        self.ca = ca
        self._server = StandIn(self._answer, tunnel=server_context(certificate, key))

    @property
    def asked(self) -> list[tuple[str, Asked]]:
        """Who was asked what."""
        return [(asked.host, asked) for asked in self._server.asked]

    def environ(self, home: Path) -> dict[str, str]:
        """Variables with which this network is the world."""
        proxy = f"http://{self._server.host}"
        return {"HOME": str(home), "PATH": "/usr/bin:/bin", "https_proxy": proxy, "SSL_CERT_FILE": str(self.ca)}

    def forget(self) -> None:
        """Nothing was asked yet."""
        self._server.asked.clear()

    def stop(self) -> None:
        """Stop it."""
        self._server.stop()

    def _answer(self, asked: Asked) -> Say:
        """What a host says; nobody lives at names that are not known."""
        return self.hosts[asked.host](asked) if asked.host in self.hosts else Say(502)


@contextmanager
def network(directory: Path, names: Iterable[str]) -> Iterator[Network]:
    """A network whose certificate is for these names."""
    running = Network(*make_certificate(directory, *names))
    try:
        yield running
    finally:
        running.stop()
