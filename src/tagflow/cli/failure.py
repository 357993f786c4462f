"""How an error is told: many reasons that are one become one line, and hints become commands that can be typed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

from tagflow.cli import advice
from tagflow.cli.fold import fold
from tagflow.cli.hints import hint
from tagflow.cli.line import Line, read
from tagflow.domain.policy import Policy
from tagflow.errors import TagflowError


def put(error: TagflowError, arguments: Sequence[str], environ: Mapping[str, str]) -> None:
    """Give an error the message and the hint for whoever typed the command line."""
    line = read(arguments)
    policy = _policy(line, environ)
    error.message = fold(error.message, names(policy))
    error.hint = _hint(error, line, policy)


def _hint(error: TagflowError, line: Line, policy: Policy | None) -> str:
    advised = advice.advise(line, policy) if error.code in advice.CODES else ""
    told = advised or hint(error, line, policy)
    if error.code.partition(".")[0] in ("registry", "auth", "doctor") and policy is not None:
        return "\n".join(filter(None, (_no_host(policy), told)))
    return told


def _no_host(policy: Policy) -> str:
    """What is meant where a prefix begins with no host: Docker reads it so, as a namespace on Docker Hub."""
    for registry in dict.fromkeys([policy.registry, *(it.registry for it in policy.environments)]):
        host = registry.host
        if registry.namespace and not registry.is_layout and not any(it in host for it in ".:") and host != "localhost":
            return f"`registry: {registry}` begins with no host. Did you mean `docker.io/{registry}`?"
    return ""


def names(policy: Policy | None) -> tuple[str, ...]:
    """The names of the images."""
    return tuple(image.name for image in policy.images) if policy else ()


def _policy(line: Line, environ: Mapping[str, str]) -> Policy | None:
    """The policy that the command line names, where it can be read: an error must not wait for another one."""
    from tagflow.config.load import load_policy
    from tagflow.wiring import policy_path

    named = [it.value for it in (*line.before, *line.options) if it.name in ("-f", "--policy")]
    with suppress(TagflowError, OSError):
        return load_policy(policy_path(named[-1] if named else None, environ))
    return None
