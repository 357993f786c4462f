"""A simulated registry: the distribution API over dictionaries, with the quirks of whom it plays as switches."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlencode

from tests.standin import Asked, Override, Say, StandIn

_ROUTE = re.compile(r"/v2/(?P<name>.+?)/(?P<kind>manifests|blobs|tags|referrers)/(?P<rest>.+)")
_INDEX = "application/vnd.oci.image.index.v1+json"


@dataclass(frozen=True)
class Refusal:
    """How a registry says no."""

    status: int
    code: str
    message: str
    detail: str | None = None

    def say(self) -> Say:
        return failed(self.status, self.code, self.message, detail=self.detail)


@dataclass(frozen=True)
class Quirks:
    """How a registry differs. ``storage`` is the host that blobs are redirected to; ``immutable`` how the PUT of a tag
    that may not move is refused (``refuses_same``: even at the digest where it stands); ``untag`` the answer to the
    DELETE of a tag, ``untag_takes_image`` whether the image goes with it, and all its tags; ``multitag``: several tags
    in one PUT; ``types``: what manifests, configurations and layers may be, where that is not anything."""

    page: int = 100
    heeds_n: bool = True
    link: Literal["absolute", "relative"] = "relative"
    upload: Literal["absolute", "relative"] = "relative"
    content_digest: bool = True
    mounts: bool = True
    referrers: bool = True
    untag: int = 202
    untag_takes_image: bool = False
    multitag: bool = False
    storage: str = ""
    immutable: Refusal = Refusal(400, "TAG_INVALID", "immutable")
    refuses_same: bool = False
    types: Collection[str] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    """More headers of every answer about a manifest."""


Login = Callable[[Asked, set[tuple[str, str]]], Say | None]
"""Whether a request may do that: (repository, ``pull`` | ``push`` | ``delete``) pairs; what to answer where not."""


def everybody(_asked: Asked, _wanted: set[tuple[str, str]]) -> Say | None:
    """No login at all."""
    return None


@dataclass
class Repo:
    """One repository."""

    manifests: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)


class Simulator:
    """The answers of one registry at ``host``. ``locked`` are tags that may not move, ``exists`` tells which
    repositories are there where a push does not create them."""

    def __init__(
        self, host: str, quirks: Quirks, login: Login = everybody, exists: Callable[[str], bool] | None = None
    ) -> None:
        self.host, self.quirks, self.login, self.exists = host, quirks, login, exists
        self.repos: defaultdict[str, Repo] = defaultdict(Repo)
        self.locked: set[str] = set()
        self._uploads: dict[str, bytearray] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.RLock()

    def __call__(self, asked: Asked) -> Say:
        """The registry."""
        with self._lock:
            if asked.path == "/v2/":
                return self.login(asked, set()) or Say(body=b"{}")
            route = _ROUTE.fullmatch(asked.path)
            if route is None:
                return Say(404)
            name, kind, rest = route["name"], route["kind"], route["rest"]
            if refused := self.login(asked, _wanted(asked, name, rest)):
                return refused
            if self.exists and not self.exists(name):
                return failed(404, "NAME_UNKNOWN", f"The repository with name '{name}' does not exist")
            answers = {"manifests": self._manifest, "blobs": self._blob, "tags": self._tags}
            return answers.get(kind, self._referrers)(asked, name, rest)

    @property
    def open_uploads(self) -> int:
        """Uploads that began and did not end."""
        return len(self._uploads)

    def serve_storage(self, asked: Asked) -> Say:
        """The storage that blobs are redirected to: signed addresses, GET only, and no login of the registry."""
        if asked.authorization:
            return Say(400, b"<Error><Code>InvalidArgument</Code></Error>")
        if asked.method != "GET" or "signature" not in asked.query:
            return Say(403)
        name, _, digest = asked.path.lstrip("/").rpartition("/")
        content = self.repos[name].blobs.get(digest)
        return Say(404) if content is None else _ranged(asked, content)

    def _manifest(self, asked: Asked, name: str, reference: str) -> Say:
        answers = {"PUT": self._put_manifest, "DELETE": self._delete}
        return answers.get(asked.method, self._get_manifest)(asked, name, reference)

    def _get_manifest(self, _asked: Asked, name: str, reference: str) -> Say:
        repo = self.repos[name]
        digest = repo.tags.get(reference, reference)
        if digest not in repo.manifests:
            return failed(404, "MANIFEST_UNKNOWN", "manifest unknown", self.quirks.headers)
        media_type, content = repo.manifests[digest]
        return Say(body=content, headers={"Content-Type": media_type, **self._digest(digest), **self.quirks.headers})

    def _put_manifest(self, asked: Asked, name: str, reference: str) -> Say:
        repo, digest = self.repos[name], digest_of(asked.body)
        document = json.loads(asked.body)
        if unknown := self._unknown(document):
            return failed(400, "MANIFEST_INVALID", "manifest invalid", detail=f"unknown media type: {unknown}")
        if lost := self._lost(repo, document):
            return failed(404, "MANIFEST_BLOB_UNKNOWN", f"blob unknown to registry: {lost}")
        if ":" in reference:
            if reference != digest:
                return failed(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
            tags = asked.query.get("tag", []) if self.quirks.multitag else []
        else:
            tags = [reference]
        for tag in tags:
            stands = repo.tags.get(tag)
            same = stands == digest and not self.quirks.refuses_same
            if tag in self.locked and stands and not same:
                return self.quirks.immutable.say()
        repo.tags |= dict.fromkeys(tags, digest)
        repo.manifests[digest] = (asked.headers["Content-Type"], asked.body)
        headers = {"Location": f"/v2/{name}/manifests/{digest}", **self._digest(digest)}
        if ":" in reference and tags:
            headers["OCI-Tag"] = ", ".join(tags)
        if self.quirks.referrers and "subject" in document:
            headers["OCI-Subject"] = document["subject"]["digest"]
        return Say(201, headers=headers)

    def _unknown(self, document: Mapping[str, Any]) -> str:
        parts = [*([document["config"]] if "config" in document else []), *document.get("layers", [])]
        stated = [document.get("artifactType"), *(part["mediaType"] for part in parts)]
        return next((it for it in stated if it and self.quirks.types and it not in self.quirks.types), "")

    def _lost(self, repo: Repo, document: Mapping[str, Any]) -> str:
        parts = [*document.get("layers", []), *([document["config"]] if "config" in document else [])]
        lost = [it["digest"] for it in parts if it["digest"] not in repo.blobs]
        lost += [it["digest"] for it in document.get("manifests", []) if not self._has(repo, it["digest"])]
        # A list of referrers under a fallback tag may name what is gone; it is an index like any other to a registry.
        return lost[0] if lost else ""

    def _has(self, repo: Repo, digest: str) -> bool:
        return digest in repo.manifests or digest in repo.blobs

    def _delete(self, _asked: Asked, name: str, reference: str) -> Say:
        if self.quirks.untag != 202:
            return failed(self.quirks.untag, "UNSUPPORTED", "The operation is unsupported.")
        repo = self.repos[name]
        if reference not in repo.tags:
            return failed(404, "MANIFEST_UNKNOWN", "manifest unknown")
        digest = repo.tags.pop(reference)
        if self.quirks.untag_takes_image:
            del repo.manifests[digest]
            repo.tags = {tag: at for tag, at in repo.tags.items() if at != digest}
        return Say(202)

    def _blob(self, asked: Asked, name: str, rest: str) -> Say:
        if rest.startswith("uploads/"):
            return self._upload(asked, name, rest.removeprefix("uploads/"))
        content = self.repos[name].blobs.get(rest)
        if content is None:
            return failed(404, "BLOB_UNKNOWN", "blob unknown to registry")
        if self.quirks.storage:
            location = f"https://{self.quirks.storage}/{name}/{rest}?signature=secret"
            return Say(307, headers={"Location": location})
        return _ranged(asked, content)

    def _upload(self, asked: Asked, name: str, upload: str) -> Say:
        if asked.method == "POST":
            return self._begin(asked, name)
        if upload not in self._uploads:
            return failed(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
        if asked.method == "DELETE":
            del self._uploads[upload]
            return Say(204)
        self._uploads[upload] += asked.body
        if asked.method == "PATCH":
            return Say(202, headers={"Location": self._location(name, upload)})
        content, digest = bytes(self._uploads.pop(upload)), asked.query["digest"][0]
        if digest_of(content) != digest:
            return failed(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
        self.repos[name].blobs[digest] = content
        return Say(201, headers={"Location": f"/v2/{name}/blobs/{digest}"})

    def _begin(self, asked: Asked, name: str) -> Say:
        mount, source = asked.query.get("mount", [""])[0], asked.query.get("from", [""])[0]
        if self.quirks.mounts and mount and mount in self.repos[source].blobs:
            self.repos[name].blobs[mount] = self.repos[source].blobs[mount]
            return Say(201, headers={"Location": f"/v2/{name}/blobs/{mount}"})
        upload = f"upload-{next(self._numbers)}"
        self._uploads[upload] = bytearray()
        return Say(202, headers={"Location": self._location(name, upload)})

    def _location(self, name: str, upload: str) -> str:
        path = f"/v2/{name}/blobs/uploads/{upload}?token=a%2Bb"
        return f"https://{self.host}{path}" if self.quirks.upload == "absolute" else path

    def _tags(self, asked: Asked, name: str, _rest: str) -> Say:
        tags = sorted(self.repos[name].tags)
        if not self.repos[name].manifests:
            return failed(404, "NAME_UNKNOWN", "repository name not known to registry")
        last = asked.query.get("last", [""])[0]
        wanted = int(asked.query.get("n", ["0"])[0]) if self.quirks.heeds_n else 0
        size = min(wanted, self.quirks.page) if wanted else self.quirks.page
        page = [tag for tag in tags if tag > last][:size]
        headers = {"Content-Type": "application/json"}
        if page and page[-1] != tags[-1]:
            path = f"/v2/{name}/tags/list?{urlencode({'n': size, 'last': page[-1]})}"
            target = f"https://{self.host}{path}" if self.quirks.link == "absolute" else path
            headers["Link"] = f'<{target}>; rel="next"'
        return Say(body=json.dumps({"name": name, "tags": page}).encode(), headers=headers)

    def _referrers(self, _asked: Asked, name: str, digest: str) -> Say:
        if not self.quirks.referrers:
            return failed(404, "NOT_FOUND", "page not found")
        found = []
        for own, (media_type, content) in self.repos[name].manifests.items():
            document = json.loads(content)
            if document.get("subject", {}).get("digest") == digest:
                artifact = document.get("artifactType") or document.get("config", {}).get("mediaType", "")
                entry = {"mediaType": media_type, "digest": own, "size": len(content), "artifactType": artifact}
                found.append({**entry, "annotations": document.get("annotations", {})})
        body = json.dumps({"schemaVersion": 2, "mediaType": _INDEX, "manifests": found}).encode()
        return Say(body=body, headers={"Content-Type": _INDEX})

    def _digest(self, digest: str) -> dict[str, str]:
        return {"Docker-Content-Digest": digest} if self.quirks.content_digest else {}


@contextmanager
def simulated_registry(
    quirks: Quirks | None = None, *overrides: Override, login: Login = everybody
) -> Iterator[tuple[Simulator, StandIn]]:
    """A simulated registry on a loopback port, and the server that plays it."""
    server = StandIn(lambda _: Say(503), *overrides)
    simulator = server.script = Simulator(server.host, quirks or Quirks(), login)
    try:
        yield simulator, server
    finally:
        server.stop()


def _wanted(asked: Asked, name: str, rest: str) -> set[tuple[str, str]]:
    if asked.method in ("GET", "HEAD"):
        return {(name, "pull")}
    if asked.method == "DELETE" and not rest.startswith("uploads/"):
        return {(name, "delete")}
    return {(name, "push")}


def _ranged(asked: Asked, content: bytes) -> Say:
    wanted = re.fullmatch(r"bytes=(\d+)-", asked.headers.get("Range") or "")
    if not wanted:
        return Say(body=content)
    start = int(wanted[1])
    headers = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
    return Say(206, content[start:], headers)


def digest_of(content: bytes) -> str:
    """SHA-256, as registries write it."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def failed(
    status: int, code: str, message: str, headers: Mapping[str, str] | None = None, detail: str | None = None
) -> Say:
    """An error as the specification writes it."""
    body = json.dumps({"errors": [{"code": code, "message": message, "detail": detail}]}).encode()
    return Say(status, body, {"Content-Type": "application/json", **(headers or {})})
