"""Where an answer points: the ``Link`` header (RFC 8288) and ``Location`` (RFC 9110 section 10.2.2)."""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import SplitResult, urljoin, urlsplit

_TARGET = re.compile(r"\s*<([^<>]*)>")
_PARAMETER = re.compile(r"""\s*;\s*([^\s=;,<>"]+)\s*(?:=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*)))?""")
_ESCAPE = re.compile(r"\\(.)")


def next_link(header: str | None) -> str | None:
    """The target of ``rel="next"`` as written, or None where there is none that can be read.

    >>> next_link('</v2/app/tags/list?n=2&last=b>; rel="next"')
    '/v2/app/tags/list?n=2&last=b'
    """
    text, position = header or "", 0
    while target := _TARGET.match(text, position):
        relations, position = _relations(text, target.end())
        if "next" in relations:
            return target[1]
        comma = text.find(",", position)
        if comma < 0:
            break
        position = comma + 1
    return None


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
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return f"{parts.scheme}://{(parts.hostname or '').lower()}:{port}"


def same_host(url: str, other: str) -> bool:
    """Whether two addresses name one host and port, whatever their scheme. A registry behind a proxy that ends TLS
    often answers with ``http://`` addresses of itself."""
    one, two = urlsplit(url), urlsplit(other)
    return one.netloc.lower() == two.netloc.lower()


def base(url: str) -> str:
    """Scheme, host and port as written, without a path."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def with_scheme_of(url: str, other: str) -> str:
    """An address with another's scheme: a registry that calls itself ``http://`` is still asked as we reached it."""
    return urlsplit(url)._replace(scheme=urlsplit(other).scheme).geturl()
