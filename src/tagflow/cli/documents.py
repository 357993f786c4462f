"""Results as JSON documents: the one place where their keys are written."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tagflow.decide.finding import Finding
    from tagflow.domain.history import Proof
    from tagflow.domain.plan import Outcome, Plan
    from tagflow.domain.state import Freeze
    from tagflow.domain.stats import Spread, Stats
    from tagflow.domain.tagging import ComputedTag
    from tagflow.verbs.approve import Approved
    from tagflow.verbs.diff import Diff, Side
    from tagflow.verbs.doctor import Diagnosis
    from tagflow.verbs.history import History, HistoryEntry
    from tagflow.verbs.pin import Pinning
    from tagflow.verbs.pull import Pulled
    from tagflow.verbs.status import Row
    from tagflow.verbs.versions import Next


Json = dict[str, object]


def outcome(it: Outcome) -> Json:
    """push, promote, rollback, apply."""
    return {
        "environment": it.environment,
        "release": it.release,
        "applied": it.applied,
        "compensated": it.compensated,
        "gates": [
            {"image": gate.image, "gate": gate.gate, "passed": gate.passed, "detail": gate.detail} for gate in it.gates
        ],
        "plan": plan(it.plan),
        "changes": [{"image": change.image, "from": change.before, "to": change.after} for change in it.changes],
    }


def plan(it: Plan) -> Json:
    """A plan and its moves."""
    return {
        "id": it.id,
        **({"reason": it.request.reason, "overrides": list(it.request.overrides)} if it.request.overrides else {}),
        "moves": [
            {
                "image": move.image,
                "repository": move.repository,
                "tag": move.tag,
                "kind": move.kind,
                "action": move.action,
                "from": move.before or None,
                "to": move.after or None,
            }
            for move in it.moves
        ],
    }


def approved(it: Approved) -> Json:
    """approve."""
    return {
        "plan": it.plan,
        "environment": it.environment,
        "signer": it.signer,
        "reference": it.reference,
        "missing": [{"need": tally.need, "have": len(tally.have), "of": list(tally.of)} for tally in it.missing],
    }


def status(rows: Iterable[Row], at: datetime | None = None) -> Json:
    """status; ``at`` a moment, where one was asked for."""
    return ({"at": moment(at)} if at else {}) | {
        "images": [
            {
                "image": row.image,
                "environments": [
                    {
                        "environment": cell.environment,
                        "version": cell.version,
                        "digest": cell.digest,
                        "since": moment(cell.since),
                        "by": cell.by,
                        "state": cell.state,
                        "holds": list(cell.holds),
                        "frozen": frozen(cell.frozen),
                    }
                    | ({} if cell.proof is None else {"signer": cell.signer})
                    for cell in row.environments
                ],
            }
            for row in rows
        ]
    }


def _signer(proof: Proof | None) -> Json:
    """Whose key signed a record; nothing where nobody has to."""
    return {} if proof is None else {"signer": proof.signer or None}


def frozen(it: Freeze | None) -> Json | None:
    """The freeze that somebody ordered, or null."""
    if it is None:
        return None
    return {"by": it.by, "at": moment(it.at), "reason": it.reason, "until": moment(it.until)}


def history(it: History) -> Json:
    """history."""
    return {
        "environment": it.environment,
        "entries": [_record(item) for item in it.entries],
    }


def _record(it: HistoryEntry) -> Json:
    return {
        "image": it.image,
        "sequence": it.sequence,
        "action": it.action,
        "version": it.version,
        "digest": it.digest,
        "previous_version": it.previous_version,
        "previous_digest": it.previous_digest,
        "release": it.release,
        "actor": it.actor,
        "reason": it.reason,
        "overrides": list(it.overrides),
        "at": moment(it.at),
        "record": it.record,
        "parents": list(it.parents),
        **({"approvals": list(it.approvals)} if it.approvals else {}),
    } | _signer(it.entry.proof)


def verify(findings: Iterable[Finding]) -> Json:
    """verify."""
    return {
        "findings": [
            {
                "image": it.image,
                "environment": it.environment,
                "problem": it.problem,
                "expected": it.expected,
                "actual": it.actual,
                "repair": _repair(it),
            }
            for it in findings
        ]
    }


def _repair(it: Finding) -> str:
    """The command; what it is about follows as a shell comment, so that the line can be pasted as it is."""
    about = ": ".join(text for text in (it.tag, it.detail) if text)
    return f"{it.repair}  # {about}" if about else it.repair


def pin(it: Pinning, *, diff: bool = False) -> Json:
    """pin; with ``diff`` each file has its unified diff too."""
    return {
        "environment": it.environment,
        "files": [
            {
                "file": file.file,
                "changes": [
                    {"line": change.line, "image": change.image, "from": change.before, "to": change.after}
                    for change in file.changes
                ],
            }
            | ({"diff": file.diff} if diff else {})
            for file in it.files
        ],
        "message": it.message,
    }


def diff(it: Diff) -> Json:
    """diff."""

    def side(one: Side) -> Json:
        return {"version": one.version, "digest": one.digest, "revision": one.revision}

    return {
        "from": it.before,
        "to": it.after,
        "images": [
            {
                "image": one.image,
                "state": one.state,
                "from": side(one.before),
                "to": side(one.after),
                "compare": one.compare,
            }
            for one in it.images
        ],
    }


def stats(it: Stats) -> Json:
    """stats."""

    def spread(one: Spread) -> Json:
        return {"median": _rounded(one.median), "p90": _rounded(one.p90)}

    return {
        "environment": it.environment,
        "since": moment(it.since),
        "deployments": it.deployments,
        "per_week": it.per_week,
        "lead_time_seconds": spread(it.lead_time_seconds),
        "change_failure_rate": it.change_failure_rate,
        "time_to_restore_seconds": spread(it.time_to_restore_seconds),
    }


def _rounded(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds)


def tags(version: str, computed: Iterable[ComputedTag]) -> Json:
    """tags."""
    return {
        "version": version,
        "tags": [{"tag": it.tag, "kind": it.kind, "environment": it.environment} for it in computed],
    }


def next_version(it: Next) -> Json:
    """next."""
    return {"current": it.current, "next": it.next}


def pulled(images: Iterable[Pulled]) -> Json:
    """pull."""
    return {
        "images": [{"image": it.image, "reference": it.reference, "digest": it.digest, "id": it.id} for it in images]
    }


def doctor(found: Iterable[Diagnosis]) -> Json:
    """doctor."""
    return {
        "registries": [
            {
                "registry": it.registry,
                "usable": it.usable,
                "credential": it.credential or None,
                "checks": [{"check": check.check, "ok": check.ok, "detail": check.detail} for check in it.checks],
            }
            for it in found
        ]
    }


def moment(it: datetime | None) -> str | None:
    """A time in RFC 3339, UTC, to the second."""
    return None if it is None else it.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
