"""The store that keeps nothing: rows in this process, for ``:memory:``."""

from __future__ import annotations

from typing import Any

import numpy as np

from placememory.memory.place import Place
from placememory.memory.rows import PlaceRows
from placememory.memory.stores.port import Manifest, Store

RESIDENT = ":memory:"
"""Address of a memory that lives as long as the object that holds it."""


class ResidentStore(Store):
    """Rows in this process; gone when it is closed."""

    def __init__(self, manifest: Manifest, card: bytes) -> None:
        self.uri = RESIDENT
        self._manifest, self._card = manifest, card
        self._rows = _no_rows(manifest)

    @property
    def manifest(self) -> Manifest:
        """See :class:`Store`."""
        return self._manifest

    @property
    def revision(self) -> str:
        """See :class:`Store`."""
        return self._rows.revision

    @property
    def card(self) -> bytes:
        """See :class:`Store`."""
        return self._card

    def update(self, **fields: Any) -> None:
        """See :class:`Store`."""
        self._manifest = Manifest.model_validate({**self._manifest.model_dump(), **fields})

    def read(self) -> PlaceRows:
        """See :class:`Store`."""
        return self._rows

    def upsert(self, rows: PlaceRows) -> None:
        """See :class:`Store`."""
        new = {place.id for place in rows.places}
        others = self._rows.take([i for i, p in enumerate(self._rows.places) if p.id not in new])
        self._set(others, rows)

    def remove(self, session: str) -> int:
        """See :class:`Store`."""
        before = len(self._rows)
        others = [i for i, place in enumerate(self._rows.places) if place.session != session]
        self._set(self._rows.take(others))
        return before - len(self._rows)

    def close(self) -> None:
        """See :class:`Store`."""

    def _set(self, *parts: PlaceRows) -> None:
        places: list[Place] = [place for part in parts for place in part.places]
        sequences = [part.sequences for part in parts if part.sequences is not None]
        joined = PlaceRows(
            places,
            np.concatenate([part.descriptors for part in parts]),
            np.concatenate(sequences) if sequences else None,
        )
        self._rows = joined.sort_by_id()
        self.update(count=len(places))


def _no_rows(manifest: Manifest) -> PlaceRows:
    sequences = None
    if manifest.sequence_dim is not None:
        sequences = np.empty((0, manifest.sequence_dim), np.float32)
    return PlaceRows([], np.empty((0, manifest.dim), np.float32), sequences)
