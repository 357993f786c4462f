"""The published JSON Schema is the code's, and agrees with the loader on what has one value to be judged by."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from tagflow.config.document import schema, schema_json
from tagflow.config.template import template
from tests.config.samples import MINIMAL, ROOT, load, mistakes, with_environment
from tests.config.test_load import FULL

jsonschema = pytest.importorskip("jsonschema")


class _Strings(yaml.SafeLoader):
    """Reads dates as text, as editors do (YAML 1.2)."""


_Strings.yaml_implicit_resolvers = {
    first: [(tag, shape) for tag, shape in resolvers if not tag.endswith("timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def valid(text: str) -> bool:
    document: Any = yaml.load(text, _Strings)
    return bool(jsonschema.Draft202012Validator(schema()).is_valid(document))


def test_it_is_published() -> None:
    published = (ROOT / "schema" / "promotion.schema.json").read_text()
    assert published == schema_json(), "write schema_json() to schema/promotion.schema.json"


@pytest.mark.parametrize(
    "text",
    [
        MINIMAL.replace("prod", "rc-eu"),
        MINIMAL.replace("prod", "'01'"),
        MINIMAL.replace("prod", "1-01"),
        MINIMAL.replace("prod", "1a"),
        MINIMAL.replace("prod", "latest-eu"),
        MINIMAL + "tags: {version: '{version}', combined: '{environment}.{version}'}\n",
    ],
)
def test_what_loads_passes(text: str) -> None:
    assert load(text)
    assert valid(text)


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    assert json.loads(schema_json())["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_every_key_is_described() -> None:
    for name, entry in schema()["$defs"].items():
        assert entry["additionalProperties"] is False, name
        for key, value in entry["properties"].items():
            assert value.get("description"), f"{name}.{key}"


@pytest.mark.parametrize("path", [ROOT / "promotion.yaml", *sorted(ROOT.glob("examples/*/promotion.yaml"))])
def test_examples_pass(path: Any) -> None:
    assert valid(path.read_text())


def test_the_rest_passes() -> None:
    assert valid(MINIMAL)
    assert valid(FULL)
    assert valid(template())


BROKEN = [
    MINIMAL.replace("version: 1\n", ""),
    MINIMAL.replace("version: 1", "version: 2"),
    MINIMAL.replace("registry", "regsitry"),
    MINIMAL.replace("{app: app}", "{app: 1.0}"),
    MINIMAL.replace("{app: app}", "{app: {}}"),
    MINIMAL.replace("{app: app}", "{-app: app}"),
    MINIMAL.replace("{app: app}", "[app]"),
    MINIMAL.replace("{dev: {}, prod: {}}", "{}"),
    MINIMAL.replace("prod", "latest"),
    MINIMAL.replace("prod", "Prod"),
    MINIMAL.replace("prod", "alpha"),
    MINIMAL.replace("prod", "rc1"),
    MINIMAL.replace("prod", "v1"),
    MINIMAL.replace("prod", "2026-12"),
    MINIMAL + "tags: {version: 'v'}\n",
    MINIMAL + "tags: {version: '_{version}'}\n",
    MINIMAL + "tags: {version: 'v{version}{version}'}\n",
    MINIMAL + "tags: {combined: '{version}'}\n",
    MINIMAL + "tags: {combined: '{version}+{environment}'}\n",
    MINIMAL + "notify: [{webhook: 'ftp://hooks.example.com'}]\n",
    with_environment("{freeze: [{from: 20 December 2026, to: 2027-01-02}]}"),
    with_environment("{from: dev}"),
    with_environment("{from: []}"),
    with_environment("{soak: 24}"),
    with_environment("{soak: 1 day}"),
    with_environment("{freeze: [{}]}"),
    with_environment("{freeze: [{days: [mon], from: 2026-01-01, to: 2026-01-02}]}"),
    with_environment("{freeze: [{from: 2026-01-01}]}"),
    with_environment("{platforms: [amd64]}"),
    with_environment("{labels: [a, a]}"),
    with_environment("{gates: [{name: x}]}"),
    with_environment("{floating: [patch]}"),
    with_environment("{prereleases: false}"),
    MINIMAL + "notify: [{}]\n",
    MINIMAL + "notify: [{run: a, webhook: 'https://b'}]\n",
    MINIMAL + "history: {repository: x}\n",
    MINIMAL + "engine: podman\n",
    MINIMAL + "create_repositories: 'yes'\n",
]


@pytest.mark.parametrize("text", BROKEN)
def test_broken_policies_fail_in_both(text: str) -> None:
    assert not valid(text)
    assert mistakes(text)


def test_null_is_an_empty_environment_in_both() -> None:
    text = MINIMAL.replace("{dev: {}, prod: {}}", "{dev: , prod: }")
    assert valid(text)
    assert load(text) == load(MINIMAL)
