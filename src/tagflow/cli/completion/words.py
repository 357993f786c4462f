"""The words that complete an argument: environments, images, versions, sources.

Imported with the commands, so nothing heavy is imported here until Tab is pressed. A policy that is missing or broken
gives no words, and no error: the command will say it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from tagflow.domain.policy import Policy

_TRANSPORTS = ("docker-daemon:", "docker://", "oci:", "docker-archive:")
_MOST_FILES = 200


def outputs() -> list[str]:
    """Of ``--output``."""
    return ["text", "json"]


def forms() -> list[str]:
    """Of ``pin --form``."""
    from tagflow.pin.edit import FORMS

    return list(FORMS)


def parts() -> list[str]:
    """Of ``next``."""
    from tagflow.domain.versions import PARTS

    return list(PARTS)


def rules(ctx: typer.Context) -> list[str]:
    """Of ``--override``: the rules that the environment of ``--to`` lets be set aside, or any does."""
    policy, to = _policy(ctx), ctx.params.get("to")
    if policy is None:
        return []
    chosen = [it for it in policy.environments if it.name == to] or policy.environments
    return list(dict.fromkeys(rule for it in chosen for rule in it.overrides))


def environments(ctx: typer.Context) -> list[str]:
    """An environment."""
    policy = _policy(ctx)
    return [it.name for it in policy.environments] if policy else []


def images(ctx: typer.Context) -> list[str]:
    """An image that is not named yet."""
    policy = _policy(ctx)
    return _left(ctx, [it.name for it in policy.images]) if policy else []


def versions(ctx: typer.Context, incomplete: str) -> list[str]:
    """A version, with the letters of the template where they are typed."""
    policy = _policy(ctx)
    return list(_versions(policy, incomplete)) if policy else []


def targets(ctx: typer.Context, incomplete: str) -> list[str]:
    """VERSION, NAME or NAME=VERSION."""
    policy = _policy(ctx)
    if policy is None:
        return []
    name, equals, typed = incomplete.partition("=")
    if equals:
        return [f"{name}={version}" for version in _versions(policy, typed, name)]
    names = _left(ctx, [image.name for image in policy.images])
    return [*_versions(policy, incomplete), *names, *(f"{it}=" for it in names)]


def deliveries(ctx: typer.Context, incomplete: str) -> list[str]:
    """NAME=SOURCE: the images, the transports, and files where a transport reads files."""
    name, equals, source = incomplete.partition("=")
    if not equals:
        return [f"{it}=" for it in images(ctx)]
    transport = next((it for it in ("oci:", "docker-archive:") if source.startswith(it)), "")
    if not transport:
        return [f"{name}={it}" for it in _TRANSPORTS]
    found = _files(source.removeprefix(transport), folders_only=transport == "oci:")
    return [f"{name}={transport}{path}" for path in found]


def shown(ctx: typer.Context, incomplete: str) -> list[str]:
    """Whatever narrows ``status``."""
    return [*environments(ctx), *images(ctx), *versions(ctx, incomplete)]


def pulled(ctx: typer.Context, incomplete: str) -> list[str]:
    """ENV or VERSION."""
    return [*environments(ctx), *versions(ctx, incomplete)]


def _policy(ctx: typer.Context) -> Policy | None:
    from tagflow.config.load import load_policy
    from tagflow.errors import TagflowError
    from tagflow.wiring import policy_path

    named = ctx.params.get("policy_file") or (ctx.parent.params.get("policy_file") if ctx.parent else None)
    try:
        path = policy_path(named, os.environ)
        return load_policy(path) if os.path.isfile(path) else None  # a pipe would keep the shell waiting
    except TagflowError:
        return None


def _left(ctx: typer.Context, names: list[str]) -> list[str]:
    """The names that were not given before on this line."""
    given = {str(it).partition("=")[0] for value in ctx.params.values() if isinstance(value, list) for it in value}
    return [it for it in names if it not in given]


def _versions(policy: Policy, typed: str, image: str = "") -> Iterator[str]:
    from tagflow.cli.completion.known import versions as known

    prefix = policy.templates.version.partition("{")[0]
    drop = len(prefix) if typed[:1].isdigit() else 0
    return (label[drop:] for label in known(policy, image, os.environ))


def _files(typed: str, *, folders_only: bool) -> Iterable[str]:
    """Paths that go on from what is typed; a folder ends with ``/``."""
    head, slash, start = typed.rpartition("/")
    try:
        entries = [it for it in os.scandir(Path(head or slash or ".")) if it.name.startswith(start)]
    except OSError:
        return
    shown = (it for it in entries if start or not it.name.startswith("."))
    wanted = [it for it in shown if not folders_only or it.is_dir()]
    for entry in sorted(wanted, key=lambda it: it.name)[:_MOST_FILES]:
        yield f"{head}{slash}{entry.name}{'/' if entry.is_dir() else ''}"
