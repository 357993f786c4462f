"""signers, signed_by, approvals: what they mean, and each mistake with its place."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from tagflow.config import load_policy_text
from tagflow.domain.policy import ApprovalRule, Policy, policy_digest
from tests.config.samples import mistakes
from tests.trust.keyring import pair

A = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAII5JnXs3vjrjz1rY8mEiEEQlWSfAiZRFWCPL+vKiTebq"
B = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINjJAysXeaasH1q6jmH3OeLsslxzAh4wnxYV9D6SmJiA"
HEAD = "version: 1\nregistry: oci:x\nimages: {app: app}\n"


def with_signers(signers: str, prod: str = "{}") -> str:
    """A policy; signers begin in line 4, column 10, the rules of prod in line 5, column 27."""
    return f"{HEAD}signers: {signers}\nenvironments: {{dev: , prod: {prod}}}\n"


def test_what_they_mean(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "ci.pub").write_text(pair("ci").public)
    signers = f'{{ci: {{key: keys/ci.pub}}, alice: {{ssh: "{A} a comment"}}, bob: {{ssh: "{B}"}}}}'
    rules = "{signed_by: [ci], approvals: [{need: 2, of: [alice, bob]}, {need: 1, of: [ci]}], approvals_expire: 3d, \
overrides: [approvals]}"
    policy = load_policy_text(with_signers(signers, rules), base=tmp_path)
    prod = policy.environments[1]
    assert prod.signed_by == ("ci",)
    assert prod.approvals == (ApprovalRule(2, ("alice", "bob")), ApprovalRule(1, ("ci",)))
    assert (prod.approvals_expire, prod.overrides) == (timedelta(days=3), ("approvals",))
    assert [signer.name for signer in policy.signers] == ["ci", "alice", "bob"]
    assert policy.signers[0].key == pair("ci").key


def test_approvals_are_set_aside_only_where_the_policy_says_so() -> None:
    policy = load_policy_text(with_signers("{}"))
    assert "approvals" not in policy.environments[1].overrides


def test_a_saved_plan_is_stale_when_a_key_was_exchanged() -> None:
    def digest(key: str) -> str:
        return policy_digest(load_policy_text(with_signers(f'{{a: {{ssh: "{key}"}}}}')))

    assert digest(A) == digest(f"{A} another comment")
    assert digest(A) != digest(B)


@pytest.mark.parametrize(
    ("signers", "prod", "told"),
    [
        ("{a: {}}", "{}", "4:14: a signer has either a `key` or an `ssh` key"),
        (f'{{a: {{key: x, ssh: "{A}"}}}}', "{}", "4:14: a signer has either a `key` or an `ssh` key"),
        ("{a: {key: no/such.pub}}", "{}", "4:20: the key file 'no/such.pub' cannot be read: No such file"),
        ("{a: {key: /}}", "{}", "4:20: the key file '/' cannot be read: it is no file"),
        ("{a: {key: /etc/hostname}}", "{}", "4:20: the key file '/etc/hostname': this is not a public key in PEM"),
        ("{a: {ssh: ssh-dss AAAA}}", "{}", "4:20: ssh keys of the type 'ssh-dss' are not supported"),
        ("{1: {ssh: x}}", "{}", "4:11: signers.1: 1 is read as a number"),
        ("{'a b': {ssh: x}}", "{}", "4:11: signers.a b: 'a b' is not a signer's name"),
        (f'{{a: {{ssh: "{A}"}}}}', "{signed_by: []}", "5:41: environments.prod.signed_by is empty"),
        (f'{{a: {{ssh: "{A}"}}}}', "{signed_by: [a, a]}", "5:45: environments.prod.signed_by names 'a' twice"),
        (f'{{a: {{ssh: "{A}"}}}}', "{signed_by: [b]}", "5:42: there is no signer 'b'. There is: a."),
        ("{}", "{signed_by: [b]}", "5:42: there is no signer 'b'. List it in `signers`."),
        (f'{{a: {{ssh: "{A}"}}}}', "{approvals: [{need: 0, of: [a]}]}", "5:49: environments.prod.approvals.need is 0"),
        (f'{{a: {{ssh: "{A}"}}}}', "{approvals: [{need: 2.5, of: [a]}]}", "need is 2.5, expected a whole number"),
        (f'{{a: {{ssh: "{A}"}}}}', "{approvals: [{need: '1', of: [a]}]}", "Write a whole number, without quotes."),
        (
            f'{{a: {{ssh: "{A}"}}}}',
            "{approvals: [{need: 1}]}",
            "5:42: environments.prod.approvals: the key 'of' is missing",
        ),
        (
            f'{{a: {{ssh: "{A}"}}}}',
            "{approvals: [{need: 2, of: [a]}]}",
            "5:49: 2 must approve, but in `of` there is 1 key",
        ),
        (
            f'{{a: {{ssh: "{A}"}}, b: {{ssh: "{A} b"}}}}',
            "{approvals: [{need: 2, of: [a, b]}]}",
            "two names with one key count as one",
        ),
        (f'{{a: {{ssh: "{A}"}}}}', "{approvals_expire: soon}", "environments.prod.approvals_expire"),
    ],
)
def test_each_mistake_with_its_place(signers: str, prod: str, told: str) -> None:
    found = mistakes(with_signers(signers, prod))
    assert any(told in line for line in found), found


def test_a_private_key_in_the_policy_is_not_repeated(tmp_path: Path) -> None:
    (tmp_path / "ci.key").write_text(pair("ci").private)
    [told] = mistakes(with_signers(f"{{ci: {{key: {tmp_path}/ci.key}}}}"))
    assert "this is a private key" in told
    assert not [line for line in pair("ci").private.splitlines()[1:-1] if line in told]


def test_no_signer_no_field() -> None:
    assert Policy.signers == ()
