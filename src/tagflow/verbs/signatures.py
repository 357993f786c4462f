"""The keys of a policy and of this run, for doctor: whether they can be read, and what they are good for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from tagflow.domain.keys import PublicKey
from tagflow.domain.policy import Environment, Policy
from tagflow.errors import TagflowError
from tagflow.stores.port import Check
from tagflow.trust.crypto import FORMS, VARIABLE, signed_by
from tagflow.trust.signing import SigningKey

_PROBE = b"tagflow doctor"
_NAME = "signing key"


def examine_keys(
    policy: Policy, environments: Sequence[Environment], key: Callable[[], SigningKey | None]
) -> Iterator[Check]:
    """A look at the keys of the policy, and at that of this run: what it may do in some environments.

    The key signs something that means nothing, so that an agent or service which does not answer is told; one that
    wants a touch for each signature is not asked.
    """
    yield _signers(policy)
    try:
        own = key()
        if own is None:
            yield Check(_NAME, False, f"none: {_wanted(environments)}", fix=f"Set ${VARIABLE} to {FORMS}.")
            return
        if not own.public.security_key and not signed_by(own.public, _PROBE, own.sign(_PROBE)):
            yield Check(_NAME, False, f"${VARIABLE} signs with another key than it names", essential=True)
            return
    except TagflowError as error:
        yield Check(_NAME, False, error.message, essential=True, fix=error.hint)
        return
    names, rights = _rights(policy, environments, own.public)
    if rights:
        yield Check(_NAME, True, f"{', '.join(names)} ({own.public.key_id}): {'; '.join(rights)}")
    else:
        who = f"{', '.join(names)} ({own.public.key_id})" if names else own.public.key_id
        fix = "Use a key that the policy names there; a key of ssh is listed as `ssh`, others as `key`."
        yield Check(_NAME, False, f"{who} is of no use here: {_wanted(environments)}", fix=fix)


def _signers(policy: Policy) -> Check:
    """Whether each public key is one: a point on its curve. That it can be read, the policy has seen to."""
    bad = []
    for signer in policy.signers:
        try:
            signed_by(signer.key, b"", b"")
        except TagflowError as error:
            if error.code == "signing.not_installed":
                return Check("signers", False, error.message, essential=True, fix=error.hint)
            bad.append(f"{signer.name}: {error.message}")
    if bad:
        return Check("signers", False, "; ".join(bad), essential=True, fix="Write these keys into the policy anew.")
    names = ", ".join(signer.name for signer in policy.signers)
    return Check("signers", True, f"the keys of {names} can be read")


def _wanted(environments: Sequence[Environment]) -> str:
    """Who signs, and who approves."""
    told = [f"{it.name} is signed by {' or '.join(it.signed_by)}" for it in environments if it.signed_by]
    told += [f"{it.name} is approved by {', '.join(_asked(it))}" for it in environments if it.approvals]
    return "; ".join(told)


def _rights(policy: Policy, environments: Sequence[Environment], key: PublicKey) -> tuple[list[str], list[str]]:
    """The names of a key, and what it may do."""
    names = [it.name for it in policy.signers if it.key.key_id == key.key_id]
    signs = [it.name for it in environments if set(names).intersection(it.signed_by)]
    approves = [it.name for it in environments if set(names).intersection(_asked(it))]
    rights = [f"signs {', '.join(signs)}"] if signs else []
    return names, rights + ([f"approves plans for {', '.join(approves)}"] if approves else [])


def _asked(environment: Environment) -> list[str]:
    return list(dict.fromkeys(name for rule in environment.approvals for name in rule.of))
