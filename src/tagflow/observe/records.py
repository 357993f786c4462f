"""Records out of a repository."""

from __future__ import annotations

from tagflow.domain.history import Entry
from tagflow.domain.records import read_record
from tagflow.domain.tagging import RecordTag
from tagflow.stores.port import Store


def fetch(store: Store, tag: RecordTag) -> Entry:
    """Read one record.

    :raises NotFound: ``manifest.not_found``.
    :raises HistoryBroken: where it is no record that tagflow wrote.
    :raises HistoryNewer: where a later version of tagflow wrote it.
    """
    manifest = store.get(str(tag))
    kind = manifest.document.get("artifactType")
    return read_record(
        str(store.repository), tag, manifest.digest, kind if isinstance(kind, str) else "", manifest.annotations
    )
