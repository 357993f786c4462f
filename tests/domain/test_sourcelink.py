"""Links that compare two revisions, in the form of each host."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagflow.verbs.diff import compare_link, web_address

LINKS = {
    "https://github.com/acme/shop": "https://github.com/acme/shop/compare/1a2b...3c4d",
    "https://github.com/acme/shop.git": "https://github.com/acme/shop/compare/1a2b...3c4d",
    "https://github.com/acme/shop/tree/main/backend": "https://github.com/acme/shop/compare/1a2b...3c4d",
    "git@github.com:acme/shop.git": "https://github.com/acme/shop/compare/1a2b...3c4d",
    "ssh://git@github.com/acme/shop": "https://github.com/acme/shop/compare/1a2b...3c4d",
    "git+https://github.com/acme/shop.git": "https://github.com/acme/shop/compare/1a2b...3c4d",
    "github.com/acme/shop": "https://github.com/acme/shop/compare/1a2b...3c4d",
    "https://user:secret@github.com/acme/shop": "https://github.com/acme/shop/compare/1a2b...3c4d",
    "https://github.acme.com/team/shop": "https://github.acme.com/team/shop/compare/1a2b...3c4d",
    "https://gitlab.com/acme/team/shop": "https://gitlab.com/acme/team/shop/-/compare/1a2b...3c4d",
    "https://gitlab.com/acme/shop/-/tree/main": "https://gitlab.com/acme/shop/-/compare/1a2b...3c4d",
    "http://gitlab.acme.com:8080/acme/shop.git": "http://gitlab.acme.com:8080/acme/shop/-/compare/1a2b...3c4d",
    "ssh://git@gitlab.acme.com:2222/acme/shop.git": "https://gitlab.acme.com/acme/shop/-/compare/1a2b...3c4d",
    "https://bitbucket.org/acme/shop": "https://bitbucket.org/acme/shop/branches/compare/3c4d%0D1a2b",
    "https://bitbucket.acme.com/scm/ops/shop.git": "https://bitbucket.acme.com/projects/ops/repos/shop/compare/commits"
    "?sourceBranch=3c4d&targetBranch=1a2b",
    "https://codeberg.org/acme/shop": "https://codeberg.org/acme/shop/compare/1a2b...3c4d",
    "https://gitea.acme.com/acme/shop": "https://gitea.acme.com/acme/shop/compare/1a2b...3c4d",
    "https://git.acme.com/acme/shop": "https://git.acme.com/acme/shop/compare/1a2b...3c4d",
    "https://dev.azure.com/acme/shop/_git/shop": "https://dev.azure.com/acme/shop/_git/shop/branchCompare"
    "?baseVersion=GC1a2b&targetVersion=GC3c4d",
}


@pytest.mark.parametrize("source", LINKS)
def test_links(source: str) -> None:
    assert compare_link(source, "1a2b", "3c4d") == LINKS[source]


@pytest.mark.parametrize(
    "source",
    [
        "",
        " ",
        "https://",
        "/srv/git/shop",
        "file:///srv/git/shop",
        "javascript:alert(1)",
        "https://github.com/acme",
        "x",
    ],
)
def test_what_is_no_repository_on_a_web_server_has_no_link(source: str) -> None:
    assert compare_link(source, "1a2b", "3c4d") is None


@pytest.mark.parametrize(("old", "new"), [("", "b"), ("a", ""), ("a", "a"), ("a b", "c"), ("a", "..."), ("a", "-x")])
def test_revisions_that_cannot_be_compared_have_no_link(old: str, new: str) -> None:
    assert compare_link("https://github.com/acme/shop", old, new) is None


def test_a_revision_may_be_a_branch_or_a_tag() -> None:
    link = compare_link("https://github.com/acme/shop", "v1.0", "release/2.0+x")
    assert link == "https://github.com/acme/shop/compare/v1.0...release%2F2.0%2Bx"


@given(st.text(max_size=60), st.text(max_size=20), st.text(max_size=20))
def test_nothing_but_a_link_comes_out(source: str, old: str, new: str) -> None:
    link = compare_link(source, old, new)
    assert link is None or (link.startswith(("https://", "http://")) and link.isascii() and link.isprintable())


@given(st.sampled_from(["https://{}@github.com/a/b", "ssh://{}@github.com/a/b", "git+https://{}:x@github.com/a/b"]))
def test_secrets_are_left_out(form: str) -> None:
    assert web_address(form.format("tok3n")) == "https://github.com/a/b"
