"""The tools beside which tagflow runs: those that are on the PATH."""

from __future__ import annotations

import shutil
import subprocess

VERSIONS = {
    "crane": ["crane", "version"],
    "skopeo": ["skopeo", "--version"],
    "regctl": ["regctl", "version", "--format", "{{.VCSTag}}"],
    "ab": ["ab", "-V"],
    "docker-registry": ["docker-registry", "--version"],
}


def has(tool: str) -> bool:
    """Whether a tool is there."""
    return shutil.which(tool) is not None


def versions() -> dict[str, str]:
    """What each tool that is there says of itself, on one line."""
    found = {}
    for tool, command in VERSIONS.items():
        if has(tool):
            said = subprocess.run(command, capture_output=True, text=True, check=False)
            found[tool] = (said.stdout.strip() or "of unknown version").splitlines()[0]
    return found


def tag(tool: str, source: str, tag: str) -> str:
    """The shell line that gives an image another tag in its repository."""
    repository = source.rpartition(":")[0]
    return {
        "crane": f"crane tag {source} {tag}",
        "skopeo": f"skopeo copy --quiet --all --src-tls-verify=false --dest-tls-verify=false"
        f" docker://{source} docker://{repository}:{tag}",
        "regctl": f"regctl image copy {source} {repository}:{tag}",
    }[tool]


def copy(tool: str, source: str, target: str) -> str:
    """The shell line that copies an image, all platforms of it, to another registry."""
    return {
        "crane": f"crane copy {source} {target}",
        "skopeo": f"skopeo copy --quiet --all --src-tls-verify=false --dest-tls-verify=false"
        f" docker://{source} docker://{target}",
        "regctl": f"regctl image copy {source} {target}",
    }[tool]


def movers() -> list[str]:
    """The tools that move images."""
    return [tool for tool in ("crane", "skopeo", "regctl") if has(tool)]
