"""What runs, against what should."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tagflow.domain.reference import Digest
from tagflow.domain.running import Build, Comparison, Difference, Seen, Unclear, Wanted, compare, name_of, tag_of
from tagflow.domain.versions.semver import SEMVER


def digest(letter: str) -> Digest:
    return Digest("sha256:" + letter * 64)


INDEX, PLATFORM, CONFIG, BEFORE, BEFORE_PLATFORM, OTHER = map(digest, "abcdef")
NOW = Build(INDEX, SEMVER.read("1.1"), frozenset({PLATFORM, CONFIG}))
THEN = Build(BEFORE, SEMVER.read("1.0"), frozenset({BEFORE_PLATFORM}))
WANTED = {"web": Wanted("web", NOW, (THEN,)), "job": Wanted("job", None)}
IMAGES: Mapping[str, str] = {"acme/web": "web", "docker.io/acme/web": "web", "acme/job": "job"}
VERSIONS = {"v1.1": SEMVER.read("1.1"), "v1.0": SEMVER.read("1.0"), "v1.1-prod": SEMVER.read("1.1")}


def compared(*seen: Seen) -> Comparison:
    return compare(seen, WANTED, IMAGES.get, VERSIONS.get)


@pytest.mark.parametrize("one", [INDEX, PLATFORM, CONFIG])
def test_the_index_its_platform_and_its_configuration_all_count(one: Digest) -> None:
    found = compared(Seen("a", ("acme/web:whatever",), one))
    assert found == Comparison((), (), agreeing=1, others=0)


@pytest.mark.parametrize(("one", "is_before"), [(BEFORE, True), (BEFORE_PLATFORM, True), (OTHER, False)])
def test_another_digest_differs_and_the_one_before_is_told_as_such(one: Digest, is_before: bool) -> None:
    found = compared(Seen("a", ("acme/web:v1.1",), one), Seen("b", ("docker.io/acme/web",), one))
    assert found.differences == (Difference("web", one, is_before, ("a", "b")),)


@pytest.mark.parametrize("tag", ["v1.1", "v1.1-prod"])
def test_without_a_digest_a_tag_that_never_moves_counts(tag: str) -> None:
    assert compared(Seen("a", (f"acme/web:{tag}",), None)).agreeing == 1


def test_without_a_digest_another_version_differs() -> None:
    found = compared(Seen("a", ("acme/web:v1.0",), None))
    assert found.differences == (Difference("web", "acme/web:v1.0", True, ("a",)),)


@pytest.mark.parametrize("reference", ["acme/web:prod", "acme/web:latest", "acme/web"])
def test_without_a_digest_a_tag_that_moves_tells_nothing(reference: str) -> None:
    found = compared(Seen("a", (reference,), None), Seen("b", (reference,), None))
    assert found == Comparison((), (Unclear("web", reference, ("a", "b")),), 0, 0)


def test_what_the_environment_does_not_run_differs() -> None:
    found = compared(Seen("a", ("acme/job:v1.0",), None), Seen("b", ("acme/job",), OTHER))
    assert [it.actual for it in found.differences] == ["acme/job:v1.0", OTHER]


def test_other_images_are_counted() -> None:
    assert compared(Seen("a", ("nginx:1", "0584b370e957"), OTHER)) == Comparison((), (), 0, 1)


def test_the_first_name_that_is_known_counts() -> None:
    assert compared(Seen("a", ("mirror/x", CONFIG, "acme/web:prod"), PLATFORM)).agreeing == 1


@pytest.mark.parametrize(
    ("reference", "name", "tag"),
    [
        ("web", "web", ""),
        ("localhost:5000/web", "localhost:5000/web", ""),
        ("localhost:5000/a/web:v1@sha256:12", "localhost:5000/a/web", "v1"),
        ("acme/web@sha256:12", "acme/web", ""),
    ],
)
def test_parts_of_a_reference(reference: str, name: str, tag: str) -> None:
    assert (name_of(reference), tag_of(reference)) == (name, tag)
