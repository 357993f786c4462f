"""A plan's id: canonical, and another for any other plan."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest

from tagflow.domain.intent import Intent
from tagflow.domain.plan import Move, Plan, Request, Step, identity
from tagflow.domain.state import Release
from tests import images

A, B = images.absent("a"), images.absent("b")
PLAN = Plan(
    Request("promote", "prod", ("v1.0",), False, "staging", ("hold",), "because"),
    "sha256:policy",
    (
        Step(
            "app",
            "r.test/app",
            "promote",
            "v1.0",
            A,
            "v0.9",
            B,
            ("_tagflow.x",),
            "r.test/other",
            1,
            True,
            images.absent("s"),
            ("_tagflow.y",),
        ),
    ),
    (Move("app", "r.test/app", "prod", "environment", B, A),),
    Release("abc", 7),
    Intent((("app", "v1.0"),), "v1.1", ("web",), "0123"),
)


def others(value: Any) -> list[Any]:
    """Values that differ in one place."""
    if is_dataclass(value) and not isinstance(value, type):
        return [
            replace(value, **{part.name: other})
            for part in fields(value)
            for other in others(getattr(value, part.name))
        ]
    if isinstance(value, tuple):
        inside = [(*value[:i], other, *value[i + 1 :]) for i in range(len(value)) for other in others(value[i])]
        return [*inside, value * 2, ()]
    if isinstance(value, bool):
        return [not value]
    return [value + 1] if isinstance(value, int) else [value + "x"]


def test_every_field_counts() -> None:
    plans = [PLAN, *others(PLAN)]
    assert len(plans) > 35
    assert len({plan.id for plan in plans}) == len(plans)


def test_no_field_is_left_out_of_this_test() -> None:
    for kind in (Plan, Request, Step, Move):
        told = [it for it in fields(kind) if it.name not in json.dumps(PLAN.document())]
        assert told == []


def test_it_is_canonical() -> None:
    document = json.loads(json.dumps(PLAN.document()))
    shuffled = json.loads(json.dumps(document, sort_keys=True))
    assert identity(document) == identity(shuffled) == PLAN.id == replace(PLAN).id
    assert len(PLAN.id) == 64


def test_names_outside_ascii() -> None:
    plan = replace(PLAN, request=replace(PLAN.request, reason="für Zoë \udc80"))
    assert identity(json.loads(json.dumps(plan.document()))) == plan.id


@pytest.mark.parametrize(
    ("before", "after", "action"),
    [(A, A, "keep"), (None, A, "create"), (A, B, "move"), (A, None, "move"), (None, None, "keep")],
)
def test_actions(before: Any, after: Any, action: str) -> None:
    assert replace(PLAN.moves[0], before=before, after=after).action == action


def test_a_plan_without_anything_to_do() -> None:
    kept = replace(PLAN.moves[0], before=A)
    assert PLAN.changes
    assert not replace(PLAN, steps=(), moves=(kept,)).changes


def test_members() -> None:
    assert PLAN.members == ("app",)
