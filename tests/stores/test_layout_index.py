"""The algebra of index.json: names come and go, everything else stays as it was written."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tagflow.domain.reference import digest_of
from tagflow.errors import StoreError
from tagflow.stores.layout.index import new_index, parse_index
from tagflow.stores.layout.names import REF_NAME
from tagflow.stores.port import OCI_MANIFEST, Manifest

MANIFESTS = [Manifest(OCI_MANIFEST, json.dumps({"schemaVersion": 2, "n": number}).encode()) for number in range(4)]

values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
names = st.sampled_from(["a", "b", "docker.io/x:1", ""])


@st.composite
def entries(draw: st.DrawFn) -> dict[str, Any]:
    manifest = draw(st.sampled_from(MANIFESTS))
    annotations = {"k": draw(st.text(max_size=5))}
    if name := draw(names):
        annotations[REF_NAME] = name
    return {
        "mediaType": OCI_MANIFEST,
        "digest": manifest.digest,
        "size": len(manifest.content),
        "annotations": annotations,
        "x-unknown": draw(values),
    }


@st.composite
def documents(draw: st.DrawFn) -> bytes:
    document = {
        "schemaVersion": 2,
        "x-more": draw(values),
        "manifests": draw(st.lists(entries(), max_size=5, unique_by=lambda e: e["annotations"].get(REF_NAME, id(e)))),
    }
    return json.dumps(document, indent=draw(st.sampled_from([None, 2])), ensure_ascii=draw(st.booleans())).encode()


@given(documents())
def test_what_is_read_is_written(content: bytes) -> None:
    index = parse_index(content, "index.json")
    assert json.loads(index.encode()) == json.loads(content)
    assert [e.raw for e in parse_index(index.encode(), "x").entries] == [e.raw for e in index.entries]


@given(documents(), names.filter(bool), st.sampled_from(MANIFESTS))
def test_only_the_name_changes(content: bytes, name: str, manifest: Manifest) -> None:
    before = parse_index(content, "index.json")
    after = parse_index(before.with_name(name, manifest).encode(), "index.json")
    found = after.find(name)
    assert found is not None
    assert found.digest == manifest.digest
    assert [e.raw for e in after.entries if e.name != name] == [e.raw for e in before.entries if e.name != name]
    gone = after.without_name(name)
    assert gone.find(name) is None
    assert [e.raw for e in gone.entries] == [e.raw for e in before.entries if e.name != name]


@given(documents(), st.sampled_from(MANIFESTS))
def test_listing_without_a_name_happens_once(content: bytes, manifest: Manifest) -> None:
    once = parse_index(content, "index.json").with_unnamed(manifest)
    assert once.with_unnamed(manifest) is once
    assert once.tags == parse_index(content, "index.json").tags


@given(st.binary(max_size=80) | values.map(lambda value: json.dumps(value).encode()))
def test_anything_else_is_one_clear_error(content: bytes) -> None:
    try:
        index = parse_index(content, "DIR/index.json")
    except StoreError as error:
        if error.code != "layout.corrupt" or "DIR/index.json" not in error.message:
            raise
    else:
        assert index.entries == ()


def test_new_index_is_valid() -> None:
    assert parse_index(new_index("x").encode(), "x").entries == ()
    assert digest_of(new_index("x").encode()) == digest_of(new_index("y").encode())
