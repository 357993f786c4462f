"""doctor: can every registry of the policy be used, and what is to be known about it?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tagflow.domain.policy import Policy
from tagflow.domain.reference import Repository
from tagflow.errors import StoreError
from tagflow.stores.port import Check, Checkup
from tagflow.workers import each

if TYPE_CHECKING:
    from tagflow.trust.signing import SigningKey

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
        """Whether everything is well that must be."""
        return all(check.ok for check in self.checks if check.essential)


def doctor(policy: Policy, examine: Examine, key: OpenKey = lambda: None, *, threads: int = 4) -> list[Diagnosis]:
    """Look at every registry of a policy, in the order of its environments, and at the keys that are needed there."""

    def look(name: str) -> Diagnosis:
        places = registries[name]
        checkup = examine(places[0].host, places)
        signed = [it for it in policy.environments if str(it.registry) == name and (it.signed_by or it.approvals)]
        if not signed:
            return Diagnosis(name, checkup.credential, checkup.checks)
        from tagflow.verbs.signatures import examine_keys  # only where somebody has to sign

        return Diagnosis(name, checkup.credential, (*checkup.checks, *examine_keys(policy, signed, key)))

    registries = _repositories(policy)
    return each(look, registries, threads=threads)


def refuse(found: Sequence[Diagnosis], document: object) -> StoreError:
    """The error of registries that cannot be used; ``document`` is the result that goes with it."""
    bad = [it for it in found if not it.usable]
    lines = [
        f"{it.registry} cannot be used: {check.name}: {check.detail}"
        for it in bad
        for check in it.checks
        if check.essential and not check.ok
    ]
    failed = [check for it in bad for check in it.checks if check.essential and not check.ok]
    told = "\n".join(check.fix for check in failed).replace("; `tagflow doctor` looks closer", "")
    fixes = list(dict.fromkeys(told.splitlines()))
    error = StoreError(
        "doctor.unusable",
        "\n".join(lines),
        hint="\n".join([*fixes, "Correct what is marked, then run `tagflow doctor` again."]),
        details=[{"registry": it.registry} for it in bad],
    )
    error.result = document
    return error


def _repositories(policy: Policy) -> dict[str, list[Repository]]:
    """For every registry of the policy the repositories of its images and of their records, each once."""
    found: dict[str, dict[Repository, None]] = {}
    for environment in policy.environments:
        places = found.setdefault(str(environment.registry), {})
        for image in policy.images:
            places[policy.repository(image, environment)] = None
            places[policy.history_repository(image, environment)] = None
    return {name: list(places) for name, places in found.items()}
