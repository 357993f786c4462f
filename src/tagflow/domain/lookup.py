"""Lookups: what a decision will want to know. An observer asks for all of them side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tagflow.domain.reference import Digest, Repository
from tagflow.domain.tagging import RecordTag


@dataclass(frozen=True)
class TagLookup:
    """Where does a tag stand? ``content``: its manifest is wanted too, which takes no further request."""

    repository: Repository
    tag: str
    content: bool = False


@dataclass(frozen=True)
class RecordLookup:
    """What does a record say?"""

    repository: Repository
    tag: RecordTag


@dataclass(frozen=True)
class ImageLookup:
    """What does an image say of itself, ``platforms`` or ``labels``; or is it whole, in all its ``parts``?"""

    repository: Repository
    digest: Digest
    what: Literal["platforms", "labels", "parts"]


Lookup = TagLookup | RecordLookup | ImageLookup
