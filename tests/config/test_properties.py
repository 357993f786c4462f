"""Whatever is in the file: a policy or a UsageError, and nothing else."""

from __future__ import annotations

import contextlib
from typing import Any

import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tagflow.config.document import schema
from tagflow.domain.policy import Policy, policy_digest
from tagflow.errors import UsageError
from tests.config.samples import load
from tests.config.test_load import FULL
from tests.marks import examples

KEYS = sorted({key for entry in schema()["$defs"].values() for key in entry["properties"]})
NAMES = ["dev", "prod", "app", "latest", "v1", "<<"]
words = st.one_of(
    st.sampled_from(
        [*KEYS, *NAMES, "1.10", "no", "2026-12-20", "24h", "{version}", "oci:x", "deny", "a b", "*x", "", "'"]
    ),
    st.text(max_size=8),
)
values = st.recursive(
    st.one_of(words, st.integers(), st.floats(), st.booleans(), st.none(), st.dates(), st.binary(max_size=3)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(words, inner, max_size=4)),
    max_leaves=12,
)


def judged(text: str) -> Policy | None:
    """A policy, or None for a UsageError that is fit to be shown."""
    try:
        return load(text)
    except UsageError as caught:
        error = caught
    assert error.code == "policy.invalid"
    assert error.details
    error.message.encode()
    assert all(line.isprintable() for line in error.message.splitlines())
    return None


@settings(max_examples=examples(100), deadline=None)
@given(st.text())
@example("a: &a\n b: *a")
@example("? &x\n: *x\n*x : 1")
@example("%TAG ! x\n---\n!a b")
@example("a: !!int 0o9\nversion: !!int x\ncreate_repositories: !!bool x")
def test_any_text(text: str) -> None:
    judged(text)


@settings(max_examples=examples(80), deadline=None)
@given(st.dictionaries(words, values, max_size=8))
def test_any_structure(document: dict[str, Any]) -> None:
    with contextlib.suppress(yaml.YAMLError):
        judged(yaml.safe_dump(document, sort_keys=False, allow_unicode=True))


@settings(max_examples=examples(100), deadline=None)
@given(st.sampled_from(sorted(yaml.safe_load(FULL))), values)
def test_any_value_of_any_key(key: str, value: Any) -> None:
    document = yaml.safe_load(FULL) | {key: value}
    judged(yaml.safe_dump(document, sort_keys=False))


@settings(max_examples=examples(100), deadline=None)
@given(st.sampled_from(sorted(yaml.safe_load(FULL)["environments"]["prod"])), values)
def test_any_value_of_any_rule(key: str, value: Any) -> None:
    document = yaml.safe_load(FULL)
    document["environments"]["prod"][key] = value
    judged(yaml.safe_dump(document, sort_keys=False))


@settings(max_examples=examples(100), deadline=None)
@given(
    st.integers(0, len(FULL)),
    st.integers(0, 12),
    st.sampled_from(["", "\n", " ", "[", "}", ":", "- ", "&a ", "*a", "!", "'", "\t"]),
)
def test_damaged_files(begin: int, length: int, instead: str) -> None:
    policy = judged(FULL[:begin] + instead + FULL[begin + length :])
    if policy is not None:
        assert policy_digest(policy).startswith("sha256:")
