"""diff: what differs between two environments or two versions, down to the commits and where people see them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal
from urllib.parse import quote, urlsplit

from msgspec import Struct

from tagflow.context import Context
from tagflow.decide.selection import Route, version_lookups
from tagflow.domain.plan import Plan
from tagflow.domain.policy import Image
from tagflow.domain.reference import Digest, Repository
from tagflow.domain.snapshot import target_of
from tagflow.domain.versions import Version
from tagflow.errors import Conflict, NotFound, TagflowError, UsageError, combine, suggestion
from tagflow.observe.observer import Observer
from tagflow.stores.transfer.copy import About, about
from tagflow.verbs.status import doubted, look, tell_doubts
from tagflow.workers import attempt, each

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


State = Literal["same", "changed", "missing"]


@dataclass(frozen=True)
class Side:
    """One image on one side: nothing, where ``digest`` is None. ``source``, ``revision`` and ``created`` are what its
    labels say (image-spec annotations); ``size`` is in bytes, of the first platform."""

    version: str | None = None
    digest: Digest | None = None
    source: str | None = None
    revision: str | None = None
    created: str | None = None
    size: int | None = None


@dataclass(frozen=True)
class Difference:
    """One image on both sides. ``compare`` is a page that shows what changed in its source."""

    image: str
    state: State
    before: Side
    after: Side
    compare: str | None = None


@dataclass(frozen=True)
class Diff:
    """Two environments or versions, image by image."""

    before: str
    after: str
    images: tuple[Difference, ...]

    @property
    def differs(self) -> bool:
        """Whether any image does."""
        return any(it.state != "same" for it in self.images)


class _Place(Struct, frozen=True):
    """Where one build of an image is."""

    repository: Repository
    version: str | None
    digest: Digest


def diff(context: Context, before: str, after: str, names: Sequence[str] = ()) -> Diff:
    """Compare two environments or versions, from ``before`` to ``after``, for some images or all.

    :raises NotFound: ``environment.not_found`` for a word that is neither, ``version.not_found`` where no image has it,
        ``image.not_found``.
    """
    images = [context.image(name) for name in dict.fromkeys(names)] or list(context.policy.images)
    sides = [_read(context, word) for word in (before, after)]
    places = [_places(context, word, side, images) for word, side in zip((before, after), sides, strict=True)]
    pairs = [_Pair(image.name, places[0].get(image.name), places[1].get(image.name)) for image in images]
    return Diff(before, after, tuple(_compared(context, [pair for pair in pairs if pair.before or pair.after])))


def goes_in(context: Context, plan: Plan) -> tuple[Difference, ...]:
    """What a plan brings to its environment: each image whose digest changes, as :func:`diff` tells it.

    What cannot be read is left out: it is told beside a plan, and stops nothing.
    """
    policy, environment = context.policy, context.environment(plan.request.environment)
    known = {
        str(policy.repository(image, it)): policy.repository(image, it)
        for image in policy.images
        for it in policy.environments
    }
    pairs: list[_Pair] = []
    for step in plan.steps:
        if step.digest is None or step.digest == step.previous_digest:
            continue
        here = policy.repository(context.image(step.image), environment)
        before = _Place(here, step.previous_version, step.previous_digest) if step.previous_digest else None
        source = known.get(step.source, here)
        pairs.append(_Pair(step.image, before, _Place(source, step.version, step.digest)))
    return tuple(_compared(context, pairs, lenient=True))


def refuse(found: Diff, result: object) -> Conflict:
    """The error that says that two sides differ; ``result`` goes into its JSON document."""
    count = sum(it.state != "same" for it in found.images)
    told = "1 image differs" if count == 1 else f"{count} images differ"
    error = Conflict("diff.differs", f"{told} between {found.before} and {found.after}")
    error.result = result
    return error


class _Pair(Struct, frozen=True):
    image: str
    before: _Place | None
    after: _Place | None


def _read(context: Context, word: str) -> Version | None:
    """The version that a word means; None for an environment."""
    names = [environment.name for environment in context.policy.environments]
    if not word.strip():
        raise UsageError("target.missing", "an argument is empty", hint="An unset variable? Name two environments.")
    if word in names:
        return None
    version = context.scheme.find_version(word)
    if version is None:
        hint = suggestion(word, names) or f"Environments of this policy: {', '.join(names)}."
        raise NotFound("environment.not_found", f"{word!r} is no environment and no version", hint=hint)
    return context.scheme.parse_version(word)


def _places(context: Context, word: str, version: Version | None, images: Sequence[Image]) -> Mapping[str, _Place]:
    """Where the builds of one side are, by image; those that it does not have are left out."""
    if version is None:
        environment = context.environment(word)
        found = {}
        rows = look(context, Observer(context), [word, *(image.name for image in images)])
        tell_doubts(context, doubted(rows))
        for row in rows:
            cell = row.environments[0]
            if cell.digest is not None:
                repository = context.policy.repository(context.image(row.image), environment)
                found[row.image] = _Place(repository, cell.version or cell.found, cell.digest)
        return found
    placed = each(partial(_version_place, context, version), images, threads=context.threads)
    found = {image.name: place for image, place in zip(images, placed, strict=True) if place is not None}
    if not found:
        tag = context.scheme.version_tag(version)
        raise NotFound("version.not_found", f"no image has {tag}", hint="`tagflow status` shows what there is.")
    return found


def _version_place(context: Context, version: Version, image: Image) -> _Place | None:
    """Where a version of an image is: in the first environment whose registry has its tag."""
    scheme = context.scheme
    seen: set[Repository] = set()
    for environment in context.policy.environments:
        target = target_of(context.policy, image, environment)
        if target.repository in seen:
            continue
        seen.add(target.repository)
        snapshot = Observer(context).observe(
            [target], partial(version_lookups, version=version, target=target, sources=())
        )
        tag = scheme.version_tag(Route(snapshot, snapshot.observations[target]).spell(version))
        digest = snapshot.digest(target.repository, tag) if tag in snapshot.tags[target.repository] else None
        if digest is not None:
            return _Place(target.repository, tag, digest)
    return None


def _compared(context: Context, pairs: Sequence[_Pair], *, lenient: bool = False) -> list[Difference]:
    """The differences, with what the images say of themselves; each build is read once."""
    places = {place.digest: place for pair in pairs for place in (pair.before, pair.after) if place is not None}
    told = attempt(lambda place: _about(context, place), places.values(), threads=context.threads)
    failed = [it for it in told if isinstance(it, TagflowError)]
    if failed and not lenient:
        raise combine(failed)
    facts = {digest: it for digest, it in zip(places, told, strict=True) if isinstance(it, About)}
    return [_difference(pair, facts) for pair in pairs]


def _about(context: Context, place: _Place) -> About:
    store = context.stores(place.repository)
    return about(store, store.get(place.digest))


def _difference(pair: _Pair, facts: Mapping[Digest, About]) -> Difference:
    before, after = (_side(place, facts) for place in (pair.before, pair.after))
    state: State = "same" if before.digest == after.digest else "changed"
    if before.digest is None or after.digest is None:
        state = "missing"
    source = after.source if before.source in (after.source, None) else None
    link = (
        compare_link(source, before.revision, after.revision) if source and before.revision and after.revision else None
    )
    return Difference(pair.image, state, before, after, link)


def _side(place: _Place | None, facts: Mapping[Digest, About]) -> Side:
    if place is None:
        return Side()
    found = facts.get(place.digest)
    if found is None:
        return Side(place.version, place.digest)
    label = found.labels.get
    created = label(CREATED) or found.created
    return Side(place.version, place.digest, label(SOURCE), label(REVISION), created, found.size)
