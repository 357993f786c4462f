"""ECDSA signatures on P-256 as numbers: each has a twin that is as good, so one of the two is chosen.

Whoever sees a signature (r, s) can write (r, n - s), which verifies too. A record with the twin would be another
manifest with the same content: a copy of an old record that no record names, and that looks like a head. So tagflow
writes the lower s, in DER's one form, and accepts nothing else in a record.
"""

from __future__ import annotations

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Of the group (SEC 2, secp256r1)."""


def decode_der(content: bytes) -> tuple[int, int]:
    """r and s.

    :raises ValueError: where it is not the DER of two positive numbers below the order.
    """
    if len(content) < 2 or content[0] != 0x30 or content[1] != len(content) - 2:
        raise ValueError("no signature")
    first, rest = _integer(content[2:])
    second, rest = _integer(rest)
    if rest or not (0 < first < ORDER and 0 < second < ORDER) or encode_der(first, second) != content:
        raise ValueError("no signature")
    return first, second


def encode_der(first: int, second: int) -> bytes:
    """r and s as an ECDSA-Sig-Value (RFC 3279)."""
    body = b"".join(b"\x02" + bytes([len(part)]) + part for part in (number(first), number(second)))
    return b"\x30" + bytes([len(body)]) + body


def number(value: int) -> bytes:
    """A positive number, with a zero byte before it where its first bit is set: as DER and ssh write it."""
    return value.to_bytes(value.bit_length() // 8 + 1, "big")


def lower(second: int) -> int:
    """The lower of s and its twin."""
    return min(second, ORDER - second)


def _integer(content: bytes) -> tuple[int, bytes]:
    if len(content) < 2 or content[0] != 0x02 or not 0 < content[1] <= len(content) - 2:
        raise ValueError("no signature")
    end = 2 + content[1]
    return int.from_bytes(content[2:end], "big"), content[end:]
