"""docs/policy.md: every key is there, and every example works."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from tagflow.config.document import schema
from tests.config.samples import MINIMAL, ROOT, load

TEXT = (ROOT / "docs" / "policy.md").read_text()
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```", TEXT, re.M | re.S)


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_load(example: str) -> None:
    fragment: Any = yaml.safe_load(example) or {}
    policy = yaml.safe_load(MINIMAL) | fragment
    load(yaml.safe_dump(policy, sort_keys=False))


def test_every_key_has_a_section_and_an_example() -> None:
    sections = set(re.findall(r"^##+ ([\w.]+)$", TEXT, re.M))
    shapes = schema()["$defs"]
    wanted = set(shapes["Document"]["properties"])
    wanted |= {f"environments.{key}" if key in wanted else key for key in shapes["EnvironmentEntry"]["properties"]}
    wanted |= {f"tags.{key}" for key in shapes["TagsEntry"]["properties"]}
    wanted |= {f"history.{key}" for key in shapes["HistoryEntry"]["properties"]}
    assert sections == wanted
    inside = {"repository", "days", "to", "timezone", "name", "run", "timeout", "webhook"}
    for key in inside | {section.split(".")[-1] for section in wanted}:
        assert any(re.search(rf"\b{key}:", example) for example in EXAMPLES), key
