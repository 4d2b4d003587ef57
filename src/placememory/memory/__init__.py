"""The place memory: places with descriptors, poses and the card of their encoder."""

from placememory.memory.place import Candidate, Place, PlaceId
from placememory.memory.place_memory import IndexRecall, PlaceMemory, index_recall
from placememory.memory.search import Where
from placememory.memory.transfer import PruneReport, copy, merge, prune

__all__ = [
    "Candidate",
    "IndexRecall",
    "Place",
    "PlaceId",
    "PlaceMemory",
    "PruneReport",
    "Where",
    "copy",
    "index_recall",
    "merge",
    "prune",
]
