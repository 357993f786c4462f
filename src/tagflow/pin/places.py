"""Where a file names an image of the policy: what is read where, and what stops it from being changed safely.

* ``image: NAME[:TAG][@DIGEST]`` at any depth: compose files, containers of every kind in Kubernetes, Helm values;
* ``name``, ``newName``, ``newTag`` and ``digest`` in a list ``images``: kustomize, and what carries its fields;
* ``[NAME=]REFERENCE`` in a list ``images`` below ``kustomize``, as Argo CD hands it to ``kustomize edit set image``;
* ``repository`` beside ``registry``, ``tag`` and ``digest`` (or ``sha``) at any depth: Helm values; with
  ``global.imageRegistry`` above them, where charts that know it take their images from.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from tagflow.pin.source import (
    Alias,
    Items,
    Lookup,
    Node,
    Pairs,
    Problem,
    Scalar,
    Source,
    key_text,
    mappings,
    parse,
    scalars,
    unsupported,
)
from tagflow.pin.written import GAP, Names, Written, has_gaps, is_wholly_open, read

Slot = Literal["name", "registry", "tag", "digest"]

_HELM: tuple[tuple[Slot, tuple[str, ...]], ...] = (
    ("name", ("repository", "imageRepository")),
    ("registry", ("registry", "imageRegistry")),
    ("tag", ("tag", "imageTag")),
    ("digest", ("digest", "imageDigest", "sha", "sha256")),
)
_KUSTOMIZE: tuple[tuple[Slot, str], ...] = (("name", "newName"), ("tag", "newTag"), ("digest", "digest"))
_KEYS = frozenset(
    {"global", "image", "images", "kustomize", "name", "reference", "newName", "newTag"}.union(
        *(keys for _, keys in _HELM)
    )
)
_LONGEST = 4096
"""Characters of a reference. Names have 255 at most, tags 128, digests 135; the rest is for placeholders."""
_DIGITS_ALONE = frozenset({"sha", "sha256"})
"""Keys of a digest without its algorithm: charts write `{{ .repository }}:{{ .tag }}@sha256:{{ .sha }}`."""
_ALGORITHM = "sha256:"
_COMMIT = re.compile("(?:.*-g)?[0-9a-f]{7,40}|main|master|develop|trunk|HEAD", re.IGNORECASE)
_TAGGED = re.compile(r"[^\s:@]+(?::[^\s]+|@[^\s]+)")
"""What has a tag or a digest behind its name."""
_TEXT_TAGS = (None, "!", "tag:yaml.org,2002:str")
_NULLS = ("", "~", "null", "Null", "NULL")
_WRITE_OUT = "Write it out, or make the whole of it a placeholder."


class Part(Struct, frozen=True):
    """One scalar of a reference, and the key before it."""

    scalar: Scalar
    key: Node

    @property
    def is_null(self) -> bool:
        """Whether there is nothing yet: ``tag:``, ``tag: null``."""
        return self.scalar.style == "plain" and self.scalar.value in _NULLS

    @property
    def text(self) -> str:
        """What it says."""
        return "" if self.is_null else self.scalar.value.strip()

    @property
    def digest(self) -> str:
        """The digest that it says, with its algorithm."""
        return _ALGORITHM + self.text if self.text and self._has_digits_alone else self.text

    def spelt(self, value: str) -> str:
        """How a value is written here."""
        return value.removeprefix(_ALGORITHM) if self._has_digits_alone else value

    @property
    def _has_digits_alone(self) -> bool:
        return key_text(self.key) in _DIGITS_ALONE and not self.text.startswith(_ALGORITHM)


class Place(Struct, frozen=True):
    """One reference: the image that it means, what it says now, and the scalars that say so.

    ``is_whole``: ``name`` holds tag and digest too, behind ``prefix``. ``is_name_fixed``: others look for the name, so
    it has to stay; ``is_moved``: so it has to, since ``global.imageRegistry`` says where it is. ``offset`` is where it
    stands.
    """

    image: str
    written: Written
    parts: Mapping[Slot, Part]
    offset: int
    is_whole: bool = False
    is_name_fixed: bool = False
    is_moved: bool = False
    prefix: str = ""


class Elsewhere(Struct, frozen=True):
    """An image of the policy that is named where nobody looks: the line, and the reference."""

    line: int
    text: str


class Scan(Struct, frozen=True):
    """What a file names: its places in the order of the text, how many references are templates as a whole, and what
    is named ``elsewhere``."""

    source: Source
    places: tuple[Place, ...]
    templates: int = 0
    elsewhere: tuple[Elsewhere, ...] = ()


def scan(source: Source, names: Names) -> Scan:
    """Find the references to images of a policy.

    :raises UsageError: ``pin.unsupported``, with all problems of the file: it is not YAML, or a reference stands where
        it cannot be changed safely.
    """
    finder = _Finder(source, names)
    return finder.result()


class _Finder:
    def __init__(self, source: Source, names: Names) -> None:
        self._source, self._names = source, names
        self._tree = parse(source)
        self._values = Lookup(_KEYS)
        self._places: dict[frozenset[int], Place] = {}
        """By the ids of their scalars: mappings that take in the same one say the same."""
        self._problems: set[Problem] = set()
        self._lonely: list[tuple[Pairs, Problem]] = []
        self._templates: set[int] = set()
        self._keys: dict[int, Node] = {}
        self._entries: set[int] = set()
        """The ids of entries of kustomize's ``images``."""
        self._under_image: set[int] = set()
        """The ids of mappings that are the value of a key ``image``."""
        self._under_kustomize: set[int] = set()
        """The ids of mappings that are the value of a key ``kustomize``."""
        self._registries: dict[int, str] = {}
        """What ``global.imageRegistry`` says, by the ids of the mappings for which it does."""
        self._wholes: set[int] = set()
        """The ids of scalars that hold a whole reference."""
        self._elsewhere: dict[int, str] = {}
        """References that are left alone, by the offset at which they stand."""

    def result(self) -> Scan:
        found = [mapping for root in self._tree.documents for mapping in mappings(root)]
        for mapping in found:  # first of all: what an alias stands for is written before the alias
            self._surround(mapping)
        for mapping in found:
            self._look(mapping)
        self._problems |= {it for mapping, it in self._lonely if id(mapping) not in self._values.merged}
        if self._problems:
            raise unsupported(sorted(self._problems, key=lambda it: (it.line, it.column)))
        places = sorted(self._places.values(), key=lambda it: it.offset)
        self._look_elsewhere()
        elsewhere = [Elsewhere(self._source.line(at), text) for at, text in sorted(self._elsewhere.items())]
        return Scan(self._source, tuple(places), len(self._templates), tuple(elsewhere))

    def _surround(self, mapping: Pairs) -> None:
        """Note which mappings are the value of a key that says what they are."""
        for key, value in mapping.pairs:
            held = _held(value)
            if key_text(key) == "image" and isinstance(held, Pairs):
                self._under_image.add(id(held))
            if key_text(key) == "kustomize" and isinstance(held, Pairs):
                self._under_kustomize.add(id(held))
        for entry in map(_held, self._images(mapping)):
            if isinstance(entry, Pairs) and {"newName", "newTag", "digest"} & self._values(entry).keys():
                self._entries.add(id(entry))

    def _images(self, mapping: Pairs) -> tuple[Node, ...]:
        images = _held(self._values(mapping).get("images"))
        return images.items if isinstance(images, Items) else ()

    def _look(self, mapping: Pairs) -> None:
        values = self._values(mapping)
        if not values:
            return
        self._keys |= {id(value): key for key, value in mapping.pairs}
        self._look_for_registry(mapping, values)
        for entry in self._images(mapping) if id(mapping) in self._under_kustomize else ():
            if id(_held(entry)) not in self._entries:
                self._look_at_override(entry)
        if id(mapping) in self._entries:
            self._look_at_entry(mapping, values)
            return
        taken = self._look_beside(mapping, values)
        for key, value in mapping.pairs:  # as written, not as merged: each is looked at where it stands
            if (key_text(key) == "image" and value is not taken) or (
                key_text(key) == "reference" and id(mapping) in self._under_image
            ):
                self._look_at_whole(value)

    # --- the kinds of places -----------------------------------------------------------------------------------------

    def _look_at_whole(self, node: Node) -> None:
        """``image: NAME[:TAG][@DIGEST]``."""
        scalar = self._scalar(node)
        if scalar is None:
            return
        written = read(scalar.value.strip())
        image = self._whose(node, written.name)
        if image is not None and self._is_sound(node) and self._is_valid(node, written):
            part = Part(scalar, self._keys[id(node)])
            self._wholes.add(id(scalar))
            self._add(Place(image, written, {"name": part}, scalar.start, is_whole=True))

    def _look_at_override(self, node: Node) -> None:
        """``[NAME=]REFERENCE``: without a NAME, the reference's own is what kustomize looks for."""
        scalar = self._scalar(node)
        if scalar is None:
            return
        name, equals, reference = scalar.value.rpartition("=")
        written = read(reference.strip())
        image = self._whose(node, written.name)
        if image is not None and self._is_sound(node) and self._is_valid(node, written):
            parts: Mapping[Slot, Part] = {"name": Part(scalar, scalar)}
            self._add(
                Place(
                    image, written, parts, scalar.start, is_whole=True, is_name_fixed=not equals, prefix=name + equals
                )
            )

    def _look_at_entry(self, entry: Pairs, values: Mapping[str, Node]) -> None:
        """One entry of kustomize's ``images``."""
        found: dict[Slot, Node] = {slot: values[key] for slot, key in _KUSTOMIZE if key in values}
        is_fixed = "name" not in found
        if is_fixed and "name" in values:
            found["name"] = values["name"]
        self._look_at_parts(entry, found, "Add `newTag:` to the entry.", is_name_fixed=is_fixed)

    def _look_for_registry(self, mapping: Pairs, values: Mapping[str, Node]) -> None:
        """``global.imageRegistry`` is for all that stands beside ``global``, and below."""
        shared = values.get("global")
        said = self._scalar(self._values(shared).get("imageRegistry")) if isinstance(shared, Pairs) else None
        registry = "" if said is None or Part(said, said).is_null else said.value.strip().rstrip("/")
        if registry:
            self._registries |= {id(inner): registry for inner in mappings(mapping)}

    def _look_beside(self, mapping: Pairs, values: Mapping[str, Node]) -> Node | None:
        """Keys beside one another that say it together; returns the value of ``image``, where that is one of them."""
        found: dict[Slot, Node] = {}
        for slot, keys in _HELM:
            key = next((key for key in keys if key in values and not self._is_commit(key, values[key])), None)
            # Beside an image alone, `sha` may be anything.
            if key is not None and (key not in _DIGITS_ALONE or found.keys() & {"name", "tag"}):
                found[slot] = values[key]
        taken = None
        if "name" not in found and found.keys() & {"tag", "digest"}:
            if id(mapping) in self._under_image and "name" in values:
                found["name"] = values["name"]
            elif (scalar := self._scalar(values.get("image"))) and read(scalar.value.strip()).is_bare:
                # `image: acme/web` beside `tag: v1`: the chart joins them.
                found["name"] = taken = values["image"]
        self._look_at_parts(mapping, found, 'Add `tag: ""` beside it.')
        self._look_at_pieces(found, values)
        return taken

    def _look_at_pieces(self, nodes: Mapping[Slot, Node], values: Mapping[str, Node]) -> None:
        """A repository that a name beside it makes whole: no key that is known joins the two."""
        scalars = {slot: scalar for slot, node in nodes.items() if (scalar := self._scalar(node)) is not None}
        last = self._scalar(values.get("name", values.get("image")))
        if last is None or not {"name", "tag"} <= scalars.keys() or scalars["name"] is last:
            return
        before = (scalars[slot].value.strip().rstrip("/") for slot in ("registry", "name") if slot in scalars)
        name = "/".join([*filter(None, before), last.value.strip()])
        if self._names.image(name) is not None:
            self._elsewhere[last.start] = f"{name}:{scalars['tag'].value.strip()}"

    def _look_elsewhere(self) -> None:
        """References at any other place: the value of a key that is not known, an entry of a list."""
        placed = {id(part.scalar) for place in self._places.values() for part in place.parts.values()}
        for scalar in scalars(self._tree.documents):
            text = scalar.value.strip()
            if id(scalar) in placed or len(text) > _LONGEST or not _TAGGED.fullmatch(text):
                continue
            written = read(text)
            is_port = written.tag.isdigit() and "/" not in written.name
            if not is_port and not written.fault and self._names.image(written.name) is not None:
                self._elsewhere[scalar.start] = text

    def _is_commit(self, key: str, node: Node) -> bool:
        """Whether it is the commit that something was built from, or its branch, and no place for a digest."""
        scalar = self._scalar(node) if key == "sha" else None
        return scalar is not None and _COMMIT.fullmatch(scalar.value.strip()) is not None

    def _look_at_parts(
        self, mapping: Pairs, nodes: Mapping[Slot, Node], hint: str, *, is_name_fixed: bool = False
    ) -> None:
        parts = {
            slot: Part(scalar, self._keys.get(id(node), node))
            for slot, node in nodes.items()
            if (scalar := self._scalar(node)) is not None
        }
        if "name" not in parts or len(parts) < len(nodes):
            return  # a list of tags, or a mapping: this is about something else
        said = {slot: part.text for slot, part in parts.items()}
        registry = said.get("registry", "").rstrip("/")
        name = read(f"{registry}/{said['name']}" if registry else said["name"])
        above = self._registries.get(id(mapping), "")
        moved = read(f"{above}/{said['name']}")
        if above and self._names.image(moved.name):
            name = moved
        image = self._whose(nodes["name"], name.name)
        if image is None:
            return
        places = parts.keys() & {"tag", "digest"}
        if id(parts["name"].scalar) in self._wholes:
            self._problem(
                nodes["name"],
                "a whole reference here, and a name alone where it is merged",
                "Write the name out there.",
            )
        elif not name.is_bare:
            self._problem(
                nodes["name"], "a tag or digest in the name, where keys of their own hold them", "Take it out."
            )
        elif not places:
            message = f"{said['name']} has no place for a tag or a digest beside it"
            self._lonely.append((mapping, self._source.problem(parts["name"].scalar.start, message, hint)))
        else:
            tag, _, digest = said.get("tag", "").partition("@")
            own = parts["digest"].digest if "digest" in parts else ""
            written = Written(name.name, tag, own or digest)
            # All of them: every problem is told.
            sound = [self._is_sound(node) and self._has_colon(parts[slot]) for slot, node in nodes.items()]
            first = min((parts[slot].scalar for slot in places), key=lambda it: it.start)
            if all(sound) and self._is_valid(first, written):
                self._add(Place(image, written, parts, first.start, is_name_fixed=is_name_fixed, is_moved=bool(above)))

    def _add(self, place: Place) -> None:
        self._places[frozenset(id(part.scalar) for part in place.parts.values())] = place

    # --- whose it is, and whether it can be changed ----------------------------------------------------------------

    def _whose(self, node: Node, name: str) -> str | None:
        """Whose name it is. Placeholders alone are counted; where they hide what may be one of the policy's, that is a
        problem."""
        if is_wholly_open(name):
            self._templates.add(node.start)
            return None
        image = self._names.image(name)
        if image is None and GAP in name and self._names.could_be(name):
            self._problem(node, "a placeholder inside the reference", _WRITE_OUT)
        return image

    def _is_valid(self, node: Node, written: Written) -> bool:
        """Whether tag and digest are what they should be, and not a placeholder of a kind that is not known here."""
        return not written.fault or self._problem(node, written.fault, "Correct it, or take it out.")

    def _is_sound(self, node: Node) -> bool:
        """Whether the scalar of a reference can be changed where it stands; else the problem is noted."""
        scalar = self._scalar(node)
        assert scalar is not None
        if isinstance(node, Alias):
            return self._problem(node, "an alias stands for this reference", "Write the reference itself here.")
        if id(scalar) in self._tree.aliased:
            return self._problem(node, f"aliases stand for this reference (&{scalar.anchor})", "Write it out for each.")
        if scalar.style == "block":
            return self._problem(node, "a block scalar holds this reference", "Write it on the line of its key.")
        if has_gaps(scalar.value):
            return self._problem(node, "a placeholder inside the reference", _WRITE_OUT)
        if scalar.tag not in _TEXT_TAGS:
            return self._problem(node, f"the YAML tag {scalar.tag} before the reference", "Take it out.")
        if not scalar.is_verbatim(self._source.text):
            return self._problem(
                node, "the reference is not written as it reads", "Write it without escapes, on one line."
            )
        return True

    def _has_colon(self, part: Part) -> bool:
        """Whether a value can be written behind its key, where there is none yet: `{repository: web, tag}` is YAML."""
        if not part.is_null or part.scalar.span[0] < part.scalar.end or self._source.colon(part.key.end) is not None:
            return True
        key = key_text(part.key)
        return self._problem(part.key, f"the key {key} has no colon, and no value", f'Write `{key}: ""`.')

    def _scalar(self, node: Node | None) -> Scalar | None:
        """The scalar that a node is or stands for, if it may be part of a reference."""
        found = _held(node)
        if isinstance(found, Pairs) and self._source.text.startswith("{{", found.start):
            # To YAML, a placeholder of a Go template without quotes is a mapping with a mapping for a key.
            found = Scalar(found.start, found.end, self._source.text[found.start : found.end], "plain", None, None)
        return found if isinstance(found, Scalar) and len(found.value) <= _LONGEST else None

    def _problem(self, node: Node, message: str, hint: str) -> Literal[False]:
        self._problems.add(self._source.problem(node.start, message, hint))
        return False


def _held(node: Node | None) -> Node | None:
    """What a node is, or stands for."""
    return node.target if isinstance(node, Alias) else node
