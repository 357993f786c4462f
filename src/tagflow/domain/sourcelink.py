"""Where people see what changed between two revisions: a link made from the label that names the source."""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit

SOURCE = "org.opencontainers.image.source"
REVISION = "org.opencontainers.image.revision"
CREATED = "org.opencontainers.image.created"
"""Labels of the OCI image-spec (annotations.md, "Pre-Defined Annotation Keys")."""

_REVISION = re.compile(r"[0-9A-Za-z][0-9A-Za-z._/+-]{0,254}")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")
_SHORT = re.compile(r"(?:[^@/\s]+@)?([^:/\s]+):(?!\d+/)([^\s]+)")
"""``git@host:owner/repository``, as git and ssh write it."""
_KEPT = "/~.-_"
"""What stays as it is in a path."""


def compare_link(source: str, old: str, new: str) -> str | None:
    """The page that compares two revisions of the repository that ``source`` names.

    By its host: GitHub, GitLab, Bitbucket (cloud and server), Azure DevOps, Gitea and its kin; any other host gets the
    form that GitHub and Gitea share. None where there is nothing to compare or it is no repository on a web server.
    Names and passwords in ``source`` are left out.

    >>> compare_link("https://github.com/acme/shop.git", "1a2b", "3c4d")
    'https://github.com/acme/shop/compare/1a2b...3c4d'
    """
    if old == new or not (_REVISION.fullmatch(old) and _REVISION.fullmatch(new)):
        return None
    place = web_address(source)
    if place is None:
        return None
    host = urlsplit(place).netloc.partition(":")[0]
    old, new = quote(old, safe=""), quote(new, safe="")
    if host == "bitbucket.org":
        return f"{place}/branches/compare/{new}%0D{old}"
    if _is_named(host, "bitbucket"):
        return f"{place}/compare/commits?sourceBranch={new}&targetBranch={old}"
    if host == "dev.azure.com" or host.endswith(".visualstudio.com"):
        return f"{place}/branchCompare?baseVersion=GC{old}&targetVersion=GC{new}"
    dash = "/-" if _is_named(host, "gitlab") else ""
    return f"{place}{dash}/compare/{old}...{new}"


def web_address(source: str) -> str | None:
    """The address of a repository for a browser, from any of the ways to write it; None where it has none.

    >>> web_address("git@gitlab.com:group/sub/app.git")
    'https://gitlab.com/group/sub/app'
    """
    text = source.strip()
    short = _SHORT.fullmatch(text) if "://" not in text else None
    if short is not None:
        if "@" not in text and "." not in short[1]:
            return None  # another scheme, of which this is no host
        text = f"ssh://{short[1]}/{short[2]}"
    elif "://" not in text:
        text = f"https://{text}"
    try:
        parts = urlsplit(text)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https", "ssh", "git", "git+ssh", "git+https") or not _HOST.fullmatch(host):
        return None
    scheme = "http" if parts.scheme == "http" else "https"
    # The port of ssh or git is none of the web server's.
    where = f"{host}:{port}" if port and parts.scheme in ("http", "https") else host
    path = _repository(host, [piece for piece in parts.path.split("/") if piece])
    return f"{scheme}://{where}/{quote('/'.join(path), safe=_KEPT + '%')}" if path else None


def _repository(host: str, path: list[str]) -> list[str]:
    """The part of a path that names the repository, without a folder or file in it."""
    if "-" in path:  # GitLab: everything behind is a page of the project
        path = path[: path.index("-")]
    if path and path[-1].endswith(".git"):
        path = [*path[:-1], path[-1].removesuffix(".git")]
    if host in ("github.com", "bitbucket.org", "codeberg.org"):
        path = path[:2] if len(path) >= 2 else []
    if _is_named(host, "bitbucket") and host != "bitbucket.org" and path[:1] == ["scm"] and len(path) == 3:
        path = ["projects", path[1], "repos", path[2]]
    return path


def _is_named(host: str, product: str) -> bool:
    """Whether a host is called after a product: ``gitlab.com``, ``gitlab.acme.com``, ``my-gitlab.acme.com``."""
    return any(product in label for label in host.split("."))
