"""A schedule as a list of steps that a person can follow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tests.interleave.explore import Failure
from tests.interleave.reader import RECORD, VERSION, Snapshot, read_record
from tests.interleave.schedule import Execution, Step


def tell(failure: Failure) -> str:
    """What was broken, and how it came to that."""
    execution = failure.execution
    lines = [f"{failure.case.name}: {'; '.join(map(str, failure.wrongs))}", ""]
    lines += [f"  {command.name}: tagflow {command.told}" for command in failure.case.commands]
    lines += ["", *steps(execution), ""]
    deviations = ", ".join(f"{point}: {choice}" for point, choice in sorted(failure.deviations.items()))
    lines.append(f"  again: seed {failure.seed!r}, deviations {{{deviations}}}")
    return "\n".join(lines)


def steps(execution: Execution) -> list[str]:
    """Each step, numbered. Requests that another run cannot see are left out where nothing befell them."""
    snapshot = execution.snapshot()
    names = _names(snapshot)
    lines: list[str] = []
    number = 0
    for step in execution.steps:
        text = _step(step, names, snapshot, execution)
        if text:
            number += 1
            lines.append(f"  {number:3}. {step.run} {text}")
    return lines


def _step(step: Step, names: Mapping[str, str], snapshot: Snapshot, execution: Execution) -> str:
    call = step.call
    if call is None:
        return step.text
    where = f"{call.repository.path.rpartition('/')[2]}"
    if call.kind == "list":
        told = f"lists {where}: {_listed(step.answer)}" if step.answer is not None else f"lists {where}"
    elif call.kind == "put":
        told = f"PUTs {where}:{_put(str(call.repository), call.tag, str(call.digest), names, snapshot)}"
    elif call.kind == "delete":
        told = f"DELETEs {where}:{call.tag}"
    else:
        told = f"looks at {where}:{call.tag}"
        if not step.text:
            told += f": {names.get(str(step.answer), str(step.answer)[:19]) if step.answer else 'nothing'}"
    return f"{told} – {step.text}" if step.text else told


def _listed(tags: Iterable[str]) -> str:
    records = [tag.removeprefix("_tagflow.") for tag in tags if RECORD.fullmatch(tag)]
    others = sum(not tag.startswith("_tagflow.") for tag in tags)
    return f"{others} tags, records {' '.join(records) or 'none'}"


def _put(repository: str, tag: str, digest: str, names: Mapping[str, str], snapshot: Snapshot) -> str:
    if not RECORD.fullmatch(tag):
        return f"{tag} = {names.get(digest, digest[:19])}"
    record = read_record(tag, snapshot.manifests[digest])
    about = f"{record.action} {record.version or names.get(record.digest, '')}".strip()
    parents = " ".join(parent.removeprefix("_tagflow.") for parent in record.parents) or "nothing"
    aborts = (
        f", aborts {' '.join(it.removeprefix('_tagflow.') for it in sorted(record.aborts))}" if record.aborts else ""
    )
    return f"{tag} ({about}, after {parents}{aborts})"


def _names(snapshot: Snapshot) -> dict[str, str]:
    found: dict[str, Any] = {}
    for tags in snapshot.tags.values():
        for tag, digest in tags.items():
            if VERSION.fullmatch(tag) or digest not in found:
                found[digest] = tag if not RECORD.fullmatch(tag) else digest[:19]
    return found
