"""What images are called in a daemon, and what its IDs mean."""

from __future__ import annotations

import pytest

from tagflow.domain.reference import Repository
from tagflow.errors import UsageError
from tagflow.stores.docker.names import docker_name, is_image, local_image, only_platform, registry_name
from tests.images import absent, image, index
from tests.memory import MemoryRegistry

ID = absent("image")


def test_image_ids_of_both_kinds_of_daemon() -> None:
    store = MemoryRegistry().open(Repository("memory.test", "app"))
    manifest, multi = image(store), index(store)
    assert manifest.config is not None
    assert is_image(manifest, manifest.config.digest)  # graph driver
    assert is_image(manifest, manifest.digest)  # containerd image store
    assert is_image(multi, multi.digest)
    assert not is_image(manifest, ID)
    assert not is_image(multi, ID)


@pytest.mark.parametrize(
    ("repository", "name"),
    [
        (Repository("127.0.0.1:5000", "acme/app"), "127.0.0.1:5000/acme/app"),
        (Repository("docker.io", "library/nginx"), "docker.io/library/nginx"),
        (Repository("oci:/srv/images", "acme/app"), "acme/app"),
    ],
)
def test_names(repository: Repository, name: str) -> None:
    assert docker_name(repository) == name


def test_a_directory_is_no_registry() -> None:
    with pytest.raises(UsageError):
        registry_name(Repository("oci:/srv/images", "app"))


@pytest.mark.parametrize(
    ("name", "tags", "digests", "other"),
    [
        ("r.example/app:try", ["r.example/app:try"], [], False),
        ("r.example/app:try", ["r.example/app:try"], [f"r.example/app@{ID}"], False),
        ("r.example/app:try", ["r.example/app:try"], [f"s.example/app@{ID}"], True),
        ("r.example/app:try", ["r.example/app:try", "app:1"], None, True),
        ("docker.io/library/app:try", ["app:try"], [f"app@{ID}"], False),
        ("docker.io/acme/app:try", ["acme/app:try"], None, False),
        ("docker.io/acme/app:try", ["acme/app:try", "app:try"], None, True),
    ],
)
def test_the_last_name_of_an_image(name: str, tags: list[str], digests: list[str] | None, other: bool) -> None:
    local = local_image({"Id": ID, "RepoTags": tags, "RepoDigests": digests})
    assert local.has_other_name(name) is other


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ([("image", False)], "its digest"),
        ([("attestation", False)], "its digest"),
        ([("image", True)], None),
        ([("image", True), ("image", False)], None),
        ([("attestation", True)], None),
        ([], None),
    ],
)
def test_the_only_platform_that_is_here(others: list[tuple[str, bool]], expected: str | None) -> None:
    """As a daemon lists the manifests of an index; where all is here, or it is not known which is pushed, none is."""
    here = {"ID": ID, "Kind": "image", "Available": True}
    rest = [{"ID": absent(str(number)), "Kind": kind, "Available": has} for number, (kind, has) in enumerate(others)]
    assert only_platform([here, *rest]) == (ID if expected else None)
