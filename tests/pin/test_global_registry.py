"""``global.imageRegistry``: charts that know it take all images from there, whatever stands beside the repository."""

from __future__ import annotations

import pytest

from tagflow.errors import UsageError
from tests.pin.shop import NEW, pinned

FAR = "registry.example.com:5000"
VALUES = "global:\n  imageRegistry: {}\nweb:\n  image:\n    registry: {}\n    repository: {}\n    tag: {}\n"
RELEASE = "kind: HelmRelease\nspec:\n  values:\n" + VALUES.replace("\n", "\n    ").rstrip(" ").replace(
    "glo", "    glo", 1
)


@pytest.mark.parametrize("form", [VALUES, RELEASE])
@pytest.mark.parametrize("registry", ['""', "docker.io", "quay.io"])
def test_an_image_that_it_moves_to_its_home_is_pinned_there(form: str, registry: str) -> None:
    text = form.format(FAR, registry, "x/shop/web", "{}")
    once = pinned(text.format("v0.9"), environment="far")
    assert once.text == text.format(NEW)
    assert [it.before for it in once.changes] == [f"{FAR}/x/shop/web:v0.9"]
    assert pinned(once.text, environment="far").changes == ()


@pytest.mark.parametrize("registry", ["mirror.example.com", "docker.io", "$MIRROR", '""', "", "index.docker.io/"])
def test_an_image_at_home_is_pinned_whatever_mirror_it_comes_from(registry: str) -> None:
    text = VALUES.format(registry, "docker.io", "acme/web", "{}")
    assert pinned(text.format("v0.9")).text == text.format(NEW)


@pytest.mark.parametrize(
    ("registry", "repository", "environment"), [("mirror.example.com", "acme/web", "far"), (FAR, "x/shop/web", "prod")]
)
def test_one_whose_name_would_have_to_change_is_refused(registry: str, repository: str, environment: str) -> None:
    text = VALUES.format(registry, '""', repository, "v0.9")
    with pytest.raises(UsageError, match=r"file\.yaml:6:17: web lives in .*global\.imageRegistry") as caught:
        pinned(text, environment=environment)
    assert caught.value.code == "pin.unsupported"


@pytest.mark.parametrize("nothing", ['""', "null", ""])
def test_empty_it_moves_nothing(nothing: str) -> None:
    text = VALUES.format(nothing, "docker.io", "acme/web", "v0.9")
    changed = pinned(text, environment="far").text
    assert changed == VALUES.format(nothing, FAR, "x/shop/web", NEW)


def test_it_moves_what_is_beside_it_alone() -> None:
    text = f"a:\n  global: {{imageRegistry: {FAR}}}\nb: {{repository: x/shop/web, tag: v0.9}}\nc: {{image: acme/web}}\n"
    assert pinned(text, environment="far").references == 1
