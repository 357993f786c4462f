"""Signed records: how long it takes to sign one, and to verify a long history of them, without any request."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from tests.trust.keyring import opened, pair, ssh_pair
from tests.trust.samples import RECORDED

from benchmarks.report import Report, ms
from benchmarks.work import Place
from tagflow.domain.keys import Signer
from tagflow.trust.envelope import RECORD
from tagflow.trust.records import judge, sign
from tagflow.trust.signing import SigningKey

RECORDS, RUNS = 2_000, 5
SHALLOW, DEEP = 5, 100
"""Entries of the stack that a record carries; 100 is the most."""


def signed_records(place: Place, report: Report) -> None:
    """Records of a young and of an old environment, by each kind of key."""
    rows = []
    for name, key in _keys(place.path / "keys").items():
        for depth in (SHALLOW, DEEP):
            many = [_record(number, depth) for number in range(RECORDS)]
            if name.startswith("ssh"):  # a process for each signature: sign some, and verify those again and again
                signed, each = _sign(many[:20], key)
                signed = signed * (RECORDS // len(signed))
            else:
                signed, each = _sign(many, key)
            rows.append((name, depth, ms(median(_verify(signed, key) for _ in range(RUNS))), f"{each * 1000:.2f} ms"))
    note = (
        "A promotion verifies the heads that it reads, one for each image; `verify` verifies them all. Both are on top"
        " of reading the records, and neither asks the registry for anything more."
    )
    head = ("key", "stack entries", f"{RECORDS:,} records verified (processor)", "one signed")
    report.add("Signed records", head, rows, note)


def _keys(directory: Path) -> Mapping[str, SigningKey]:
    directory.mkdir()
    ssh = ssh_pair(directory)
    return {
        "ECDSA P-256, PEM": opened({"TAGFLOW_SIGN_KEY": "env:KEY", "KEY": pair("ci").private}),
        "Ed25519, PEM": opened({"TAGFLOW_SIGN_KEY": "env:KEY", "KEY": pair("ci", "ed25519").private}),
        "ssh-ed25519, ssh-keygen": opened({"TAGFLOW_SIGN_KEY": f"ssh:{ssh}.pub", "PATH": "/usr/bin:/bin"}),
    }


def _record(number: int, depth: int) -> dict[str, str]:
    entry = '{"version":"v1.%d.0","digest":"sha256:%064x","release":"%016x","release-number":%d}'
    stack = ",".join(entry % (number + at, number + at, number + at, number + at) for at in range(depth))
    return RECORDED | {f"{RECORD}release-number": str(number), f"{RECORD}state": f'{{"stack":[{stack}]}}'}


def _sign(records: Sequence[Mapping[str, str]], key: SigningKey) -> tuple[list[dict[str, str]], float]:
    began = time.perf_counter()
    signed = [sign(record, key.public, key.sign) for record in records]
    return signed, (time.perf_counter() - began) / len(records)


def _verify(records: Sequence[Mapping[str, str]], key: SigningKey) -> float:
    signers = (Signer("ci", key.public),)
    began = time.process_time()
    good = sum(judge(record, signers, ("ci",)).good for record in records)
    took = time.process_time() - began
    assert good == len(records)
    return took
