"""Types in what the documentation tells to type, as a reader would."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests import warm


def type_in(text: str, folder: Path, status: int = 0, **more: str) -> str:
    """Run shell commands, stopping at the first that fails, which must end with ``status``; what they print."""
    environ = {"PATH": warm.path(), "HOME": str(folder), "TAGFLOW_ACTOR": "reader", **more}
    done = subprocess.run(
        ["sh", "-eu"], input=text, cwd=folder, env=environ, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout
