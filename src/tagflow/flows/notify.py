"""notify: who is told after a promotion or rollback. A notice that fails is a warning, never a failed promotion."""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.request
from urllib.parse import urlsplit

from tagflow.domain.policy import Notice
from tagflow.flows.context import Context
from tagflow.flows.decision import Outcome
from tagflow.flows.parallel import attempt

_PATIENCE = 10
"""Seconds for one notice."""


def notify(context: Context, outcome: Outcome) -> None:
    """Tell everybody that the policy names of an outcome that changed something."""
    if not outcome.applied or not outcome.plan.members or not context.policy.notify:
        return
    body = json.dumps(message(context, outcome), ensure_ascii=False).encode()
    attempt(lambda notice: _send(context, notice, body, outcome), context.policy.notify, threads=8)


def message(context: Context, outcome: Outcome) -> dict[str, object]:
    """What is told: ``text`` as Slack and its like show it, and the same as data."""
    request, steps = outcome.plan.request, outcome.plan.steps
    verb = {"push": "pushed to", "promote": "promoted to", "rollback": "rolled back in"}[request.command]
    what = ", ".join(f"{step.image} {step.version or 'nothing'}" for step in steps)
    text = f"{what} {verb} {outcome.environment} by {context.actor}"
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
                "digest": step.digest,
                "previous_version": step.previous_version,
                "previous_digest": step.previous_digest,
            }
            for step in steps
        ],
    }


def _send(context: Context, notice: Notice, body: bytes, outcome: Outcome) -> None:
    if notice.webhook:
        _post(context, notice.webhook, body)
    else:
        _run(context, notice.argv, body, outcome)


def _post(context: Context, address: str, body: bytes) -> None:
    # Only the host is ever shown: the path of a webhook's address is its secret.
    host = urlsplit(address).hostname
    request = urllib.request.Request(  # noqa: S310 - the policy lets http and https through, nothing else
        address, data=body, headers={"Content-Type": "application/json", "User-Agent": "tagflow"}, method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=_PATIENCE):  # noqa: S310
            pass
    except urllib.error.HTTPError as error:
        context.warn(f"warning: the webhook at {host} answered {error.code}")
    except (OSError, ValueError) as error:
        context.warn(f"warning: the webhook at {host} could not be reached: {type(error).__name__}")


def _run(context: Context, argv: tuple[str, ...], body: bytes, outcome: Outcome) -> None:
    variables = {
        "TAGFLOW_COMMAND": outcome.plan.request.command,
        "TAGFLOW_ENVIRONMENT": outcome.environment,
        "TAGFLOW_RELEASE": outcome.release or "",
        "TAGFLOW_ACTOR": context.actor,
    }
    try:
        done = subprocess.run(
            argv,
            env={**context.environ, **variables},
            input=body,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_PATIENCE * 6,
            check=False,
        )
    except subprocess.TimeoutExpired:
        context.warn(f"warning: the notice {argv[0]!r} did not end in time")
    except OSError as error:
        context.warn(f"warning: the notice {argv[0]!r} could not start: {error.strerror}")
    else:
        if done.returncode != 0:
            context.warn(f"warning: the notice {argv[0]!r} failed with exit status {done.returncode}")
