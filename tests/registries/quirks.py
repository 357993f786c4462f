"""How registries were reported to differ, as overrides that stand in front of a simulated or a real registry alike."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from tests.registries.simulator import failed
from tests.standin import Asked, Override, Say, Script, instead

USER, PASSWORD = "ci", "pass-of-the-tests"
LOGGED_IN = f"Basic {base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}"
CHALLENGE = {"WWW-Authenticate": 'Basic realm="tests"'}
Link = Callable[[str], str]
"""Writes the header of a page whose next one is at a target; nothing for no header."""


def paged(link: Link = lambda _: "", *, longest: int = 1000) -> Override:
    """Tag lists in pages that heed ``n`` and ``last``, sorted, with whatever ``link`` makes of the next target. Pages
    are ``longest`` at most, as a registry has them that heeds no larger ``n``."""

    def override(asked: Asked, server: Script) -> Say:
        if not asked.path.endswith("/tags/list"):
            return server(asked)
        said = server(replace(asked, target=asked.path))
        tags, more = _all(asked, said, server)
        if said.status != 200:
            return said
        size = min(int(asked.query.get("n", [str(longest)])[0]), longest)
        last = asked.query.get("last", [""])[0]
        page = [tag for tag in tags if tag > last][:size]
        said = replace(said, body=json.dumps({"name": more, "tags": page}).encode()).without("Link", "Content-Length")
        if page and page[-1] != tags[-1]:
            target = link(f"{asked.path}?{urlencode({'n': size, 'last': page[-1]})}")
            said = said.having({"Link": target}) if target else said
        return said

    return override


def _all(asked: Asked, said: Say, server: Script) -> tuple[list[str], str]:
    """All tags of the registry behind, whatever its own pages are."""
    tags: list[str] = []
    document: dict[str, Any] = {}
    while said.status == 200:
        document = json.loads(said.body)
        tags += document["tags"] or []
        following = re.match(r"<([^>]*)>", said.header("Link"))
        if not following:
            break
        said = server(replace(asked, target=following[1]))
    return sorted(set(tags)), str(document.get("name", ""))


def limited(most: int) -> Override:
    """Refuses to list more tags at once than ``most``, as distribution from 3.1 on does (``tags.maxtags``)."""

    def override(asked: Asked, server: Script) -> Say:
        if asked.path.endswith("/tags/list") and int(asked.query.get("n", ["0"])[0]) > most:
            return failed(400, "PAGINATION_NUMBER_INVALID", "invalid number of results requested")
        return server(asked)

    return override


def hidden(code: str, *, empty_list: bool = False, asks_at_v2: bool = True) -> Override:
    """Strangers find nothing: 404 with ``code``, or empty lists; they are asked for a login at ``/v2/`` and for writes
    only. Who knows the password sees all."""

    def override(asked: Asked, server: Script) -> Say:
        if asked.authorization == LOGGED_IN:
            return server(replace(asked, headers={k: v for k, v in asked.headers.items() if k != "Authorization"}))
        if asked.authorization:
            return Say(401, headers=CHALLENGE)
        if asked.path == "/v2/":
            return Say(401, headers=CHALLENGE) if asks_at_v2 else server(asked)
        if asked.method not in ("GET", "HEAD"):
            return Say(401, headers=CHALLENGE)
        if empty_list and asked.path.endswith("/tags/list"):
            return Say(body=b'{"name": "x", "tags": null}', headers={"Content-Type": "application/json"})
        return failed(404, code, "not found")

    return override


def json_only() -> Override:
    """406 for a tag list that is not asked for as JSON, as Pulp gives."""

    def override(asked: Asked, server: Script) -> Say:
        wanted = asked.headers.get("Accept", "*/*")
        if asked.path.endswith("/tags/list") and "application/json" not in wanted and "*/*" not in wanted:
            return Say(406, b'{"detail": "Could not satisfy the request Accept header."}')
        return server(asked)

    return override


def no_head(status: int) -> Override:
    """A HEAD of a manifest is refused."""
    return instead(Say(status), "HEAD", "/manifests/")


def redirected(path: str, status: int, host: str = "") -> Override:
    """Reads whose target matches are redirected once, to ``host`` or to another path of the same host."""

    def override(asked: Asked, server: Script) -> Say:
        if asked.method in ("GET", "HEAD") and asked.target.startswith("/moved/"):
            return server(replace(asked, target=asked.target.removeprefix("/moved")))
        if asked.method in ("GET", "HEAD") and re.search(path, asked.target) and not host:
            return Say(status, headers={"Location": f"/moved{asked.target}"})
        if asked.method in ("GET", "HEAD") and re.search(path, asked.target):
            return Say(status, headers={"Location": f"http://{host}{asked.target}"})
        return server(asked)

    return override
