"""The repository as somebody has it who cloned it: every file that git would hand out, and no other."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.project.source import ROOT

_MADE_HERE = shutil.ignore_patterns(
    ".git", ".venv", "build", "dist", "site", "demo", ".*_cache", ".hypothesis", "__pycache__"
)


def clone(folder: Path) -> Path:
    """Copy the working tree, changes that are not committed yet included, into a folder that is made."""
    if not (ROOT / ".git").exists():  # an unpacked source archive
        return Path(shutil.copytree(ROOT, folder, ignore=_MADE_HERE))
    listed = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in filter(None, subprocess.run(listed, check=True, capture_output=True, text=True).stdout.split("\0")):
        if (ROOT / name).is_file():  # one that was removed is listed until the removal is committed
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder
