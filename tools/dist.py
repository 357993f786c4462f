"""Build the source archive and the wheel into ./dist, and see that both are whole.

Their metadata are checked as the package index checks them; the archive holds every file of the repository but those
of its own CI; the wheel, in a fresh environment, says its version and runs the demo of the archive.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
from pathlib import Path

from tagflow import __version__

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"
LEFT_OUT = (".ci/",)


def run(*words: str | Path, **environ: str) -> str:
    """Run a program in the repository; what it prints."""
    done = subprocess.run(
        list(map(str, words)),
        cwd=ROOT,
        env=os.environ | environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, words))}\n{done.stdout}{done.stderr}")
    return done.stdout


def build() -> tuple[Path, Path]:
    """The source archive, and the wheel that is built from it."""
    shutil.rmtree(DIST, ignore_errors=True)
    run(sys.executable, "-m", "build", "--outdir", DIST, ROOT)
    run(sys.executable, "-m", "twine", "check", "--strict", *DIST.iterdir())
    (archive,), (wheel,) = DIST.glob("*.tar.gz"), DIST.glob("*.whl")
    return archive, wheel


def check_archive(archive: Path) -> None:
    """Every file that is tracked is in the archive, and none that is not."""
    tracked = {name for name in run("git", "ls-files", "-z").split("\0") if name and not name.startswith(LEFT_OUT)}
    with tarfile.open(archive) as content:
        held = {member.name.partition("/")[2] for member in content if member.isfile()}
    made = {"PKG-INFO", "setup.cfg"} | {name for name in held if ".egg-info/" in name}
    if tracked != held - made:
        sys.exit(f"missing: {sorted(tracked - held)}; too much: {sorted(held - made - tracked)}")


def check_wheel(wheel: Path, archive: Path, folder: Path) -> None:
    """In a fresh environment the wheel says its version, and takes the demo of the archive to prod and back."""
    venv.create(folder / "venv", with_pip=True)
    programs = folder / "venv" / "bin"
    run(programs / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel)
    if (said := run(programs / "tagflow", "--version").strip()) != f"tagflow {__version__}":
        sys.exit(f"the wheel says {said!r}, the source {__version__}")
    with tarfile.open(archive) as content:
        content.extractall(folder, filter="data")
    demo = folder / f"tagflow-{__version__}" / "examples" / "demo" / "demo.sh"
    run(demo, folder / "demo", PATH=f"{programs}:{os.environ['PATH']}")


def main() -> None:
    """Build, check, tell."""
    archive, wheel = build()
    check_archive(archive)
    with tempfile.TemporaryDirectory(prefix="tagflow-dist-") as folder:
        check_wheel(wheel, archive, Path(folder))
    print(f"{archive.name} and {wheel.name} are whole.")


if __name__ == "__main__":
    main()
