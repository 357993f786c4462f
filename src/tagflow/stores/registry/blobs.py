"""Blobs: downloads (streamed, resumed, checked), uploads and mounts (distribution-spec 1.1, "Pushing Blobs")."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import urlencode, urlsplit

from tagflow.domain.reference import Digest, Repository
from tagflow.errors import NotFound, StoreError
from tagflow.stores.port import Chunks, Descriptor
from tagflow.stores.registry.answers import loses_upload, refusal
from tagflow.stores.registry.auth.authenticator import AccessDenied
from tagflow.stores.registry.http import addresses
from tagflow.stores.registry.http.addresses import check_destination
from tagflow.stores.registry.http.failures import invalid
from tagflow.stores.registry.http.pace import Transient
from tagflow.stores.registry.http.receiving import SLOW_BYTES
from tagflow.stores.registry.http.transport import Answer, Stream
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
        return verified(self._blob, self._with_retries(), str(self._session.repository))

    def _with_retries(self) -> Iterator[bytes]:
        """All bytes in order, asked for again from where they stopped; real progress renews the retries."""
        budget = self._session.retry_budget()
        while True:
            before = self._received
            try:
                yield from self._once()
            except Transient as failure:
                if self._received >= self._blob.size:
                    return  # it broke off behind the last byte: nothing is left to ask for, a range would get 416
                if self._received - before >= SLOW_BYTES:
                    budget = self._session.retry_budget()
                budget.wait(failure)
            else:
                return

    def _once(self) -> Iterator[bytes]:
        headers = {"Range": f"bytes={self._received}-"} if self._received else {}
        with self._session.open(f"blobs/{self._blob.digest}", headers) as stream:
            for chunk in self._from(self._received, stream):
                self._received += len(chunk)
                yield chunk

    def _from(self, offset: int, stream: Stream) -> Iterator[bytes]:
        """The content beyond ``offset``, whether or not the server honours ranges (RFC 9110 section 14).

        A 206 that does not say from where is taken at its word: the hash of the whole tells.
        """
        answer = stream.answer
        stated = answer.headers.get("Content-Range")
        if answer.status == 206 and (stated is None or stated.startswith(f"bytes {offset}-")):
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


PIECE = 16 * 1024 * 1024
"""Bytes of one PATCH, where a registry does not take a blob in one request."""
LARGEST_PIECE = 256 * 1024 * 1024
"""Bytes that are held in memory at most, whatever a registry wants (``OCI-Chunk-Min-Length``)."""
COMMIT_SECONDS = 600.0
"""How long a registry may take to store a large blob."""
_NO_HEAD = (400, 401, 403, 405, 501)
_TOO_MUCH_AT_ONCE = (405, 411, 413, 501)
_OCTETS = "application/octet-stream"
_NAMES_ITSELF = (
    "The registry should name the address at which it is reached: set `http.host` in its configuration, or have the"
    " proxy before it pass X-Forwarded-Host and X-Forwarded-Proto."
)
_ONE_MEMORY = (
    "Run the command again. Where it stays, and several registries stand behind that address: give them one storage and"
    " the same `http.secret`, or send each client to one of them."
)


def is_there(session: Session, digest: Digest) -> bool:
    """Whether a repository has a blob. Where a HEAD is refused, as many storages behind a registry do, a GET is begun.

    :raises StoreError: ``registry.*``, ``auth.denied``: a registry that refuses to say so is not one that has none.
    """
    answer = session.read("HEAD", f"blobs/{digest}")
    if answer.status not in _NO_HEAD:
        return _is_there(session, answer, digest)
    try:
        with session.open(f"blobs/{digest}", {}) as stream:
            return _is_there(session, stream.answer, digest)
    except Transient as failure:
        raise failure.error from failure


def _is_there(session: Session, answer: Answer, digest: Digest) -> bool:
    if answer.status not in (200, 404):
        raise refusal(answer, session.repository, f"look for blob {digest}")
    return answer.status == 200


class Upload:
    """One blob on its way into one repository."""

    def __init__(self, session: Session, blob: Descriptor) -> None:
        self._session, self._blob = session, blob
        self.address = ""
        """Where the registry had it sent to."""
        self._piece = PIECE

    def run(self, content: Chunks) -> None:
        """Upload, in one request or, where that is refused, in pieces; begun anew when the connection breaks, or the
        registry loses it.

        :raises StoreError: ``blob.invalid``, ``registry.*``, ``auth.denied``, ``repository.not_found``.
        """
        try:
            self._run(content)
        except StoreError as error:
            if error.code == "blob.invalid" or not self._is_elsewhere():
                raise
            host = urlsplit(self.address).netloc
            message = f"{error.message}; {self._session.repository.host} sends uploads to {host}"
            raise StoreError(error.code, message, hint=_NAMES_ITSELF) from error

    def _run(self, content: Chunks) -> None:
        budget = self._session.retry_budget()
        send = self._whole
        while True:
            try:
                answer = send(lambda: budget.passing(content()))
                if answer.status in _TOO_MUCH_AT_ONCE and send == self._whole:
                    send = self._in_pieces
                    continue
                return self._check(answer)
            except Transient as failure:
                budget.wait(failure)
                if is_there(self._session, self._blob.digest):  # it arrived, only the answer was lost
                    return None

    def start(self) -> str:
        """Where to send the content to.

        :raises StoreError: as :meth:`run`.
        """
        answer = self._session.write("POST", "blobs/uploads/")
        if answer.status != 202:
            raise refusal(answer, self._session.repository, "upload a blob")
        self.address = location(answer)
        self._piece = self._piece_size(answer)
        return self.address

    def _whole(self, content: Chunks) -> Answer:
        headers = {"Content-Type": _OCTETS, "Content-Length": str(self._blob.size)}
        return self._put(self.start(), headers, lambda: self._exactly(content()))

    def _in_pieces(self, content: Chunks) -> Answer:
        address, offset = self.start(), 0
        for piece in pieces(self._exactly(content()), self._piece):
            end = offset + len(piece) - 1
            headers = {"Content-Type": _OCTETS, "Content-Range": f"{offset}-{end}"}
            answer = self._session.write("PATCH", address, headers=headers, body=piece, once=True)
            if answer.status not in (202, 204):
                raise self._refused(answer, "upload a part of a blob")
            self.address = address = location(answer)
            offset = end + 1
        return self._put(address, {}, b"")

    def _put(self, address: str, headers: dict[str, str], body: bytes | Chunks) -> Answer:
        target = with_query(address, digest=self._blob.digest)
        return self._session.write("PUT", target, headers=headers, body=body, once=True, silence=COMMIT_SECONDS)

    def _piece_size(self, answer: Answer) -> int:
        """As large as the registry wants at least (distribution-spec 1.1, "Pushing a blob in chunks")."""
        wanted = (answer.headers.get("OCI-Chunk-Min-Length") or "").strip()
        size = max(PIECE, int(wanted)) if wanted.isascii() and wanted.isdigit() and len(wanted) < 16 else PIECE
        return min(size, LARGEST_PIECE)

    def _is_elsewhere(self) -> bool:
        return bool(self.address) and not addresses.same_host(self.address, self._session.base)

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
        """201 is the proof; another 2xx is one where a look shows the blob."""
        if answer.status != 201 and not (answer.ok and is_there(self._session, self._blob.digest)):
            raise self._refused(answer, f"upload blob {self._blob.digest}")

    def _refused(self, answer: Answer, doing: str) -> StoreError | Transient:
        """The error for an answer that is none of those hoped for; an upload that the registry lost can be begun
        anew."""
        error = refusal(answer, self._session.repository, doing)
        return Transient(StoreError(error.code, error.message, hint=_ONE_MEMORY)) if loses_upload(answer) else error


def mount(session: Session, source: Repository, blob: Descriptor) -> bool:
    """Take over a blob of another repository (distribution-spec 1.1, "Mounting a blob from another repository").

    False where the registry would rather have it uploaded.

    :raises StoreError: where it fails otherwise.
    """
    query = urlencode({"mount": blob.digest, "from": source.path})
    try:
        answer = session.write("POST", f"blobs/uploads/?{query}", source=source)
    except AccessDenied:  # no right to the source, perhaps: an upload needs none
        return False
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
    address = addresses.resolve(answer.url, answer.headers.get("Location"))
    if address is None:
        raise invalid(answer.url, "gives no valid address for an upload")
    if addresses.same_host(address, answer.url):
        return addresses.with_scheme_of(address, answer.url)
    try:
        check_destination(answer.url, address)
    except StoreError as error:
        raise StoreError(error.code, error.message, hint=_NAMES_ITSELF) from error
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
