"""Content on its way: cut into chunks, hashed while it passes."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterator
from typing import Protocol

from tagflow.domain.reference import Digest
from tagflow.errors import StoreError
from tagflow.stores.port import Descriptor

CHUNK = 1024 * 1024
"""Bytes that travel at once."""


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def chunks_of(source: _Readable, size: int = CHUNK) -> Iterator[bytes]:
    """The rest of an open binary file in chunks of at most ``size`` bytes."""
    while chunk := source.read(size):
        yield chunk


def matches(content: bytes, digest: Digest) -> bool:
    """Whether bytes have a digest, whatever its algorithm (image-spec 1.1, "Digests")."""
    algorithm, _, digits = digest.partition(":")
    return hashlib.new(algorithm, content).hexdigest() == digits


def verified(blob: Descriptor, chunks: Iterator[bytes], where: str) -> Iterator[bytes]:
    """Pass chunks on while they are counted and hashed; the last one only where size and hash are right.

    So a reader that has seen the end has seen exactly what the descriptor names. ``where`` names the place in errors.

    :raises StoreError: ``blob.invalid``.
    """
    try:
        yield from _checked(blob, chunks, where)
    finally:
        if isinstance(chunks, Generator):
            chunks.close()  # at once, with the file or connection that it holds


def _checked(blob: Descriptor, chunks: Iterator[bytes], where: str) -> Iterator[bytes]:
    algorithm, _, digits = blob.digest.partition(":")
    hasher = hashlib.new(algorithm)
    seen = 0
    held: bytes | None = None
    for chunk in chunks:
        seen += len(chunk)
        if seen > blob.size:
            raise _invalid(blob, where, f"is longer than the {blob.size} bytes that its descriptor says")
        hasher.update(chunk)
        if held is not None:
            yield held
        held = chunk
    if seen != blob.size:
        raise _invalid(blob, where, f"has {seen} bytes, its descriptor says {blob.size}")
    if hasher.hexdigest() != digits:
        raise _invalid(blob, where, f"has the digest {algorithm}:{hasher.hexdigest()}")
    if held is not None:
        yield held


def _invalid(blob: Descriptor, where: str, problem: str) -> StoreError:
    return StoreError(
        "blob.invalid",
        f"{where}: blob {blob.digest} {problem}",
        hint="The content is damaged or was cut off on its way. Run the command again; if it stays, push it anew.",
    )
