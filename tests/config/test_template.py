"""What `tagflow init` writes."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tagflow.config.environment import EnvironmentEntry
from tagflow.config.template import template
from tagflow.config.values import environment_name, image_name
from tagflow.errors import UsageError
from tests.config.samples import load
from tests.marks import examples


def uncommented(text: str) -> str:
    return re.sub(r"^#(?=(  )*(- )?\w+:|      - \{)", "", text, flags=re.M)


def allowed(check: object, name: str) -> bool:
    try:
        check(name)  # type: ignore[operator]
    except UsageError:
        return False
    return True


images = st.lists(
    st.one_of(
        st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}(/[A-Za-z0-9][A-Za-z0-9._-]{0,9})?", fullmatch=True),
        st.sampled_from(
            ["no", "true", "null", "1e3", "0x1f", "12_3", "a..b", "A", "a", "x-", "a.-b", "a/b_", "y", "on"]
        ),
    ).filter(lambda name: allowed(image_name, name)),
    min_size=1,
    max_size=6,
    unique=True,
)
environments = st.lists(
    st.one_of(
        st.from_regex(r"[a-z0-9]{1,9}(-[a-z0-9]{1,9}){0,2}", fullmatch=True),
        st.sampled_from(["no", "true", "null", "1e3", "0x1f", "on", "off"]),
    ).filter(lambda name: allowed(environment_name, name)),
    min_size=1,
    max_size=5,
    unique=True,
)


@settings(max_examples=examples(30), deadline=None)
@given(images, environments, st.sampled_from(["oci:./images", "docker.io/acme", "localhost:5000", "oci:/a b#c: d"]))
def test_it_loads_for_any_names(images: list[str], environments: list[str], registry: str) -> None:
    assume(not set(images) & set(environments))
    text = template(registry, images, environments)
    policy = load(text)
    assert [image.name for image in policy.images] == images
    assert [environment.name for environment in policy.environments] == environments
    load(uncommented(text))


def test_by_default() -> None:
    policy = load(template())
    assert str(policy.registry) == "oci:/srv/images"
    assert [environment.name for environment in policy.environments] == ["dev", "test", "staging", "prod"]


def test_the_first_line_is_for_editors() -> None:
    assert template().startswith("# yaml-language-server: $schema=https://")


def test_every_option_is_there_and_works_uncommented() -> None:
    text = uncommented(template("docker.io/acme", ["app"], ["dev", "prod"]))
    assert not [line for line in text.splitlines() if re.match(r"#\s*\w+:", line) and "schema" not in line]
    for key in EnvironmentEntry.__struct_encode_fields__:
        assert re.search(rf"^    {key}: ?", text, re.M), key
    prod = load(text).environments[1]
    assert prod.gates
    assert prod.freeze
    assert prod.soak


@pytest.mark.parametrize(
    ("registry", "images", "environments"),
    [
        ("https://x", ["a"], ["dev"]),
        ("x", ["v1"], ["dev"]),
        ("x", ["a\nb"], ["dev"]),
        ("x", ["a"], ["latest"]),
        ("x", ["a"], ["Dev"]),
        ("x", ["a"], ["dev", "dev"]),
        ("x", ["a"], []),
        ("x", [], ["dev"]),
    ],
)
def test_names_that_cannot_be(registry: str, images: list[str], environments: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        template(registry, images, environments)
    assert caught.value.code == "policy.invalid"
