"""What comes next, among tags that mislead."""

from __future__ import annotations

import pytest

from tagflow.domain.next_version import TagList, following, looks_like_a_version
from tagflow.domain.tagging import TagScheme
from tagflow.domain.versions import Part
from tagflow.errors import UsageError
from tests.domain.test_tagging import needed, scheme

PLAIN = needed(scheme(version="{version}"))
NATURAL = needed(scheme(version="{version}", versions="natural"))


def after(found: TagScheme, *tags: str, part: Part | None = None) -> str:
    return found.version_tag(following(found, [TagList("app", "acme/app", tags)], part).version)


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        # Admitted versions first: what no environment has seen counts only where it follows closely.
        (["10.11.4", "10.11.4-dev", "2021.12.16"], "10.11.5"),
        (["10.11.4", "10.11.4-dev", "0603826", "6038261"], "10.11.5"),
        (["10.11.4", "10.11.4-dev", "10.12.0"], "10.12.1"),
        (["10.11.4", "10.11.4-dev", "11.0.0"], "11.0.1"),
        (["10.11.4", "10.11.4-dev", "99.0.0"], "10.11.5"),
        (["2025.12.3", "2025.12.3-dev", "2026.1.0"], "2026.1.1"),
        (["2025.12.3-dev", "2028.1.0"], "2028.1.1"),
        (["1.9.0", "2026.1.0", "2026.1.0-dev"], "2026.1.1"),
        # Nothing admitted: the usual shape.
        (["10.11.4", "2021.12.16"], "10.11.5"),
        (["10.11.3", "10.11.4", "2021.12.16", "6038261"], "10.11.5"),
        (["1.0.0", "2025.12.3", "2026.1.0"], "2026.1.1"),
        (["20260130", "20260202", "1.0.0"], "20260202.0.1"),
        ([], "0.1.0"),
        (["main", "latest", "sha-1234567"], "0.1.0"),
        # A combined tag counts where its version tag is gone.
        (["1.2.0", "1.3.0-dev"], "1.3.1"),
    ],
)
def test_what_decides(tags: list[str], expected: str) -> None:
    assert after(PLAIN, *tags) == expected


def test_no_tag_that_exists_is_proposed() -> None:
    assert after(PLAIN, "10.0.0-dev", "11.0.0", "12.0.0", part="major") == "13.0.0"
    assert after(PLAIN, "10.0.0-dev", "12.0.0", "11.0.0-dev", part="major") == "13.0.0"
    assert after(PLAIN, "10.9.0-dev", "13.0.0", part="major") == "11.0.0"


def test_what_decided_and_what_did_not_is_told() -> None:
    lists = [
        TagList("web", "acme/web", ["1.2.0", "1.2.0-dev", "dev", "2026.02.0", "1.2.3.4", "main", "_tagflow.x"]),
        TagList("api", "acme/api", ["1.3.0", "2021.12.16", "sha-ae183bd", "1.3.0-prod", "v9.9"]),
    ]
    found = following(PLAIN, lists, None)
    assert found.after is not None
    assert (found.after.tag, found.after.image, found.after.repository) == ("1.3.0", "api", "acme/api")
    assert [it.tag for it in found.not_counted] == ["2021.12.16"]
    assert found.not_read == ("2026.02.0", "v9.9", "1.2.3.4")


def test_calver_with_zeros() -> None:
    tags = ["2025.11.1", "2025.11.1-dev", "2026.02.0", "2026.02.0-dev"]
    assert after(NATURAL, *tags) == "2026.02.1"
    assert after(NATURAL, *tags, part="minor") == "2026.03"
    told = following(PLAIN, [TagList("app", "acme/app", tags)], None)
    assert PLAIN.version_tag(told.version) == "2025.11.2"
    assert told.not_read == ("2026.02.0",), "so nobody takes it for the newest"


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (["1.3.0-rc9", "1.3.0-rc10"], "1.3.0-rc11"),
        (["2026-01-30-2", "2026-01-30-10"], "2026-01-30-11"),
        (["3.5.15-0", "3.5.14-9"], "3.5.15-1"),
    ],
)
def test_natural_counts_by_value(tags: list[str], expected: str) -> None:
    assert after(NATURAL, *tags) == expected


def test_an_order_that_a_reader_would_see_otherwise_decides_nothing() -> None:
    with pytest.raises(UsageError) as caught:
        after(PLAIN, "1.3.0-rc9", "1.3.0-rc10")
    assert caught.value.code == "version.order"
    assert after(PLAIN, "1.3.0-rc9", "1.3.0-rc10", "1.3.0") == "1.3.1"


def test_a_line_that_floats_needs_its_parts() -> None:
    here = needed(scheme(version="{version}", floating=("minor",), versions="natural"))
    assert after(here, "2026.02.0", part="minor") == "2026.03.0"


@pytest.mark.parametrize(
    ("tag", "looks"),
    [
        ("1.2", True), ("v1.2.3", True), ("2026-01-30", True), ("1.0rc1", True), ("6038261", False), ("main", False),
        ("sha-1.2", False), ("7", False), ("_tagflow.pin.0123456789ab", False),
    ],
)  # fmt: skip
def test_what_looks_like_a_version(tag: str, looks: bool) -> None:
    assert looks_like_a_version(tag) == looks
