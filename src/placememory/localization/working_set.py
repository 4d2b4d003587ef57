"""The part of a map that is at hand, where the map is too large to be."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import numpy as np

from placememory._types import Floats, Rows, Vectors
from placememory.errors import SettingError
from placememory.fusion import Rest
from placememory.memory import PlaceMemory
from placememory.memory.rows import PlaceRows, Stretch

_TILE = 32  # places that come and go together
_MARGIN = 10  # places beside a candidate or the belief: a frame without odometry goes 8 on
_SAMPLE = 4  # one part in so many of the working set stands for the rest

PlaceId = tuple[str, int]
Tile = tuple[str, int]
"""A session, and the number of a stretch of it."""


class WorkingSet:
    """Some thousand places of a map in a database: what one robot needs of it at a time.

    A session is cut into tiles of about 32 places. At hand are an even sample of them, which stands
    for the rest of the map (see :class:`placememory.fusion.Rest`), and those around the candidates
    that the database finds for a frame, around the places the robot may be at, and near these in
    other sessions. What was not needed for longest goes first.

    Args:
        memory: Open memory; it is searched, and read where the robot may be.
        most: Places at hand.

    Attributes:
        rows: The places at hand, in the order of their ids.
        runs: (N,) int64: number of the unbroken stretch that each row is of.
        rest: The places that are not.

    Raises:
        SettingError: ``most`` is below 512.

    Example:
        >>> from placememory.encoders import EncoderCard, Preprocess
        >>> from placememory.memory import Place
        >>> card = EncoderCard(name="toy", dim=8, preprocess=Preprocess(longest=8))
        >>> memory = PlaceMemory.create(":memory:", encoder=card)
        >>> rows = np.random.default_rng(0).normal(size=(5000, 8))
        >>> _ = memory.add([Place("run", i, f"{i}.png") for i in range(5000)], rows)
        >>> there = WorkingSet(memory, 512)
        >>> len(there.rows), there.rest.count
        (128, 4872)
        >>> there.cover(rows[2500].astype(np.float32), 1, [])
        True
        >>> [place.index for place in there.rows.places if 2400 < place.index < 2600][:2]
        [2464, 2465]
    """

    rows: PlaceRows
    runs: Rows
    rest: Rest

    def __init__(self, memory: PlaceMemory, most: int) -> None:
        if most < 16 * _TILE:
            raise SettingError(f"a working set holds at least {16 * _TILE} places, not {most}")
        self._stored, self._search, self._most = memory.rows, memory.search, most
        counts = memory.sessions()
        self._extent = self._stored.extent()
        self._steps = {  # indices between places, as a rule
            name: max(1, round((last - first + 1) / counts[name]))
            for name, (first, last) in self._extent.items()
        }
        self._sampled = self._sample_evenly(max(1, most // (_SAMPLE * _TILE)))
        self._used: dict[Tile, int] = {}
        self._beside: dict[Tile, set[Tile]] = {}
        self._frames = 0
        self._tiles: list[Tile] = []
        self.rows = self._stored.stretches([])
        self._hold(self._sampled)

    def cover(self, query: Vectors, k: int, likely: Iterable[PlaceId]) -> bool:
        """Bring in what the next frame needs.

        Args:
            query: (D,) unit descriptor of the frame.
            k: Candidates that the whole map is searched for.
            likely: Places where the robot may be, at hand.

        Returns:
            Whether :attr:`rows` are others now.
        """
        self._frames += 1
        [found] = self._search(query, k)
        needed = self._around(candidate.place.id for candidate in found)
        for place in likely:
            needed |= self._around([place])
            if len(self._extent) > 1:
                needed |= self._near(place)
        return self._need(needed)

    def bring(self, places: Iterable[PlaceId]) -> bool:
        """Bring in places, such as those of a belief that goes on; those that are gone are not.

        Returns:
            Whether :attr:`rows` are others now.
        """
        return self._need(self._around(places))

    def bring_near(self, position: Floats, radius: float) -> bool:
        """Bring in the places within ``radius`` metres of a position of the map.

        Returns:
            Whether :attr:`rows` are others now.
        """
        return self.bring(self._stored.find_near(position, radius))

    def _need(self, needed: set[Tile]) -> bool:
        self._used.update(dict.fromkeys(needed, self._frames))
        if needed <= self._there:
            return False
        room = max(len(needed), self._most // _TILE - len(self._sampled))
        recent = sorted(self._used, key=lambda tile: (-self._used[tile], tile))
        self._used = {tile: self._used[tile] for tile in recent[:room]}
        self._hold(self._sampled | set(self._used))
        return True

    def _sample_evenly(self, count: int) -> frozenset[Tile]:
        numbers = {
            name: (self._tile((name, first))[1], self._tile((name, last))[1] + 1)
            for name, (first, last) in self._extent.items()
        }
        starts = np.cumsum([0, *(stop - start for start, stop in numbers.values())])
        total = int(starts[-1])
        chosen = np.unique((np.linspace(0, total, min(count, total), endpoint=False)).astype(int))
        names = list(numbers)
        sessions = np.searchsorted(starts, chosen, side="right") - 1
        return frozenset(
            (names[i], numbers[names[i]][0] + int(at - starts[i]))
            for i, at in zip(sessions.tolist(), chosen.tolist(), strict=True)
        )

    def _tile(self, place: PlaceId) -> Tile:
        name, index = place
        return name, index // (_TILE * self._steps[name])

    def _around(self, places: Iterable[PlaceId]) -> set[Tile]:
        """Tiles of places and of those beside them."""
        found: set[Tile] = set()
        for name, index in places:
            if name in self._extent:  # else removed since
                first, last = self._extent[name]
                for step in (-_MARGIN, 0, _MARGIN):
                    beside = index + step * self._steps[name]
                    found.add(self._tile((name, min(max(beside, first), last))))
        return found

    def _near(self, place: PlaceId) -> set[Tile]:
        """Tiles of other sessions where the tile of a place at hand is; empty without positions."""
        tile = self._tile(place)
        if tile not in self._beside:
            at = [row for row, other in enumerate(self._tiles) if other == tile]
            positions = self.rows.columns.positions[at]
            positions = positions[np.isfinite(positions[:, 0])]
            found: set[Tile] = set()
            if len(positions):
                middle = positions.mean(axis=0)
                reach = float(np.linalg.norm(positions - middle, axis=1).max())
                found = set(map(self._tile, self._stored.find_near(middle, max(reach, 1e-3))))
            self._beside[tile] = found
        return self._beside[tile]

    def _hold(self, tiles: frozenset[Tile] | set[Tile]) -> None:
        """Have these tiles at hand; those that are there already are not read again."""
        missing = sorted(tiles.difference(self._tiles))
        read = self._stored.stretches([self._stretch(tile) for tile in missing])
        kept = self.rows.take([row for row, tile in enumerate(self._tiles) if tile in tiles])
        rows = PlaceRows(
            [*kept.places, *read.places], np.concatenate([kept.descriptors, read.descriptors])
        )
        self.rows = rows.sort_by_id()
        self._tiles = [self._tile(place.id) for place in self.rows.places]
        self._there = frozenset(tiles)
        sampled = [row for row, tile in enumerate(self._tiles) if tile in self._sampled]
        self.rest = Rest(len(self._stored) - len(self.rows), np.array(sampled, np.int64))
        leads_on = [
            here[0] == before[0] and here[1] - before[1] <= 1
            for before, here in pairwise(self._tiles)
        ]
        self.runs = np.cumsum([0, *np.logical_not(leads_on)])[: len(self._tiles)]

    def _stretch(self, tile: Tile) -> Stretch:
        name, number = tile
        size = _TILE * self._steps[name]
        return name, number * size, (number + 1) * size - 1
