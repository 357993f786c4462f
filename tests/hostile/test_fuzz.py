"""Parsers fed with nonsense: they give a value or one of tagflow's own errors. `make fuzz` runs fifty times as many."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tagflow.config.load import load_policy_text
from tagflow.domain import records
from tagflow.domain.own_tags import parse_record_tag
from tagflow.domain.reference import parse_reference, parse_registry
from tagflow.domain.versions.semver import SEMVER
from tagflow.errors import TagflowError
from tagflow.stores.layout.index import parse_index
from tagflow.stores.port import MANIFEST_TYPES, OCI_MANIFEST, Manifest
from tagflow.stores.registry.answers import explanation, read_tags
from tagflow.stores.registry.auth.tokens import parse_challenges, read_token
from tagflow.stores.registry.http.addresses import next_link, resolve
from tagflow.stores.registry.http.transport import Answer
from tagflow.stores.registry.listing import parse_referrers
from tests.project.source import ROOT

pytestmark = pytest.mark.fuzz
FUZZ = int(os.environ.get("TAGFLOW_FUZZ") or 1)
SAMPLE = (ROOT / "examples/regulated/promotion.yaml").read_text()
often = settings(
    max_examples=60 * FUZZ, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
digests = st.sampled_from(["sha256:" + "a" * 64, "sha512:" + "b" * 128, "sha256:" + "A" * 64, "md5:00", "", "sha256:"])
values = st.recursive(
    scalars | digests,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
)
KEYS = [
    *[
        "schemaVersion",
        "mediaType",
        "manifests",
        "config",
        "layers",
        "subject",
        "annotations",
        "digest",
        "size",
        "tags",
    ],
    *["platform", "urls", "artifactType", "errors", "code", "message", "detail", "token", "access_token", "expires_in"],
]
documents = st.dictionaries(st.sampled_from(KEYS), values, max_size=8)
descriptors = st.fixed_dictionaries(
    {"mediaType": st.sampled_from(MANIFEST_TYPES) | values, "digest": digests | values, "size": st.integers() | values},
    optional={"platform": values, "annotations": values, "urls": values, "artifactType": values},
)
manifests = st.fixed_dictionaries(
    {"schemaVersion": values},
    optional={
        "manifests": st.lists(descriptors | values, max_size=3) | values,
        "config": descriptors | values,
        "layers": st.lists(descriptors | values, max_size=3) | values,
        "subject": descriptors | values,
        "annotations": st.dictionaries(st.text(max_size=8), values, max_size=4) | values,
        "artifactType": values,
    },
)
encoded = (documents | manifests | values).map(lambda it: json.dumps(it).encode()) | st.binary(max_size=200)


def survives(parse: Callable[[], object]) -> None:
    """It gives a value, or an error of tagflow's own."""
    with suppress(TagflowError):
        parse()


@often
@given(st.text(max_size=80) | st.from_regex(r"[a-zA-Z0-9_./:@\[\]-]{0,60}", fullmatch=True))
def test_references_versions_and_tags(text: str) -> None:
    survives(lambda: parse_reference(text))
    survives(lambda: parse_registry(text, base="/base"))
    survives(lambda: SEMVER.read(text))
    survives(lambda: parse_record_tag(text))


@often
@given(encoded, st.sampled_from(MANIFEST_TYPES))
def test_manifests(content: bytes, media_type: str) -> None:
    manifest = Manifest(media_type, content)
    for part in ("document", "children", "config", "blobs", "subject", "artifact_type", "annotations", "descriptor"):
        survives(lambda part=part: getattr(manifest, part))  # type: ignore[misc]


@often
@given(encoded)
def test_answers_of_a_registry(content: bytes) -> None:
    answer = Answer(200, {}, content, url="https://registry.example/v2/")
    survives(lambda: read_tags(answer))
    survives(lambda: read_token(answer, 0.0))
    survives(lambda: parse_referrers(content, "here"))
    survives(lambda: parse_index(content, "here"))
    assert "\n" not in explanation(answer)


WORDS = ["promote", "abort", "1", "-1", "{}", '{"stack": [{}]}', "[" * 3000]
COMPLETE = {
    **dict.fromkeys(["environment", "repository", "version", "previous-version", "previous-digest", "members"], ""),
    **dict.fromkeys(["actor", "reason", "overrides", "intent", "parents"], ""),
    "action": "promote",
    "digest": "sha256:" + "a" * 64,
    "release": "r",
    "release-number": "1",
    "state": "{}",
}
RECORD_TEXTS = st.dictionaries(
    st.sampled_from(sorted(COMPLETE)), st.text(max_size=30) | digests | st.sampled_from(WORDS)
)


@often
@given(RECORD_TEXTS, st.text(max_size=30) | st.just("2026-01-01T00:00:00Z"))
def test_records(texts: dict[str, str], created: str) -> None:
    annotations = {records.PREFIX + key: text for key, text in (COMPLETE | texts).items()}
    document = {"schemaVersion": 2, "annotations": {records.CREATED: created, **annotations}}
    manifest = Manifest(OCI_MANIFEST, json.dumps(document).encode())
    tag = parse_record_tag(f"_tagflow.prod.000001.{manifest.digest[7:19]}")
    assert tag is not None
    survives(lambda: records.read_record("app", tag, manifest.digest, records.ARTIFACT_TYPE, manifest.annotations))


@often
@given(st.text(max_size=200) | st.from_regex(r'(Bearer|Basic|<|>|rel|next|realm|[="\\,; /:a]){0,30}', fullmatch=True))
def test_headers(header: str) -> None:
    for challenge in parse_challenges(header):
        assert challenge.scheme == challenge.scheme.lower()
    with suppress(ValueError):  # what its callers make an error of
        next_link(header)
    survives(lambda: resolve("https://registry.example/v2/", header))


@often
@given(st.integers(0, 3000), st.integers(0, 60), st.text(max_size=40))
def test_policies_that_are_damaged(begin: int, length: int, instead: str) -> None:
    text = SAMPLE[:begin] + instead + SAMPLE[begin + length :]
    survives(lambda: load_policy_text(text, base="/nowhere"))
