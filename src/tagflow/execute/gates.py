"""Gates: commands that must succeed before a version enters, run side by side, never by a shell."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from math import ceil
from threading import Event
from typing import TYPE_CHECKING

from tagflow.context import Context
from tagflow.decide.selection import Choice
from tagflow.domain.plan import GateResult, Request
from tagflow.domain.policy import PLACEHOLDER, Gate
from tagflow.domain.times import format_duration
from tagflow.errors import Refused, StoreError

if TYPE_CHECKING:
    from tagflow.execute.commands import Ended

_AT_ONCE = 16
"""Commands that run side by side, on this machine."""
_KEPT = 4000
"""Bytes of a gate's output that are kept: its end, where tools say what is wrong."""
_SHOWN = 16_000
"""Characters of output that one message shows, shared by all gates that failed; each gets at least its last words."""
_LEAST = 200
_PASSED = 120
"""Characters of a passing gate's output: its last line."""


def run_gates(context: Context, request: Request, choices: Sequence[Choice]) -> tuple[GateResult, ...]:
    """Run every gate of the environment on every choice; a gate that cannot start has failed. One that the end of the
    time for the whole run cuts off has said neither yes nor no.

    :raises StoreError: ``run.timeout`` where that is so.

    An interrupt ends those that run, with everything that they have started, before it is passed on.
    """
    environment = context.environment(request.environment)
    runs = [(choice, gate) for choice in choices for gate in environment.gates]
    if not runs:
        return ()
    stop = Event()
    with ThreadPoolExecutor(min(context.threads, _AT_ONCE, len(runs)), thread_name_prefix="tagflow-gate") as pool:
        try:
            futures = [pool.submit(_run, context, environment.name, choice, gate, stop) for choice, gate in runs]
            return tuple(future.result() for future in futures)
        except BaseException:
            stop.set()
            raise


def refused_by(gates: Sequence[GateResult]) -> tuple[Refused, ...]:
    """The refusals of the gates that failed. Where many did, each shows less: the details of each hold all."""
    failed = [gate for gate in gates if not gate.passed]
    share = max(_LEAST, _SHOWN // max(1, len(failed)))
    return tuple(
        Refused(
            "promotion.gate",
            f"{gate.image}: gate {gate.gate} failed: {_shortened(gate.detail, share)}",
            hint="Mend what the gate found, then run the command again.",
            details=[{"code": "promotion.gate", "image": gate.image, "message": f"{gate.gate}: {gate.detail}"}],
        )
        for gate in failed
    )


def _run(context: Context, environment: str, choice: Choice, gate: Gate, stop: Event) -> GateResult:
    if stop.is_set():
        return GateResult(choice.image, gate.name, False, "not run: interrupted")
    values = {
        "reference": f"{choice.source}@{choice.digest}",
        "digest": choice.digest,
        "image": choice.image,
        "version": choice.label,
        "environment": environment,
    }
    variables = {f"TAGFLOW_{name.upper()}": value for name, value in values.items()}
    argv = tuple(_fill(word, values) for word in gate.argv)
    from tagflow.execute.commands import Command, run_command  # only where there are gates

    command = Command(argv, {**context.environ, **variables}, directory=context.directory)
    seconds = gate.timeout.total_seconds()
    try:
        ended = run_command(command, seconds=seconds, keep=_KEPT, deadline=context.deadline, stop=stop)
    except OSError as error:
        return GateResult(choice.image, gate.name, False, f"cannot start {argv[0]!r}: {error.strerror or error}")
    if ended.status is None and ended.limit < seconds and not stop.is_set():
        message = f"{choice.image}: the time for the whole run was over before gate {gate.name} had ended"
        raise StoreError("run.timeout", message, hint="Allow more time.")
    return GateResult(choice.image, gate.name, ended.status == 0, _described(ended))


def _fill(word: str, values: dict[str, str]) -> str:
    # One pass: what a value contains is never taken for a placeholder.
    return PLACEHOLDER.sub(lambda match: values.get(match[1] or "", match[0]), word)


def _described(ended: Ended) -> str:
    if ended.status == 0:
        return ended.output.rpartition("\n")[2][:_PASSED]
    if ended.status is None:
        what = f"no answer within {format_duration(timedelta(seconds=ceil(ended.limit)))}"
    elif ended.status < 0:
        what = f"ended by signal {-ended.status}"
    else:
        what = f"exit status {ended.status}"
    return f"{what}\n{ended.output}" if ended.output else what


def _shortened(detail: str, most: int) -> str:
    """What happened, and the end of the output."""
    what, _, output = detail.partition("\n")
    if not output:
        return what
    return f"{what}\n{output}" if len(output) <= most else f"{what}\n[…] {output[-most:]}"
