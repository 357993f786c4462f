"""The secrets that the tests plant, and the search for them in everything that tagflow says.

Every output of every command that a test runs is searched (:class:`tests.cli.runner.Done`), every error that is made
anywhere in tagflow, and what each test printed (`tests/conftest.py`).
"""

from __future__ import annotations

import base64

from tests.servers import PASSWORD, USERNAME
from tests.tokenserver import REFRESH_TOKEN

PLANTED = (PASSWORD, REFRESH_TOKEN, "hunter2-of-the-registry", "hunter2-of-the-webhook")
FORMS = (
    *PLANTED,
    *(base64.b64encode(f"{USERNAME}:{secret}".encode()).decode() for secret in PLANTED),
    *(secret.replace(" ", mark) for secret in PLANTED for mark in ("+", "%20") if " " in secret),
    "Authorization: ",
)
"""As they are, and as they travel."""


def check_secrets(*texts: str) -> None:
    """Fail where a text holds a secret."""
    for text in texts:
        for form in FORMS:
            assert form not in text, f"a secret ({form[:3]}…) was told"
