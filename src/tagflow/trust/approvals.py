"""Approvals: who has signed a saved plan, and whether that is enough.

An approval is a DSSE envelope over an in-toto statement whose subject is the plan's id. The id binds every move, every
digest before and after, and the heads of the history: a plan that was applied, or that anything else has overtaken,
is stale for ever, and so is each approval of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from msgspec import Struct

from tagflow.domain.keys import PublicKey, Signer
from tagflow.domain.policy import ApprovalRule
from tagflow.trust.crypto import Check, signed_by
from tagflow.trust.envelope import APPROVAL_V1, IN_TOTO, Envelope, decode_envelope, statement
from tagflow.trust.records import sign_payload

Fault = Literal["none", "another plan", "forged", "not asked"]
"""What is wrong with a document: it is no approval, it is of another plan, it is not signed by the key that it names,
or it is signed by nobody whom the rules ask."""

AHEAD = timedelta(minutes=5)
"""How far the clock of an approver may be ahead. Later than that would be an approval with a longer life."""


_TRIED = 16
"""Signatures of an envelope that are checked, those first that name a key of somebody who is asked: each takes a good
part of a millisecond for each key, and whoever may push can push any number of them."""


class Approval(Struct, frozen=True):
    """One good approval: the names whose key made it, the key's identity, when, and the SHA-256 of its envelope."""

    names: tuple[str, ...]
    identity: str
    at: datetime
    digest: str


@dataclass(frozen=True)
class Tally:
    """One rule of an environment against the approvals that there are: who has approved, one name for each key."""

    rule: ApprovalRule
    have: tuple[str, ...]

    @property
    def need(self) -> int:
        """How many are needed."""
        return self.rule.need

    @property
    def of(self) -> tuple[str, ...]:
        """Whose approval counts."""
        return self.rule.of

    @property
    def met(self) -> bool:
        """Whether it is enough."""
        return len(self.have) >= self.need

    def __str__(self) -> str:
        text = f"{self.rule.need} of {', '.join(self.rule.of)} must approve: "
        if not self.have:
            return f"{text}nobody did"
        others = [name for name in self.rule.of if name not in self.have]
        return f"{text}{_and(self.have)} approved, {_and(others)} did not"


class Evaluation(Struct, frozen=True):
    """All rules, the approvals that count for any of them, and what does not count and why."""

    tallies: tuple[Tally, ...]
    counted: tuple[Approval, ...]
    ignored: tuple[str, ...] = ()

    @property
    def missing(self) -> tuple[Tally, ...]:
        """The rules that are not met."""
        return tuple(tally for tally in self.tallies if not tally.met)


def approval_statement(plan_id: str, at: datetime) -> bytes:
    """What is signed: the plan, and when."""
    moment = at.astimezone(UTC).replace(microsecond=0).isoformat().replace("+00:00", "Z")
    return statement(APPROVAL_V1, [{"name": "plan", "digest": {"sha256": plan_id}}], {"at": moment})


def approve(plan_id: str, at: datetime, key: PublicKey, make: Callable[[bytes], bytes]) -> Envelope:
    """The approval of a plan by who holds ``key``; ``make`` signs a message with its private half.

    :raises StoreError: ``signing.failed`` where it made something else.
    """
    return sign_payload(approval_statement(plan_id, at), key, make)


def document_digest(text: str) -> str:
    """The SHA-256, in hex, of an envelope's text: what records name an approval by."""
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()


def decode_approval(envelope: Envelope) -> tuple[str, datetime]:
    """The id of the plan that was approved, and when.

    :raises ValueError: where the envelope holds no approval.
    """
    try:
        document: Any = json.loads(envelope.payload)
        plan_id, at = document["subject"][0]["digest"]["sha256"], datetime.fromisoformat(document["predicate"]["at"])
        if envelope.payload_type != IN_TOTO or envelope.payload != approval_statement(plan_id, at):
            raise ValueError("this is no approval")
    except (KeyError, TypeError, IndexError, AttributeError, OverflowError, RecursionError) as exc:
        raise ValueError("this is no approval") from exc
    return plan_id, at


def evaluate(
    plan_id: str,
    rules: Sequence[ApprovalRule],
    signers: Sequence[Signer],
    documents: Iterable[str],
    *,
    now: datetime,
    expire: timedelta | None = None,
    check: Check = signed_by,
) -> Evaluation:
    """Hold the approvals of a plan, as texts of envelopes, against the rules of its environment.

    Distinct public keys are counted: one person under two names, or one name that signed twice, is one. ``expire`` is
    how long an approval is good; ``now`` is the clock's. Pure but for ``check``.
    """
    found: dict[str, Approval] = {}
    ignored: list[str] = []
    asked = {name for rule in rules for name in rule.of}
    known = [signer for signer in signers if signer.name in asked]
    for text in dict.fromkeys(documents):
        try:
            approvals = _read(plan_id, known, text, check)
        except ValueError as exc:
            ignored.append(str(exc))
            continue
        for approval in approvals:
            why = _too_early_or_late(approval, now, expire)
            if why:
                ignored.append(why)
            elif approval.identity not in found or found[approval.identity].at < approval.at:
                found[approval.identity] = approval
    keys = {signer.name: signer.key.identity for signer in signers}
    tallies = tuple(Tally(rule, _named(rule, keys, found)) for rule in rules)
    return Evaluation(tallies, tuple(found.values()), tuple(ignored))


def fault(
    plan_id: str, rules: Sequence[ApprovalRule], signers: Sequence[Signer], text: str, check: Check = signed_by
) -> Fault | None:
    """What is wrong with a document that somebody gives as an approval of a plan, whatever the clock says.

    Pure but for ``check``.
    """
    try:
        envelope = decode_envelope(text)
        approved, _ = decode_approval(envelope)
    except ValueError:
        return "none"
    if approved != plan_id:
        return "another plan"
    claimed = {signature.key_id for signature in envelope.signatures}
    good = [
        signer.name
        for signer in signers
        if any(check(signer.key, envelope.message, signature.content) for signature in envelope.signatures)
    ]
    if {name for rule in rules for name in rule.of}.intersection(good):
        return None
    claims_known = any(signer.key.key_id in claimed and signer.name not in good for signer in signers)
    return "forged" if claims_known else "not asked"


def _and(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _named(rule: ApprovalRule, keys: Mapping[str, str], found: Mapping[str, Approval]) -> tuple[str, ...]:
    """The first name of each key that has approved."""
    named: dict[str, str] = {}
    for name in rule.of:
        if keys.get(name) in found:
            named.setdefault(keys[name], name)
    return tuple(named.values())


def _read(plan_id: str, signers: Sequence[Signer], text: str, check: Check) -> list[Approval]:
    """The approvals in one envelope; a ValueError says why there is none. What a signature says of its key is not
    asked: each key that may approve is tried, so that an envelope of another tool is as good."""
    try:
        envelope = decode_envelope(text)
        approved, at = decode_approval(envelope)
    except ValueError as exc:
        raise ValueError("what was given as an approval is none") from exc
    if approved != plan_id:
        raise ValueError("an approval is of another plan")
    digest = document_digest(text)
    known = {signer.key.key_id for signer in signers}
    tried = sorted(envelope.signatures, key=lambda it: it.key_id not in known)[:_TRIED]
    names: dict[str, list[str]] = {}
    for signer in signers:
        if any(check(signer.key, envelope.message, signature.content) for signature in tried):
            names.setdefault(signer.key.identity, []).append(signer.name)
    if not names:
        raise ValueError("an approval is by none of those who are asked")
    return [Approval(tuple(named), identity, at, digest) for identity, named in names.items()]


def _too_early_or_late(approval: Approval, now: datetime, expire: timedelta | None) -> str:
    who = f"the approval by {' or '.join(approval.names)} of {approval.at.isoformat()}"
    if approval.at > now + AHEAD:
        return f"{who} is dated ahead of this machine's clock"
    if expire is not None and now - approval.at > expire:
        return f"{who} has expired"
    return ""
