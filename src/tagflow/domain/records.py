"""Records as annotations: what stands in the manifest of a record, and how it is read back.

The names are those of the contract; ``docs/history.md`` lists them. Records of earlier versions, which wrote
``members`` and ``intent`` apart and knew no subjects, are read as well.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from tagflow.domain.history import ACTIONS, Entry, Parent, Record
from tagflow.domain.intent import Intent, parse_intent
from tagflow.domain.own_tags import RecordTag, parse_record_tag, record_tag
from tagflow.domain.reference import Digest, is_digest
from tagflow.domain.state import Freeze, Hold, Release, StackEntry, State, Void
from tagflow.domain.times import YEARS
from tagflow.errors import HistoryBroken, HistoryNewer

ARTIFACT_TYPE = "application/vnd.tagflow.record.v1+json"
PREFIX = "io.tagflow.record."
CREATED = "org.opencontainers.image.created"
FORMAT = 1
"""The format that is written. A record with a higher ``format``, or a later artifact type, stops writes."""

_NEWER_TYPE = re.compile(r"application/vnd\.tagflow\.record\.v([0-9]{1,6})\+json")
_MOST = 10**15
"""No release number is higher: what a registry serves must not become an integer of a million digits."""


class _StackEntry(msgspec.Struct, frozen=True, rename="kebab"):
    version: str | None
    digest: str
    release: str
    release_number: int


class _Hold(msgspec.Struct, frozen=True, omit_defaults=True):
    version: str
    digest: str = ""
    by: str = ""
    at: datetime | None = None
    reason: str = ""


class _Freeze(msgspec.Struct, frozen=True, omit_defaults=True):
    by: str
    at: datetime
    reason: str
    until: datetime | None = None


class _State(msgspec.Struct, frozen=True):
    """``holds`` and ``void`` name versions, as they always have; ``held`` and ``voided`` say more of them."""

    stack: list[_StackEntry] = []
    holds: list[str] = []
    void: list[str] = []
    since: datetime | None = None
    seen: str = ""
    by: str = ""
    held: list[_Hold] = []
    voided: dict[str, str] = {}
    admitted: list[_StackEntry] = []
    freeze: _Freeze | None = None
    ignored: list[str] = []


_STATE = msgspec.json.Decoder(_State)
# Made once, here: msgspec 0.22 crashes where several threads are the first to decode a type.


def stamp(moment: datetime) -> str:
    """A moment as RFC 3339 in UTC, to the microsecond."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def to_annotations(record: Record) -> dict[str, str]:
    """The annotations of a record's manifest. The same record always gives the same text."""
    texts = {
        "environment": record.environment,
        "repository": record.repository,
        "action": record.action,
        "version": record.version,
        "digest": record.digest,
        "previous-version": record.previous_version,
        "previous-digest": record.previous_digest,
        "release": record.release.id,
        "release-number": str(record.release.number),
        "members": str(record.intent),
        "actor": record.actor,
        "reason": record.reason,
        "overrides": ",".join(record.overrides),
        "parents": " ".join(f"{parent.tag}@{parent.digest}" for parent in record.parents),
        "state": _encode_state(record.state),
    }
    rare = {
        "subject": record.subject,
        "aborts": " ".join(map(str, record.aborts)),
        "abandons": "true" if record.abandons else "",
        "finishes": "true" if record.finishes else "",
        "follows": str(record.follows) if record.follows else "",
        "plan": record.plan,
        "approvals": " ".join(record.approvals),
    }
    texts |= {key: text for key, text in rare.items() if text}
    return {CREATED: stamp(record.at)} | {PREFIX + key: text or "" for key, text in texts.items()}


def read_record(where: str, tag: RecordTag, digest: Digest, artifact_type: str, found: Mapping[str, str]) -> Entry:
    """Read a record out of the annotations of the manifest under its tag; ``where`` is its repository, for messages.

    :raises HistoryNewer: where a later version of tagflow wrote it.
    :raises HistoryBroken: where the manifest under the tag is no record that tagflow wrote.
    """
    if _is_newer(artifact_type, found):
        raise HistoryNewer(where, str(tag))
    try:
        record = _decode(found)
    except (ValueError, KeyError, TypeError, OverflowError, msgspec.MsgspecError) as exc:
        raise HistoryBroken(where, str(tag), "it is no record that this version of tagflow reads") from exc
    if record.environment != tag.environment or record_tag(tag.environment, record.sequence, digest) != tag:
        raise HistoryBroken(where, str(tag), f"its content ({digest}) belongs under another tag")
    return Entry(tag, digest, record)


def _is_newer(artifact_type: str, found: Mapping[str, str]) -> bool:
    kind = _NEWER_TYPE.fullmatch(artifact_type)
    stated = found.get(PREFIX + "format", "")
    return (kind is not None and int(kind[1]) > FORMAT) or (stated.isdecimal() and int(stated[:9]) > FORMAT)


def _encode_state(state: State) -> str:
    holds = sorted(state.holds, key=lambda hold: hold.version)
    document = _State(
        stack=[_stack_entry(entry) for entry in state.stack],
        holds=[hold.version for hold in holds],
        void=sorted(void.version for void in state.void),
        since=state.since,
        seen=state.seen,
        by=state.by,
        held=[_Hold(hold.version, hold.digest or "", hold.by, hold.at, hold.reason) for hold in holds],
        voided={void.version: void.digest for void in sorted(state.void, key=lambda it: it.version) if void.digest},
        admitted=[_stack_entry(entry) for entry in state.admitted],
        freeze=_encode_freeze(state.freeze),
        ignored=sorted(map(str, state.ignored)),
    )
    try:
        return msgspec.json.encode(document).decode()
    except UnicodeEncodeError:  # half of a surrogate pair becomes a question mark, as in other fields
        text = json.dumps(msgspec.to_builtins(document), ensure_ascii=False, separators=(",", ":"))
        return text.encode(errors="replace").decode()


def _stack_entry(entry: StackEntry) -> _StackEntry:
    return _StackEntry(entry.version, entry.digest, entry.release.id, entry.release.number)


def _decode(found: Mapping[str, str]) -> Record:
    def text(key: str) -> str:
        return found[PREFIX + key]

    def rare(key: str) -> str:
        return found.get(PREFIX + key, "")

    action = text("action")
    if action not in ACTIONS:
        raise ValueError(action)
    follows = rare("follows")
    return Record(
        environment=text("environment"),
        repository=text("repository"),
        action=action,
        version=text("version") or None,
        digest=_digest(text("digest")),
        previous_version=text("previous-version") or None,
        previous_digest=_digest(text("previous-digest")),
        release=Release(text("release"), _number(text("release-number"))),
        actor=text("actor"),
        reason=text("reason"),
        overrides=_split(text("overrides"), ","),
        at=_moment(datetime.fromisoformat(found[CREATED])),
        parents=tuple(map(_parent, _split(text("parents"), " "))),
        state=_decode_state(text("state")),
        intent=_intent(text("members"), rare("intent")),
        subject=_digest(rare("subject")),
        aborts=tuple(_record_tag(name) for name in _split(rare("aborts"), " ")),
        abandons=rare("abandons") == "true",
        finishes=rare("finishes") == "true",
        follows=_record_tag(follows) if follows else None,
        plan=rare("plan"),
        approvals=_split(rare("approvals"), " "),
    )


def _intent(members: str, intent: str) -> Intent:
    """Earlier versions wrote the names of the members, and beside them what each was wanted at."""
    if intent:
        return parse_intent(intent)
    if members and "=" not in members and not members.startswith("*"):
        return Intent(tuple((name, "") for name in members.split(",")))
    return parse_intent(members)


def _decode_state(text: str) -> State:
    document = _STATE.decode(text)
    told = {held.version: held for held in document.held}
    return State(
        stack=tuple(map(_entry, document.stack)),
        holds=frozenset(_hold(version, told.get(version)) for version in document.holds),
        void=frozenset(Void(version, _digest(document.voided.get(version, ""))) for version in document.void),
        admitted=tuple(map(_entry, document.admitted)),
        freeze=_freeze(document.freeze),
        since=document.since and _moment(document.since),
        by=document.by,
        seen=document.seen,
        ignored=frozenset(map(_record_tag, document.ignored)),
    )


def _entry(found: _StackEntry) -> StackEntry:
    digest = _need(_digest(found.digest))
    return StackEntry(found.version, digest, Release(found.release, _number(str(found.release_number))))


def _hold(version: str, told: _Hold | None) -> Hold:
    if told is None:
        return Hold(version)
    return Hold(version, _digest(told.digest), told.by, told.at and _moment(told.at), told.reason)


def _encode_freeze(freeze: Freeze | None) -> _Freeze | None:
    return None if freeze is None else _Freeze(freeze.by, freeze.at, freeze.reason, freeze.until)


def _freeze(found: _Freeze | None) -> Freeze | None:
    return (
        None
        if found is None
        else Freeze(found.by, _moment(found.at), found.reason, found.until and _moment(found.until))
    )


def _parent(text: str) -> Parent:
    tag, _, digest = text.partition("@")
    return Parent(_record_tag(tag), _need(_digest(digest)))


def _record_tag(text: str) -> RecordTag:
    tag: RecordTag = _need(parse_record_tag(text))
    return tag


def _split(text: str, separator: str) -> tuple[str, ...]:
    return tuple(text.split(separator)) if text else ()


def _number(text: str) -> int:
    number = int(text[:20])
    if not 0 <= number <= _MOST or len(text) > len(str(_MOST)):
        raise ValueError(text[:20])
    return number


def _digest(text: str) -> Digest | None:
    if text and not is_digest(text):
        raise ValueError(text)
    return Digest(text) if text else None


def _moment(moment: datetime) -> datetime:
    """In UTC, as it will be written again; a record that names a year that no command writes is not believed."""
    found = moment.astimezone(UTC)
    if moment.tzinfo is None or found.year not in YEARS:
        raise ValueError(str(moment))
    return found


def _need(value: Any) -> Any:
    if value is None:
        raise ValueError("missing")
    return value
