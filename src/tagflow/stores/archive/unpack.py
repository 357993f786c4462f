"""Content that is packed with gzip, bzip2, xz or zstd, whatever its file is called."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

_PIECE = 1024 * 1024
"""Bytes that are unpacked at once, whatever they were packed from."""
_XZ_MEMORY = 256 * 1024 * 1024
"""Bytes. xz asks for as much as the file says; `xz -9` needs 65 MiB."""


class UnpackError(Exception):
    """The content is damaged, or cannot be unpacked here; the text says which, to follow on "it"."""


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


def packing(head: bytes) -> str:
    """How content is packed that begins so: ``gzip``, ``bzip2``, ``xz``, ``zstd``, or empty.

    >>> packing(b"BZh91AY"), packing(b"config.json")
    ('bzip2', '')
    """
    return next((name for mark, name in _MARKS.items() if head.startswith(mark)), "")


def unpacked(chunks: Iterable[bytes], how: str) -> Iterator[bytes]:
    """The content of all streams that follow each other, in pieces of a bounded size.

    :raises UnpackError: it is damaged, or this Python cannot unpack it.
    """
    try:
        make, failures = _ENGINES[how]()
    except ImportError as exc:
        raise UnpackError(f"is packed with {how}, which this Python was built without: unpack it first") from exc
    engine = make()
    try:
        for chunk in chunks:
            data = chunk
            while data or not (engine.eof or engine.needs_input):
                if engine.eof:
                    data = data.lstrip(b"\0")  # padding between and after streams
                    if not data:
                        break
                    engine = make()
                piece = engine.decompress(data, _PIECE)
                data = engine.unused_data if engine.eof else b""
                yield piece
    except failures as exc:
        raise UnpackError(f"is damaged: {how} cannot unpack it ({exc})") from exc
    if not engine.eof:
        raise UnpackError(f"is cut off: its {how} has no end")


class _Gzip:
    """zlib's decompressor, with the ways of the others."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max_length)


_Engine = tuple[Callable[[], _Decompressor], tuple[type[Exception], ...]]
"""What makes a decompressor for one stream, and what that raises."""


def _gzip() -> _Engine:
    return _Gzip, (zlib.error,)


def _bzip2() -> _Engine:
    import bz2

    return bz2.BZ2Decompressor, (OSError, EOFError)


def _xz() -> _Engine:
    import lzma

    return lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY), (lzma.LZMAError, EOFError)


def _zstd() -> _Engine:
    import importlib

    for name in ("compression.zstd", "backports.zstd"):
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        return module.ZstdDecompressor, (module.ZstdError, EOFError)
    raise UnpackError(
        "is packed with zstd, which Python unpacks from 3.14 on: install backports.zstd, or unpack it with `zstd -d`"
    )


_MARKS = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\0": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
_ENGINES: dict[str, Callable[[], _Engine]] = {"gzip": _gzip, "bzip2": _bzip2, "xz": _xz, "zstd": _zstd}
