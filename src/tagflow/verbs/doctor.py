"""doctor: can every registry and key of the policy be used, and what is to be known about it?"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from tagflow.domain.keys import PublicKey
from tagflow.domain.policy import Environment, Policy
from tagflow.domain.reference import Repository
from tagflow.errors import StoreError, TagflowError
from tagflow.stores.port import Check, Checkup
from tagflow.trust.crypto import FORMS, VARIABLE, signed_by
from tagflow.trust.signing import SigningKey
from tagflow.workers import each

_PROBE = b"tagflow doctor"
_NAME = "signing key"
_KEYS = ("signers", _NAME)
"""Looks at what is no registry's."""
_ITSELF = re.compile(r"; `tagflow doctor`[^.;]*| ?(?:Run )?`tagflow doctor`[^.;]*[.]")
"""What hints say where another command fails."""


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


Examine = Callable[[str, Sequence[Repository]], Checkup]
"""Looks at a host and some of its repositories; raises nothing."""
OpenKey = Callable[[], "SigningKey | None"]
"""Opens the key of this run, where it has one."""


@dataclass(frozen=True)
class Diagnosis:
    """One registry as the policy names it."""

    registry: str
    credential: str
    checks: tuple[Check, ...]

    @property
    def usable(self) -> bool:
        """Whether everything is well that must be of the registry; a key that does not sign is not its fault."""
        return all(check.ok for check in self.checks if check.essential and check.check not in _KEYS)

    @property
    def ready(self) -> bool:
        """Whether everything is well that must be, the keys too."""
        return not self.failed

    @property
    def failed(self) -> tuple[Check, ...]:
        """What must be well, and is not."""
        return tuple(check for check in self.checks if check.essential and not check.ok)


def doctor(policy: Policy, examine: Examine, key: OpenKey = lambda: None, *, threads: int = 4) -> list[Diagnosis]:
    """Look at every registry of a policy, in the order of its environments, and at the keys that are needed there."""

    def look(name: str) -> Diagnosis:
        places = registries[name]
        checkup = examine(places[0].host, places)
        signed = [it for it in policy.environments if str(it.registry) == name and (it.signed_by or it.approvals)]
        keys = examine_keys(policy, signed, key) if signed else ()
        return Diagnosis(name, checkup.credential, tuple(map(_without_itself, (*checkup.checks, *keys))))

    registries = _repositories(policy)
    return each(look, registries, threads=threads)


def _without_itself(check: Check) -> Check:
    return replace(check, detail=_ITSELF.sub("", check.detail), fix=_ITSELF.sub("", check.fix))


def refuse(found: Sequence[Diagnosis], document: object) -> StoreError:
    """The error of registries or keys that cannot be used; ``document`` is the result that goes with it."""
    lines = [_told(it, check) for it in found for check in it.failed]
    failed = [check for it in found for check in it.failed]
    fixes = [line for line in dict.fromkeys("\n".join(check.fix for check in failed).splitlines()) if line]
    error = StoreError(
        "doctor.unusable",
        "\n".join(dict.fromkeys(lines)),
        hint="\n".join([*fixes, "Correct what is marked, then run `tagflow doctor` again."]),
        details=[{"registry": it.registry} for it in found if not it.usable],
    )
    error.result = document
    return error


def _told(of: Diagnosis, check: Check) -> str:
    told = f"{check.check}: {check.detail}"
    return told if check.check in _KEYS else f"{of.registry} cannot be used: {told}"


def _repositories(policy: Policy) -> dict[str, list[Repository]]:
    """For every registry of the policy the repositories of its images and of their records, each once."""
    found: dict[str, dict[Repository, None]] = {}
    for environment in policy.environments:
        places = found.setdefault(str(environment.registry), {})
        for image in policy.images:
            places[policy.repository(image, environment)] = None
            places[policy.history_repository(image, environment)] = None
    return {name: list(places) for name, places in found.items()}
