"""What a release wants of its members: written short, read back whole, also when the policy has changed since."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tagflow.domain.intent import Intent, compact, parse_intent

NAMES = ["api", "mail", "search", "web"]
WANTED = st.dictionaries(st.sampled_from(NAMES), st.sampled_from(["v1.0.0", "v1.1.0", ""]))


@given(WANTED)
def test_it_reads_back_and_knows_its_members(wanted: dict[str, str]) -> None:
    intent = parse_intent(str(compact(wanted, NAMES)))
    assert intent.of(NAMES) == wanted
    assert {name for name in NAMES if intent.has(name)} == wanted.keys()
    assert bool(intent) == bool(wanted)


def test_many_of_one_version_are_short() -> None:
    names = [f"service-{number}" for number in range(300)]
    wanted = dict.fromkeys(names[1:], "v1.0.0") | {"service-7": "v1.1.0"}
    intent = compact(wanted, names)
    assert len(str(intent)) < 80
    assert intent.of(names) == wanted
    assert not intent.has("service-0")
    assert intent.has("service-7")


def test_what_the_policy_has_gained_since_is_taken_for_a_member() -> None:
    """Leaving one out would leave it half promoted."""
    intent = compact(dict.fromkeys(NAMES, "v1.0.0"), NAMES)
    assert intent.of([*NAMES, "new"])["new"] == "v1.0.0"
    assert intent.has("new")


def test_those_that_are_named_singly_are_members_whatever_the_policy_says() -> None:
    intent = Intent((("gone", "v1.0.0"),))
    assert intent.has("gone")
    assert not intent.has("web")
    assert intent.of(NAMES) == {"gone": "v1.0.0"}
    assert not Intent()
