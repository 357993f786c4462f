"""Errors travel: copied, and from one process to another, each class of the tree keeps all that it says."""

from __future__ import annotations

import copy
import importlib
import inspect
import pickle
import pkgutil
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

import tagflow
from tagflow import Refused, Tagflow, TagflowError
from tagflow.domain.reference import Repository
from tagflow.stores.layout.store import LayoutStore
from tests import images
from tests.cli.runner import POLICY

for module in pkgutil.walk_packages(tagflow.__path__, "tagflow."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)


def tree(kind: type[TagflowError]) -> Iterator[type[TagflowError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from tree(below)


def made(kind: type[TagflowError]) -> TagflowError:
    """An error of a class with all attributes set, whatever its constructor asks for."""
    given = inspect.signature(kind).parameters.values()
    needed = [f"the {it.name}" for it in given if it.kind is it.POSITIONAL_OR_KEYWORD]
    error = kind(*needed)
    error.hint, error.details = "do this", ({"code": "a.b", "message": "one"},)
    error.result, error.causes = {"planned": 1}, (Refused("a.b", "one", hint="two"),)
    return error


def told(error: TagflowError) -> dict[str, object]:
    causes = [told(cause) for cause in error.causes]
    return {**vars(error), "causes": causes, "class": type(error), "text": str(error), "arguments": error.args}


WAYS: dict[str, Callable[[TagflowError], TagflowError]] = {
    "copied": copy.copy,
    "copied through": copy.deepcopy,
    "pickled": lambda error: pickle.loads(pickle.dumps(error)),
    "pickled of old": lambda error: pickle.loads(pickle.dumps(error, protocol=2)),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", sorted(set(tree(TagflowError)), key=str))
def test_an_error_keeps_all_that_it_says(kind: type[TagflowError], way: str) -> None:
    error = made(kind)
    assert told(WAYS[way](error)) == told(error)


def refuse(policy: Path) -> None:
    Tagflow(policy, environ={}).promote("v1.0", to="test")


def test_a_refusal_comes_back_from_another_process(tmp_path: Path) -> None:
    """With the plan that it is about."""
    policy = tmp_path / "promotion.yaml"
    policy.write_text(POLICY.replace("test: {}", "test: {gates: [{name: never, run: 'false'}]}"))
    sources = {}
    for name in ("frontend", "backend"):
        images.index(LayoutStore(Repository(f"oci:{tmp_path}/build", name)), seed=name, tag="v1.0")
        sources[name] = f"oci:{tmp_path}/build/{name}:v1.0"
    Tagflow(policy, environ={}).push("v1.0", sources)
    with pytest.raises(Refused) as here:
        refuse(policy)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool, pytest.raises(Refused) as there:
        pool.submit(refuse, policy).result(60)
    assert here.value.result is not None
    assert told(there.value) == told(here.value)
