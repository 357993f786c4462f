"""Policies for the tests of this package."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tagflow.config import load_policy_text
from tagflow.domain.policy import Policy
from tagflow.errors import UsageError

ROOT = Path(__file__).parents[2]
MINIMAL = "version: 1\nregistry: docker.io/acme\nimages: {app: app}\nenvironments: {dev: {}, prod: {}}\n"


def load(text: str) -> Policy:
    """Load a policy that would lie in /srv."""
    return load_policy_text(text, base="/srv")


def refuse(text: str) -> UsageError:
    """The error for a policy that is wrong."""
    with pytest.raises(UsageError) as caught:
        load(text)
    assert caught.value.code == "policy.invalid"
    assert caught.value.exit_status == 2
    return caught.value


def mistakes(text: str) -> Sequence[str]:
    """The lines of that error."""
    return refuse(text).message.splitlines()


def with_environment(rules: str) -> str:
    """A policy whose second environment, prod, has these rules (in flow style); they begin in column 9 of line 6."""
    return f"version: 1\nregistry: docker.io/acme\nimages: {{app: app}}\nenvironments:\n  dev:\n  prod: {rules}\n"
