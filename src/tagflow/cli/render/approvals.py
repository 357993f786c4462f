"""An approval that was written, and what its plan still needs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from tagflow.cli.text import cell as one_line
from tagflow.cli.text import is_fancy, styled

if TYPE_CHECKING:
    from tagflow.verbs.approve import Approved


def approved(it: Approved) -> str:
    """``✓ approved for prod by alice: registry.example.com/app:_tagflow.approval.…``, and the rules that are open."""
    fancy = is_fancy(sys.stdout)
    done = f"{styled('✓', 'green', fancy)} approved for {one_line(it.environment)} by {one_line(it.signer)}: "
    lines = [done + one_line(it.reference)]
    lines += [f"{styled('!', 'yellow', fancy)} {one_line(str(tally))}" for tally in it.missing]
    return "\n".join(lines if it.missing else [*lines, "Nothing more is needed: `tagflow apply` carries it out."])
