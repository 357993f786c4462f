"""Write constraints.txt: the versions of everything that this environment has, as pip reads them; no addresses."""

from __future__ import annotations

import re
from importlib.metadata import distributions
from pathlib import Path

FREE = {"tagflow", "pip", "setuptools", "certifi"}
"""Ourselves; what the environment comes with; and the authorities of the web, which should be those of today."""
HEAD = """\
# The versions with which tagflow is developed and tested; written by `make constraints`. Who installs tagflow is bound
# by pyproject.toml alone.
"""


def installed() -> dict[str, str]:
    """Name (normalised as in PEP 503) and version of each distribution."""
    found = {re.sub(r"[-_.]+", "-", it.metadata["Name"]).lower(): it.version for it in distributions()}
    return {name: version for name, version in sorted(found.items()) if name not in FREE}


if __name__ == "__main__":
    lines = [f"{name}=={version}\n" for name, version in installed().items()]
    Path("constraints.txt").write_text(HEAD + "".join(lines))
