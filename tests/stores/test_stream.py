"""Content is checked while it passes, whatever pieces it comes in."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagflow.domain.reference import Digest, digest_of
from tagflow.errors import StoreError
from tagflow.stores.port import Descriptor
from tagflow.stores.stream import matches, verified

pieces = st.lists(st.binary(max_size=20), max_size=8)


def blob_of(content: bytes) -> Descriptor:
    return Descriptor("application/x", digest_of(content), len(content))


@given(pieces)
def test_right_content_passes(chunks: list[bytes]) -> None:
    content = b"".join(chunks)
    assert b"".join(verified(blob_of(content), iter(chunks), "here")) == content


@given(st.binary(max_size=60), pieces)
def test_wrong_content_never_passes_whole(content: bytes, chunks: list[bytes]) -> None:
    if b"".join(chunks) == content:
        return
    passed: list[bytes] = []
    with pytest.raises(StoreError, match=r"^here: blob sha256:") as caught:
        passed += verified(blob_of(content), iter(chunks), "here")
    assert caught.value.code == "blob.invalid"
    assert len(b"".join(passed)) <= len(content)


def test_sha512() -> None:
    digest = Digest("sha512:" + hashlib.sha512(b"content").hexdigest())
    assert matches(b"content", digest)
    assert list(verified(Descriptor("x", digest, 7), iter([b"content"]), "here")) == [b"content"]
    with pytest.raises(StoreError, match="sha512:"):
        list(verified(Descriptor("x", digest, 7), iter([b"CONTENT"]), "here"))


def test_the_source_is_closed_at_once() -> None:
    closed = []

    def source() -> Iterator[bytes]:
        try:
            yield b"too long"
            yield b"never asked for"
        finally:
            closed.append(True)

    with pytest.raises(StoreError) as caught:
        list(verified(blob_of(b"short"), source(), "here"))
    assert closed == [True]
    assert caught.value.__traceback__ is not None, "though the error still holds the frames"


def test_nothing_more_is_read_than_was_announced() -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield b"x" * 100

    with pytest.raises(StoreError, match="is longer than the 5 bytes"):
        list(verified(blob_of(b"short"), endless(), "here"))
