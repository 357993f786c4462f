"""Make the pictures of the README from real runs: the terminal as tagflow writes it, the flow as `status` tells it.

`make pictures` runs it. A release goes through the environments of promotion.yaml, in a temporary folder, on disk.
"""

from __future__ import annotations

import io
import json
import os
import pty
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "docs" / "pictures"
COLUMNS = 84
BEFORE = [
    "tagflow push v1.0 frontend=oci:build/frontend:v1.0 backend=oci:build/backend:v1.0",
    "tagflow promote v1.0 --to test",
    "tagflow promote v1.0 --to staging",
    "tagflow promote v1.0 --to prod",
    "tagflow push v1.1 frontend=oci:build/frontend:v1.1 backend=oci:build/backend:v1.1",
    "tagflow promote v1.1 --to test",
    "tagflow promote v1.1 --to staging",
]
SHOWN = [
    'tagflow promote v1.1 --to prod --yes --reason "faster start page"',
    'tagflow rollback prod --yes --reason "the start page is blank"',
    "tagflow status prod",
]
# Fonts of the reader's machine: a picture loads nothing.
SVG = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.S).replace("Fira Code", "ui-monospace")


def environ() -> dict[str, str]:
    """A quiet environment with tagflow on the path."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    keep = {name: os.environ[name] for name in ("HOME", "LANG") if name in os.environ}
    return keep | {"PATH": path, "TAGFLOW_ACTOR": "ann", "TERM": "xterm-256color", "COLUMNS": str(COLUMNS)}


def at_terminal(command: str, folder: Path) -> str:
    """What a command writes to a terminal."""
    written = io.BytesIO()
    main, side = pty.openpty()
    process = subprocess.Popen(
        shlex.split(command), cwd=folder, env=environ(), stdin=side, stdout=side, stderr=side, start_new_session=True
    )
    os.close(side)
    while True:
        try:
            chunk = os.read(main, 65536)
        except OSError:  # Linux says so that nobody writes any more
            break
        if not chunk:
            break
        written.write(chunk)
    os.close(main)
    process.wait()
    return written.getvalue().decode().replace("\r\n", "\n")


def session(folder: Path, commands: Sequence[str]) -> str:
    """Commands with what they write, as a picture."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    for command in commands:
        typed = command.replace(" --yes", "")
        console.print(Text(f"$ {typed}", style="bold"), soft_wrap=False)
        console.print(Text.from_ansi(at_terminal(command, folder).rstrip("\n")), soft_wrap=False)
        console.print()
    return console.export_svg(title="tagflow", code_format=SVG)


def cells(folder: Path, *names: str) -> list[dict[str, Any]]:
    """Where the first image stands, an environment each."""
    done = subprocess.run(
        ["tagflow", "status", *names, "-o", "json"], cwd=folder, env=environ(), check=True, capture_output=True
    )
    found: list[dict[str, Any]] = json.loads(done.stdout)["result"]["images"][0]["environments"]
    return found


BOX, GAP, TOP = 150, 72, 44


def flow(stand: Sequence[dict[str, Any]]) -> str:
    """The environments in order, with what they run: a promotion moves a name, never a byte."""
    width = len(stand) * BOX + (len(stand) - 1) * GAP + 4
    parts = [_box(number, cell) for number, cell in enumerate(stand)]
    parts += [_arrow(number) for number in range(len(stand) - 1)]
    end = 2 + (len(stand) - 1) * (BOX + GAP) + BOX / 2
    parts.append(
        f'<path class="back" d="M {end + 40} {TOP} C {end + 40} 8 {end - 40} 8 {end - 40} {TOP - 3}"/>'
        f'<text class="word" x="{end}" y="12">rollback</text>'
    )
    return _FLOW.format(width=width, height=TOP + 104, body="\n".join(parts))


def _box(number: int, cell: dict[str, Any]) -> str:
    x = 2 + number * (BOX + GAP)
    middle = x + BOX / 2
    return (
        f'<rect x="{x}" y="{TOP}" width="{BOX}" height="84" rx="8"/>'
        f'<text class="name" x="{middle}" y="{TOP + 26}">{escape(cell["environment"])}</text>'
        f'<text x="{middle}" y="{TOP + 48}">{escape(cell["version"])}</text>'
        f'<text class="digest" x="{middle}" y="{TOP + 68}">{cell["digest"][:19]}</text>'
    )


def _arrow(number: int) -> str:
    x, y = 2 + number * (BOX + GAP) + BOX, TOP + 42
    return (
        f'<path class="on" d="M {x + 4} {y} H {x + GAP - 8}"/>'
        f'<text class="word" x="{x + GAP / 2}" y="{y - 10}">promote</text>'
    )


_FLOW = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">
<title>Environments in order, each with the version and the digest that it runs</title>
<style>
  rect {{ fill: #f6f8fa; stroke: #57606a; stroke-width: 1.5 }}
  text {{ font: 14px ui-sans-serif, system-ui, sans-serif; fill: #1f2328; text-anchor: middle }}
  .name {{ font-weight: 600 }} .digest {{ font: 11px ui-monospace, monospace; fill: #57606a }}
  .word {{ font-size: 12px; fill: #57606a }}
  path {{ fill: none; stroke: #0f766e; stroke-width: 2.5; marker-end: url(#tip) }} .back {{ stroke: #b45309 }}
  @media (prefers-color-scheme: dark) {{
    rect {{ fill: #161b22; stroke: #8b949e }} text {{ fill: #e6edf3 }} .digest, .word {{ fill: #8b949e }}
    path {{ stroke: #2dd4bf }} .back {{ stroke: #f59e0b }}
  }}
</style>
<defs><marker id="tip" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="5" markerHeight="5" orient="auto">
<path d="M 0 0 L 8 4 L 0 8 z" style="fill: #6e7781; stroke: none; marker-end: none"/></marker></defs>
{body}
</svg>
"""


def main() -> None:
    """Write both pictures."""
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tagflow-pictures-") as name:
        folder = Path(name)
        shutil.copy(ROOT / "promotion.yaml", folder)
        for version in ("v1.0", "v1.1"):
            build = [sys.executable, str(ROOT / "examples" / "demo" / "build.py"), version, "build"]
            subprocess.run(build, cwd=folder, check=True, capture_output=True)
        for command in BEFORE:
            subprocess.run(shlex.split(command), cwd=folder, env=environ(), check=True, capture_output=True)
        (PICTURES / "flow.svg").write_text(flow(cells(folder)))
        (PICTURES / "terminal.svg").write_text(session(folder, SHOWN))


if __name__ == "__main__":
    main()
