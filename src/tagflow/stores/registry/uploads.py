"""Bringing a blob into a repository (distribution-spec 1.1, "Pushing Blobs")."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from urllib.parse import urlencode, urlsplit

from tagflow.domain.reference import Repository
from tagflow.errors import StoreError
from tagflow.stores.port import Chunks, Descriptor
from tagflow.stores.registry import links
from tagflow.stores.registry.answers import refusal
from tagflow.stores.registry.failures import invalid
from tagflow.stores.registry.http import Answer, check_destination
from tagflow.stores.registry.patience import Transient
from tagflow.stores.registry.session import Session

PIECE = 16 * 1024 * 1024
"""Bytes of one PATCH, where a registry does not take a blob in one request."""
COMMIT_SECONDS = 600.0
"""How long a registry may take to put a large blob in its place."""
_TOO_MUCH_AT_ONCE = (405, 411, 413, 501)
_OCTETS = "application/octet-stream"


class Upload:
    """One blob on its way into one repository."""

    def __init__(self, session: Session, blob: Descriptor) -> None:
        self._session, self._blob = session, blob

    def run(self, content: Chunks, is_there: Callable[[], bool]) -> None:
        """Upload, in one request or, where that is refused, in pieces; begun anew when the connection breaks.

        ``is_there`` tells whether the blob arrived although the answer was lost.

        :raises StoreError: ``blob.invalid``, ``registry.*``, ``auth.denied``, ``repository.not_found``.
        """
        patience = self._session.patience()
        send = self._whole
        while True:
            try:
                answer = send(content)
                if answer.status in _TOO_MUCH_AT_ONCE and send == self._whole:
                    send = self._in_pieces
                    continue
                return self._check(answer)
            except Transient as failure:
                patience.wait(failure)
                if is_there():
                    return None

    def start(self) -> str:
        """Where to send the content to.

        :raises StoreError: as :meth:`run`.
        """
        answer = self._session.write("POST", "blobs/uploads/")
        if answer.status != 202:
            raise refusal(answer, self._session.repository, "upload a blob")
        return location(answer)

    def _whole(self, content: Chunks) -> Answer:
        headers = {"Content-Type": _OCTETS, "Content-Length": str(self._blob.size)}
        return self._put(self.start(), headers, lambda: self._exactly(content()))

    def _in_pieces(self, content: Chunks) -> Answer:
        address, offset = self.start(), 0
        for piece in pieces(self._exactly(content()), PIECE):
            end = offset + len(piece) - 1
            headers = {"Content-Type": _OCTETS, "Content-Range": f"{offset}-{end}"}
            answer = self._session.write("PATCH", address, headers=headers, body=piece, once=True)
            if answer.status not in (202, 204):
                raise refusal(answer, self._session.repository, "upload a part of a blob")
            address, offset = location(answer), end + 1
        return self._put(address, {}, b"")

    def _put(self, address: str, headers: dict[str, str], body: bytes | Chunks) -> Answer:
        target = with_query(address, digest=self._blob.digest)
        return self._session.write("PUT", target, headers=headers, body=body, once=True, silence=COMMIT_SECONDS)

    def _exactly(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """The content, never a byte more than announced: the registry would take that for another request."""
        left = self._blob.size
        for chunk in chunks:
            left -= len(chunk)
            if left < 0:
                break
            yield chunk
        if left:
            what = f"blob {self._blob.digest} is not {self._blob.size} bytes long"
            raise StoreError("blob.invalid", f"{self._session.repository}: {what}", hint="Its source is damaged.")

    def _check(self, answer: Answer) -> None:
        if answer.status != 201:
            raise refusal(answer, self._session.repository, f"upload blob {self._blob.digest}")


def mount(session: Session, source: Repository, blob: Descriptor) -> bool:
    """Take over a blob of another repository (distribution-spec 1.1, "Mounting a blob from another repository").

    False where the registry would rather have it uploaded.

    :raises StoreError: where it fails otherwise.
    """
    query = urlencode({"mount": blob.digest, "from": source.path})
    try:
        answer = session.write("POST", f"blobs/uploads/?{query}", source=source)
    except StoreError as exc:
        if exc.code == "auth.denied":  # no right to the source, perhaps: an upload needs none
            return False
        raise
    if answer.status == 202:
        _forget(session, answer)
    return answer.status == 201


def _forget(session: Session, answer: Answer) -> None:
    """Cancel an upload that was begun instead of a mount; a registry that cannot do that forgets it by itself."""
    with suppress(StoreError, Transient):
        session.write("DELETE", location(answer), once=True)


def location(answer: Answer) -> str:
    """Where an upload goes on. A registry behind a proxy that ends TLS names itself with ``http://``; the address
    that we know is taken then.

    :raises StoreError: ``registry.invalid_answer``.
    """
    address = links.resolve(answer.url, answer.headers.get("Location"))
    if address is None:
        raise invalid(answer.url, "gives no valid address for an upload")
    if links.same_host(address, answer.url):
        return links.with_scheme_of(address, answer.url)
    check_destination(answer.url, address)
    return address


def with_query(address: str, **parameters: str) -> str:
    """An address with more parameters behind those that it has, which may be signed and stay as they are."""
    parts = urlsplit(address)
    query = "&".join(filter(None, (parts.query, urlencode(parameters))))
    return parts._replace(query=query, fragment="").geturl()


def pieces(chunks: Iterator[bytes], size: int) -> Iterator[bytes]:
    """The same bytes in pieces of ``size`` bytes, the last one shorter.

    >>> list(pieces(iter([b"abc", b"d", b"efghi"]), 4))
    [b'abcd', b'efgh', b'i']
    """
    buffer = bytearray()
    for chunk in chunks:
        buffer += chunk
        while len(buffer) >= size:
            yield bytes(buffer[:size])
            del buffer[:size]
    if buffer:
        yield bytes(buffer)
