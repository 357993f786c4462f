"""Which proxy leads to a host: the usual variables (``https_proxy``, ``http_proxy``, ``all_proxy``, ``no_proxy``)."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import SplitResult

from tagflow.errors import StoreError
from tagflow.stores.registry.trust import is_loopback

_SCHEMES = ("http://", "https://")


def proxy_for(url: SplitResult, environ: Mapping[str, str]) -> str | None:
    """The address of the proxy for ``url``, or None. Loopback is never proxied.

    ``no_proxy`` may name hosts, domains, and networks as ``10.0.0.0/8``.

    :raises StoreError: ``proxy.unsupported`` where the proxy does not speak HTTP.
    """
    host = url.hostname or ""
    proxies = _variables(environ)
    if is_loopback(host) or _bypassed(url, proxies):
        return None
    address = proxies.get(url.scheme) or proxies.get("all")
    if not address:
        return None
    address = address if "://" in address else f"http://{address}"
    if not address.lower().startswith(_SCHEMES):
        scheme = address.partition("://")[0]
        raise StoreError(
            "proxy.unsupported",
            f"the proxy for {host} speaks {scheme}, tagflow only http and https",
            hint=f"Change {url.scheme}_proxy, or list {host} in no_proxy.",
        )
    return address


def _variables(environ: Mapping[str, str]) -> dict[str, str]:
    """As :func:`urllib.request.getproxies_environment`, but of a given environment: lower case wins, and a CGI
    script's HTTP_PROXY is somebody's request header (CVE-2016-1000110)."""
    found: dict[str, str] = {}
    for name, value in sorted(environ.items()):  # upper case sorts before lower case
        scheme, _, suffix = name.lower().rpartition("_")
        if suffix == "proxy" and not (name == "HTTP_PROXY" and "REQUEST_METHOD" in environ):
            found[scheme] = value
    return {scheme: value for scheme, value in found.items() if value}


def _bypassed(url: SplitResult, proxies: dict[str, str]) -> bool:
    host = (url.hostname or "").lower()
    names = (host, f"{host}:{url.port}")
    rules = [rule.strip().lower() for rule in proxies.get("no", "").split(",")]
    return any(rule == "*" or _names(rule, names) or _contains(rule, host) for rule in rules if rule)


def _names(rule: str, names: tuple[str, str]) -> bool:
    domain = rule.removeprefix("*").removeprefix(".")
    return any(name == domain or name.endswith(f".{domain}") for name in names)


def _contains(rule: str, host: str) -> bool:
    try:
        return "/" in rule and ipaddress.ip_address(host) in ipaddress.ip_network(rule, strict=False)
    except ValueError:
        return False
