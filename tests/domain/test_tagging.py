"""The tag engine: a tag's meaning survives the round trip under every policy that the loader accepts."""

from __future__ import annotations

import json
from functools import cache
from itertools import permutations

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from tagflow.config.load import load_policy_text
from tagflow.domain.lines import lines_of, winner
from tagflow.domain.own_tags import RecordTag, parse_record_tag, pin_tag, record_tag, scratch_tag
from tagflow.domain.policy import LINES
from tagflow.domain.reference import is_tag
from tagflow.domain.tagging import Meaning, TagScheme, same_version
from tagflow.domain.versions import Version
from tagflow.domain.versions.semver import SEMVER
from tagflow.errors import UsageError
from tests import images
from tests.domain.test_natural import versions as natural_versions
from tests.domain.test_version import texts, versions

NAMES = ["dev", "test", "prod", "eu-prod", "us-eu-prod", "prod-eu", "x", "a1", "1a", "9", "rc1", "p-r-o-d"]
VERSION_TEMPLATES = ["v{version}", "{version}", "release-{version}", "r.{version}", "{version}-final", "v{version}.x"]
COMBINED_TEMPLATES = [
    "{version}-{environment}", "{environment}-{version}", "{version}.{environment}", "{version}_{environment}",
    "{environment}.{version}", "x-{version}-{environment}", "{version}-in-{environment}", "{version}-{environment}-x",
]  # fmt: skip


@cache
def scheme(
    names: tuple[str, ...] = ("dev", "prod"),
    version: str = "v{version}",
    combined: str = "{version}-{environment}",
    floating: tuple[str, ...] = (),
    versions: str = "semver",
    rolling: str | None = None,
) -> TagScheme | None:
    """The scheme of a policy; None where the loader refuses it."""
    environments: dict[str, object] = {name: {} for name in names}
    environments[names[-1]] = {"floating": list(floating)}
    document = {
        "version": 1, "registry": "registry.test/acme", "images": {"app": "app"},
        "environments": environments,
        "tags": {"version": version, "combined": combined, "versions": versions}
        | ({} if rolling is None else {"floating": rolling}),
    }  # fmt: skip
    try:
        return TagScheme(load_policy_text(json.dumps(document), base="/nowhere"))
    except UsageError:
        return None


def needed(found: TagScheme | None) -> TagScheme:
    assert found is not None
    return found


schemes = st.builds(
    scheme,
    st.lists(st.sampled_from(NAMES) | st.from_regex(r"[a-z0-9]{1,3}(-[a-z0-9]{1,2}){0,2}", fullmatch=True),
             min_size=1, max_size=4, unique=True).map(tuple),
    st.sampled_from(VERSION_TEMPLATES),
    st.sampled_from(COMBINED_TEMPLATES),
    st.lists(st.sampled_from(LINES), unique=True).map(tuple),
    st.just("semver"),
    st.sampled_from([None, "{floating}", "{floating}-x", "x-{floating}", "{floating}.0"]),
)  # fmt: skip
natural_schemes = st.builds(
    scheme,
    st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True).map(tuple),
    st.sampled_from(VERSION_TEMPLATES),
    st.sampled_from(COMBINED_TEMPLATES),
    st.lists(st.sampled_from(LINES), unique=True).map(tuple),
    st.just("natural"),
    st.sampled_from([None, "{floating}-x"]),
)
any_pairs = st.tuples(schemes, versions) | st.tuples(natural_schemes, natural_versions)


@given(any_pairs)
@example((needed(scheme(("prod", "eu-prod"))), SEMVER.read("1.0.0-eu")))
@example((needed(scheme(("prod", "eu-prod"))), SEMVER.read("1.0.0-x")))
def test_every_tag_reads_back_as_what_it_is_or_is_refused(pair: tuple[TagScheme | None, Version]) -> None:
    found, version = pair
    assume(found is not None)
    here = needed(found)
    environments = here.policy.environments
    try:
        tags = here.tags(version, environments)
    except UsageError:
        return
    assert len({it.tag for it in tags}) == len(tags)
    for it in tags:
        assert is_tag(it.tag)
        meaning = here.read(it.tag)
        assert meaning is not None
        assert meaning.kind == it.kind
        if it.kind in ("version", "combined"):
            assert (meaning.version, meaning.environment) == (version, it.environment)
            assert str(meaning.version) == str(version), "the spelling survives too"
        if it.kind == "environment":
            assert meaning.environment == it.environment
        if it.kind == "floating":
            assert meaning.line in here.policy.environments[-1].floating


@given(schemes, st.lists(texts().map(SEMVER.read), min_size=2, max_size=4))
def test_no_two_versions_share_a_tag(found: TagScheme | None, several: list[Version]) -> None:
    assume(found is not None)
    here = needed(found)
    owners: dict[str, tuple[str, str, str | None]] = {}
    for version in several:
        try:
            tags = here.tags(version, here.policy.environments)
        except UsageError:
            continue
        for it in tags:
            if it.kind in ("version", "combined"):
                owner = (str(version), it.kind, it.environment)
                assert owners.setdefault(it.tag, owner) == owner


@given(schemes, versions)
def test_a_combined_tag_is_never_a_version(found: TagScheme | None, version: Version) -> None:
    assume(found is not None)
    here = needed(found)
    for environment in here.policy.environments:
        meaning = here.read(here.combined_tag(version, environment.name))
        assert meaning is None or meaning.kind != "version" or meaning.version != version


def test_in_prod_is_no_prerelease() -> None:
    here = needed(scheme())
    assert here.read("v1.0-prod") == Meaning("combined", SEMVER.read("1.0"), "prod")
    assert here.read("v1.0-rc.1") == Meaning("version", SEMVER.read("1.0-rc.1"))
    assert here.versions(["v1.0-prod", "v1.0", "v1.0-rc.1"]) == [
        (SEMVER.read("1.0"), "v1.0"),
        (SEMVER.read("1.0-rc.1"), "v1.0-rc.1"),
    ]


@pytest.mark.parametrize("names", list(permutations(("prod", "eu-prod", "us-eu-prod"))))
def test_the_longest_suffix_wins(names: tuple[str, ...]) -> None:
    here = needed(scheme(names))
    for name in names:
        assert here.read(f"v1.2-{name}") == Meaning("combined", SEMVER.read("1.2"), name)
    assert here.combined(["v1.2-eu-prod", "v1.3-prod"], "prod") == {SEMVER.read("1.3"): "v1.3-prod"}


@pytest.mark.parametrize(
    ("names", "text", "code"),
    [
        (("dev", "prod"), "1.0.0-dev", "version.ambiguous"),
        (("prod", "eu-prod"), "1.0.0-eu", "version.ambiguous"),
        (("dev", "prod"), "1.0.0-rc.1-dev", "version.ambiguous"),
        (("dev", "prod"), "1.0.0-" + "a" * 120, "version.invalid"),
    ],
)
def test_refused_versions(names: tuple[str, ...], text: str, code: str) -> None:
    with pytest.raises(UsageError) as caught:
        needed(scheme(names)).check(SEMVER.read(text))
    assert (caught.value.code, caught.value.exit_status) == (code, 2)


@pytest.mark.parametrize(
    ("floating", "text", "fine"),
    [
        (("minor",), "1.0", False), (("minor",), "1.0.0", True), (("major",), "1", False), (("major",), "1.0", True),
        (("latest",), "1", True), ((), "1", True), (("major", "minor"), "1.0-rc.1", False),
    ],
)  # fmt: skip
def test_precision(floating: tuple[str, ...], text: str, fine: bool) -> None:
    here = needed(scheme(floating=floating))
    if fine:
        here.check(SEMVER.read(text))
        return
    with pytest.raises(UsageError) as caught:
        here.check(SEMVER.read(text))
    assert caught.value.code == "version.precision"


@pytest.mark.parametrize(
    ("tag", "kind"),
    [
        ("prod", "environment"), ("latest", "floating"), ("v1", "floating"), ("v1.2", "floating"),
        ("v1.2.3", "version"),
        ("_tagflow.pin.0123456789ab", "pin"), ("_tagflow.prod.000007.0123456789ab", "record"),
        ("_tagflow.try.0123456789ab", "scratch"),
        ("_tagflow.approval.0123456789ab.0123456789ab", "approval"),
        ("_tagflow.approval.123456789012.0123456789ab", "approval"),
        ("_tagflow.approval.000001.0123456789ab", "record"),
        ("1.2.3", None), ("V1.2.3", None), ("v1.2.3-", None), ("main", None),
        ("sha-1a2b3c", None), ("_tagflow.prod.7.0123456789ab", None), ("_tagflow.pin.0123", None), ("v1.2.3+x", None),
        ("v1.2.3-staging", "version"), ("v1.2-prod", None), ("vv1.2.3", None), ("v", None),
    ],
)  # fmt: skip
def test_reading(tag: str, kind: str | None) -> None:
    meaning = needed(scheme(floating=("latest", "major", "minor"))).read(tag)
    assert (meaning.kind if meaning else None) == kind


@given(st.text(max_size=30) | st.from_regex(r"v?[0-9.]{1,6}[-_a-z0-9.]{0,12}", fullmatch=True))
def test_reading_any_tag(tag: str) -> None:
    meaning = needed(scheme(("prod", "eu-prod"), floating=("latest", "major"))).read(tag)
    if meaning is not None and meaning.kind == "version":
        assert meaning.version is not None
        assert SEMVER.read(str(meaning.version)) == meaning.version


class TestSpellings:
    here = needed(scheme())

    def test_the_typed_one_first(self) -> None:
        tags = ["v1.0", "v1.0.0", "v1", "v1.1", "v1.0-prod"]
        found = self.here.spellings(SEMVER.read("1.0.0"), tags)
        assert [str(it) for it in found] == ["1.0.0", "1", "1.0"]

    def test_one_that_exists_only_as_a_combined_tag(self) -> None:
        assert [str(it) for it in self.here.spellings(SEMVER.read("1.0.0"), ["v1.0-prod"])] == ["1.0"]

    @pytest.mark.parametrize("typed", ["1.0", "v1.0"])
    def test_the_typed_v_is_optional(self, typed: str) -> None:
        assert self.here.version_tag(self.here.parse_version(typed)) == "v1.0"

    def test_build_metadata(self) -> None:
        version = self.here.parse_version("1.2.3+linux.5")
        assert self.here.version_tag(version) == "v1.2.3_linux.5"
        assert self.here.read("v1.2.3_linux.5-prod") == Meaning("combined", version, "prod")

    def test_two_at_different_digests(self) -> None:
        error = same_version({"v1.0": images.absent("1"), "v1.0.0": images.absent("2")})
        assert (error.code, error.exit_status) == ("version.spelling", 5)
        assert "v1.0 at" in error.message
        assert "v1.0.0 at" in error.message


class TestNatural:
    here = needed(scheme(floating=("latest", "major", "minor"), version="{version}", versions="natural"))

    @pytest.mark.parametrize(
        ("tag", "kind"),
        [
            ("2026.02.0", "version"), ("2026.02", "floating"), ("2026", "floating"), ("2026-01-30-2", "version"),
            ("1.2.3.4-prod", "combined"), ("1.0.0rc10", "version"), ("6.2.6-build.10", "version"), ("main", None),
            ("2026.02rc1", None), ("1.2.3-", None),
        ],
    )  # fmt: skip
    def test_reading(self, tag: str, kind: str | None) -> None:
        meaning = self.here.read(tag)
        assert (meaning.kind if meaning else None) == kind

    def test_writing(self) -> None:
        version = self.here.parse_version("v2026.02.0")
        tags = [it.tag for it in self.here.tags(version, self.here.policy.environments)]
        assert tags == [
            "2026.02.0", "2026.02.0-dev", "dev", "2026.02.0-prod", "prod", "latest", "2026", "2026.02"
        ]  # fmt: skip

    def test_build_metadata(self) -> None:
        version = self.here.parse_version("1.2.3+linux.5")
        assert self.here.version_tag(version) == "1.2.3_linux.5"
        assert self.here.read("1.2.3_linux.5-prod") == Meaning("combined", version, "prod")

    def test_spellings(self) -> None:
        version = self.here.parse_version("2026.2.0")
        found = self.here.spellings(version, ["2026.02.0", "2026.2.0", "2026-02-0-prod", "2026.3.0"])
        assert [str(it) for it in found] == ["2026.2.0", "2026-02-0", "2026.02.0"]

    def test_the_winner_is_the_highest_by_value(self) -> None:
        admitted = [self.here.parse_version(text) for text in ("3.5.15-9", "3.5.15-10", "3.5.16-rc1")]
        assert str(winner(self.here, "latest", "latest", admitted)) == "3.5.15-10"


class TestOwnTags:
    @given(st.sampled_from(NAMES), st.integers(1, 10**9))
    def test_records(self, environment: str, sequence: int) -> None:
        tag = record_tag(environment, sequence, images.absent())
        assert parse_record_tag(str(tag)) == tag
        assert is_tag(str(tag))

    def test_six_digits(self) -> None:
        assert str(RecordTag("prod", 7, "0123456789ab")) == "_tagflow.prod.000007.0123456789ab"

    def test_pin_and_scratch(self) -> None:
        digest = images.absent()
        assert pin_tag(digest) == f"_tagflow.pin.{digest[7:19]}"
        assert scratch_tag(digest) == f"_tagflow.try.{digest[7:19]}"

    @pytest.mark.parametrize("tag", ["_tagflow.Prod.000001.0123456789ab", "_tagflow.prod.000001.0123456789AB", "prod"])
    def test_no_records(self, tag: str) -> None:
        assert parse_record_tag(tag) is None


class TestFloating:
    here = needed(scheme(floating=("latest", "major", "minor")))

    @given(st.lists(texts().map(SEMVER.read), max_size=8), st.randoms())
    def test_the_winner_depends_on_what_is_admitted_alone(self, admitted: list[Version], random: object) -> None:
        shuffled = list(admitted)
        random.shuffle(shuffled)  # type: ignore[attr-defined]
        prod = self.here.policy.environments[-1]
        for tag, line in lines_of(self.here, prod, admitted).items():
            best = winner(self.here, tag, line, admitted)
            assert best == winner(self.here, tag, line, shuffled) == winner(self.here, tag, line, set(shuffled))
            rivals = [it for it in admitted if not it.is_prerelease and self.here.floating_tag(it, line) == tag]
            assert best is not None
            assert all(it <= best for it in rivals)
            assert not best.is_prerelease

    def test_a_backport(self) -> None:
        admitted = [SEMVER.read(text) for text in ("1.1.8", "2.0.0", "1.1.9", "3.0.0-rc.1")]
        tags = lines_of(self.here, self.here.policy.environments[-1], admitted)
        won = {tag: str(winner(self.here, tag, line, admitted)) for tag, line in tags.items()}
        assert won == {"latest": "2.0.0", "v1": "1.1.9", "v1.1": "1.1.9", "v2": "2.0.0", "v2.0": "2.0.0"}

    def test_a_channel(self) -> None:
        here = needed(scheme(floating=("latest", "major", "beta", "rc")))
        prod = here.policy.environments[-1]
        read = here.version_scheme.read

        def won(*texts: str) -> dict[str, str]:
            admitted = list(map(read, texts))
            best = {tag: winner(here, tag, line, admitted) for tag, line in lines_of(here, prod, admitted).items()}
            return {tag: str(version) for tag, version in best.items() if version is not None}

        assert won("1.0.0") == {"latest": "1.0.0", "v1": "1.0.0"}, "no beta yet: nothing to name"
        assert won("1.0.0", "1.1.0-beta.2", "1.1.0-beta.10") == {
            "latest": "1.0.0", "v1": "1.0.0", "beta": "1.1.0-beta.10"
        }  # fmt: skip
        assert won("1.0.0", "1.1.0-beta.1", "1.1.0-rc.1")["beta"] == "1.1.0-beta.1"
        assert won("1.0.0", "1.1.0-beta.1", "1.1.0")["beta"] == "1.1.0", "never ahead of a newer release"
        assert won("2.0.0-beta.1", "1.1.0")["beta"] == "2.0.0-beta.1"
        assert won("2.0.0-beta1", "1.1.0", "2.0.0-BETA.7")["beta"] == "2.0.0-beta1", "SemVer: words as text"

    def test_a_release_may_move_a_channel_too(self) -> None:
        here = needed(scheme(floating=("latest", "beta")))
        prod = here.policy.environments[-1]
        assert lines_of(here, prod, [SEMVER.read("1.0.0")]) == {"latest": "latest", "beta": "beta"}
        assert lines_of(here, prod, [SEMVER.read("1.0.0-beta.1")]) == {"beta": "beta"}
        assert lines_of(here, prod, [SEMVER.read("1.0.0-rc.1")]) == {}
        assert [it.tag for it in here.tags(SEMVER.read("1.0.0"), [prod])] == [
            "v1.0.0",
            "v1.0.0-prod",
            "prod",
            "latest",
        ]
        assert [it.tag for it in here.tags(SEMVER.read("1.0.0-beta.1"), [prod])][3:] == ["beta"]

    def test_a_channel_is_not_decided_on_an_unclear_order(self) -> None:
        here = needed(scheme(floating=("beta",)))
        admitted = [SEMVER.read("1.0.0-beta9"), SEMVER.read("1.0.0-beta10")]
        with pytest.raises(UsageError) as caught:
            winner(here, "beta", "beta", admitted)
        assert caught.value.code == "version.order"
        released = SEMVER.read("1.0.0")
        assert winner(here, "beta", "beta", [*admitted, released]) == released, "nothing depends on it any more"

    def test_how_they_are_written(self) -> None:
        for template, rolling, expected in [
            ("v{version}", None, ["latest", "v1", "v1.2"]),
            ("{version}-alpine", None, ["latest-alpine", "1-alpine", "1.2-alpine"]),
            ("{version}-alpine", "{floating}", ["latest", "1", "1.2"]),
            ("release-{version}", None, ["latest", "release-1", "release-1.2"]),
            ("v{version}", "rolling-{floating}", ["rolling-latest", "rolling-v1", "rolling-v1.2"]),
        ]:
            here = needed(scheme(version=template, floating=("latest", "major", "minor"), rolling=rolling))
            tags = [it.tag for it in here.tags(SEMVER.read("1.2.3"), here.policy.environments) if it.kind == "floating"]
            assert tags == expected
            assert [getattr(here.read(tag), "line", None) for tag in tags] == ["latest", "major", "minor"]

    def test_two_policies_over_one_repository_keep_their_own(self) -> None:
        plain = needed(scheme(version="{version}", floating=("latest", "major")))
        alpine = needed(scheme(("dev-alpine", "prod-alpine"), version="{version}-alpine", floating=("latest", "major")))
        mine = {it.tag for it in plain.tags(SEMVER.read("6.2.6"), plain.policy.environments)}
        its = {it.tag for it in alpine.tags(SEMVER.read("6.2.6"), alpine.policy.environments)}
        assert not mine & its
        assert {getattr(alpine.read(tag), "kind", None) for tag in mine} == {None}
        admitted = plain.combined(its, "prod")
        assert admitted == {}

    def test_none_left(self) -> None:
        assert winner(self.here, "v2", "major", [SEMVER.read("1.0.0"), SEMVER.read("2.0.0-rc.1")]) is None

    def test_an_environment_that_owns_none(self) -> None:
        assert lines_of(self.here, self.here.policy.environments[0], [SEMVER.read("1.0.0")]) == {}
