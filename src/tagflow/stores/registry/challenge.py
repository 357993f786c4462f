"""``WWW-Authenticate``, read as RFC 9110 section 11.6.1 writes it: several challenges, quoted strings, any case."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"  # noqa: S105 - the grammar's word for a word
_SEPARATOR = re.compile(r"[\s,]*")
_SCHEME = re.compile(rf"({_TOKEN})(?=\s|,|$)(?!\s*=)")
_PARAMETER = re.compile(rf'({_TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN})(?=[\s,]|$))', re.DOTALL)
_TOKEN68 = re.compile(r"[ \t]+[A-Za-z0-9\-._~+/]+=*(?=\s*(?:,|$))")  # after blanks only: a comma starts a challenge
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True)
class Challenge:
    """One way to authenticate: ``scheme`` and the names of ``parameters`` in lower case."""

    scheme: str
    parameters: Mapping[str, str]

    def get(self, name: str) -> str:
        """A parameter, or the empty string."""
        return self.parameters.get(name, "")


def parse_challenges(header: str) -> list[Challenge]:
    """The challenges of a header, or of several joined by commas. What cannot be read ends the list: a broken header
    never raises.

    >>> [challenge] = parse_challenges('Bearer realm="https://auth.example/token",service="registry"')
    >>> challenge.scheme, challenge.get("service")
    ('bearer', 'registry')
    """
    challenges: list[Challenge] = []
    position = _skip(header, 0)
    while scheme := _SCHEME.match(header, position):
        parameters, position = _parameters(header, scheme.end())
        challenges.append(Challenge(scheme[1].lower(), parameters))
    return challenges


def _parameters(header: str, position: int) -> tuple[dict[str, str], int]:
    parameters: dict[str, str] = {}
    if token68 := _TOKEN68.match(header, position):
        return parameters, _skip(header, token68.end())
    position = _skip(header, position)
    while parameter := _PARAMETER.match(header, position):
        quoted = parameter[2]
        value = parameter[3] if quoted is None else _ESCAPE.sub(r"\1", quoted)
        parameters.setdefault(parameter[1].lower(), value)
        position = _skip(header, parameter.end())
    return parameters, position


def _skip(header: str, position: int) -> int:
    match = _SEPARATOR.match(header, position)
    return match.end() if match else position
