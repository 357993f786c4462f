"""``sha``: a digest without its algorithm, for charts that write ``{{ .tag }}@sha256:{{ .sha }}``."""

from __future__ import annotations

import pytest

from tagflow.domain.reference import Digest
from tagflow.errors import UsageError
from tagflow.pin.edit import FORMS, Form
from tests.pin.shop import DIGEST, NEW, pinned

HEX = DIGEST.removeprefix("sha256:")
OLD = "1" * 64
TEXT = "image:\n  registry: docker.io\n  repository: acme/web\n  tag: {}\n  sha: {}\n"


@pytest.mark.parametrize("key", ["sha", "sha256"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("before", "quote"), [('""', '"'), (f'"{OLD}"', '"'), (f"'{OLD}'", "'"), (OLD, ""), ("", "")])
def test_it_gets_the_digits_and_the_tag_stays_one(before: str, quote: str, form: Form, key: str) -> None:
    text = TEXT.replace("sha:", f"{key}:")
    once = pinned(text.format("v0.9", before), form=form)
    digits = f"{quote}{HEX}{quote}"
    if form == "tag":
        digits = before if before == "" else f"{quote}{quote}" if quote else '""'
    assert once.text.replace(" \n", "\n") == text.format("v1.1", digits).replace(" \n", "\n")
    told = "docker.io/acme/web:v1.1" + (f"@{DIGEST}" if form != "tag" else "")
    was = "docker.io/acme/web:v0.9" + (f"@sha256:{OLD}" if OLD in before else "")
    assert [(it.before, it.after) for it in once.changes] == [(was, told)]
    assert pinned(once.text, form=form).changes == ()


def test_with_its_algorithm_it_keeps_that() -> None:
    assert pinned(TEXT.format("v0.9", f"sha256:{OLD}")).text == TEXT.format("v1.1", DIGEST)


def test_what_was_pinned_into_the_tag_is_put_right() -> None:
    """An earlier run had left the digest that it found, beside the one that it wrote."""
    assert pinned(TEXT.format(NEW, OLD)).text == TEXT.format("v1.1", HEX)


@pytest.mark.parametrize("digits", ["12" * 32, "1e" + "34" * 31, "0b" + "01" * 31])
def test_digits_that_are_a_number_get_quotes(digits: str) -> None:
    once = pinned(TEXT.format("v0.9", OLD), digests={"web": Digest(f"sha256:{digits}")})
    assert once.text == TEXT.format("v1.1", f'"{digits}"')


@pytest.mark.parametrize("commit", ["4f2c9d1", "4f2c9d1e" * 5, "4F2C9D1", "main", "v1.0-3-gabcdef1"])
def test_a_commit_is_left_alone(commit: str) -> None:
    assert pinned(TEXT.format("v0.9", commit)).text == TEXT.format(NEW, commit)


def test_beside_an_image_alone_it_may_be_anything() -> None:
    text = "build: {{image: acme/web{}, sha: ''}}\n"
    assert pinned(text.format("")).text == text.format(f":{NEW}")


@pytest.mark.parametrize("odd", ["'{{ .Values.sha }}'", "abc", "$SHA", "sha256:TODO"])
def test_what_is_neither_is_refused(odd: str) -> None:
    with pytest.raises(UsageError) as caught:
        pinned(TEXT.format("v0.9", odd))
    assert caught.value.code == "pin.unsupported"
