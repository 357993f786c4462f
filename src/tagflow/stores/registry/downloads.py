"""Reading a blob: streamed, resumed where the connection breaks, its size and hash checked."""

from __future__ import annotations

from collections.abc import Iterator

from tagflow.errors import NotFound
from tagflow.stores.port import Descriptor
from tagflow.stores.registry.answers import refusal
from tagflow.stores.registry.http import SLOW_BYTES, Stream
from tagflow.stores.registry.patience import Transient
from tagflow.stores.registry.session import Session
from tagflow.stores.stream import verified


class Download:
    """One blob on its way out of one repository."""

    def __init__(self, session: Session, blob: Descriptor) -> None:
        self._session, self._blob = session, blob
        self._received = 0

    def run(self) -> Iterator[bytes]:
        """The content in chunks.

        :raises NotFound: ``blob.not_found``.
        :raises StoreError: ``blob.invalid``, ``registry.*``, ``auth.denied``.
        """
        return verified(self._blob, self._persistent(), str(self._session.repository))

    def _persistent(self) -> Iterator[bytes]:
        """All bytes in order, asked for again from where they stopped; real progress renews the patience."""
        patience = self._session.patience()
        while True:
            before = self._received
            try:
                yield from self._once()
            except Transient as failure:
                if self._received - before >= SLOW_BYTES:
                    patience = self._session.patience()
                patience.wait(failure)
            else:
                return

    def _once(self) -> Iterator[bytes]:
        headers = {"Range": f"bytes={self._received}-"} if self._received else {}
        with self._session.open(f"blobs/{self._blob.digest}", headers) as stream:
            for chunk in self._from(self._received, stream):
                self._received += len(chunk)
                yield chunk

    def _from(self, offset: int, stream: Stream) -> Iterator[bytes]:
        """The content beyond ``offset``, whether or not the server honours ranges (RFC 9110 section 14)."""
        answer = stream.answer
        if answer.status == 206 and (answer.headers.get("Content-Range") or "").startswith(f"bytes {offset}-"):
            yield from stream.chunks
            return
        if answer.status == 404:
            raise NotFound("blob.not_found", f"{self._session.repository} has no blob {self._blob.digest}")
        if answer.status != 200:
            raise refusal(answer, self._session.repository, f"read blob {self._blob.digest}")
        for chunk in stream.chunks:
            skipped = min(offset, len(chunk))
            offset -= skipped
            if skipped < len(chunk):
                yield chunk[skipped:]
