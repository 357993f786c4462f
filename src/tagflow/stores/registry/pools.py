"""Connections kept open, a pool for each server, by the way that leads to it: TLS or not, through a proxy or not."""

from __future__ import annotations

import threading
from urllib.parse import unquote, urlsplit

import urllib3

from tagflow.stores.registry import links
from tagflow.stores.registry.failures import translated
from tagflow.stores.registry.heads import CONNECT_SECONDS, hurried
from tagflow.stores.registry.proxies import proxy_for
from tagflow.stores.registry.settings import Settings
from tagflow.stores.registry.trust import is_loopback, speaks_tls, tls_context


class Pools:
    """The pools of one registry and of where it sends us. Safe for use by several threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock, self._probe_lock = threading.Lock(), threading.Lock()
        self._pools: dict[str, urllib3.PoolManager] = {}
        self._bases: dict[str, str] = {}

    def base(self, host: str) -> str:
        """``https://HOST``, or ``http://HOST`` for a host that may speak plain HTTP and does not answer TLS.

        One handshake tells, and the answer is remembered. An insecure host behind a proxy is taken to speak plain HTTP.
        """
        with self._probe_lock:
            if host not in self._bases:
                self._bases[host] = f"{self._scheme(host)}://{host}"
            return self._bases[host]

    def of(self, url: str) -> urllib3.PoolManager:
        """The pool for the server of an address.

        :raises StoreError: ``registry.untrusted``, ``proxy.unsupported``.
        """
        key = links.origin(url)
        with self._lock:
            if key not in self._pools:
                self._pools[key] = self._open(url)
            return self._pools[key]

    def close(self) -> None:
        """Drop the connections."""
        with self._lock:
            for pool in self._pools.values():
                pool.clear()
            self._pools.clear()

    def _was_named(self, netloc: str) -> bool:
        """Whether the user named this server, rather than a registry that sends us there."""
        with self._probe_lock:
            return netloc.lower() in map(str.lower, self._bases)

    def _open(self, url: str) -> urllib3.PoolManager:
        parts, environ = urlsplit(url), self._settings.environ
        size = max(1, self._settings.threads)
        context = tls_context(parts.netloc, environ) if parts.scheme == "https" else None
        proxy = proxy_for(parts, environ)
        if proxy is None:
            named = self._was_named(parts.netloc)
            return hurried(urllib3.PoolManager(1, maxsize=size, ssl_context=context), guarded=not named)
        user = unquote(urlsplit(proxy).netloc.rpartition("@")[0])
        headers = urllib3.make_headers(proxy_basic_auth=user) if user else None
        with translated(url):
            return hurried(urllib3.ProxyManager(proxy, 1, maxsize=size, proxy_headers=headers, ssl_context=context))

    def _scheme(self, host: str) -> str:
        parts = urlsplit(f"http://{host}")
        name = parts.hostname or ""
        if not (is_loopback(name) or self._settings.is_insecure(host)):
            return "https"
        if proxy_for(parts, self._settings.environ):
            return "http"
        seconds = max(0.001, self._settings.seconds(CONNECT_SECONDS))
        return "https" if speaks_tls(name, parts.port or 443, seconds) else "http"
