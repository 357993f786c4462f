"""The example of a strict policy, with keys whose private halves the tests have."""

from __future__ import annotations

import re
import shutil
from functools import cache
from pathlib import Path

from tests.project.source import ROOT
from tests.trust.keyring import pair, ssh_pair

EXAMPLE = ROOT / "examples" / "regulated"


def copied(folder: Path, bob: Path, **changes: str) -> Path:
    """The policy in a folder of its own, and everybody's public keys beside it; ``bob`` is the private key of ssh of
    who has one. ``changes`` replaces texts of the policy, each of which must be there."""
    target = folder / "regulated"
    shutil.copytree(EXAMPLE, target)
    for path in (target / "keys").iterdir():
        path.write_text(pair(path.stem).public)
    policy = target / "promotion.yaml"
    text = policy.read_text()
    written = " ".join(bob.with_suffix(".pub").read_text().split()[:2])
    text, count = re.subn(r'ssh: "[^"]*"', f'ssh: "{written}"', text)
    assert count == 1
    for before, after in changes.items():
        assert before in text
        text = text.replace(before, after)
    policy.write_text(text)
    return policy


@cache
def bobs_key(folder: Path) -> Path:
    """A key of ssh, and the file of its public half beside it."""
    folder.mkdir(exist_ok=True)
    return ssh_pair(folder)
