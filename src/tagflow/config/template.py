"""The promotion.yaml that ``tagflow init`` writes: what was asked for, and every other key ready to be uncommented."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from tagflow.config.document import ADDRESS
from tagflow.config.load import load_policy_text

REGISTRY = "oci:./images"
"""Works anywhere: OCI image layouts on disk, without a server."""

ENVIRONMENTS = ("dev", "test", "staging", "prod")
"""In order of promotion, where nobody says which there are."""

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9._/-]*(?::[A-Za-z0-9._/-]+)*")
_TAKEN = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}

_TEXT = """\
# yaml-language-server: $schema={address}
#
# What tagflow promotes, through which environments, under which rules. `tagflow doctor` tries it out.
# A line that begins with '#' and a key shows an option; the value is the default or an example.

version: 1    # of this format

# The prefix of every image: HOST[:PORT][/NAMESPACE], or oci:DIR for OCI image layouts on disk.
registry: {registry}

# Each by its name, with its repository below `registry`.
images:
{images}

# How tags are written. In `combined`, {{version}} is the whole version tag.
{tags}
#  combined: "{{version}}-{{environment}}"
#  floating: "{{floating}}"    # latest, v1, v1.2
#  versions: semver          # or natural: 2026.02.0, 1.2.3.4, 1.0rc10

# In order of promotion: an image enters the first by `tagflow push`, each other by `tagflow promote`.
environments:
{environments}
{options}

# What moves images: auto, registry (its API) or docker (pull, tag and push by the daemon).
#engine: auto

# Where the history is kept: beside the image, or in a repository apart.
#history:
#  repository: "{{repository}}-history"

# Signatures, attestations and SBOMs when an image changes its repository: copy, ignore or require.
#referrers: copy

# Hosts that may speak plain HTTP, beside loopback.
#insecure_registries: ["registry.internal:5000"]

# Amazon ECR: create repositories that are missing.
#create_repositories: false

# Who signs records and approves plans: a name, and a public key (a PEM file, or a line as ssh writes it).
#signers:
#  alice: {{ssh: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAII5JnXs3vjrjz1rY8mEiEEQlWSfAiZRFWCPL+vKiTebq"}}

# Who is told after a promotion or rollback: an address, or a command.
#notify:
#  - webhook: https://hooks.example.com/promotions
#  - run: ./announce.sh

# Files that add `images`, relative to this one.
#include: []
"""

_SOURCES = """\
#    from: {above}# default: the environment above; several = admitted to any one of them
#    soak: 24h                   # longest unbroken stay in a `from` environment, at least
"""

_OPTIONS = """\
#    registry: {registry}# this environment lives elsewhere
#    prereleases: deny           # allow (default) | deny
#    downgrades: deny            # a lower version than runs here: allow (default in the first) | deny
#    freeze:                     # nothing is promoted here in these windows; rollback is
#      - {{days: [fri, sat, sun], timezone: Europe/Berlin}}
#      - {{from: 2026-12-20, to: 2027-01-02, timezone: UTC}}
#    platforms: [linux/amd64, linux/arm64]           # must all be present
#    labels: [org.opencontainers.image.source]       # must all be set
#    gates:                      # must all succeed, for each image; no shell
#      - name: scan
#        run: trivy image --exit-code 1 {{reference}}  # {{reference}} {{digest}} {{image}} {{version}} {{environment}}
#        timeout: 5m
#    floating: [latest, major]   # floating tags that follow this environment: latest, major, minor, or beta, rc, …
#    lines: minor                # a lower version, the highest of its own v1.2, enters beside what runs
#    overrides: [hold, soak, freeze, downgrades]     # rules that `--override` may set aside here; [] = none
#    signed_by: [alice]          # who signs the records here, of the `signers` below
#    approvals:                  # who must approve a saved plan before it is applied here
#      - {{need: 1, of: [alice]}}
#    approvals_expire: 3d        # how long an approval is good; default: for ever"""


def template(
    registry: str = REGISTRY,
    images: Sequence[str] = ("app",),
    environments: Sequence[str] = ENVIRONMENTS,
    version: str = "",
    floating: Sequence[str] = (),
) -> str:
    """The text of a policy for these images and environments (in order of promotion), which loads as it stands.

    ``version`` is the template of version tags where it is not the default, ``floating`` what follows the last
    environment.

    :raises UsageError: ``policy.invalid`` where a name cannot be one.
    """
    paths: dict[str, str] = {}
    for name in images:
        paths[name] = _repository(name, set(paths.values()))
    text = _TEXT.format(
        address=ADDRESS,
        registry=_quoted(registry),
        images="\n".join(f"  {_quoted(name)}: {_quoted(path)}" for name, path in paths.items()),
        tags=f'tags:\n  version: "{version}"' if version else '#tags:\n#  version: "v{version}"',
        environments="\n".join(f"  {_quoted(name)}:" for name in environments)
        + (f"\n    floating: [{', '.join(floating)}]" if floating else ""),
        options=_options(registry, environments),
    )
    load_policy_text(text)
    return text


def _options(registry: str, environments: Sequence[str]) -> str:
    first = _SOURCES.format(above=f"[{_quoted(environments[-2])}] ".ljust(22)) if len(environments) > 1 else ""
    return first + _OPTIONS.format(registry=f"{_quoted(registry)} ".ljust(18))


def _repository(name: str, taken: set[str]) -> str:
    """A valid repository path that looks like ``name`` and is not ``taken``."""
    parts = (re.sub(r"[._-]*([._-])[._-]*", r"\1", part).strip("._-") for part in name.lower().split("/"))
    path = "/".join(part for part in parts if part)
    number = 2
    while path in taken:
        path = f"{path.removesuffix(f'-{number - 1}')}-{number}"
        number += 1
    return path


def _quoted(text: str) -> str:
    plain = _PLAIN.fullmatch(text) is not None and text.lower() not in _TAKEN
    return text if plain else json.dumps(text, ensure_ascii=False)
