"""Whether the templates of a policy can be told apart: tried on versions of every kind."""

from __future__ import annotations

import re
from collections.abc import Iterable

from tagflow.domain.policy import CHANNELS, Policy
from tagflow.domain.tagging import TagScheme
from tagflow.errors import TagflowError

_SAMPLES = ("1.2.3", "1.2.3-beta.4", "1.2.3+b.5", "0.0.10")
_NATURAL_SAMPLES = ("2026.02.0", "1.2.3.4", "2026-01-30-2", "1.2.3rc10", "6.2.6-build.10")


def check_templates(policy: Policy) -> list[str]:
    """What is wrong with a policy's templates: tags that could be taken for one another, or be invalid."""
    scheme = TagScheme(policy)
    natural = _NATURAL_SAMPLES if policy.templates.versions == "natural" else ()
    channels = (f"1.2.3-{line}.1" for line in CHANNELS)
    for text in (*_SAMPLES, *natural, *channels, *_samples_of(policy)):
        try:
            scheme.check(scheme.version_scheme.read(text))
        except TagflowError as error:
            return [f"with these templates, {error.message}"]
    return []


def _samples_of(policy: Policy) -> Iterable[str]:
    """Releases that end or begin with the digits of an environment: where no separator stands between the two, the
    tag of ``1.2.3`` in ``a1`` is the tag of ``11.2.3`` in ``a``.
    """
    for environment in policy.environments:
        first = re.match("[0-9]+", environment.name)
        last = re.search("[1-9][0-9]*$", environment.name)
        yield f"1.2.3{first[0]}" if first else "1.2.3"
        yield f"{last[0]}1.2.3" if last else "1.2.3"
