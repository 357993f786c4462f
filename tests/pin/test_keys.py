"""Keys without a value, and keys without a colon."""

from __future__ import annotations

import pytest

from tagflow.errors import UsageError
from tests.pin.shop import NEW, pinned

BARE = {
    "in flow": ("image: {repository: acme/web, tag}\n", "1:31"),
    "in flow, before another key": ("image: {repository: acme/web, tag, x: 1}\n", "1:31"),
    "in flow, quoted": ('image: {repository: acme/web, "tag", x: 1}\n', "1:31"),
    "marked": ("image:\n  repository: acme/web\n  ? tag\n", "3:5"),
    "marked, before another key": ("image:\n  repository: acme/web\n  ? tag # x: 1\n  x: 1\n", "3:5"),
    "marked in flow": ("image: {repository: acme/web, ? tag}\n", "1:33"),
    "a digest": ("image: {repository: acme/web, digest}\n", "1:31"),
    "of kustomize": ("images:\n- {name: acme/web, newTag}\n", "2:20"),
}


@pytest.mark.parametrize("case", BARE)
def test_a_key_without_a_colon_is_refused(case: str) -> None:
    text, place = BARE[case]
    with pytest.raises(UsageError) as caught:
        pinned(text)
    assert caught.value.code == "pin.unsupported"
    key = next(it for it in ("newTag", "digest", "tag") if it in text)
    assert caught.value.message.startswith(f"file.yaml:{place}: the key {key} has no colon")
    assert f'`{key}: ""`' in str(caught.value.details[0]["hint"])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("image:\n  repository: acme/web\n  ? tag\n  :\n", f"image:\n  repository: acme/web\n  ? tag\n  : {NEW}\n"),
        (
            "image:\n  repository: acme/web\n  ? tag # x: 1\n  :\n",
            f"image:\n  repository: acme/web\n  ? tag # x: 1\n  : {NEW}\n",
        ),
        ("image: {repository: acme/web, ? tag : }\n", f"image: {{repository: acme/web, ? tag : {NEW} }}\n"),
    ],
)
def test_one_whose_colon_stands_apart(before: str, after: str) -> None:
    assert pinned(before).text == after
