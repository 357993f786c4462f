"""Whom to trust on the network: addresses in answers, destinations never to be called, TLS authorities."""

from __future__ import annotations

import ipaddress
import re
import socket
import ssl
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from urllib.parse import SplitResult, urljoin, urlsplit

from tagflow.errors import StoreError
from tagflow.stores.registry.http.failures import invalid


def tls_context(host: str, environ: Mapping[str, str], sent_by: Iterable[str] = ()) -> ssl.SSLContext:
    """The system's trust (``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` honoured) and what ``certs.d/HOST[:PORT]`` adds, in
    ``/etc/docker`` and ``~/.docker``: ``*.crt`` authorities, ``*.cert`` with ``*.key`` for ourselves.

    ``sent_by`` are registries that may send us to this host, a token server or a storage of theirs: their authorities
    count for it, too, as they do for Docker, but our own certificate is for the registry alone.

    :raises StoreError: ``registry.untrusted`` where such a file cannot be loaded.
    """
    files = [path for directory in _certificate_directories(host, environ) for path in _files(directory)]
    for registry in sent_by:
        for directory in _certificate_directories(registry, environ):
            files += [path for path in _files(directory) if path.suffix == ".crt"]
    system = (environ.get("SSL_CERT_FILE") or None, environ.get("SSL_CERT_DIR") or None)
    if not files:
        return _system_context(*system)
    context = _new_context(*system)
    for path in files:
        _load(context, path)
    return context


def _certificate_directories(host: str, environ: Mapping[str, str]) -> list[Path]:
    home = environ.get("HOME")
    bases = [Path("/etc/docker/certs.d"), *([Path(home, ".docker/certs.d")] if home else [])]
    return [base / host for base in bases]


def _files(directory: Path) -> list[Path]:
    try:
        return sorted(path for path in directory.iterdir() if path.suffix in (".crt", ".cert"))
    except OSError:
        return []


def _load(context: ssl.SSLContext, path: Path) -> None:
    try:
        if path.suffix == ".crt":
            context.load_verify_locations(path)
        else:
            context.load_cert_chain(path, path.with_suffix(".key"))
    except (OSError, ssl.SSLError) as exc:
        raise StoreError(
            "registry.untrusted",
            f"cannot load the certificate {path}",
            hint="A *.crt holds authorities in PEM; a *.cert needs its private key in a *.key of the same name.",
        ) from exc


@lru_cache(maxsize=4)
def _system_context(cafile: str | None, capath: str | None) -> ssl.SSLContext:
    return _new_context(cafile, capath)


def _new_context(cafile: str | None, capath: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=cafile, capath=capath)
    except (OSError, ssl.SSLError) as exc:
        raise StoreError(
            "registry.untrusted",
            f"cannot load the certificates of SSL_CERT_FILE ({cafile}) or SSL_CERT_DIR ({capath})",
            hint="Correct or unset these variables.",
        ) from exc


def speaks_tls(hostname: str, port: int, seconds: float) -> bool:
    """Whether a server answers a TLS handshake there. Nothing is sent to it, and nothing is trusted yet."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection((hostname, port), timeout=seconds) as connection,
            context.wrap_socket(connection, server_hostname=hostname),
        ):
            return True
    except ssl.SSLError as exc:
        return "ALERT" in (exc.reason or "")  # it wants a client certificate, say
    except (OSError, ValueError):
        return False


_METADATA_HOSTS = frozenset({"metadata", "metadata.google.internal", "metadata.goog", "instance-data"})
_METADATA_ADDRESSES = frozenset(
    map(
        ipaddress.ip_address,
        # AWS over IPv6 (metadata, EKS Pod Identity), Google over IPv6, Alibaba, Azure's wire server
        ("fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "100.100.100.200", "168.63.129.16"),
    )
)
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_TARGET = re.compile(r"\s*<([^<>]*)>")
_PARAMETER = re.compile(r"""\s*;\s*([^\s=;,<>"]+)\s*(?:=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*)))?""")
_SCHEMES = ("http://", "https://")
_USUAL_PORTS = {"http": 80, "https": 443}
_LINK_END = re.compile(r"[\s;]*(?:,[\s,]*|$)")
_ESCAPE = re.compile(r"\\(.)")


def next_link(header: str | None) -> str | None:
    """The target of ``rel="next"`` as written; None where the header names no such link.

    :raises ValueError: it cannot be read whole, or a link does not say what it is for (RFC 8288 section 3.3): to take
        that for the last page would cut the list.

    >>> next_link('</v2/app/tags/list?n=2&last=b>; rel="next"')
    '/v2/app/tags/list?n=2&last=b'
    """
    text = (header or "").strip()
    found, position = None, 0
    while position < len(text):
        target = _TARGET.match(text, position)
        if target is None:
            raise ValueError("no target in angle brackets")
        relations, position = _relations(text, target.end())
        if not relations:
            raise ValueError("a link without rel")
        if found is None and "next" in relations:
            found = target[1]
        end = _LINK_END.match(text, position)
        if end is None:
            raise ValueError("something between two links")
        position = end.end()
    return found


def _relations(text: str, position: int) -> tuple[list[str], int]:
    """The relation types of one link (the first ``rel`` counts, RFC 8288 section 3.3) and where its parameters end."""
    relations: list[str] | None = None
    while parameter := _PARAMETER.match(text, position):
        position = parameter.end()
        if parameter[1].lower() == "rel" and relations is None:
            value = _ESCAPE.sub(r"\1", parameter[2]) if parameter[2] is not None else parameter[3] or ""
            relations = value.lower().split()
    return relations or [], position


def split(url: str) -> SplitResult | None:
    """The parts of an absolute HTTP address; None where it is none, or hides a user name or a broken port."""
    try:
        parts = urlsplit(url)
        valid = parts.port is None or parts.port > 0
    except ValueError:
        return None
    well_formed = parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc
    return parts if valid and well_formed and url.isprintable() and " " not in url else None


def resolve(base: str, location: str | None) -> str | None:
    """``location`` as an absolute address, relative ones against ``base``; None where that is no HTTP address."""
    if not location:
        return None
    try:
        url = urljoin(base, location)
    except ValueError:
        return None
    return url if split(url) else None


def origin(url: str) -> str:
    """Scheme, host and port: whom credentials belong to (RFC 6454).

    >>> origin("https://Registry.example/v2/")
    'https://registry.example:443'
    """
    path = url.find("/", url.find("://") + 3)
    return _origin(url if path < 0 else url[:path])


@lru_cache(maxsize=256)
def _origin(base: str) -> str:
    """Asked several times for each request, of very few servers."""
    parts = urlsplit(base)
    port = parts.port or _USUAL_PORTS.get(parts.scheme, 80)
    return f"{parts.scheme}://{(parts.hostname or '').lower()}:{port}"


def same_host(url: str, other: str) -> bool:
    """Whether two addresses name one host and port, whatever their scheme. A registry behind a proxy that ends TLS
    often answers with ``http://`` addresses of itself, and with the usual port where the proxy passes that on: that of
    the proxy, whatever the scheme."""
    one, two = urlsplit(url), urlsplit(other)
    return _without_usual_port(one, two).lower() == _without_usual_port(two, one).lower()


def _without_usual_port(parts: SplitResult, other: SplitResult) -> str:
    usual = {f":{_USUAL_PORTS.get(scheme)}" for scheme in (parts.scheme, other.scheme)}
    host, colon, port = parts.netloc.rpartition(":")
    return host if colon + port in usual else parts.netloc


def base(url: str) -> str:
    """Scheme, host and port as written, without a path."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def with_scheme_of(url: str, other: str) -> str:
    """An address with another's scheme: a registry that calls itself ``http://`` is still asked as we reached it."""
    parts, reached = urlsplit(url), urlsplit(other)
    return parts._replace(scheme=reached.scheme, netloc=_without_usual_port(parts, reached)).geturl()


def is_loopback(hostname: str) -> bool:
    """Whether a name without port is this machine: 127.0.0.0/8, ``::1`` or ``localhost``, the hosts that Docker lets
    speak plain HTTP."""
    address = _address(hostname)
    return hostname.lower() == "localhost" if address is None else address.is_loopback


def is_forbidden(hostname: str) -> bool:
    """Whether a registry may not send us there: link-local addresses and cloud metadata services, which give out the
    machine's own credentials. Every spelling counts that the system's resolver takes for an address."""
    address = _address(hostname)
    if address is None:
        return hostname.lower().rstrip(".") in _METADATA_HOSTS
    return address.is_link_local or address in _METADATA_ADDRESSES or address.is_unspecified


def _address(hostname: str) -> Address | None:
    try:
        address: Address = ipaddress.ip_address(hostname.strip("[]").partition("%")[0])
    except ValueError:
        try:  # 0xA9FEA9FE and 2852039166 are addresses too
            address = ipaddress.IPv4Address(socket.inet_aton(hostname))
        except (OSError, UnicodeError, ValueError):
            return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def check_destination(url: str, target: str) -> None:
    """Refuse to be sent from ``url`` to an address that no registry has, or out of TLS.

    :raises StoreError: ``registry.invalid_answer``.
    """
    parts = urlsplit(target)
    if parts.scheme == "http" and urlsplit(url).scheme == "https":
        raise invalid(url, f"sends us to {parts.netloc} without TLS")
    if is_forbidden(parts.hostname or ""):
        raise invalid(url, f"sends us to {parts.netloc}, which is no public address")


def proxy_for(url: SplitResult, environ: Mapping[str, str]) -> str | None:
    """The address of the proxy for ``url``, or None. Loopback is never proxied.

    ``no_proxy`` may name hosts, domains, and networks as ``10.0.0.0/8``.

    :raises StoreError: ``proxy.unsupported`` where the proxy does not speak HTTP, or its address cannot be read.
    """
    host = url.hostname or ""
    proxies = _variables(environ)
    if is_loopback(host) or _bypassed(url, proxies):
        return None
    address = proxies.get(url.scheme) or proxies.get("all")
    if not address:
        return None
    address = address if "://" in address else f"http://{address}"
    what = ""
    if not address.lower().startswith(_SCHEMES):
        what = f"speaks {address.partition('://')[0]}, tagflow only http and https"
    elif not _is_readable(address):
        what = "is no address HOST:PORT"  # which may hold a password
    if what:
        hint = f"Change {url.scheme}_proxy, or list {host} in no_proxy."
        raise StoreError("proxy.unsupported", f"the proxy for {host} {what}", hint=hint)
    return address


def _is_readable(address: str) -> bool:
    try:
        parts = urlsplit(address)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets that do not close, a port that is none
        return False


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
    port = str(url.port or (443 if url.scheme == "https" else 80))
    rules = [rule.strip().lower() for rule in proxies.get("no", "").split(",")]
    return any(rule == "*" or _names(rule, host, port) or _contains(rule, host) for rule in rules if rule)


def _names(rule: str, host: str, port: str) -> bool:
    """Whether a rule is for a host, or for one port of it: ``registry.example``, ``.example:5000``, ``[::1]:5000``."""
    if rule.count(":") == 1 or rule.startswith("["):
        rule, _, wanted = rule.rpartition(":") if not rule.endswith("]") else (rule, "", "")
        if wanted and wanted != port:
            return False
    domain = rule.removeprefix("*").removeprefix(".").strip("[]")
    return bool(domain) and (host == domain or host.endswith(f".{domain}"))


def _contains(rule: str, host: str) -> bool:
    try:
        return "/" in rule and ipaddress.ip_address(host) in ipaddress.ip_network(rule, strict=False)
    except ValueError:
        return False
