"""Gates: commands that must succeed before a version enters, run side by side, never by a shell."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence

from tagflow.domain.duration import format_duration
from tagflow.domain.plan import Request
from tagflow.domain.policy import Gate
from tagflow.errors import Refused
from tagflow.flows.choose import Choice
from tagflow.flows.context import Context
from tagflow.flows.decision import GateResult
from tagflow.flows.parallel import each

_SHOWN = 4000
"""Characters of a failing gate's output that are shown: its end, where tools say what is wrong."""


def run_gates(context: Context, request: Request, choices: Sequence[Choice]) -> tuple[GateResult, ...]:
    """Run every gate of the environment on every choice; a gate that cannot start has failed."""
    environment = context.environment(request.environment)
    runs = [(choice, gate) for choice in choices for gate in environment.gates]
    return tuple(each(lambda run: _run(context, environment.name, *run), runs, threads=context.threads))


def refused_by(gates: Sequence[GateResult]) -> tuple[Refused, ...]:
    """The refusals of the gates that failed."""
    return tuple(
        Refused(
            "promotion.gate",
            f"{it.image}: gate {it.gate} failed: {it.detail}",
            hint="Mend what the gate found, then run the command again.",
            details=[{"code": "promotion.gate", "image": it.image, "message": f"{it.gate}: {it.detail}"}],
        )
        for it in gates
        if not it.passed
    )


def _run(context: Context, environment: str, choice: Choice, gate: Gate) -> GateResult:
    values = {
        "reference": f"{choice.source}@{choice.digest}",
        "digest": choice.digest,
        "image": choice.image,
        "version": choice.label,
        "environment": environment,
    }
    argv = [_fill(word, values) for word in gate.argv]
    variables = {f"TAGFLOW_{name.upper()}": value for name, value in values.items()}
    try:
        done = subprocess.run(
            argv,
            env={**context.environ, **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=gate.timeout.total_seconds(),
            check=False,
        )
    except subprocess.TimeoutExpired as expired:
        told = f"no answer within {format_duration(gate.timeout)}"
        return GateResult(choice.image, gate.name, False, _told(told, expired.output or b""))
    except OSError as error:
        return GateResult(choice.image, gate.name, False, f"cannot start {argv[0]!r}: {error.strerror or error}")
    if done.returncode == 0:
        return GateResult(choice.image, gate.name, True, "")
    return GateResult(choice.image, gate.name, False, _told(f"exit status {done.returncode}", done.stdout))


def _fill(word: str, values: dict[str, str]) -> str:
    # One pass: what a value contains is never taken for a placeholder.
    return re.sub(r"\{(\w+)\}", lambda match: values.get(match[1], match[0]), word)


def _told(what: str, output: bytes) -> str:
    text = output.decode(errors="replace").strip()[-_SHOWN:]
    return f"{what}\n{text}" if text else what
