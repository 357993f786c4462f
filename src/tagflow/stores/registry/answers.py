"""Reading a registry's answers: what it gives, and what its refusals mean (distribution-spec 1.1, "Error Codes")."""

from __future__ import annotations

import base64
import re
from typing import Any

import msgspec

from tagflow.domain.reference import Digest, Repository, is_digest
from tagflow.errors import StoreError, with_extra
from tagflow.stores.port import OCI_INDEX, Manifest
from tagflow.stores.registry.http import addresses
from tagflow.stores.registry.http.failures import invalid
from tagflow.stores.registry.http.transport import REDIRECTING, Answer
from tagflow.stores.registry.vendors import ecr

_IMMUTABLE = re.compile(
    r"immutab|cannot be overwritten|cannot be updated|does not allow updating|already exists|disallowed|\blocked",
    re.IGNORECASE,
)
_IMMUTABLE_CODES = frozenset({"TAG_INVALID", "REGISTRY_DISALLOWED_OPERATION"})
_TYPE = re.compile(r"\b(?:media|artifact)[ _]?type", re.IGNORECASE)
_LOST_UPLOAD = frozenset({"BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID"})
_UNKNOWN_CONTENT = frozenset({"MANIFEST_UNKNOWN", "MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN", *_LOST_UPLOAD})
_UNKNOWN_PARTS = frozenset({"MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN"})
_DENIED = frozenset({"DENIED", "UNAUTHORIZED"})
"""What ECR Public says with 400."""
_EXPIRED = re.compile(r"\btoken\b.*\bexpired", re.IGNORECASE)
_TITLE = re.compile(r"<title[^<>]*>([^<>]{0,1000})</title>", re.IGNORECASE)
_NO_API = (303, 400, 404, 405, 406, 501)
_TEXT_LIMIT = 300
_TOO_LARGE = (
    "Raise the limit of what stands before the registry (nginx: `client_max_body_size 0;`, its ingress:"
    ' `nginx.ingress.kubernetes.io/proxy-body-size: "0"`), or its quota.'
)
_READ_ONLY = "One that is read only answers so: in maintenance, or a pull-through cache, which takes no push. "
_DOCTOR = "`tagflow doctor` shows what this registry can do."


class _Error(msgspec.Struct):
    code: Any = ""
    message: Any = ""
    detail: Any = None


class _Errors(msgspec.Struct):
    errors: list[_Error] = []


_ERRORS = msgspec.json.Decoder(_Errors)
# Made once, here: msgspec 0.22 crashes where several threads are the first to decode a type.


class _TagPage(msgspec.Struct):
    tags: list[str] | msgspec.UnsetType | None = msgspec.UNSET
    name: Any = msgspec.UNSET


_TAG_PAGE = msgspec.json.Decoder(_TagPage)
# Made once, here: msgspec 0.22 crashes where several threads are the first to decode a type.


class _Index(msgspec.Struct):
    manifests: list[Any]
    mediaType: str = ""


_INDEX = msgspec.json.Decoder(_Index)


def content_type(answer: Answer) -> str:
    """The ``Content-Type`` without its parameters, in lower case; empty where there is none."""
    return (answer.headers.get("Content-Type") or "").partition(";")[0].strip().lower()


def _errors(answer: Answer) -> list[_Error]:
    try:
        return _ERRORS.decode(answer.body).errors
    except (msgspec.DecodeError, ValueError, RecursionError):
        return []


def codes(answer: Answer) -> frozenset[str]:
    """The error codes of an answer, in upper case."""
    return frozenset(str(error.code).upper() for error in _errors(answer))


def explanation(answer: Answer) -> str:
    """What the registry says, on one short line: ``HTTP 400, TAG_INVALID: …``; without the secrets that it was sent."""
    said = "; ".join(filter(None, map(_told, _errors(answer)))) or _title(answer)
    for secret in filter(None, _secrets(answer.authorization)):
        said = said.replace(secret, "…")
    clean = "".join(c if c.isprintable() else " " for c in said)[:_TEXT_LIMIT]
    return f"HTTP {answer.status}, {clean}" if clean else f"HTTP {answer.status}"


def _secrets(authorization: str | None) -> list[str]:
    """What must not be told of an ``Authorization``: gateways quote the one that they refuse."""
    scheme, _, sent = (authorization or "").partition(" ")
    return [sent, base64.b64decode(sent).decode().partition(":")[2]] if scheme == "Basic" else [sent]


def _title(answer: Answer) -> str:
    """What a page says at its top: nginx and others answer so, in the place of the registry behind them."""
    import html  # seldom needed

    found = _TITLE.search(answer.body.decode(errors="replace"))
    words = " ".join(html.unescape(found[1]).split()) if found else ""
    return words.removeprefix(str(answer.status)).lstrip()


def _told(error: _Error) -> str:
    """One error in its own words; JFrog has no codes."""
    return ": ".join(filter(None, (str(error.code or ""), f"{error.message or ''}{_in_detail(error)}".strip())))


def _in_detail(error: _Error) -> str:
    """The reason where it stands in the ``detail`` alone, as at GitLab and Nexus, or in a ``message`` there, as at
    Quay."""
    detail = error.detail.get("message") if isinstance(error.detail, dict) else error.detail
    return f" ({detail})" if isinstance(detail, str) and detail and detail not in str(error.message) else ""


def content_digest(answer: Answer) -> Digest | None:
    """``Docker-Content-Digest``, where it is there and is one."""
    value = answer.headers.get("Docker-Content-Digest") or ""
    return Digest(value) if is_digest(value) else None


def read_tags(answer: Answer) -> list[str]:
    """One page of a list of tags (distribution-spec 1.1, "Listing Tags"); none where it says null, or names the
    repository and no tags. What says neither is no list: another document must not be taken for an empty one.

    :raises StoreError: ``registry.invalid_answer``.
    """
    try:
        page = _TAG_PAGE.decode(answer.body)
    except (msgspec.DecodeError, ValueError, RecursionError) as exc:
        raise invalid(answer.url, "gives a list of tags that cannot be read") from exc
    if page.tags is msgspec.UNSET:
        if page.name is msgspec.UNSET:
            raise invalid(answer.url, "gives another document than a list of tags")
        return []
    return page.tags or []


def refuses_page_size(answer: Answer) -> bool:
    """Whether a list is refused because of the ``n`` that it was asked for: distribution from 3.1 on lists no more than
    ``tags.maxtags`` at once (1000, if nobody says less)."""
    return answer.status == 400 and "PAGINATION_NUMBER_INVALID" in codes(answer)


def has_no_referrers_api(answer: Answer) -> bool:
    """404 says so (distribution-spec 1.1, "Unavailable Referrers API"); others say it otherwise, or answer a page."""
    return answer.status in _NO_API or (
        answer.status == 200 and content_type(answer) != OCI_INDEX and not _lists(answer)
    )


def _lists(answer: Answer) -> bool:
    """Whether what calls itself plain JSON is an index all the same, as Harbor 2.8 and 2.9 answered."""
    try:
        index = _INDEX.decode(answer.body) if content_type(answer) == "application/json" else None
    except (msgspec.DecodeError, ValueError, RecursionError):
        return False
    return index is not None and index.mediaType in ("", OCI_INDEX)


def is_immutable(answer: Answer, host: str) -> bool:
    """Whether a refused PUT of a tag says that the tag may not move there.

    ECR answers 400 TAG_INVALID, Artifact Registry 400 "tag immutability", Harbor 412, Azure 405
    REGISTRY_DISALLOWED_OPERATION, Quay "cannot be overwritten", GitLab "is immutable" as the detail. Docker Hub answers
    403, with "immutability settings" in the message; it refuses missing rights with 401, so that there is no doubt.
    Elsewhere a plain 403 may mean either.
    """
    if answer.status == 412 or (answer.status == 403 and host == "docker.io"):
        return True
    said = any(_IMMUTABLE.search(f"{error.message} {error.detail}") for error in _errors(answer))
    return 400 <= answer.status < 500 and (said or bool(codes(answer) & _IMMUTABLE_CODES))


def knows_no_repository(answer: Answer) -> bool:
    """Whether a registry says that the repository does not exist (``NAME_UNKNOWN``)."""
    return answer.status == 404 and "NAME_UNKNOWN" in codes(answer)


def repository_in_error(answer: Answer) -> str:
    """The repository that an error names as distribution does: ``"detail": {"name": …}``; empty without."""
    details = (error.detail for error in _errors(answer))
    names = (detail.get("name") for detail in details if isinstance(detail, dict))
    return next((name for name in names if isinstance(name, str)), "")


def names_unknown_parts(answer: Answer) -> bool:
    """Whether a refused PUT of a manifest says that something which it names is not there."""
    return bool(codes(answer) & _UNKNOWN_PARTS)


def redirection(answer: Answer) -> str | None:
    """Where an answer redirects to; None where it does not, or to no address."""
    return addresses.resolve(answer.url, answer.headers.get("Location")) if answer.status in REDIRECTING else None


def loses_upload(answer: Answer) -> bool:
    """Whether a registry no longer knows an upload that it has begun, or takes it for another: GHCR and ACR do so now
    and then, and registries behind one address that do not share what they know."""
    return bool(codes(answer) & _LOST_UPLOAD)


def refuses_type(answer: Answer, manifest: Manifest) -> bool:
    """Whether a refused PUT says that the registry does not know the type of an artifact: GitLab answers 400
    MANIFEST_INVALID, "unknown media type: …" as the detail, for each that is not on its list."""
    kind = manifest.document.get("artifactType")
    said = " ".join(f"{error.message} {error.detail}" for error in _errors(answer))
    return isinstance(kind, str) and bool(kind) and (kind in said or bool(_TYPE.search(said)))


def refusal(answer: Answer, repository: Repository, doing: str) -> StoreError:
    """The error for an answer that is none of those hoped for; ``doing`` as in "cannot <doing>"."""
    explained = explanation(answer)
    if answer.status == 404 and not codes(answer) & _UNKNOWN_CONTENT:
        return _no_repository(repository, doing)
    denies = answer.status in (401, 403) or (answer.status == 400 and codes(answer) & _DENIED)
    if denies and _EXPIRED.search(explained):
        return StoreError("auth.denied", f"{repository}: cannot {doing} ({explained})", hint=_renewal(repository.host))
    if denies:
        hint = "Check the rights of this user, and the registry's rules for this repository and tag."
        return StoreError("registry.denied", f"{repository}: not allowed to {doing} ({explained})", hint=hint)
    if answer.status >= 500:
        hint = "Try again later."
        return StoreError(
            "registry.unavailable", f"{repository}: cannot {doing}, the registry fails ({explained})", hint=hint
        )
    if "DIGEST_INVALID" in codes(answer) or "SIZE_INVALID" in codes(answer):
        return StoreError("blob.invalid", f"{repository}: cannot {doing}, the content has another digest ({explained})")
    why, hint = _rejection(answer)
    return StoreError("registry.rejected", f"{repository}: cannot {doing}, {why} ({explained})", hint=hint)


def _rejection(answer: Answer) -> tuple[str, str]:
    """Why nothing came of a request, as far as the status tells it, and what to do."""
    if answer.status == 413:
        return "that is more than is taken at once", _TOO_LARGE
    target = redirection(answer)
    if target and addresses.origin(target) != addresses.origin(answer.url):
        hint = (
            "Name that address in promotion.yaml: what is read is asked for along a redirect, what is written is not."
        )
        return f"the registry sends us on to {addresses.base(target)}", hint
    return "the registry rejects it", (_READ_ONLY if answer.status == 405 else "") + _DOCTOR


def _renewal(host: str) -> str:
    if registry := ecr(host):
        command = f"aws ecr get-login-password --region {registry.region} | docker login --username AWS"
        return f"Log in again, for 12 hours: `{command} --password-stdin {host}`."
    return f"Log in again: `docker login {host}`."


def _no_repository(repository: Repository, doing: str) -> StoreError:
    hint = "Create the repository first, or check its name in promotion.yaml."
    if registry := ecr(repository.host):
        command = f"aws ecr create-repository --region {registry.region} --repository-name {repository.path}"
        other = f"set `create_repositories: true` in promotion.yaml, and `pip install '{with_extra('ecr')}'`"
        hint = f"{command}\nOr {other}."
    return StoreError("repository.not_found", f"{repository}: cannot {doing}, there is no such repository", hint=hint)
