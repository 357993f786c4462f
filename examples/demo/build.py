"""Builds a small application as OCI image layouts, with nothing but Python's standard library.

Two images, ``frontend`` and ``backend``, each for linux/amd64 and linux/arm64. Each holds one static program of some
200 bytes that says which release it is. The same version always gives the same digests, as a good build does.

    python3 build.py VERSION DIRECTORY

writes ``DIRECTORY/frontend`` and ``DIRECTORY/backend`` (image-spec 1.1, "OCI Image Layout") and tags both VERSION.
Layouts that are there already get one more tag.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import struct
import sys
import tarfile
from pathlib import Path

IMAGES = ("frontend", "backend")
INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
REF_NAME = "org.opencontainers.image.ref.name"

Json = dict[str, object]


def main() -> None:
    """Build both images."""
    if len(sys.argv) != 3:
        sys.exit("usage: build.py VERSION DIRECTORY")
    version, directory = sys.argv[1], Path(sys.argv[2])
    for name in IMAGES:
        build(directory / name, name, version)
        print(f"built {directory / name}:{version} for linux/amd64 and linux/arm64")


def build(layout: Path, name: str, version: str) -> None:
    """Add an image of two platforms to a layout, tagged ``version``."""
    text = f"{name} {version}\n".encode()
    children = [
        platform(layout, name, version, "amd64", elf(62, amd64(text))),
        platform(layout, name, version, "arm64", elf(183, arm64(text))),
    ]
    index = add(layout, INDEX, as_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": children}))
    tag(layout, {**index, "annotations": {REF_NAME: version}})


def platform(layout: Path, name: str, version: str, architecture: str, program: bytes) -> Json:
    """Add the image of one platform; its descriptor."""
    files = tar({name: program})
    runs_on: Json = {"os": "linux", "architecture": architecture}
    labels = {"org.opencontainers.image.title": name, "org.opencontainers.image.version": version}
    config = {
        **runs_on,
        "config": {"Entrypoint": [f"/{name}"], "Labels": labels},
        "rootfs": {"type": "layers", "diff_ids": [digest(files)]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": add(layout, CONFIG, as_json(config)),
        "layers": [add(layout, LAYER, gzip.compress(files, mtime=0))],
    }
    return {**add(layout, MANIFEST, as_json(manifest)), "platform": runs_on}


# --- the layout ---------------------------------------------------------------------------------------------------


def add(layout: Path, media_type: str, content: bytes) -> Json:
    """Store content under its digest; its descriptor."""
    algorithm, _, digits = digest(content).partition(":")
    path = layout / "blobs" / algorithm / digits
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return {"mediaType": media_type, "digest": digest(content), "size": len(content)}


def tag(layout: Path, descriptor: Json) -> None:
    """Name an image in ``index.json``; a name that is there moves."""
    (layout / "oci-layout").write_bytes(as_json({"imageLayoutVersion": "1.0.0"}))
    index = layout / "index.json"
    known = json.loads(index.read_text())["manifests"] if index.exists() else []
    others = [one for one in known if one["annotations"] != descriptor["annotations"]]
    index.write_bytes(as_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": [*others, descriptor]}))


def digest(content: bytes) -> str:
    """What content is called."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def as_json(value: object) -> bytes:
    """Compact JSON."""
    return json.dumps(value, separators=(",", ":")).encode()


def tar(files: dict[str, bytes]) -> bytes:
    """A tar archive of programs, without dates: the same files give the same bytes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


# --- the program: write(1, text, length); exit(0) -----------------------------------------------------------------


def elf(machine: int, code: bytes) -> bytes:
    """A static program for Linux: the ELF header, one segment to load and run, the code."""
    base, headers = 0x400000, 64 + 56
    size = headers + len(code)
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    header = struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, base + headers, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, base, base, size, size, 0x10000)
    return ident + header + segment + code


def amd64(text: bytes) -> bytes:
    """The code and the text for x86-64."""
    say = b"\xb8" + struct.pack("<I", 1) + b"\xbf" + struct.pack("<I", 1)  # mov eax, write; mov edi, 1
    say += b"\x48\x8d\x35" + struct.pack("<I", 16)  # lea rsi, [rip + 16]: where the text begins
    say += b"\xba" + struct.pack("<I", len(text)) + b"\x0f\x05"  # mov edx, length; syscall
    leave = b"\xb8" + struct.pack("<I", 60) + b"\x31\xff\x0f\x05"  # mov eax, exit; xor edi, edi; syscall
    return say + leave + text


def arm64(text: bytes) -> bytes:
    """The code and the text for AArch64."""
    set_x0, set_x2, set_x8, syscall = 0xD2800000, 0xD2800002, 0xD2800008, 0xD4000001
    where = 0x10000001 | 7 << 5  # adr x1, seven instructions on: where the text begins
    say = (set_x0 | 1 << 5, where, set_x2 | len(text) << 5, set_x8 | 64 << 5, syscall)
    leave = (set_x0, set_x8 | 93 << 5, syscall)
    return struct.pack("<8I", *say, *leave) + text


if __name__ == "__main__":
    main()
