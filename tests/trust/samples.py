"""Annotations of records, for tests of what is signed of them."""

from __future__ import annotations

from hypothesis import strategies as st

from tagflow.trust.envelope import RECORD

DIGEST = "sha256:" + "ab" * 32
RECORDED = {
    "org.opencontainers.image.created": "2026-10-01T12:00:00.000001Z",
    f"{RECORD}environment": "prod",
    f"{RECORD}repository": "registry.example/shop/app",
    f"{RECORD}action": "promote",
    f"{RECORD}version": "v1.0",
    f"{RECORD}digest": DIGEST,
    f"{RECORD}previous-version": "",
    f"{RECORD}previous-digest": "",
    f"{RECORD}release": "0123456789abcdef",
    f"{RECORD}release-number": "1",
    f"{RECORD}members": "app",
    f"{RECORD}actor": "zoë",
    f"{RECORD}reason": 'a "reason"\n',
    f"{RECORD}parents": "",
    f"{RECORD}state": '{"stack":[],"holds":[]}',
}
"""A record as tagflow writes it, before it is signed."""

texts = st.text(st.characters(codec="utf-8"), max_size=12)
written = st.dictionaries(st.one_of(texts, st.sampled_from(sorted(RECORDED))), texts, max_size=8)
