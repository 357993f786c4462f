"""promotion.yaml → :class:`~tagflow.domain.policy.Policy`, or one error that names every mistake and its place."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from tagflow.config import values
from tagflow.config.check import Checked, Places, S, check
from tagflow.config.document import Document, Images, Included
from tagflow.config.meaning import NOWHERE, Listed, read_policy
from tagflow.config.nodes import Mark, Mistakes, Node, Pairs, parse
from tagflow.config.values import harmless
from tagflow.domain.policy import Image, Line, Policy
from tagflow.domain.reference import Registry
from tagflow.domain.tagging import TagScheme
from tagflow.domain.templates import check_templates
from tagflow.errors import UsageError


def check_whole(policy: Policy, images: Sequence[Listed], places: Places, mistakes: Mistakes) -> None:
    """Note every collision. ``images`` are those of the policy, with their places; ``places`` are the document's."""
    _names(policy, images, places, mistakes)
    _repositories(policy, images, places, mistakes)
    _floating(policy, places, mistakes)
    _templates(policy, places, mistakes)


def _names(policy: Policy, images: Sequence[Listed], places: Places, mistakes: Mistakes) -> None:
    scheme = TagScheme(policy)
    environments = {environment.name for environment in policy.environments}
    for name in environments:
        if scheme.find_version(name) is not None:
            message = f"the environment {name!r} reads as a version under the template {policy.templates.version!r}"
            mistakes.add(places.key("environments", name), message, "Choose another name.")
        elif scheme.is_floating_tag(name):
            message = (
                f"the environment {name!r} reads as a floating tag under the template {policy.templates.floating!r}"
            )
            mistakes.add(places.key("environments", name), message, "Choose another name.")
    for listed in images:
        name = listed.image.name
        if name in environments:
            mistakes.add(listed.named, f"{name!r} is an image and an environment", "Rename one.")
        elif scheme.find_version(name) is not None:
            message = f"the image {name!r} reads as a version under the template {policy.templates.version!r}"
            mistakes.add(listed.named, message, "Choose another name.")


def _repositories(policy: Policy, images: Sequence[Listed], places: Places, mistakes: Mistakes) -> None:
    registries = _registries(policy)
    owners: dict[str, Listed] = {}
    for listed in images:
        for repository in _places_of(listed, registries, mistakes):
            owner = owners.setdefault(repository, listed)
            if owner is not listed:
                message = f"{listed.image.name!r} and {owner.image.name!r} are both in the repository {repository}"
                hint = f"{owner.image.name!r} stands in {owner.placed}; give each image a repository of its own."
                mistakes.add(listed.placed, message, hint)
                break
    if policy.history != "{repository}":
        _histories(policy, images, owners, places, mistakes)


def _places_of(listed: Listed, registries: Sequence[Registry], mistakes: Mistakes) -> Iterator[str]:
    try:
        for registry in registries:
            yield str(registry.repository(listed.image.path)).removeprefix("/")
    except UsageError as error:
        mistakes.add_error(listed.placed, error)


def _histories(
    policy: Policy, images: Sequence[Listed], owners: dict[str, Listed], places: Places, mistakes: Mistakes
) -> None:
    for listed in images:
        for registry in _registries(policy):
            if not _valid(registry, listed.image):
                continue
            try:
                repository = str(registry.repository(policy.history.replace("{repository}", listed.image.path)))
                repository = repository.removeprefix("/")
            except UsageError as error:
                mistakes.add_error(places.value("history", "repository"), error)
                return
            owner = owners.setdefault(repository, listed)
            if owner is not listed:
                message = f"the history of {listed.image.name!r} would be in {repository}, as {owner.image.name!r} is"
                mistakes.add(listed.placed, message, "Choose another repository, or another `history.repository`.")
                break


def _valid(registry: Registry, image: Image) -> bool:
    try:
        registry.repository(image.path)
    except UsageError:
        return False
    return True


def _registries(policy: Policy) -> list[Registry]:
    """Where images may be; the registry that stands in where none could be read, so that their names are judged."""
    found = dict.fromkeys(environment.registry.place for environment in policy.environments)
    return [registry for registry in found if registry != NOWHERE] or [NOWHERE]


def _floating(policy: Policy, places: Places, mistakes: Mistakes) -> None:
    owners: dict[tuple[Registry, Line], str] = {}
    for environment in policy.environments:
        if environment.registry == NOWHERE and places.has("environments", environment.name, "registry"):
            continue  # it is not known which; those without one of their own share that of the policy
        for index, line in enumerate(environment.floating):
            owner = owners.setdefault((environment.registry.place, line), environment.name)
            if owner != environment.name:
                message = f"the floating tag {line} follows {owner!r} and {environment.name!r} in one registry"
                mark = places.value("environments", environment.name, "floating", index)
                mistakes.add(mark, message, "Let it follow one of them.")


def _templates(policy: Policy, places: Places, mistakes: Mistakes) -> None:
    written = [("tags", key) for key in ("combined", "floating", "version") if places.has("tags", key)]
    mark = places.value(*written[0]) if written else places.value("environments")
    for message in check_templates(policy):
        mistakes.add(mark, message, "Choose other templates or environment names, so that every tag means one thing.")


FILE_NAME = "promotion.yaml"
SIZE_LIMIT = 4 * 1024 * 1024
"""Bytes in one file."""

_FALLBACK = {"version": 1, "registry": "", "environments": {}}


def find_policy(start: Path) -> Path:
    """The nearest promotion.yaml in ``start`` or a directory above it.

    A policy names registries and commands that are run, so one that somebody else may have put there is refused.

    :raises UsageError: ``policy.not_found``, ``policy.untrusted``.
    """
    for directory in (start, *start.parents):
        path = directory / FILE_NAME
        if os.path.isfile(path):
            _refuse_untrusted(path, above=directory != start)
            return path
    near = start / "promotion.yml"
    raise _not_found(
        f"there is no {FILE_NAME} in {start} or above it",
        f"There is a {near.name}: call it {FILE_NAME}, or name it with --policy {near.name}." if near.is_file() else "",
    )


def _refuse_untrusted(path: Path, *, above: bool) -> None:
    """Refuse a policy that nobody named, and that another user has put there, or may have.

    As git does for a repository (safe.directory), who owns the folder and the file is asked; above the directory in
    which somebody works also whether anybody may write there, for what lies there is not seen from below.
    """
    if not hasattr(os, "geteuid"):
        return
    mine = {os.geteuid()}
    if os.geteuid() == 0 and os.environ.get("SUDO_UID", "").isdigit():
        mine.add(int(os.environ["SUDO_UID"]))
    for it in (path.parent, path):
        found = it.stat()
        open_to_all = above and found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX
        if found.st_uid in mine and not open_to_all:
            continue
        why = "anybody may write to" if open_to_all else "another user owns"
        raise UsageError(
            "policy.untrusted",
            f"{path} is not trusted: {why} {it}",
            hint=f"If you know it, name it: --policy {path}, or set TAGFLOW_POLICY to it.",
        )


def load_policy(path: Path) -> Policy:
    """Load a policy and the files that it includes. ``oci:DIR`` and includes are relative to its directory.

    :raises UsageError: ``policy.invalid`` with all mistakes, ``policy.not_found``, ``policy.unreadable``.
    """
    try:
        content = _read(path)
        name, base = _display(path), os.path.dirname(os.path.abspath(path))
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise _not_found(f"there is no {path}") from exc
    except (OSError, ValueError) as exc:
        raise UsageError("policy.unreadable", f"{path} cannot be read: {_reason(exc)}") from exc
    return _Loader(name, base).load(content)


def load_policy_text(text: str, name: str = FILE_NAME, base: Path | str = ".") -> Policy:
    """Load a policy from its text; ``name`` is what mistakes call it, ``base`` the directory it would lie in.

    :raises UsageError: ``policy.invalid``.
    """
    return _Loader(name, os.path.abspath(base)).load(text.encode("utf-8", "surrogatepass"))


class _Loader:
    def __init__(self, name: str, base: str) -> None:
        self._name = name
        self._base = base
        self._mistakes = Mistakes()
        self._images: dict[str, Listed] = {}
        self._listed = False
        """Whether any file lists an image, or what is wrong with the list is told already."""

    def load(self, content: bytes) -> Policy:
        policy = self._policy(content)
        if policy is None or self._mistakes:
            raise self._mistakes.error()
        return policy

    def _policy(self, content: bytes) -> Policy | None:
        start = Mark(0, self._name, 1, 1)
        checked = self._checked(content, start, Document)
        if checked is None:
            return None
        self._list(checked.value.images, checked)
        before = len(self._mistakes)
        self._include(checked)
        self._listed = self._listed or len(self._mistakes) > before
        if not self._images and not checked.places.has("images") and not checked.places.has("include"):
            self._mistakes.add(start, "the key 'images' is missing", "For example images: {frontend: frontend}.")
        elif not self._listed and not self._mistakes.has(checked.places.value("images")):
            self._mistakes.add(checked.places.value("images"), "there is no image", "Name at least one.")
        images = list(self._images.values())
        policy = read_policy(checked, images, self._base, self._mistakes)
        check_whole(policy, images, checked.places, self._mistakes)
        return policy

    def _checked(self, content: bytes, start: Mark, wanted: type[S]) -> Checked[S] | None:
        text = self._text(content, start)
        node = None if text is None else parse(text, start, self._mistakes)
        if node is None:
            return None
        self._listed = len(self._mistakes) > 0  # what is left out of the tree may be an image
        return check(node, wanted, self._mistakes, fallback=_FALLBACK)

    def _text(self, content: bytes, start: Mark) -> str | None:
        if len(content) > SIZE_LIMIT:
            self._mistakes.add(start, f"this file is larger than {SIZE_LIMIT // 1024 // 1024} MiB")
            return None
        try:
            return content.decode("utf-8").removeprefix("\ufeff")
        except UnicodeDecodeError as exc:
            before = content[: exc.start]
            mark = Mark(start.order, start.file, before.count(b"\n") + 1, exc.start - before.rfind(b"\n"))
            self._mistakes.add(mark, f"the byte 0x{content[exc.start]:02x} is not UTF-8", "Save the file as UTF-8.")
            return None

    def _list(self, images: Images, checked: Checked[Document] | Checked[Included]) -> None:
        self._listed = self._listed or any(path[:1] == ("images",) and len(path) == 2 for path in checked.places.keys)
        for name, entry in images.items():
            named = checked.places.key("images", name)
            repository = name if entry is None else entry if isinstance(entry, str) else entry.repository
            long = entry is not None and not isinstance(entry, str)
            placed = (
                checked.places.value("images", name, "repository") if long else checked.places.value("images", name)
            )
            try:
                values.image_name(name)
            except UsageError as error:
                self._mistakes.add_error(named, error)
                continue
            first = self._images.setdefault(name, Listed(Image(name, repository), named, placed))
            if first.named != named:
                self._mistakes.add(named, f"the image {name!r} is listed twice, first in {first.named}", "Keep one.")

    def _include(self, checked: Checked[Document]) -> None:
        seen: set[str] = set()
        own = os.path.realpath(os.path.join(self._base, os.path.basename(self._name)))
        for order, (index, name) in enumerate(enumerate(checked.value.include), start=1):
            mark = checked.places.value("include", index)
            path = os.path.join(self._base, name)
            try:
                content, real = _read_regular(path), os.path.realpath(path)
            except (OSError, ValueError) as exc:
                self._mistakes.add(mark, f"the included file {harmless(name)!r} cannot be read: {_reason(exc)}")
                continue
            if real == own:
                message = f"the file {name!r} is this policy itself"
                self._mistakes.add(mark, message, "Name files that list images only.")
                continue
            if real in seen:
                self._mistakes.add(mark, f"the file {name!r} is included already", "Keep one.")
                continue
            seen.add(real)
            self._included(content, Mark(order, self._beside(name), 1, 1))

    def _included(self, content: bytes, start: Mark) -> None:
        text = self._text(content, start)
        node = None if text is None else parse(text, start, self._mistakes)
        if node is None:
            return
        if not _lists_images(node):
            # Not a word of what it says: it may be any file of this machine, and the message end in a public log.
            message = "an included file is a mapping with the one key 'images', and this file is none"
            self._mistakes.add(start, message, "For example images: {frontend: frontend}.")
            return
        checked = check(node, Included, self._mistakes, fallback=_FALLBACK)
        if checked is not None:
            self._list(checked.value.images, checked)

    def _beside(self, name: str) -> str:
        return os.path.normpath(os.path.join(os.path.dirname(self._name), name))


def _lists_images(node: Node) -> bool:
    return isinstance(node, Pairs) and any(key.text == "images" for key, _ in node.pairs)


def _read(path: Path | str) -> bytes:
    with open(path, "rb") as file:
        return file.read(SIZE_LIMIT + 1)


def _read_regular(path: str) -> bytes:
    """Read what another file names: never a pipe or a device, which could keep its reader waiting for ever."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(None, "it is no regular file")
        return file.read(SIZE_LIMIT + 1)


def _display(path: Path) -> str:
    relative = os.path.relpath(path)
    return str(path) if relative.startswith(os.pardir) else relative


def _reason(exc: Exception) -> str:
    return exc.strerror or str(exc) if isinstance(exc, OSError) else str(exc)


def _not_found(message: str, hint: str = "") -> UsageError:
    return UsageError(
        "policy.not_found", message, hint=hint or "Write one with `tagflow init`, or name it with --policy FILE."
    )
