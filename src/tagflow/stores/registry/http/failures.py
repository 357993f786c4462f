"""What went wrong on the way to a registry, worded so that a user knows what to do; never with a secret in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from ssl import SSLCertVerificationError
from urllib.parse import urlsplit

from urllib3 import exceptions as problems

from tagflow.errors import StoreError, Unanswered
from tagflow.stores.registry.http.pace import Transient

OF_GATEWAYS = frozenset({499, 502, 504, *range(520, 525)})
"""Said by what stands before a registry, which may still do what it was asked (RFC 9110, 15.6.3 and 15.6.5; 499 is
nginx's, 520 to 524 are Cloudflare's)."""
_NO_TUNNEL = re.compile("Tunnel connection failed: ([0-9]{3})")
_WANTS_LOGIN = 407
_FINAL = frozenset(range(400, 500)) - {408, 429}
"""Said by a proxy, they do not change by asking again, and a wrong password may lock an account."""
_REFUSED_TRIES = 3
"""Where nobody listens, that seldom changes within a minute: about half a second of waits."""


@contextmanager
def translated(url: str) -> Iterator[None]:
    """urllib3's exceptions as ours.

    :raises Transient: where another try may help.
    :raises StoreError: ``registry.untrusted``, ``registry.unreachable``, ``registry.invalid_answer``.
    """
    try:
        yield
    except problems.NewConnectionError as exc:  # a kind of time-out to urllib3
        tries = _REFUSED_TRIES if isinstance(exc.__cause__, ConnectionRefusedError) else None
        raise Transient(_unreachable(url, exc), tries=tries) from exc
    except problems.TimeoutError as exc:
        raise Transient(timed_out(url)) from exc
    except problems.SSLError as exc:
        if "EOF" in str(exc):
            raise Transient(_unreachable(url, exc)) from exc
        raise _untrusted(url, exc) from exc
    except (problems.ProxyError, problems.ProtocolError, OSError) as exc:
        if _status_of_proxy(exc) in _FINAL:
            raise _unreachable(url, exc) from exc
        raise Transient(_unreachable(url, exc)) from exc
    except (problems.HTTPError, ValueError) as exc:
        raise invalid(url, f"does not answer in HTTP ({type(exc).__name__})") from exc


def _host(url: str) -> str:
    """The host and port of an address, for messages."""
    return urlsplit(url).netloc


def invalid(url: str, what: str) -> StoreError:
    """The error for an answer that no registry should give."""
    return StoreError(
        "registry.invalid_answer",
        f"{_host(url)} {what}",
        hint="Is this address a container registry? `tagflow doctor` looks closer.",
    )


def timed_out(url: str) -> Unanswered:
    return Unanswered(
        "registry.timeout",
        f"{_host(url)} did not answer in time",
        hint="Try again later; `tagflow doctor` looks closer.",
    )


def _unreachable(url: str, exc: Exception) -> StoreError:
    host, way = _host(url), ""
    hint = f"Check the network, the address {host}, and the proxy variables; `tagflow doctor` looks closer."
    if isinstance(exc, problems.ProxyError):
        way = " through its proxy"
        what = "user and password in " if _status_of_proxy(exc) == _WANTS_LOGIN else ""
        hint = f"Check {what}{urlsplit(url).scheme}_proxy, or list {host} in no_proxy; `tagflow doctor` looks closer."
    return Unanswered("registry.unreachable", f"cannot reach {host}{way}: {_reason(exc)}", hint=hint)


def _reason(exc: BaseException) -> str:
    """What happened in few words, from the innermost system error; library texts may quote addresses with secrets."""
    if isinstance(exc, problems.NameResolutionError):
        return "its name cannot be resolved"
    seen: BaseException | None = exc
    while seen is not None:
        if isinstance(seen, OSError) and seen.strerror:
            return seen.strerror.lower()
        seen = seen.__cause__ or seen.__context__
    if status := _status_of_proxy(exc):
        return f"it {'wants a login' if status == _WANTS_LOGIN else 'refuses'} (HTTP {status})"
    return "it refuses" if isinstance(exc, problems.ProxyError) else "the connection broke off"


def _status_of_proxy(exc: BaseException | None) -> int:
    """What a proxy answers where it makes no way to a server; 0 where it is not that. The library says it in words."""
    while exc is not None:
        if isinstance(exc, OSError) and (said := _NO_TUNNEL.match(str(exc))):
            return int(said[1])
        exc = exc.__cause__ or exc.__context__
    return 0


_FLAWS = {
    9: (" is not valid yet", "Look whether the clock of this machine is right: `date`."),
    10: (
        ", or one that vouches for it, has expired",
        "It has to be renewed there; look whether the clock of this machine is right, too: `date`.",
    ),
    **dict.fromkeys(
        (62, 64),
        (" is for another name", "Call it by a name that its certificate is for, or have one made for this name."),
    ),
}
"""What OpenSSL finds (``X509_V_ERR_…``) of a certificate that no authority can help."""


def _flaw(exc: BaseException | None) -> tuple[str, str] | None:
    """What is wrong with a certificate of an authority that we know, and what to do."""
    while exc is not None and not isinstance(exc, SSLCertVerificationError):
        exc = exc.__cause__ or exc.__context__
    return None if exc is None else _FLAWS.get(exc.verify_code)


def _untrusted(url: str, exc: Exception) -> StoreError:
    host = _host(url)
    text = str(exc)
    if flaw := _flaw(exc):
        return StoreError("registry.untrusted", f"the certificate of {host}{flaw[0]}", hint=flaw[1])
    if "CERTIFICATE_VERIFY_FAILED" in text or "doesn't match" in text:
        return StoreError(
            "registry.untrusted",
            f"the certificate of {host} is not trusted",
            hint=f"Put its authority into /etc/docker/certs.d/{host}/ca.crt, or point SSL_CERT_FILE at it.",
        )
    if "CERTIFICATE_REQUIRED" in text or "BAD_CERTIFICATE" in text:
        return StoreError(
            "registry.untrusted",
            f"{host} asks for a certificate of ours, and does not accept what it got",
            hint=f"Put it into /etc/docker/certs.d/{host}/client.cert, and its private key into client.key there.",
        )
    return StoreError(
        "registry.untrusted",
        f"{host} does not speak TLS as it should",
        hint=f"If {host} really speaks plain HTTP, list it in insecure_registries.",
    )


def unavailable(url: str, status: int) -> StoreError:
    host = _host(url)
    if status == 429:
        hint = "Try again later; logged in users usually have a higher limit (docker login)."
        return StoreError("registry.throttled", f"{host} has had too many requests (HTTP 429)", hint=hint)
    kind = Unanswered if status in OF_GATEWAYS else StoreError
    return kind("registry.unavailable", f"{host} fails with HTTP {status}", hint="Try again later.")
