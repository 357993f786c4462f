"""Types in what the documentation tells to type, as a reader would."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def type_in(text: str, folder: Path, status: int = 0, **more: str) -> str:
    """Run shell commands, stopping at the first that fails, which must end with ``status``; what they print."""
    programs = Path(sys.executable).parent
    environ = {"PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(folder), "TAGFLOW_ACTOR": "reader", **more}
    done = subprocess.run(
        ["sh", "-eu"], input=text, cwd=folder, env=environ, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout
