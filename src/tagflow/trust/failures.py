"""What is said where a key cannot be used. No message repeats what a file or variable holds."""

from __future__ import annotations

from collections.abc import Sequence

from tagflow.domain.keys import KEY_INVALID
from tagflow.errors import StoreError, UsageError

VARIABLE = "TAGFLOW_SIGN_KEY"
FORMS = "file:PATH, env:NAME, ssh:PUBLIC_KEY_FILE, awskms:…, gcpkms:…, azurekms:…, hv:… or hsm:…"


def not_installed(package: str = "cryptography", extra: str = "tagflow[sign]") -> UsageError:
    """The error that says what to install."""
    return UsageError(
        "signing.not_installed",
        f"the policy or $TAGFLOW_SIGN_KEY asks for signatures, and {package} is not installed",
        hint=f"pip install '{extra}'",
    )


def missing_key(environment: str, why: str = "the records of {} are signed (`signed_by`)") -> UsageError:
    """The refusal of a run that would write what does not count; ``why`` says so of an environment."""
    return UsageError(
        "signing.no_key", f"{why.format(environment)}, and this run has no key", hint=f"Set ${VARIABLE} to {FORMS}."
    )


def foreign_key(environment: str, allowed: Sequence[str]) -> UsageError:
    """The refusal of a run with a key that nobody would believe there."""
    return invalid(
        f"is none of the keys that may sign in {environment}",
        f"The policy names {', '.join(allowed)} there (`signed_by`); a key of ssh is listed as `ssh`, others as `key`.",
    )


def failed(why: str) -> StoreError:
    """The error for a key that was opened and does not sign."""
    return StoreError("signing.failed", f"the key of ${VARIABLE} did not sign: {why}", hint="Run `tagflow doctor`.")


def invalid(what: str, hint: str) -> UsageError:
    """The error for what the variable names; ``what`` goes on after its name."""
    return UsageError(KEY_INVALID, f"${VARIABLE} {what}", hint=hint)
