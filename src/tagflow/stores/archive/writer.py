"""An image of any store as a tar archive that ``docker load`` reads.

The archive is an OCI image layout (image-spec 1.1, "Image Layout") with the ``manifest.json`` of ``docker save`` beside
it, as Docker itself writes since version 25: a daemon with the containerd image store takes the manifest byte for byte,
one with a graph driver takes configuration and layers. Either keeps the image ID.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Iterator

import msgspec

from tagflow.domain.reference import normal_platform
from tagflow.errors import NotFound, StoreError
from tagflow.stores.docker.events import Failure
from tagflow.stores.port import OCI_INDEX, Descriptor, Manifest, Progress, Store

IMAGE_CONFIGS = frozenset(
    {"application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"}
)
"""The configurations of what a daemon can run; an artifact has others."""
_ATTESTATION = "unknown/unknown"
"""What BuildKit writes as the platform of what it attests."""
_BLOCK = tarfile.BLOCKSIZE
_END = bytes(2 * _BLOCK)


def for_platform(store: Store, manifest: Manifest, platform: str) -> Manifest:
    """The image for a machine of ``platform`` (``os/architecture[/variant]``) out of an index; an image itself where it
    is one.

    Of several variants the lowest is taken, since it runs wherever a higher one does.

    :raises NotFound: ``platform.not_found``.
    """
    if not manifest.is_index:
        return manifest
    wanted = normal_platform(platform)
    named = sorted((child.platform, child.digest) for child in _images(store, manifest))
    for name, digest in named:
        if normal_platform(name) == wanted or normal_platform(name).startswith(f"{wanted}/"):
            return for_platform(store, store.get(digest), platform)
    offered = ", ".join(dict.fromkeys(name for name, _ in named if name)) or "none"
    raise NotFound(
        "platform.not_found",
        f"{store.repository}@{manifest.digest} has no image for {platform}",
        hint=f"It has {offered}.",
    )


def _images(store: Store, index: Manifest) -> Iterator[Descriptor]:
    """The images that an index names, itself or by an index within that is for no platform of its own."""
    seen, waiting = {index.digest}, [index]
    while waiting:
        for child in waiting.pop().children:
            if child.digest in seen or not child.is_manifest:
                continue
            seen.add(child.digest)
            if child.is_index and not child.platform:
                waiting.append(store.get(child.digest))
            elif child.platform != _ATTESTATION:
                yield child


def archive_of(store: Store, manifest: Manifest, progress: Progress) -> Iterator[bytes]:
    """The archive of one image (no index), streamed; each blob is checked while it passes.

    :raises StoreError: ``manifest.invalid`` where it is no container image, ``blob.invalid``.
    :raises NotFound: ``blob.not_found``.
    """
    config = manifest.config
    if config is None or config.media_type not in IMAGE_CONFIGS:
        raise StoreError("manifest.invalid", f"{store.repository}@{manifest.digest} is not a container image")
    blobs = list(dict.fromkeys(manifest.blobs))
    _require_foreign(store, manifest)
    progress.expect(sum(blob.size for blob in blobs))
    yield from _document("oci-layout", {"imageLayoutVersion": "1.0.0"})
    yield from _document("index.json", _index_of(manifest.descriptor))
    yield from _document("manifest.json", _contents_of(config, manifest.blobs[1:]))
    yield from _file(_path(manifest.descriptor), len(manifest.content), [manifest.content])
    for blob in blobs:
        yield from _file(_path(blob), blob.size, counted(store.read_blob(blob), progress))
    yield _END


def _require_foreign(store: Store, manifest: Manifest) -> None:
    """An image is whole without the layers that live elsewhere; a daemon loads none without them."""
    absent = [blob.digest for blob in manifest.blobs if blob.foreign and not store.has_blob(blob.digest)]
    if absent:
        raise NotFound(
            "blob.not_found",
            f"{store.repository}@{manifest.digest} cannot be loaded without layers that live elsewhere"
            f" (`urls`, as those of Windows) and are not there: {', '.join(absent)}",
            hint="Let Docker pull the image from a registry: it gets them where they live. Or push it again with"
            " `allow-nondistributable-artifacts`, which keeps them with the image.",
        )


def whole(chunks: Iterable[bytes], failure: Failure) -> Iterator[bytes]:
    """A tar archive from a daemon, if it ends as one: a late error stands where the archive should go on.

    :raises TagflowError: what ``failure`` gives.
    """
    tail = b""
    for chunk in chunks:
        yield chunk
        tail = (tail + chunk)[-len(_END) :]
    if tail != _END:
        raise failure("the archive ends too early")


def counted(chunks: Iterable[bytes], progress: Progress) -> Iterator[bytes]:
    """Chunks whose sizes are told when they have been taken."""
    for chunk in chunks:
        yield chunk
        progress.advance(len(chunk))


def _index_of(descriptor: Descriptor) -> dict[str, object]:
    entry = {"mediaType": descriptor.media_type, "digest": descriptor.digest, "size": descriptor.size}
    return {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}


def _contents_of(config: Descriptor, layers: Iterable[Descriptor]) -> list[dict[str, object]]:
    return [{"Config": _path(config), "RepoTags": None, "Layers": [_path(layer) for layer in layers]}]


def _path(descriptor: Descriptor) -> str:
    return "blobs/" + descriptor.digest.replace(":", "/")


def _document(name: str, value: object) -> Iterator[bytes]:
    content = msgspec.json.encode(value)
    return _file(name, len(content), [content])


def _file(name: str, size: int, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """One member of a tar archive; the GNU format has no limit of 8 GiB."""
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o644
    yield member.tobuf(tarfile.GNU_FORMAT)
    yield from chunks
    yield bytes(-size % _BLOCK)
