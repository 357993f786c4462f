"""What is said where a key cannot be used. No message repeats what a file or variable holds."""

from __future__ import annotations

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


def missing_key(environment: str) -> UsageError:
    """The refusal of a run that would write records which do not count."""
    return UsageError(
        "signing.no_key",
        f"the records of {environment} are signed (`signed_by`), and this run has no key",
        hint=f"Set ${VARIABLE} to {FORMS}.",
    )


def failed(why: str) -> StoreError:
    """The error for a key that was opened and does not sign."""
    return StoreError("signing.failed", f"the key of ${VARIABLE} did not sign: {why}", hint="Run `tagflow doctor`.")


def invalid(what: str, hint: str) -> UsageError:
    """The error for what the variable names; ``what`` goes on after its name."""
    return UsageError(KEY_INVALID, f"${VARIABLE} {what}", hint=hint)
