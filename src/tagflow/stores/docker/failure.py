"""What to tell where the Docker Engine refuses: its own reason, and what to do about those that are known."""

from __future__ import annotations

from collections.abc import Callable

from tagflow.errors import NotFound, StoreError, TagflowError

Failure = Callable[[str], TagflowError]
"""What to raise where the daemon refuses; takes its reason."""

_LOGIN = "Log in with `docker login` as someone who may do this."
_HINTS = (
    ("HTTP response to HTTPS client", "List the registry in `insecure-registries` of dockerd's daemon.json."),
    ("x509", "Put the registry's authority into /etc/docker/certs.d/HOST:PORT/ca.crt where dockerd runs."),
    ("no basic auth credentials", _LOGIN),
    ("unauthorized", _LOGIN),
    ("denied", _LOGIN),
    ("dial tcp", "The daemon itself must reach the registry; look at its network and proxy settings."),
    ("no space left", "Free some disk where dockerd runs, for example with `docker image prune`."),
)
"""What to do where the daemon's reason contains a phrase; the first that fits counts."""


def failing(code: str, what: str, *, absent: str = "") -> Failure:
    """What to raise where the daemon cannot do ``what``: a :class:`StoreError` with ``code``, or, where ``absent`` says
    which manifest may be missing and it is, :class:`NotFound` ``manifest.not_found``."""

    def failure(reason: str) -> TagflowError:
        if absent and "manifest unknown" in reason:
            return NotFound("manifest.not_found", absent)
        hint = next((hint for phrase, hint in _HINTS if phrase in reason), "")
        return StoreError(code, f"the Docker Engine could not {what}: {reason}", hint=hint)

    return failure
