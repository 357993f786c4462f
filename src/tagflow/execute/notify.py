"""notify: who is told after a promotion or rollback. A notice that fails is a warning, never a failed promotion."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from threading import Thread
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from tagflow.context import Context
from tagflow.domain.plan import Outcome, Step
from tagflow.domain.policy import Notice
from tagflow.execute.commands import Command, run_command

_LIMIT = 10.0
"""Seconds for one webhook, from the name look-up to the answer."""
_COMMAND_LIMIT = 60.0
"""Seconds for one command."""
_SAID = 400
"""Bytes of a failing command's output that are kept: of these the last line is told, as of a gate."""
_ASCII = bytes(range(128))
_NAMED = 10
"""How many images the text names; the data names all."""


def notify(context: Context, outcome: Outcome) -> None:
    """Tell everybody that the policy names of an outcome that changed something.

    Nothing that happens here undoes the release, an interrupt included: it leaves a warning.
    """
    if not outcome.applied or not outcome.plan.members or not context.policy.notify:
        return
    body = json.dumps(message(context, outcome), ensure_ascii=False).encode(errors="replace")
    try:
        _notify_all([_sender(context, notice, body, outcome) for notice in context.policy.notify])
    except KeyboardInterrupt:
        context.warn("warning: interrupted while telling about the release; not everybody may have heard")


def message(context: Context, outcome: Outcome) -> dict[str, object]:
    """What is told: ``text`` as Slack and its like show it, and the same as data."""
    request, steps = outcome.plan.request, outcome.plan.steps
    verb = {"push": "pushed to", "promote": "promoted to", "rollback": "rolled back in"}[request.command]
    text = f"{_names(steps)} {verb} {outcome.environment} by {context.actor}"
    return {
        "text": f"{text}: {request.reason}" if request.reason else text,
        "tagflow": 1,
        "command": request.command,
        "environment": outcome.environment,
        "release": outcome.release,
        "actor": context.actor,
        "reason": request.reason,
        "overrides": list(request.overrides),
        "images": [
            {
                "image": step.image,
                "repository": step.repository,
                "action": step.action,
                "version": step.version,
                "digest": step.subject or step.digest,
                "previous_version": step.previous_version,
                "previous_digest": step.previous_digest,
            }
            for step in steps
        ],
    }


def _names(steps: Sequence[Step]) -> str:
    named = ", ".join(f"{step.image} {step.version or 'nothing'}" for step in steps[:_NAMED])
    return named if len(steps) <= _NAMED else f"{named} and {len(steps) - _NAMED} more"


def _notify_all(senders: Sequence[Callable[[], None]]) -> None:
    # Threads that nobody has to wait for: a name look-up or a dripping answer cannot be stopped.
    threads = [Thread(target=send, name="tagflow-notice", daemon=True) for send in senders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _sender(context: Context, notice: Notice, body: bytes, outcome: Outcome) -> Callable[[], None]:
    if notice.webhook:
        return lambda: _in_time(context, notice.webhook, body)
    return lambda: _run(context, notice.argv, body, outcome)


def _in_time(context: Context, address: str, body: bytes) -> None:
    found: list[str] = []
    posting = Thread(target=lambda: found.append(_post(address, body)), name="tagflow-webhook", daemon=True)
    posting.start()
    posting.join(_LIMIT)
    problem = found[0] if found else f"did not answer within {_LIMIT:.0f} s"
    if problem:
        # Only the host is ever shown: the path of a webhook's address is its secret.
        context.warn(f"warning: the webhook at {_host(address)} {problem}")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A webhook that answers with a redirect has not taken the notice, and the secret address stays where it is."""

    def redirect_request(self, *_arguments: Any) -> None:
        return None


def _post(address: str, body: bytes) -> str:
    """What went wrong; empty where nothing did."""
    try:
        bare, login = _sent(address)
        headers = {"Content-Type": "application/json", "User-Agent": "tagflow", **login}
        request = urllib.request.Request(  # noqa: S310 - the policy lets http and https through, nothing else
            bare, data=body, headers=headers, method="POST"
        )
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=_LIMIT):
            return ""
    except urllib.error.HTTPError as error:
        error.close()
        return f"answered {error.code}"
    except TimeoutError:
        return f"did not answer within {_LIMIT:.0f} s"
    except (OSError, ValueError, http.client.HTTPException) as error:
        return f"could not be reached: {_reason(error)}"


def _reason(error: Exception) -> str:
    """What happened, in plain words; texts of libraries may quote the address, which is a secret."""
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    match cause:
        case socket.gaierror() | UnicodeError():  # a name that cannot be written for name servers either
            return "its name cannot be resolved"
        case ssl.SSLCertVerificationError():
            return "its certificate is not trusted"
        case ssl.SSLError():
            return "it does not speak TLS as it should"
        case OSError(strerror=str(reason)):
            return reason.lower()
        case ConnectionError():
            return "the connection broke off"
        case http.client.InvalidURL():
            return "its address cannot be used"
        case http.client.HTTPException():
            return "it does not answer in HTTP"
    return "its address cannot be used"


def _sent(address: str) -> tuple[str, dict[str, str]]:
    """An address as it is sent, and the header that carries the login in it (RFC 7617).

    urllib would take the login and the host together for the name of a host, and ask the name servers for it. What is
    beyond ASCII is percent-encoded, as browsers do it (RFC 3987, 3.1), but for the host, which name servers know by its
    IDNA form.
    """
    parts = urlsplit(address)
    parts = parts._replace(path=quote(parts.path, safe=_ASCII), query=quote(parts.query, safe=_ASCII))
    login, _, host = parts.netloc.rpartition("@")
    if not login:
        return parts._replace(netloc=host).geturl(), {}
    user, _, password = login.partition(":")
    secret = base64.b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode()
    return parts._replace(netloc=host).geturl(), {"Authorization": f"Basic {secret}"}


def _host(address: str) -> str:
    """An address of the policy has one."""
    return urlsplit(address).hostname or ""


def _run(context: Context, argv: tuple[str, ...], body: bytes, outcome: Outcome) -> None:
    variables = {
        "TAGFLOW_COMMAND": outcome.plan.request.command,
        "TAGFLOW_ENVIRONMENT": outcome.environment,
        "TAGFLOW_RELEASE": outcome.release or "",
        "TAGFLOW_ACTOR": context.actor,
    }
    command = Command(argv, {**context.environ, **variables}, body, context.directory)
    try:
        ended = run_command(command, seconds=_COMMAND_LIMIT, keep=_SAID, deadline=context.deadline)
    except OSError as error:
        context.warn(f"warning: the notice {argv[0]!r} could not start: {error.strerror or error}")
        return
    if ended.status is None:
        what = f"did not end within {ended.limit:.0f} s"
    elif ended.status < 0:
        what = f"was ended by signal {-ended.status}"
    else:
        what = f"failed with exit status {ended.status}"
    if ended.status != 0:
        said = ended.output.rpartition("\n")[2].strip()
        context.warn(f"warning: the notice {argv[0]!r} {what}" + (f": {said}" if said else ""))
