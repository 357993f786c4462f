"""Keys for tests: made anew for each run, by cryptography and by ssh-keygen."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tagflow.domain.keys import PublicKey, Signer, parse_pem
from tagflow.trust.signing import SigningKey, open_key
from tests.servers import require


@dataclass(frozen=True)
class Pair:
    """A key in PEM, both halves."""

    private: str
    public: str

    @property
    def key(self) -> PublicKey:
        """The public half, as tagflow reads it."""
        return parse_pem(self.public)

    @property
    def sign(self) -> Callable[[bytes], bytes]:
        """Signs a message."""
        return opened({"TAGFLOW_SIGN_KEY": "env:KEY", "KEY": self.private}).sign

    def signer(self, name: str) -> Signer:
        """The key under a name."""
        return Signer(name, self.key)


def opened(environ: dict[str, str]) -> SigningKey:
    """The key that an environment names."""
    key = open_key(environ)
    assert key is not None
    return key


def pair(name: str, kind: str = "ecdsa-p256") -> Pair:
    """The key of somebody: the same for the same name and kind, in one run of the tests."""
    return _pair(name, kind)


@cache
def _pair(name: str, kind: str) -> Pair:
    assert name
    key = ed25519.Ed25519PrivateKey.generate() if kind == "ed25519" else ec.generate_private_key(ec.SECP256R1())
    return Pair(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
    )


def ssh_pair(directory: Path, kind: str = "ed25519", *options: str) -> Path:
    """A key of ssh-keygen; the path of its private half, beside which NAME.pub lies."""
    path = directory / f"id_{kind}"
    command = [require("ssh-keygen"), "-q", "-t", kind, *options, "-N", "", "-C", "test", "-f", str(path)]
    subprocess.run(command, check=True)
    return path


@contextmanager
def agent(*keys: Path) -> Iterator[dict[str, str]]:
    """A running ssh-agent that holds some keys, and no file of their private halves is left; its environment."""
    with tempfile.TemporaryDirectory(prefix="agent-") as directory:
        socket = f"{directory}/socket"
        process = subprocess.Popen([require("ssh-agent"), "-D", "-a", socket], stdout=subprocess.DEVNULL)
        try:
            environ = {**os.environ, "SSH_AUTH_SOCK": socket}
            for _ in range(200):
                if os.path.exists(socket):
                    break
                time.sleep(0.02)
            for path in keys:
                subprocess.run([require("ssh-add"), "-q", path], env=environ, check=True, capture_output=True)
                path.unlink()
            yield environ
        finally:
            process.terminate()
            process.wait()


@cache
def public_file(name: str, kind: str = "ecdsa-p256") -> Path:
    """The public key of somebody in a file, as a policy names it."""
    path = Path(tempfile.mkdtemp(prefix="tagflow-keys-")) / f"{name}.pub"
    path.write_text(pair(name, kind).public)
    atexit.register(shutil.rmtree, path.parent, ignore_errors=True)
    return path
